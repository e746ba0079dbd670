//! Whole runs of a small network.

use std::path::Path;

use crate::runs::{PER_EPOCH, bits, device, evaluation_batches, run, settings};
use crate::support::{
    BATCH, CLASSES, batch, batches, devices, model, optimizer, program, program_of, regularized_program,
    residual_program,
};
use millstream_compiler::TrainingProgram;
use millstream_schemas::{Batch, Fingerprint, ResumePoint};
use millstream_training::optimizers::{Averaging, Penalties, StateValues};
use millstream_training::schedules::Schedule;
use millstream_training::{
    EarlyStopping, Ending, EvaluationBatches, Event, StepRunner, Trainer, TrainerSettings, TrainingError, Until,
};
use millstream_training::{checkpoint, optimizers};
use serde_json::json;

#[test]
fn a_run_learns_evaluates_each_epoch_and_keeps_the_newest_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(6, Some(folder.path()))).unwrap();
    assert_eq!(run(&mut trainer, 6, u64::MAX), Ending::Finished);
    let history = trainer.history();
    assert_eq!((history.steps, history.epochs.len()), (30, 6));
    assert!(history.epochs[5].training_loss < 0.6 * history.epochs[0].training_loss, "{:?}", history.epochs);
    let best = history.best_evaluation().unwrap();
    assert!(best.figure("accuracy").unwrap() > 0.8 && best.rows == 4 * BATCH as u64, "{best:?}");
    let steps: Vec<u64> = checkpoint::list(folder.path()).unwrap().into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, [30, 25]);
    assert!(history.timing.graph > 0.0 && history.timing.first_step > 0.0);
}

#[test]
fn the_first_step_of_each_process_counts_as_much_as_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Trainer::open(&program(), &device(), settings(4, Some(folder.path()))).unwrap();
    run(&mut first, 4, 7);
    assert_eq!(first.history().timing.warm_up_steps, 1);
    drop(first);
    let saved = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
    let mut second = Trainer::resume(&program(), &device(), settings(4, Some(folder.path())), saved).unwrap();
    run(&mut second, 4, u64::MAX);
    let history = second.history();
    let all: f64 = history.epochs.iter().map(|epoch| epoch.seconds).sum();
    let warm_up = history.timing.warm_up;
    assert_eq!((history.steps, history.timing.warm_up_steps), (20, 2));
    assert!(0.0 < warm_up && warm_up < all, "{warm_up} of {all}");
    let wanted = (all - warm_up) * 20.0 / 18.0;
    assert!((history.warm_seconds() - wanted).abs() < 1e-9 * wanted, "{} and {wanted}", history.warm_seconds());
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_to_the_bit_wherever_it_stopped() {
    resumed_wherever_it_stopped(&program());
}

#[test]
fn averages_penalties_and_steps_of_several_batches_are_resumed_to_the_bit() {
    let around = |averaging, accumulate| {
        move |settings: &mut TrainerSettings| {
            settings.step.averaging = Some(averaging);
            settings.step.penalties = Penalties { l1: 1e-4, l2: 1e-3, l2_sp: 1e-2 };
            settings.step.gradient_clip_value = Some(0.1);
            settings.accumulate = accumulate;
        }
    };
    resumed_with(&regularized_program(), &around(Averaging::Exponential { decay: 0.9 }, 1), [7, 10, 1, 20]);
    // three steps an epoch, the last of a single batch
    resumed_with(&program(), &around(Averaging::Equal { from_epoch: 1 }, 2), [4, 6, 1, 12]);
    resumed_with(&regularized_program(), &around(Averaging::Exponential { decay: 0.9 }, 2), [4, 6, 1, 12]);
}

#[test]
fn batches_of_a_step_that_was_not_made_leave_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let several = |folder: Option<&Path>| {
        let mut several = settings(3, folder);
        several.accumulate = 2;
        several
    };
    let mut whole = Trainer::open(&regularized_program(), &device(), several(None)).unwrap();
    run(&mut whole, 3, u64::MAX);
    // the ninth batch, the second of a step, does not come
    let mut first = Trainer::open(&regularized_program(), &device(), several(Some(folder.path()))).unwrap();
    let mut source = batches(3, PER_EPOCH, None);
    let evaluate: &mut EvaluationBatches<'_> = &mut evaluation_batches;
    let mut observer = |_: &Event<'_>| {};
    let error = first.run(&mut source.by_ref().take(8), Some(evaluate), &mut observer, &|| false).unwrap_err();
    assert!(matches!(error, TrainingError::BatchesEnded { .. }), "{error}");
    drop(first);
    let saved = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
    let mut second = Trainer::resume(&regularized_program(), &device(), several(None), saved).unwrap();
    run(&mut second, 3, u64::MAX);
    assert_eq!(bits(&second.parameters().unwrap()), bits(&whole.parameters().unwrap()));
}

#[test]
fn an_average_is_what_is_evaluated_and_exported() {
    let mut averaged = settings(6, None);
    averaged.step.averaging = Some(Averaging::Equal { from_epoch: 0 });
    let mut trainer = Trainer::open(&program(), &device(), averaged).unwrap();
    let mut ends = Vec::new();
    for epoch in 1..=6 {
        let from = trainer.resume_point().cloned();
        let mut source = batches(6, PER_EPOCH, from.as_ref());
        let evaluate: &mut EvaluationBatches<'_> = &mut evaluation_batches;
        let mut observer = |_: &Event<'_>| {};
        trainer.advance(Until::Epoch(epoch), &mut source, Some(evaluate), &mut observer, &|| false).unwrap();
        ends.push(trainer.parameters().unwrap());
    }
    let best = trainer.history().best.as_ref().unwrap().epoch as usize;
    let exported = trainer.best_parameters().unwrap();
    for (at, values) in exported.iter().enumerate() {
        for (element, got) in values.iter().enumerate() {
            let mean = ends[..=best].iter().map(|end| f64::from(end[at][element])).sum::<f64>() / (best + 1) as f64;
            assert!((f64::from(*got) - mean).abs() < 1e-5, "{got}, wanted {mean}");
        }
    }
    // the evaluation is that of the average: the same as of a run that starts from it
    let mut runner = StepRunner::open(&program(), &device(), &settings(1, None).step).unwrap();
    runner.set_parameters(exported).unwrap();
    let (mut loss, mut weight) = (0.0, 0.0);
    for index in 0..4 {
        let (_, scored) = runner.evaluate(batch(50, index, 4)).unwrap();
        loss += f64::from(scored.loss) * scored.weight;
        weight += scored.weight;
    }
    let recorded = trainer.history().best.as_ref().unwrap().loss;
    assert!((loss / weight - recorded).abs() < 1e-6, "{} and {recorded}", loss / weight);
}

/// What `schedule_free_adamw` trains is y, and x is evaluated, kept as the best and exported, as far as it was trained.
#[test]
fn an_optimizer_says_what_is_evaluated_and_exported() {
    let beta1 = 0.8;
    let mut free = settings(4, None);
    let options = json!({"learning_rate": 0.02, "beta1": beta1, "weight_decay": 0.1});
    free.step.optimizer = optimizer("schedule_free_adamw", options);
    let mut trainer = Trainer::open(&program(), &device(), free.clone()).unwrap();
    run(&mut trainer, 4, u64::MAX);
    let mut runner = StepRunner::open(&program(), &device(), &free.step).unwrap();
    assert_eq!(runner.averaged_parameters().unwrap(), program().parameters);
    for step in 0..3 {
        runner.step(batch(0, step, 9), 0.02).unwrap();
    }
    let (trained, state) = (runner.parameters().unwrap(), runner.state().unwrap());
    for ((x, y), state) in runner.averaged_parameters().unwrap().iter().zip(&trained).zip(&state.tensors) {
        for ((x, y), z) in x.iter().zip(y).zip(state[0].floats()) {
            let [y, z] = [y, z].map(|value| f64::from(*value));
            assert!((f64::from(*x) - (y - (1.0 - beta1) * z) / beta1).abs() < 1e-6, "{x} of {y} and {z}");
        }
    }
    let exported = trainer.best_parameters().unwrap();
    assert_ne!(exported, trainer.parameters().unwrap());
    let mut runner = StepRunner::open(&program(), &device(), &settings(1, None).step).unwrap();
    runner.set_parameters(exported).unwrap();
    let (mut loss, mut weight) = (0.0, 0.0);
    for index in 0..4 {
        let (_, scored) = runner.evaluate(batch(50, index, 4)).unwrap();
        loss += f64::from(scored.loss) * scored.weight;
        weight += scored.weight;
    }
    let recorded = trainer.history().best.as_ref().unwrap().loss;
    assert!((loss / weight - recorded).abs() < 1e-6, "{} and {recorded}", loss / weight);
}

#[test]
fn a_run_that_gets_no_better_ends_early_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let still = |folder| {
        let mut still = settings(10, folder);
        // too small to move a weight
        still.step.optimizer = optimizer("sgd", json!({"learning_rate": 1e-30}));
        still.early_stopping = Some(EarlyStopping { patience: 2, least_gain: 0.0 });
        still
    };
    let mut trainer = Trainer::open(&program(), &device(), still(Some(folder.path()))).unwrap();
    assert_eq!(run(&mut trainer, 10, u64::MAX), Ending::Finished);
    assert!(trainer.is_finished());
    assert_eq!((trainer.history().epochs.len(), trainer.history().steps), (3, 3 * PER_EPOCH));
    let notes = trainer.history().notes();
    assert!(
        notes.iter().any(|note| note.starts_with("stopped after 3 of 10 epochs: the accuracy was best after")),
        "{notes:?}"
    );
    drop(trainer);
    // a run that is resumed there is at its end too
    let saved = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
    let mut resumed = Trainer::resume(&program(), &device(), still(Some(folder.path())), saved).unwrap();
    assert!(resumed.is_finished());
    assert_eq!(run(&mut resumed, 10, u64::MAX), Ending::Finished);
    assert_eq!(resumed.history().steps, 3 * PER_EPOCH);
}

#[test]
fn running_statistics_follow_the_data_and_are_resumed_to_the_bit() {
    let program = regularized_program();
    let statistics = program.manifest.parameters.iter().filter(|entry| entry.is_statistic).count();
    let whole = resumed_wherever_it_stopped(&program);
    let of_batches = whole[whole.len() - statistics..].iter().zip(&program.parameters[whole.len() - statistics..]);
    for (after, before) in of_batches {
        assert!(after != before && after.iter().all(|value| value.is_finite()), "{after:?}");
    }
}

#[test]
fn what_dropout_and_stochastic_depth_leave_out_follows_from_the_seed() {
    for program in [regularized_program(), residual_program()] {
        let trained = |seed| {
            let mut settings = settings(1, None);
            settings.step.seed = seed;
            let mut trainer = Trainer::open(&program, &device(), settings).unwrap();
            run(&mut trainer, 1, u64::MAX);
            bits(&trainer.parameters().unwrap())
        };
        assert_eq!(trained(1), trained(1));
        assert_ne!(trained(1), trained(2));
    }
}

#[test]
fn branches_that_are_left_out_are_resumed_to_the_bit() {
    resumed_wherever_it_stopped(&residual_program());
}

/// The parameters at the end.
fn resumed_wherever_it_stopped(program: &TrainingProgram) -> Vec<Vec<f32>> {
    // In the middle of an epoch, at the end of one, after the first step and after the last.
    resumed_with(program, &|_| {}, [7, 10, 1, 20])
}

/// As [`resumed_wherever_it_stopped`], with other settings and stops.
pub(crate) fn resumed_with(
    program: &TrainingProgram,
    change: &dyn Fn(&mut TrainerSettings),
    stops: [u64; 4],
) -> Vec<Vec<f32>> {
    let device = device();
    let settings = |epochs, folder: Option<&Path>| {
        let mut settings = settings(epochs, folder);
        change(&mut settings);
        settings
    };
    let mut whole = Trainer::open(program, &device, settings(4, None)).unwrap();
    run(&mut whole, 4, u64::MAX);
    for stop_at in stops {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Trainer::open(program, &device, settings(4, Some(folder.path()))).unwrap();
        let ending = run(&mut first, 4, stop_at);
        let Ending::Interrupted { checkpoint: Some(path) } = ending else { panic!("{ending:?}") };
        assert!(path.ends_with(format!("step-{stop_at}")));
        drop(first);
        let newest = checkpoint::load_newest(folder.path()).unwrap();
        assert!(newest.skipped.is_empty());
        let saved = newest.checkpoint.unwrap();
        let mut second = Trainer::resume(program, &device, settings(4, Some(folder.path())), saved).unwrap();
        assert_eq!(run(&mut second, 4, u64::MAX), Ending::Finished, "stopped at {stop_at}");
        assert_eq!(bits(&second.parameters().unwrap()), bits(&whole.parameters().unwrap()), "stopped at {stop_at}");
        let best = |trainer: &Trainer| bits(&trainer.best_parameters().unwrap());
        assert_eq!(best(&second), best(&whole), "stopped at {stop_at}");
        assert_eq!(second.history().curve, whole.history().curve);
        assert_eq!(second.history().best, whole.history().best);
        let evaluations = |trainer: &Trainer| -> Vec<_> {
            trainer.history().epochs.iter().map(|epoch| (epoch.training_loss, epoch.evaluation.clone())).collect()
        };
        assert_eq!(evaluations(&second), evaluations(&whole), "stopped at {stop_at}");
    }
    whole.parameters().unwrap()
}

/// Whatever an optimizer remembers, of any shape, goes through checkpoints.
#[test]
fn a_run_of_any_optimizer_is_resumed_to_the_bit() {
    for row in optimizers::standard().rows() {
        for sample in row.samples {
            let settings = |folder: Option<&Path>| {
                let mut settings = settings(2, folder);
                let mut options: serde_json::Value = serde_json::from_str(sample).unwrap();
                options["learning_rate"] = json!(0.01);
                settings.step.optimizer = optimizer(row.name, options);
                settings
            };
            // running statistics go with no average
            let program = if settings(None).step.optimizer.has_average() { program() } else { regularized_program() };
            let mut whole = Trainer::open(&program, &device(), settings(None)).unwrap();
            run(&mut whole, 2, u64::MAX);
            let folder = tempfile::tempdir().unwrap();
            let mut first = Trainer::open(&program, &device(), settings(Some(folder.path()))).unwrap();
            run(&mut first, 2, 7);
            let saved = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
            let bytes = |values: &StateValues| match values {
                StateValues::F32(values) => 4 * values.len(),
                StateValues::U8(values) => values.len(),
            };
            let remembered: usize = saved.state.tensors.iter().flatten().map(bytes).sum();
            let counted = settings(None).step.optimizer.bytes_remembered(&program.manifest.parameters);
            assert_eq!(remembered, counted, "{} {sample}", row.name);
            let mut second = Trainer::resume(&program, &device(), settings(None), saved).unwrap();
            run(&mut second, 2, u64::MAX);
            let [second, whole] = [second, whole].map(|trainer| bits(&trainer.parameters().unwrap()));
            assert_eq!(second, whole, "{} {sample}", row.name);
        }
    }
}

#[test]
fn layers_that_an_optimizer_names_are_to_be_there() {
    let mut settings = settings(1, None);
    settings.step.optimizer = optimizer("muon", json!({"adamw_layers": ["h*", "embeddings"]}));
    let message = Trainer::open(&program(), &device(), settings).err().unwrap().to_string();
    let wanted = "training.optimizer.muon.adamw_layers: no layer that is trained matches `embeddings`";
    assert!(message.starts_with(wanted), "{message}");
}

#[test]
fn a_resumed_run_goes_on_on_every_device() {
    for device in devices() {
        let mut whole = Trainer::open(&program(), &device, settings(2, None)).unwrap();
        run(&mut whole, 2, u64::MAX);
        let folder = tempfile::tempdir().unwrap();
        let mut first = Trainer::open(&program(), &device, settings(2, Some(folder.path()))).unwrap();
        run(&mut first, 2, 7);
        let saved = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
        let mut second = Trainer::resume(&program(), &device, settings(2, None), saved).unwrap();
        assert_eq!(run(&mut second, 2, u64::MAX), Ending::Finished, "{device}");
        let (whole, second) = (whole.parameters().unwrap(), second.parameters().unwrap());
        for (a, b) in whole.iter().flatten().zip(second.iter().flatten()) {
            assert!((a - b).abs() < 1e-4, "{device}: {a} and {b}");
        }
    }
}

#[test]
fn two_runs_are_the_same_to_the_bit() {
    let once = || {
        let mut trainer = Trainer::open(&program(), &device(), settings(2, None)).unwrap();
        run(&mut trainer, 2, u64::MAX);
        bits(&trainer.parameters().unwrap())
    };
    assert_eq!(once(), once());
}

#[test]
fn checkpoints_also_come_every_so_many_steps() {
    let folder = tempfile::tempdir().unwrap();
    let mut often = settings(1, Some(folder.path()));
    often.checkpoints.as_mut().unwrap().every_steps = 2;
    often.checkpoints.as_mut().unwrap().keep = 10;
    let mut trainer = Trainer::open(&program(), &device(), often).unwrap();
    run(&mut trainer, 1, u64::MAX);
    let steps: Vec<u64> = checkpoint::list(folder.path()).unwrap().into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, [5, 4, 2]);
}

#[test]
fn a_new_run_does_not_mix_with_checkpoints_of_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(1, Some(folder.path()))).unwrap();
    run(&mut trainer, 1, u64::MAX);
    let again = Trainer::open(&program(), &device(), settings(1, Some(folder.path()))).err().unwrap();
    assert!(matches!(again, TrainingError::CheckpointsInTheWay { .. }), "{again}");
    // A checkpoint that was about to be replaced when the process died is one too.
    std::fs::rename(folder.path().join("step-5"), folder.path().join(".replaced-step-5")).unwrap();
    let again = Trainer::open(&program(), &device(), settings(1, Some(folder.path()))).err().unwrap();
    assert!(matches!(again, TrainingError::CheckpointsInTheWay { .. }), "{again}");
    checkpoint::clear(folder.path()).unwrap();
    Trainer::open(&program(), &device(), settings(1, Some(folder.path()))).unwrap();
}

/// The perceptron with another activation.
fn bent_otherwise() -> TrainingProgram {
    let mut model = model();
    let at = model.windows(6).position(|bytes| bytes == b"\x22\x04Relu").unwrap(); // field 4 of a node: its operator
    model[at + 2..at + 6].copy_from_slice(b"Tanh");
    program_of(model)
}

#[test]
fn a_checkpoint_of_other_settings_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(1, Some(folder.path()))).unwrap();
    run(&mut trainer, 1, u64::MAX);
    let saved = || checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
    type Change = fn(&mut TrainerSettings, &mut TrainingProgram);
    let rows: [(Change, &str); 8] = [
        (|_, program| *program = bent_otherwise(), "the model or what of it is trained differs"),
        (|settings, _| settings.fingerprint = Fingerprint::of_bytes(b"others"), "the recipe differs"),
        (|settings, _| settings.step.optimizer = optimizer("sgd", json!({})), "the optimizer differs"),
        (|settings, _| settings.step.gradient_clip_norm = None, "it has 1.0, this run has null"),
        (|settings, _| settings.schedule = Schedule::default(), r#"this run has {"constant":{"warmup":0.0}}"#),
        (|settings, _| settings.epochs = 9, "the number of epochs differs: it has 1, this run has 9"),
        (|settings, _| settings.batches_per_epoch = 6, "it has 5, this run has 6"),
        (|_, program| program.manifest.parameters[0].learning_rate_multiplier = 0.5, "how fast differs"),
    ];
    for (change, wanted) in rows {
        let (mut other, mut program) = (settings(1, None), program());
        change(&mut other, &mut program);
        let message = Trainer::resume(&program, &device(), other, saved()).err().unwrap().to_string();
        assert!(message.contains(wanted), "{wanted} is missing in: {message}");
    }
    let mut threads = settings(1, None);
    threads.step.threads = 2;
    Trainer::resume(&program(), &device(), threads, saved()).unwrap();
}

#[test]
fn a_resumed_run_refuses_the_batches_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(2, Some(folder.path()))).unwrap();
    run(&mut trainer, 2, 7);
    type Change = fn(&mut ResumePoint);
    let rows: [(Change, &str); 3] = [
        (|point| point.seed = 1, "the seed of the batches"),
        (|point| point.dataset = Fingerprint::of_bytes(b"others"), "the data set of the batches"),
        (|point| point.recipe = Fingerprint::of_bytes(b"others"), "the making of the batches"),
    ];
    for (change, what) in rows {
        let saved = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
        let mut trainer = Trainer::resume(&program(), &device(), settings(2, None), saved).unwrap();
        let changed = |mut batch: Batch| {
            change(&mut batch.resume);
            batch
        };
        let mut source = batches(2, PER_EPOCH, trainer.resume_point()).map(|batch| batch.map(changed));
        let error = trainer.run(&mut source, None, &mut |_: &Event<'_>| {}, &|| false).unwrap_err();
        assert!(matches!(&error, TrainingError::ResumeMismatch { what: found, .. } if found == what), "{error}");
        assert_eq!(trainer.history().steps, 7);
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_before_anything_runs() {
    type Change = fn(&mut TrainerSettings);
    let rows: [(Change, &str); 2] = [
        (|settings| settings.classes.push("moon".into()), "the model gives 3 scores a row, but 4 classes are named"),
        (|settings| settings.step.gradient_clip_norm = Some(0.0), "gradient_clip_norm is 0: wanted a number above 0"),
    ];
    for (change, wanted) in rows {
        let mut wrong = settings(1, None);
        change(&mut wrong);
        let message = Trainer::open(&program(), &device(), wrong).err().unwrap().to_string();
        assert!(message.contains(wanted), "{wanted} is missing in: {message}");
    }
    let mut free = settings(1, None);
    free.step.optimizer = optimizer("schedule_free_adamw", json!({}));
    let message = Trainer::open(&regularized_program(), &device(), free.clone()).err().unwrap().to_string();
    assert!(message.contains("training.optimizer is schedule_free_adamw: wanted another one beside"), "{message}");
    free.step.averaging = Some(Averaging::Exponential { decay: 0.9 });
    let message = Trainer::open(&program(), &device(), free).err().unwrap().to_string();
    assert!(message.contains("training.average is ema: wanted another optimizer beside it"), "{message}");
    let endless = TrainerSettings { epochs: u64::MAX, ..settings(1, None) };
    assert_eq!(Trainer::open(&program(), &device(), endless).unwrap().total_steps(), u64::MAX);
}

#[test]
fn batches_without_a_labelled_row_are_passed_over() {
    let mut trainer = Trainer::open(&program(), &device(), settings(1, None)).unwrap();
    let blank = |mut batch: Batch| {
        if batch.resume.position == 2 * BATCH as u64 {
            batch.tensors.get_mut("targets").unwrap().as_f32_mut().unwrap().fill(0.0);
            batch.weights.fill(0.0);
        }
        batch
    };
    let mut source = batches(1, PER_EPOCH, None).map(|batch| batch.map(blank));
    let ending = trainer.run(&mut source, None, &mut |_: &Event<'_>| {}, &|| false).unwrap();
    assert_eq!((ending, trainer.history().steps), (Ending::Finished, PER_EPOCH - 1));
}

#[test]
fn rows_without_a_label_count_neither_in_the_mean_loss_nor_as_rows() {
    let mut trainer = Trainer::open(&program(), &device(), settings(1, None)).unwrap();
    let kept = |batch: &Batch| 1 + (batch.resume.position / BATCH as u64) as usize;
    let mask = |mut batch: Batch| {
        let kept = kept(&batch);
        batch.tensors.get_mut("targets").unwrap().as_f32_mut().unwrap()[kept * CLASSES..].fill(0.0);
        batch.weights[kept..].fill(0.0);
        batch
    };
    let mut source = batches(1, PER_EPOCH, None).map(|batch| batch.map(mask));
    let mut losses = Vec::new();
    let mut observer = |event: &Event<'_>| {
        if let Event::Step(step) = event {
            losses.push(f64::from(step.loss));
        }
    };
    trainer.run(&mut source, None, &mut observer, &|| false).unwrap();
    // Positions 6, 12, 18, 24, and 0 after the last.
    let rows = [2.0, 3.0, 4.0, 5.0, 1.0];
    let wanted = losses.iter().zip(rows).map(|(loss, rows)| loss * rows).sum::<f64>() / 15.0;
    let epoch = &trainer.history().epochs[0];
    assert_eq!(epoch.rows, 15);
    assert!((epoch.training_loss - wanted).abs() < 1e-9, "{}, wanted {wanted}", epoch.training_loss);
}
