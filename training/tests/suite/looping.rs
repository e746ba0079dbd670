//! When a run evaluates and ends, what it averages, what it leaves out, and that its checkpoints are written beside it.

use std::cell::RefCell;
use std::path::Path;

use crate::runs::{PER_EPOCH, bits, device, evaluation_batches, run, settings};
use crate::support::{BATCH, CLASSES, batch, batches, optimizer, program, regularized_program, schedule};
use millstream_compiler::TrainingProgram;
use millstream_schemas::{Batch, RowId};
use millstream_training::checkpoint::{self, Checkpoint};
use millstream_training::{
    BatchSource, BoxError, CheckpointAverage, EarlyStopping, EndReason, Ending, EvaluationBatches, EvaluationInterval,
    EvaluationSet, Event, LoopSettings, NonFinite, StepRunner, Trainer, TrainerSettings, TrainingError, Until,
};
use serde_json::json;

fn newest(folder: &Path) -> Checkpoint {
    checkpoint::load_newest(folder).unwrap().checkpoint.unwrap()
}

/// As the settings of other runs, with this around the steps.
fn looping(epochs: u64, folder: Option<&Path>, loop_settings: LoopSettings) -> TrainerSettings {
    TrainerSettings { loop_settings, ..settings(epochs, folder) }
}

fn evaluated_at(trainer: &Trainer) -> Vec<u64> {
    trainer.history().evaluations.iter().map(|record| record.step).collect()
}

#[test]
fn evaluations_come_at_their_interval_and_at_the_end_and_the_best_of_them_is_exported() {
    let steps = |every| EvaluationInterval::Steps(every);
    let epochs = |every| EvaluationInterval::Epochs(every);
    for (evaluate_every, max_steps, wanted) in [
        (epochs(1), None, vec![5, 10, 15, 20]),
        (epochs(3), None, vec![15, 20]),
        (steps(4), None, vec![4, 8, 12, 16, 20]),
        (steps(7), None, vec![7, 14, 20]),
        (steps(100), None, vec![20]),
        (epochs(1), Some(12), vec![5, 10, 12]),
        (steps(4), Some(12), vec![4, 8, 12]),
        (epochs(1), Some(3), vec![3]),
        (epochs(1), Some(99), vec![5, 10, 15, 20]),
    ] {
        let course = LoopSettings { evaluate_every, max_steps, ..LoopSettings::default() };
        let mut trainer = Trainer::open(&program(), &device(), looping(4, None, course)).unwrap();
        let states = RefCell::new(Vec::new());
        loop {
            let from = trainer.resume_point().cloned();
            let mut source = batches(4, PER_EPOCH, from.as_ref());
            let evaluate: &mut EvaluationBatches<'_> = &mut evaluation_batches;
            let next = Until::Step(trainer.history().steps + 1);
            let ending =
                trainer.advance(next, &mut source, Some(evaluate), &mut |_: &Event<'_>| {}, &|| false).unwrap();
            states.borrow_mut().push((trainer.history().steps, trainer.parameters().unwrap()));
            if ending == Ending::Finished {
                break;
            }
        }
        assert_eq!(evaluated_at(&trainer), wanted, "{course:?}");
        let last = *wanted.last().unwrap();
        assert_eq!((trainer.history().steps, trainer.total_steps(), trainer.is_finished()), (last, last, true));
        let whole_epochs = trainer.history().evaluations.iter().filter(|record| record.ends_epoch);
        assert!(whole_epochs.clone().all(|record| record.passes.fract() == 0.0 && record.step % PER_EPOCH == 0));
        assert_eq!(whole_epochs.count(), wanted.iter().filter(|step| *step % PER_EPOCH == 0).count());
        let best = trainer.history().best.as_ref().unwrap().step.unwrap();
        let states = states.into_inner();
        let (_, of_best) = states.iter().find(|(step, _)| *step == best).unwrap();
        assert_eq!(bits(&trainer.best_parameters().unwrap()), bits(of_best), "{course:?}");
        let (_, last) = states.last().unwrap();
        assert_eq!(bits(&trainer.last_parameters().unwrap()), bits(last));
    }
}

#[test]
fn schedules_count_to_the_most_steps() {
    let course = LoopSettings { max_steps: Some(8), ..LoopSettings::default() };
    let mut shorter = looping(4, None, course);
    shorter.schedule = schedule("linear", json!({}));
    let mut trainer = Trainer::open(&program(), &device(), shorter).unwrap();
    run(&mut trainer, 4, u64::MAX);
    let rates: Vec<f64> = trainer.history().curve.points.iter().map(|point| point.learning_rate).collect();
    assert_eq!(rates.len(), 8);
    for (step, rate) in rates.iter().enumerate() {
        let wanted = 0.01 * (1.0 - step as f64 / 8.0);
        assert!((rate - wanted).abs() < 1e-6, "step {step}: {rate}, wanted {wanted}");
    }
}

#[test]
fn a_rate_follows_evaluations_within_epochs() {
    let course = LoopSettings { evaluate_every: EvaluationInterval::Steps(2), ..LoopSettings::default() };
    let mut falling = looping(2, None, course);
    // no gain is as large as that
    let options = json!({"patience": 0, "factor": 0.5, "threshold": 2, "threshold_mode": "absolute"});
    falling.schedule = schedule("reduce_on_plateau", options);
    let mut trainer = Trainer::open(&program(), &device(), falling).unwrap();
    run(&mut trainer, 2, u64::MAX);
    let rates = trainer.history().curve.points.iter().map(|point| point.learning_rate);
    let shares: Vec<f64> = rates.map(|rate| (rate / 0.01 * 1000.0).round() / 1000.0).collect();
    assert_eq!(shares, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]);
    let notes = trainer.history().notes();
    assert!(notes.iter().any(|note| note.ends_with("after epochs 1, 2")), "{notes:?}");
}

#[test]
fn a_run_whose_time_is_up_is_evaluated_and_goes_on_with_more_time_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let within = |max_seconds| LoopSettings { max_seconds, ..LoopSettings::default() };
    let mut first = Trainer::open(&program(), &device(), looping(2, Some(folder.path()), within(Some(1e-6)))).unwrap();
    assert_eq!(run(&mut first, 2, u64::MAX), Ending::Finished);
    assert_eq!((first.history().steps, evaluated_at(&first), first.is_finished()), (1, vec![1], true));
    assert_eq!(first.end_reason(), Some(EndReason::MaxTime));
    drop(first);
    let again = looping(2, None, within(Some(1e-6)));
    let mut again = Trainer::resume(&program(), &device(), again, newest(folder.path())).unwrap();
    assert!(again.is_finished());
    assert_eq!((run(&mut again, 2, u64::MAX), again.history().steps), (Ending::Finished, 1));
    let more = looping(2, None, within(Some(1e6)));
    let mut more = Trainer::resume(&program(), &device(), more, newest(folder.path())).unwrap();
    assert!(!more.is_finished());
    assert_eq!(run(&mut more, 2, u64::MAX), Ending::Finished);
    let mut whole = Trainer::open(&program(), &device(), settings(2, None)).unwrap();
    run(&mut whole, 2, u64::MAX);
    assert_eq!(bits(&more.parameters().unwrap()), bits(&whole.parameters().unwrap()));
    assert_eq!(evaluated_at(&more), [1, 5, 10]);
}

#[test]
fn the_mean_of_a_run_that_goes_on_with_more_time_is_that_of_its_last_states() {
    let folder = tempfile::tempdir().unwrap();
    let average = Some(CheckpointAverage::Last(2));
    let within = |max_seconds| LoopSettings { max_seconds, average, ..LoopSettings::default() };
    let steps = |trainer: &Trainer| trainer.history().averaged.as_ref().unwrap().steps.clone();
    let mut first = Trainer::open(&program(), &device(), looping(2, Some(folder.path()), within(Some(1e-6)))).unwrap();
    run(&mut first, 2, u64::MAX);
    assert_eq!(steps(&first), [1]);
    drop(first);
    let more = looping(2, None, within(Some(1e6)));
    let mut more = Trainer::resume(&program(), &device(), more, newest(folder.path())).unwrap();
    run(&mut more, 2, u64::MAX);
    assert_eq!(steps(&more), [5, 10]);
}

#[test]
fn what_a_run_had_and_its_resumption_has_not_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let course = LoopSettings { max_steps: Some(8), ..LoopSettings::default() };
    let mut first = Trainer::open(&program(), &device(), looping(2, Some(folder.path()), course)).unwrap();
    run(&mut first, 2, 6);
    drop(first);
    let refused = Trainer::resume(&program(), &device(), settings(2, None), newest(folder.path())).err().unwrap();
    let names =
        |error: &TrainingError| matches!(error, TrainingError::ResumeMismatch { what, .. } if what == "the most steps");
    assert!(names(&refused), "{refused}");
}

#[test]
fn a_run_ends_within_an_epoch_when_evaluations_there_are_no_better() {
    let course = LoopSettings { evaluate_every: EvaluationInterval::Steps(2), ..LoopSettings::default() };
    let mut still = looping(10, None, course);
    // too small to move a weight
    still.step.optimizer = optimizer("sgd", json!({"learning_rate": 1e-30}));
    still.early_stopping = Some(EarlyStopping { patience: 3, least_gain: 0.0 });
    let mut trainer = Trainer::open(&program(), &device(), still).unwrap();
    assert_eq!(run(&mut trainer, 10, u64::MAX), Ending::Finished);
    assert_eq!(evaluated_at(&trainer), [2, 4, 6, 8]);
    assert_eq!((trainer.end_reason(), trainer.is_finished()), (Some(EndReason::NoGain), true));
    let notes = trainer.history().notes();
    let wanted = "stopped after 1 of 10 epochs, at step 8: the accuracy was best after step 2";
    assert!(notes.iter().any(|note| note == wanted), "{notes:?}");
}

/// The parameters that a run of these settings exports, whole and resumed wherever it stopped.
fn resumed_with(program: &TrainingProgram, change: &dyn Fn(&mut TrainerSettings)) -> Vec<Vec<f32>> {
    let settings = |folder: Option<&Path>| {
        let mut settings = settings(4, folder);
        change(&mut settings);
        settings
    };
    let mut whole = Trainer::open(program, &device(), settings(None)).unwrap();
    assert_eq!(run(&mut whole, 4, u64::MAX), Ending::Finished);
    let exported = whole.best_parameters().unwrap();
    for stop_at in [4, 7, whole.history().steps] {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Trainer::open(program, &device(), settings(Some(folder.path()))).unwrap();
        run(&mut first, 4, stop_at);
        drop(first);
        let mut second =
            Trainer::resume(program, &device(), settings(Some(folder.path())), newest(folder.path())).unwrap();
        assert_eq!(run(&mut second, 4, u64::MAX), Ending::Finished, "stopped at {stop_at}");
        assert_eq!(bits(&second.parameters().unwrap()), bits(&whole.parameters().unwrap()), "stopped at {stop_at}");
        assert_eq!(bits(&second.best_parameters().unwrap()), bits(&exported), "stopped at {stop_at}");
        let figures = |trainer: &Trainer| {
            let history = trainer.history();
            (history.evaluations.clone(), history.best.clone(), history.averaged.clone(), history.stopped_early)
        };
        assert_eq!(figures(&second), figures(&whole), "stopped at {stop_at}");
        assert!(second.is_finished());
        // and once more, from its end
        drop(second);
        let third = Trainer::resume(program, &device(), settings(None), newest(folder.path())).unwrap();
        assert!(third.is_finished(), "stopped at {stop_at}");
        assert_eq!(bits(&third.best_parameters().unwrap()), bits(&exported), "stopped at {stop_at}");
    }
    exported
}

#[test]
fn a_run_that_evaluates_within_epochs_or_averages_states_is_resumed_to_the_bit() {
    let every = |steps| EvaluationInterval::Steps(steps);
    resumed_with(&regularized_program(), &|settings| settings.loop_settings.evaluate_every = every(4));
    resumed_with(&regularized_program(), &|settings| {
        settings.loop_settings.evaluate_every = every(3);
        settings.accumulate = 2;
    });
    resumed_with(&program(), &|settings| {
        settings.loop_settings.evaluate_every = every(2);
        settings.schedule = schedule("reduce_on_plateau", json!({"patience": 0, "factor": 0.5, "threshold": 0.5}));
    });
    for average in [CheckpointAverage::Last(3), CheckpointAverage::Best(3)] {
        resumed_with(&program(), &|settings| settings.loop_settings.average = Some(average));
        resumed_with(&program(), &|settings| {
            settings.loop_settings =
                LoopSettings { average: Some(average), evaluate_every: every(2), ..LoopSettings::default() };
            settings.loop_settings.max_steps = Some(17);
        });
    }
}

#[test]
fn the_mean_of_the_last_or_the_best_states_is_evaluated_and_exported() {
    let rows = [
        (CheckpointAverage::Last(3), "adamw"),
        (CheckpointAverage::Best(2), "adamw"),
        // whose states that are evaluated are averages themselves
        (CheckpointAverage::Last(3), "schedule_free_adamw"),
    ];
    for (average, name) in rows {
        let course = LoopSettings { average: Some(average), ..LoopSettings::default() };
        let mut looping = looping(6, None, course);
        looping.step.optimizer = optimizer(name, json!({"learning_rate": 0.01}));
        let mut trainer = Trainer::open(&program(), &device(), looping).unwrap();
        let mut states = Vec::new();
        for epoch in 1..=6 {
            let from = trainer.resume_point().cloned();
            let mut source = batches(6, PER_EPOCH, from.as_ref());
            let evaluate: &mut EvaluationBatches<'_> = &mut evaluation_batches;
            let until = if epoch < 6 { Until::Epoch(epoch) } else { Until::End };
            trainer.advance(until, &mut source, Some(evaluate), &mut |_: &Event<'_>| {}, &|| false).unwrap();
            states.push((trainer.history().steps, trainer.last_parameters().unwrap()));
        }
        let history = trainer.history();
        let mut order: Vec<_> = history.evaluations.iter().collect();
        if let CheckpointAverage::Best(_) = average {
            order.sort_by(|a, b| {
                let figure =
                    |record: &millstream_training::EvaluationRecord| record.figures.figure("accuracy").unwrap();
                figure(a).total_cmp(&figure(b)).then(b.figures.loss.total_cmp(&a.figures.loss))
            });
        }
        let mut wanted: Vec<u64> = order.iter().rev().take(average.count()).map(|record| record.step).collect();
        wanted.sort_unstable();
        let averaged = history.averaged.as_ref().unwrap();
        assert_eq!(averaged.steps, wanted, "{average:?}");
        let exported = trainer.best_parameters().unwrap();
        for (at, values) in exported.iter().enumerate() {
            for (element, got) in values.iter().enumerate() {
                let of_steps = states.iter().filter(|(step, _)| wanted.contains(step));
                let sum: f64 = of_steps.map(|(_, state)| f64::from(state[at][element])).sum();
                assert!((f64::from(*got) - sum / wanted.len() as f64).abs() < 1e-6, "{average:?}");
            }
        }
        // the weights at work are as they were, and the evaluation is that of the mean
        assert_eq!(bits(&trainer.last_parameters().unwrap()), bits(&states[5].1));
        let mut runner = StepRunner::open(&program(), &device(), &settings(1, None).step).unwrap();
        runner.set_parameters(exported).unwrap();
        let (mut loss, mut weight) = (0.0, 0.0);
        for index in 0..4 {
            let (_, scored) = runner.evaluate(batch(50, index, 4)).unwrap();
            loss += f64::from(scored.loss) * scored.weight;
            weight += scored.weight;
        }
        assert!((loss / weight - averaged.evaluation.loss).abs() < 1e-6, "{average:?}");
        assert!(history.notes().iter().any(|note| note.starts_with("exported is the mean of the states after steps")));
    }
}

#[test]
fn what_is_not_sound_or_makes_no_sense_is_refused() {
    let average = |average| LoopSettings { average: Some(average), ..LoopSettings::default() };
    let none = LoopSettings::default();
    let rows = [
        (average(CheckpointAverage::Last(0)), "training.average is 0: wanted 1 or more"),
        (
            average(CheckpointAverage::Best(2)),
            "training.average is best: wanted `ema` beside `model.batch_normalization",
        ),
        (LoopSettings { max_steps: Some(0), ..none }, "training.max_steps is 0: wanted 1 or more"),
        (LoopSettings { max_seconds: Some(0.0), ..none }, "training.max_time is 0: wanted more than no time"),
        (
            LoopSettings { evaluate_every: EvaluationInterval::Steps(0), ..none },
            "evaluation.every is 0: wanted 1 or more",
        ),
    ];
    for (course, wanted) in rows {
        let refused = Trainer::open(&regularized_program(), &device(), looping(1, None, course));
        let message = refused.err().unwrap().to_string();
        assert!(message.starts_with(wanted), "{message}");
    }
}

/// Makes the numbers of some batches no numbers, told by their places among all.
fn poisoned(places: &[u64]) -> impl Fn((u64, Batch)) -> Batch + '_ {
    move |(place, mut batch)| {
        if places.contains(&place) {
            batch.tensors.get_mut("x").unwrap().as_f32_mut().unwrap()[3] = f32::NAN;
        }
        batch
    }
}

#[test]
fn an_update_that_is_no_numbers_is_left_out_as_if_its_batches_had_not_come() {
    let skip = LoopSettings { non_finite: NonFinite::Skip { most_in_a_row: 2 }, ..LoopSettings::default() };
    // of two batches both are left out, since one update is made of them
    for (accumulate, bad, gone) in [(1, vec![1, 2, 7], vec![1, 2, 7]), (2, vec![1, 7], vec![0, 1, 7, 8])] {
        let settings = || {
            let mut settings = looping(2, None, skip);
            settings.accumulate = accumulate;
            settings
        };
        let all = || (0_u64..).zip(batches(2, PER_EPOCH, None).map(Result::unwrap));
        let told = RefCell::new(Vec::new());
        let mut observer = |event: &Event<'_>| {
            if let Event::UpdateSkipped { rows, skipped, .. } = event {
                told.borrow_mut().push((rows.0.len(), skipped.total, skipped.in_a_row));
            }
        };
        let mut skipping = Trainer::open(&regularized_program(), &device(), settings()).unwrap();
        let mut source = all().map(poisoned(&bad)).map(Ok::<_, BoxError>);
        skipping.run(&mut source, None, &mut observer, &|| false).unwrap();
        let mut without = Trainer::open(&regularized_program(), &device(), settings()).unwrap();
        let mut source = all().filter(|(place, _)| !gone.contains(place)).map(|(_, batch)| Ok::<_, BoxError>(batch));
        without.run(&mut source, None, &mut |_: &Event<'_>| {}, &|| false).unwrap();
        assert_eq!(skipping.history().steps, without.history().steps, "{accumulate}");
        assert_eq!(bits(&skipping.parameters().unwrap()), bits(&without.parameters().unwrap()), "{accumulate}");
        let wanted = match accumulate {
            1 => vec![(BATCH, 1, 1), (BATCH, 2, 2), (BATCH, 3, 1)],
            _ => vec![(2 * BATCH, 1, 1), (2 * BATCH, 2, 1)],
        };
        assert_eq!(told.into_inner(), wanted);
        let total = skipping.history().skipped_updates.total;
        let note = format!("{total} updates were left out: the loss or a gradient was no number");
        assert!(skipping.history().notes().contains(&note), "{:?}", skipping.history().notes());
    }
}

#[test]
fn more_updates_in_a_row_than_may_be_left_out_end_the_run_and_their_count_is_resumed() {
    let skip = LoopSettings { non_finite: NonFinite::Skip { most_in_a_row: 2 }, ..LoopSettings::default() };
    let folder = tempfile::tempdir().unwrap();
    let all = |from: u64| (0_u64..).zip(batches(2, PER_EPOCH, None).map(Result::unwrap)).skip(from as usize);
    let bad = poisoned(&[3, 4, 5]);
    let mut trainer = Trainer::open(&program(), &device(), looping(2, Some(folder.path()), skip)).unwrap();
    let mut observer = |_: &Event<'_>| {};
    let mut source = all(0).map(&bad).map(Ok::<_, BoxError>);
    let error = trainer.run(&mut source, None, &mut observer, &|| false).unwrap_err();
    assert!(matches!(error, TrainingError::TooManySkipped { in_a_row: 3, most: 2, .. }), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("the loss is NaN at step 4, 6 rows") && cause.contains("step-3"), "{cause}");
    drop(trainer);
    // the checkpoint is of the end of the epoch, behind two that were left out
    let saved = newest(folder.path());
    assert_eq!((saved.manifest.step, saved.manifest.history.skipped_updates.in_a_row), (3, 2));
    let mut again = Trainer::resume(&program(), &device(), looping(2, None, skip), saved).unwrap();
    let mut source = all(5).map(&bad).map(Ok::<_, BoxError>);
    let error = again.run(&mut source, None, &mut observer, &|| false).unwrap_err();
    assert!(matches!(error, TrainingError::TooManySkipped { in_a_row: 3, .. }), "{error}");
}

#[test]
fn an_update_of_several_batches_names_the_rows_of_all_of_them() {
    let mut program = program();
    let entries = program.manifest.parameters.iter().map(|entry| entry.name.as_str());
    for (name, values) in entries.zip(&mut program.parameters) {
        match name {
            // the loss is large but a number, and its gradient is none
            "hidden.weight" => values.fill(1e-30),
            "head.weight" => {
                values.iter_mut().enumerate().for_each(|(index, value)| *value = 1e20 * (index / 16) as f32)
            }
            _ => values.fill(0.0),
        }
    }
    let steep = |mut batch: Batch| {
        batch.tensors.get_mut("x").unwrap().as_f32_mut().unwrap().fill(1e25);
        batch
    };
    let mut several = settings(1, None);
    several.accumulate = 3;
    let mut trainer = Trainer::open(&program, &device(), several).unwrap();
    let mut source = batches(1, PER_EPOCH, None).map(|batch| batch.map(steep));
    let error = trainer.run(&mut source, None, &mut |_: &Event<'_>| {}, &|| false).unwrap_err();
    let TrainingError::NonFiniteGradient { rows, .. } = error else { panic!("{error}") };
    let wanted: Vec<RowId> = (0..3).flat_map(|index| batch(0, index, PER_EPOCH).rows).flatten().collect();
    assert_eq!(rows.0, wanted);
}

#[test]
fn of_several_sets_the_first_decides_and_all_are_on_record() {
    let mut trainer = Trainer::open(&program(), &device(), settings(4, None)).unwrap();
    // on the second all classes are others than they were trained to be: it gets worse
    let turned = || -> Result<Box<dyn BatchSource>, BoxError> {
        let turn = |index| {
            let mut given = batch(50, index, 4);
            let targets = given.tensors.get_mut("targets").unwrap().as_f32_mut().unwrap();
            targets.chunks_exact_mut(CLASSES).for_each(|row| row.rotate_right(1));
            Ok::<_, BoxError>(given)
        };
        Ok(Box::new((0..2).map(turn)))
    };
    let (mut first, mut second) = (evaluation_batches, turned);
    let mut sets =
        [EvaluationSet { name: "usual", open: &mut first }, EvaluationSet { name: "turned", open: &mut second }];
    let rows = RefCell::new(Vec::new());
    let mut observer = |event: &Event<'_>| match event {
        Event::Evaluated { others, .. } => {
            let others: Vec<_> = others.iter().map(|set| (set.name.clone(), set.evaluation.rows)).collect();
            assert_eq!(others, [("turned".to_owned(), 2 * BATCH as u64)]);
        }
        Event::EvaluationBatch { epoch: Some(0), rows: done, .. } => rows.borrow_mut().push(*done),
        _ => {}
    };
    let mut source = batches(4, PER_EPOCH, None);
    trainer.advance_with(Until::End, &mut source, &mut sets, &mut observer, &|| false).unwrap();
    assert_eq!(rows.into_inner(), (1..=6).map(|batches| batches * BATCH as u64).collect::<Vec<_>>());
    let history = trainer.history();
    let mut alone = Trainer::open(&program(), &device(), settings(4, None)).unwrap();
    run(&mut alone, 4, u64::MAX);
    assert_eq!(history.best, alone.history().best);
    assert_eq!(history.start, alone.history().start);
    let best = history.best_record().unwrap();
    let [(name, figures)] = best.others.as_slice() else { panic!("{best:?}") };
    assert_eq!((name.as_str(), figures.rows), ("turned", 2 * BATCH as u64));
    assert!(figures.loss > best.figures.loss);
    assert_eq!(history.exported_others()[0].evaluation.loss, figures.loss);
}

#[cfg(unix)]
#[test]
fn what_is_the_same_before_and_after_an_evaluation_is_written_once() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(2, Some(folder.path()))).unwrap();
    let written = RefCell::new(Vec::new());
    let mut observer = |event: &Event<'_>| {
        if let Event::CheckpointSaved { path, step, .. } = event {
            let file = |name: &str| std::fs::metadata(path.join(name)).unwrap().ino();
            written.borrow_mut().push((*step, file("weights.safetensors"), file("state.safetensors")));
        }
    };
    let mut source = batches(2, PER_EPOCH, None);
    trainer.run(&mut source, Some(&mut evaluation_batches), &mut observer, &|| false).unwrap();
    let written = written.into_inner();
    let of_step = |step: u64| written.iter().filter(move |(of, ..)| *of == step).collect::<Vec<_>>();
    let [before, behind] = of_step(5)[..] else { panic!("{written:?}") };
    assert_eq!(before, behind);
    // the one before the evaluation is left out where it still waited for the disk when the one behind it came
    let (last, also) = of_step(10).split_last().map(|(last, also)| (**last, also.to_vec())).unwrap();
    assert!(also.len() < 2 && also.iter().all(|other| **other == last), "{written:?}");
    assert_ne!(behind.1, last.1);
    assert_eq!(written.last(), Some(&last));
    let saved = newest(folder.path());
    assert_eq!(bits(&saved.parameters), bits(&trainer.parameters().unwrap()));
    assert!(!saved.manifest.evaluation_due && saved.manifest.history.epochs.len() == 2);
}
