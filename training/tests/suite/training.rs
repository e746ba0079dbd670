//! Whole runs of a small network.

use std::cell::Cell;
use std::path::Path;

use crate::support::{BATCH, batch, batches, classes, program};
use millstream_schemas::recipe::{AdamW, OptimizerRecipe, Schedule, Sgd};
use millstream_schemas::{Batch, Fingerprint};
use millstream_training::checkpoint::{self, CheckpointSettings};
use millstream_training::{
    BatchSource, BoxError, Device, Ending, Event, StepSettings, Trainer, TrainerSettings, TrainingError, runtime,
};

const PER_EPOCH: u64 = 5;

fn device() -> Device {
    Device::cpu(runtime::ready(None).unwrap())
}

fn settings(epochs: u64, folder: Option<&Path>) -> TrainerSettings {
    TrainerSettings {
        step: StepSettings {
            optimizer: OptimizerRecipe::Adamw(AdamW { learning_rate: 0.01, ..AdamW::default() }),
            gradient_clip_norm: Some(1.0),
            threads: 1,
        },
        schedule: Schedule::Cosine { warmup: 0.1 },
        epochs,
        batches_per_epoch: PER_EPOCH,
        classes: classes(),
        checkpoints: folder.map(|folder| CheckpointSettings { folder: folder.to_owned(), every_steps: 0, keep: 2 }),
        fingerprint: Fingerprint::of_bytes(b"settings"),
    }
}

fn evaluation_batches() -> Result<Box<dyn BatchSource>, BoxError> {
    Ok(Box::new((0..4).map(|index| Ok::<_, BoxError>(batch(50, index, 4)))))
}

fn run(trainer: &mut Trainer, epochs: u64, stop_at: u64) -> Ending {
    let done = Cell::new(0);
    let mut observer = |event: &Event<'_>| {
        if let Event::Step(step) = event {
            done.set(step.step);
        }
    };
    let from = trainer.resume_point().cloned();
    let mut source = batches(epochs, PER_EPOCH, from.as_ref());
    trainer.run(&mut source, Some(&mut evaluation_batches), &mut observer, &|| done.get() >= stop_at).unwrap()
}

fn bits(parameters: &[Vec<f32>]) -> Vec<Vec<u32>> {
    parameters.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}

#[test]
fn a_run_learns_evaluates_each_epoch_and_keeps_the_newest_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(6, Some(folder.path()))).unwrap();
    assert_eq!(run(&mut trainer, 6, u64::MAX), Ending::Finished);
    let history = trainer.history();
    assert_eq!((history.steps, history.epochs.len()), (30, 6));
    assert!(history.epochs[5].training_loss < 0.6 * history.epochs[0].training_loss, "{:?}", history.epochs);
    let best = history.best_evaluation().unwrap();
    assert!(best.accuracy > 0.8 && best.rows == 4 * BATCH as u64, "{best:?}");
    let steps: Vec<u64> = checkpoint::list(folder.path()).unwrap().into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, [30, 25]);
    assert!(history.timing.graph > 0.0 && history.timing.first_step > 0.0);
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_to_the_bit_wherever_it_stopped() {
    let mut whole = Trainer::open(&program(), &device(), settings(4, None)).unwrap();
    run(&mut whole, 4, u64::MAX);
    // In the middle of an epoch, at the end of one, after the first step and after the last.
    for stop_at in [7, 10, 1, 20] {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Trainer::open(&program(), &device(), settings(4, Some(folder.path()))).unwrap();
        let ending = run(&mut first, 4, stop_at);
        let Ending::Interrupted { checkpoint: Some(path) } = ending else { panic!("{ending:?}") };
        assert!(path.ends_with(format!("step-{stop_at}")));
        drop(first);
        let newest = checkpoint::load_newest(folder.path()).unwrap();
        assert!(newest.skipped.is_empty());
        let saved = newest.checkpoint.unwrap();
        let mut second = Trainer::resume(&program(), &device(), settings(4, Some(folder.path())), saved).unwrap();
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
fn a_loss_that_is_no_number_stops_names_the_rows_and_keeps_the_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(3, Some(folder.path()))).unwrap();
    let poisoned = |mut batch: Batch| {
        if batch.resume.epoch == 1 && batch.resume.position == 2 * BATCH as u64 {
            batch.inputs.get_mut("x").unwrap().as_f32_mut().unwrap()[3] = f32::NAN;
        }
        batch
    };
    let mut source = batches(3, PER_EPOCH, None).map(|batch| batch.map(poisoned));
    let mut observer = |_: &Event<'_>| {};
    let error = trainer.run(&mut source, Some(&mut evaluation_batches), &mut observer, &|| false).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, TrainingError::NonFiniteLoss { step: 6, .. }), "{message}");
    for part in ["at step 6", "train.parquet, row group 1, row 6", "step-5"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    let newest = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
    assert_eq!(newest.manifest.step, 5);
    assert!(newest.parameters.iter().flatten().all(|value| value.is_finite()));
}

#[test]
fn parameters_that_blew_up_never_reach_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut wild = settings(2, Some(folder.path()));
    wild.step.optimizer = OptimizerRecipe::Sgd(Sgd { learning_rate: 1e38, ..Sgd::default() });
    wild.step.gradient_clip_norm = None;
    wild.batches_per_epoch = 1;
    let mut trainer = Trainer::open(&program(), &device(), wild).unwrap();
    let error = trainer.run(&mut batches(2, 1, None), None, &mut |_: &Event<'_>| {}, &|| false).unwrap_err();
    assert!(matches!(error, TrainingError::NonFiniteLoss { .. } | TrainingError::NonFiniteParameter { .. }), "{error}");
    for (_, path) in checkpoint::list(folder.path()).unwrap() {
        let saved = checkpoint::load(&path).unwrap();
        assert!(saved.parameters.iter().flatten().all(|value| value.is_finite()));
    }
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
    checkpoint::clear(folder.path()).unwrap();
    Trainer::open(&program(), &device(), settings(1, Some(folder.path()))).unwrap();
}

#[test]
fn a_checkpoint_of_other_settings_or_another_optimizer_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(1, Some(folder.path()))).unwrap();
    run(&mut trainer, 1, u64::MAX);
    let saved = || checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
    let mut other_settings = settings(1, None);
    other_settings.fingerprint = Fingerprint::of_bytes(b"others");
    let mut other_optimizer = settings(1, None);
    other_optimizer.step.optimizer = OptimizerRecipe::Sgd(Sgd::default());
    for (settings, what) in [(other_settings, "the recipe"), (other_optimizer, "the optimizer")] {
        let message = Trainer::resume(&program(), &device(), settings, saved()).err().unwrap().to_string();
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn batches_without_a_labelled_row_are_passed_over() {
    let mut trainer = Trainer::open(&program(), &device(), settings(1, None)).unwrap();
    let blank = |mut batch: Batch| {
        if batch.resume.position == 2 * BATCH as u64 {
            batch.targets.as_f32_mut().unwrap().fill(0.0);
            batch.labels.fill(-1);
        }
        batch
    };
    let mut source = batches(1, PER_EPOCH, None).map(|batch| batch.map(blank));
    let ending = trainer.run(&mut source, None, &mut |_: &Event<'_>| {}, &|| false).unwrap();
    assert_eq!((ending, trainer.history().steps), (Ending::Finished, PER_EPOCH - 1));
}

#[test]
fn an_error_of_the_stream_is_the_source_of_ours() {
    let mut trainer = Trainer::open(&program(), &device(), settings(1, None)).unwrap();
    let mut source = std::iter::once(Err::<Batch, _>("row 7 is damaged".to_owned()));
    let error = trainer.run(&mut source, None, &mut |_: &Event<'_>| {}, &|| false).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "row 7 is damaged");
}
