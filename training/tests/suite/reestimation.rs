//! Running statistics of what is exported, computed anew from training rows.

use std::cell::{Cell, RefCell};
use std::path::Path;

use crate::runs::{PER_EPOCH, bits, device, evaluation_batches, settings};
use crate::support::{BATCH, CLASSES, WIDTH, batch, batches, program, reestimated_program, regularized_program};
use millstream_compiler::TrainingProgram;
use millstream_schemas::Batch;
use millstream_training::optimizers::Averaging;
use millstream_training::{
    BatchSource, BoxError, CheckpointAverage, Ending, EvaluationBatches, EvaluationSet, Event, LoopSettings,
    Reestimation, RunSources, StepRunner, Trainer, TrainerSettings, TrainingError, Until, checkpoint,
};

const EPOCHS: u64 = 4;

/// The batches of the first epoch, two rows of the last without weight.
fn rows_of_statistics() -> Vec<Batch> {
    let mut all: Vec<Batch> = (0..PER_EPOCH).map(|index| batch(0, index, PER_EPOCH)).collect();
    let targets = all.last_mut().unwrap().tensors.get_mut("targets").unwrap().as_f32_mut().unwrap();
    targets[..2 * CLASSES].fill(0.0);
    all
}

fn statistics_batches() -> Result<Box<dyn BatchSource>, BoxError> {
    Ok(Box::new(rows_of_statistics().into_iter().map(Ok::<_, BoxError>)))
}

/// As the settings of other runs, with statistics computed anew.
fn reestimating(reestimation: Reestimation, folder: Option<&Path>) -> TrainerSettings {
    let mut settings = settings(EPOCHS, folder);
    settings.loop_settings = LoopSettings { reestimation, ..settings.loop_settings };
    settings
}

/// Trains to the end, or until `stop_at` batches of statistics were gone through in this process.
fn run_until(trainer: &mut Trainer, is_evaluated: bool, stop_at: u64) -> Result<Ending, TrainingError> {
    let gone = Cell::new(0);
    let mut observer = |event: &Event<'_>| {
        if let Event::StatisticsBatch { .. } = event {
            gone.set(gone.get() + 1);
        }
    };
    let from = trainer.resume_point().cloned();
    let mut source = batches(EPOCHS, PER_EPOCH, from.as_ref());
    let (mut evaluate, mut statistics) = (evaluation_batches, statistics_batches);
    let mut sets = [EvaluationSet { name: "usual", open: &mut evaluate }];
    let sets = if is_evaluated { &mut sets[..] } else { &mut sets[..0] };
    let statistics: &mut EvaluationBatches<'_> = &mut statistics;
    let sources = RunSources { sets, statistics: Some(statistics) };
    trainer.advance_from(Until::End, &mut source, sources, &mut observer, &|| gone.get() >= stop_at)
}

fn run(trainer: &mut Trainer, is_evaluated: bool) {
    assert_eq!(run_until(trainer, is_evaluated, u64::MAX).unwrap(), Ending::Finished);
}

/// Where mean and variance of the hidden layer stand among the parameters.
fn places(program: &TrainingProgram) -> [usize; 2] {
    let place = |name: &str| program.manifest.parameters.iter().position(|entry| entry.name == name).unwrap();
    [place("norm.running_mean"), place("norm.running_var")]
}

/// The slow way: mean and variance of each batch's rows that have weight, divided by one less than they are, and the mean of both
/// over the batches, each by its rows.
fn by_hand(program: &TrainingProgram, parameters: &[Vec<f32>]) -> [Vec<f64>; 2] {
    let weight = program.manifest.parameters.iter().position(|entry| entry.name == "hidden.weight").unwrap();
    let hidden = parameters[weight].len() / WIDTH;
    let (mut means, mut variances, mut all) = (vec![0.0; hidden], vec![0.0; hidden], 0.0);
    for batch in rows_of_statistics() {
        let (x, targets) = (batch.tensors["x"].as_f32().unwrap(), batch.tensors["targets"].as_f32().unwrap());
        let present: Vec<usize> =
            (0..BATCH).filter(|row| targets[row * CLASSES..(row + 1) * CLASSES].iter().sum::<f32>() > 0.0).collect();
        let rows = present.len() as f64;
        all += rows;
        for channel in 0..hidden {
            let value = |row: &usize| -> f64 {
                let product =
                    |at: usize| f64::from(x[row * WIDTH + at]) * f64::from(parameters[weight][channel * WIDTH + at]);
                (0..WIDTH).map(product).sum()
            };
            let mean = present.iter().map(value).sum::<f64>() / rows;
            let squares: f64 = present.iter().map(|row| (value(row) - mean).powi(2)).sum();
            means[channel] += rows * mean;
            variances[channel] += rows * squares / (rows - 1.0);
        }
    }
    [means, variances].map(|sums| sums.into_iter().map(|sum| sum / all).collect())
}

#[track_caller]
fn assert_of_rows(program: &TrainingProgram, parameters: &[Vec<f32>]) {
    for (place, wanted) in places(program).into_iter().zip(by_hand(program, parameters)) {
        for (got, wanted) in parameters[place].iter().zip(&wanted) {
            assert!((f64::from(*got) - wanted).abs() < 1e-5 * wanted.abs().max(1.0), "{got}, wanted {wanted}");
        }
    }
}

/// The loss on the evaluation rows with these parameters.
fn evaluated(parameters: Vec<Vec<f32>>) -> f64 {
    let mut runner = StepRunner::open(&reestimated_program(), &device(), &settings(1, None).step).unwrap();
    runner.set_parameters(parameters).unwrap();
    let (mut loss, mut weight) = (0.0, 0.0);
    for index in 0..4 {
        let (_, scored) = runner.evaluate(batch(50, index, 4)).unwrap();
        loss += f64::from(scored.loss) * scored.weight;
        weight += scored.weight;
    }
    loss / weight
}

const ROWS: u64 = PER_EPOCH * BATCH as u64 - 2;

#[test]
fn what_is_exported_has_statistics_of_the_training_rows_by_its_own_weights() {
    let (program, plain) = (reestimated_program(), regularized_program());
    let mut followed = Trainer::open(&plain, &device(), settings(EPOCHS, None)).unwrap();
    let mut source = batches(EPOCHS, PER_EPOCH, None);
    let evaluate: &mut EvaluationBatches<'_> = &mut evaluation_batches;
    followed.run(&mut source, Some(evaluate), &mut |_: &Event<'_>| {}, &|| false).unwrap();
    let mut trainer = Trainer::open(&program, &device(), reestimating(Reestimation::ExportedAndLast, None)).unwrap();
    run(&mut trainer, true);
    assert!(trainer.is_finished());
    // the way there is that of a run whose statistics follow the batches
    assert_eq!(trainer.history().best, followed.history().best);
    assert_eq!(bits(&trainer.parameters().unwrap()), bits(&followed.parameters().unwrap()));
    let [exported, then] = [&trainer, &followed].map(|trainer| trainer.best_parameters().unwrap());
    let own = places(&program);
    for (index, (now, then)) in exported.iter().zip(&then).enumerate() {
        assert_eq!(now != then, own.contains(&index), "parameter {index}");
    }
    assert_of_rows(&program, &exported);
    let last = trainer.last_parameters().unwrap();
    assert_of_rows(&program, &last);
    let history = trainer.history();
    let record = history.reestimated.as_ref().unwrap();
    assert_eq!(record.rows, ROWS);
    let again = record.evaluation.as_ref().unwrap();
    assert_eq!(history.exported_evaluation(), Some(again));
    assert!((evaluated(exported) - again.loss).abs() < 1e-6);
    assert_ne!(again.loss, history.best.as_ref().unwrap().loss);
    let note = history.notes().into_iter().find(|note| note.starts_with("statistics of BatchNormalization")).unwrap();
    assert!(note.contains("28 training rows: it has ") && note.contains("with those that followed"), "{note}");
}

#[test]
fn averages_are_evaluated_and_exported_with_statistics_of_their_own() {
    type Change = fn(&mut TrainerSettings);
    let rows: [(Change, bool); 4] = [
        (|settings| settings.step.averaging = Some(Averaging::Exponential { decay: 0.9 }), true),
        (|settings| settings.step.averaging = Some(Averaging::Equal { from_epoch: 1 }), true),
        (|settings| settings.loop_settings.average = Some(CheckpointAverage::Last(3)), false),
        (|settings| settings.loop_settings.average = Some(CheckpointAverage::Best(2)), false),
    ];
    for (index, (change, is_of_steps)) in rows.into_iter().enumerate() {
        let mut settings = reestimating(Reestimation::ExportedAndLast, None);
        change(&mut settings);
        let program = reestimated_program();
        let mut trainer = Trainer::open(&program, &device(), settings).unwrap();
        run(&mut trainer, true);
        let (exported, history) = (trainer.best_parameters().unwrap(), trainer.history());
        assert_of_rows(&program, &exported);
        assert_of_rows(&program, &trainer.last_parameters().unwrap());
        let rows: Vec<Option<u64>> = history.evaluations.iter().map(|record| record.statistics_rows).collect();
        assert_eq!(rows, vec![is_of_steps.then_some(ROWS); EPOCHS as usize], "{index}");
        let record = history.reestimated.as_ref().unwrap();
        assert_eq!((record.rows, &record.evaluation), (ROWS, &None), "{index}");
        let found = history.exported_evaluation().unwrap().loss;
        let wanted = evaluated(exported);
        assert!((found - wanted).abs() < 1e-6, "{index}: {found}, wanted {wanted}");
        assert_eq!(history.averaged.is_some(), !is_of_steps);
    }
}

#[test]
fn a_run_that_was_stopped_while_statistics_are_computed_goes_on_to_the_bit() {
    type Change = fn(&mut TrainerSettings);
    let rows: [(Change, bool, &[u64]); 5] = [
        (|_| {}, true, &[1, 3, 5]),
        (|_| {}, false, &[2]),
        (|settings| settings.step.averaging = Some(Averaging::Equal { from_epoch: 1 }), true, &[2, 9, 17]),
        (|settings| settings.step.averaging = Some(Averaging::Exponential { decay: 0.9 }), false, &[4]),
        (|settings| settings.loop_settings.average = Some(CheckpointAverage::Last(2)), true, &[1, 4, 7]),
    ];
    for (index, (change, is_evaluated, stops)) in rows.into_iter().enumerate() {
        let program = reestimated_program();
        let settings = |folder: Option<&Path>| {
            let mut settings = reestimating(Reestimation::ExportedAndLast, folder);
            change(&mut settings);
            settings
        };
        let mut whole = Trainer::open(&program, &device(), settings(None)).unwrap();
        run(&mut whole, is_evaluated);
        let finals = |trainer: &Trainer| {
            [trainer.best_parameters().unwrap(), trainer.last_parameters().unwrap()].map(|parameters| bits(&parameters))
        };
        for stop_at in stops {
            let folder = tempfile::tempdir().unwrap();
            let mut first = Trainer::open(&program, &device(), settings(Some(folder.path()))).unwrap();
            let ending = run_until(&mut first, is_evaluated, *stop_at).unwrap();
            assert!(matches!(ending, Ending::Interrupted { checkpoint: Some(_) }), "{index} {stop_at}: {ending:?}");
            drop(first);
            let saved = || checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
            let mut second = Trainer::resume(&program, &device(), settings(Some(folder.path())), saved()).unwrap();
            assert!(!second.is_finished());
            run(&mut second, is_evaluated);
            assert!(finals(&second) == finals(&whole), "{index}: stopped at {stop_at}");
            assert_eq!(second.history().reestimated, whole.history().reestimated, "{index}: stopped at {stop_at}");
            // what a run at its end has is in its checkpoint
            let third = Trainer::resume(&program, &device(), settings(None), saved()).unwrap();
            assert!(third.is_finished() && finals(&third) == finals(&whole), "{index}: stopped at {stop_at}");
        }
    }
}

#[test]
fn a_run_that_goes_on_with_more_time_computes_them_anew_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let program = reestimated_program();
    let within = |seconds, folder: Option<&Path>| {
        let mut settings = reestimating(Reestimation::Exported, folder);
        settings.loop_settings.max_seconds = Some(seconds);
        settings
    };
    let mut first = Trainer::open(&program, &device(), within(1e-6, Some(folder.path()))).unwrap();
    run(&mut first, true);
    assert_eq!((first.history().steps, first.history().reestimated.is_some()), (1, true));
    drop(first);
    let saved = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
    let mut more = Trainer::resume(&program, &device(), within(1e6, None), saved).unwrap();
    run(&mut more, true);
    let mut whole = Trainer::open(&program, &device(), reestimating(Reestimation::Exported, None)).unwrap();
    run(&mut whole, true);
    assert_eq!(bits(&more.best_parameters().unwrap()), bits(&whole.best_parameters().unwrap()));
    assert_eq!(more.history().reestimated, whole.history().reestimated);
}

#[test]
fn what_cannot_be_computed_anew_is_refused() {
    for refused in [program(), regularized_program()] {
        let error = Trainer::open(&refused, &device(), reestimating(Reestimation::Exported, None)).err().unwrap();
        assert!(error.to_string().contains("wanted `reestimated` where statistics"), "{error}");
    }
    let settings = reestimating(Reestimation::Exported, None);
    let mut trainer = Trainer::open(&reestimated_program(), &device(), settings).unwrap();
    let told = RefCell::new(Vec::new());
    let mut observer = |event: &Event<'_>| told.borrow_mut().push(format!("{event:?}"));
    let mut source = batches(EPOCHS, PER_EPOCH, None);
    let error = trainer.run(&mut source, None, &mut observer, &|| false).unwrap_err();
    assert!(error.to_string().contains("wanted rows that statistics are computed from"), "{error}");
    // rows without weight have none
    let nothing = || -> Result<Box<dyn BatchSource>, BoxError> {
        let mut empty = batch(0, 0, PER_EPOCH);
        empty.tensors.get_mut("targets").unwrap().as_f32_mut().unwrap().fill(0.0);
        Ok(Box::new(std::iter::once(Ok::<_, BoxError>(empty))))
    };
    let mut nothing = nothing;
    let statistics: &mut EvaluationBatches<'_> = &mut nothing;
    let sources = RunSources { sets: &mut [], statistics: Some(statistics) };
    let mut source = batches(EPOCHS, PER_EPOCH, trainer.resume_point());
    let error = trainer.advance_from(Until::End, &mut source, sources, &mut observer, &|| false).unwrap_err();
    assert!(matches!(error, TrainingError::NoStatistics), "{error}");
}
