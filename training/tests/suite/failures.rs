//! Runs that cannot go on: what they say, and what they leave behind.

use std::fs;
use std::path::Path;

use crate::runs::{PER_EPOCH, bits, device, evaluation_batches, run, settings};
use crate::support::{BATCH, CLASSES, WIDTH, batch, batches, optimizer, program, program_of};
use millstream_compiler::OperatorCatalog;
use millstream_compiler::graph::{Constant, Graph, TensorType};
use millstream_schemas::{Batch, Tensor};
use millstream_training::checkpoint::{self, Checkpoint};
use millstream_training::schedules::Schedule;
use millstream_training::{
    BatchSource, BoxError, Ending, Event, StepRunner, StepSettings, Trainer, TrainerSettings, TrainingError,
    check_kernels,
};
use serde_json::json;

fn newest(folder: &Path) -> Checkpoint {
    checkpoint::load_newest(folder).unwrap().checkpoint.unwrap()
}

#[test]
fn a_loss_that_is_no_number_stops_names_the_rows_and_keeps_the_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(3, Some(folder.path()))).unwrap();
    let poisoned = |mut batch: Batch| {
        if batch.resume.epoch == 1 && batch.resume.position == 2 * BATCH as u64 {
            batch.tensors.get_mut("x").unwrap().as_f32_mut().unwrap()[3] = f32::NAN;
        }
        batch
    };
    let mut source = batches(3, PER_EPOCH, None).map(|batch| batch.map(poisoned));
    let mut observer = |_: &Event<'_>| {};
    let error = trainer.run(&mut source, Some(&mut evaluation_batches), &mut observer, &|| false).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, TrainingError::NonFiniteLoss { step: 7, .. }), "{message}");
    for part in ["at step 7", "train.parquet, row group 1, row 6", "step-5"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    let newest = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
    assert_eq!(newest.manifest.step, 5);
    assert!(newest.parameters.iter().flatten().all(|value| value.is_finite()));
    // What is needed for a report of the failed run.
    assert_eq!((trainer.history().curve.points.len(), trainer.history().epochs.len()), (6, 1));
}

/// One step an epoch, of a length that takes parameters out of the range of floats at once.
fn wild(folder: Option<&Path>) -> TrainerSettings {
    let mut wild = settings(2, folder);
    wild.step.optimizer = optimizer("sgd", json!({"learning_rate": 3e38}));
    wild.step.gradient_clip_norm = None;
    wild.schedule = Schedule::default();
    wild.batches_per_epoch = 1;
    wild
}

#[test]
fn parameters_that_blew_up_never_reach_a_checkpoint_nor_the_end_of_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [wild(Some(folder.path())), wild(None)] {
        let mut trainer = Trainer::open(&program(), &device(), settings).unwrap();
        let large = |mut batch: Batch| {
            batch.tensors.get_mut("x").unwrap().as_f32_mut().unwrap().iter_mut().for_each(|x| *x *= 1000.0);
            batch
        };
        let mut source = batches(2, 1, None).map(|batch| batch.map(large));
        let error = trainer.run(&mut source, None, &mut |_: &Event<'_>| {}, &|| false).unwrap_err();
        assert!(matches!(error, TrainingError::NonFiniteParameter { step: 1, checkpoint: None, .. }), "{error}");
    }
    assert!(checkpoint::list(folder.path()).unwrap().is_empty());
}

#[test]
fn a_gradient_that_is_no_number_is_refused_at_its_own_step() {
    let mut program = program();
    let entries = program.manifest.parameters.iter().map(|entry| entry.name.as_str());
    for (name, values) in entries.zip(&mut program.parameters) {
        match name {
            // Hidden values of about one, scores of about 1e15 times the class: the loss is large but a number.
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
    let folder = tempfile::tempdir().unwrap();
    for clip in [None, Some(1.0)] {
        let mut settings = settings(1, Some(folder.path()));
        settings.step.gradient_clip_norm = clip;
        let mut trainer = Trainer::open(&program, &device(), settings).unwrap();
        let before = trainer.parameters().unwrap();
        let mut source = batches(1, PER_EPOCH, None).map(|batch| batch.map(steep));
        let error = trainer.run(&mut source, None, &mut |_: &Event<'_>| {}, &|| false).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, TrainingError::NonFiniteGradient { step: 1, .. }), "{message}");
        assert!(message.contains("train.parquet, row group 0, row 0"), "{message}");
        assert_eq!(bits(&trainer.parameters().unwrap()), bits(&before), "clip {clip:?}");
    }
}

#[test]
fn steps_before_an_error_of_the_stream_are_saved_and_the_error_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(2, Some(folder.path()))).unwrap();
    let good = batches(2, PER_EPOCH, None).map(|batch| batch.map_err(BoxError::from)).take(7);
    let mut source = good.chain(std::iter::once_with(|| Err(BoxError::from("row 7 is damaged"))));
    let error =
        trainer.run(&mut source, Some(&mut evaluation_batches), &mut |_: &Event<'_>| {}, &|| false).unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "row 7 is damaged");
    let message = error.to_string();
    assert!(message.contains("can go on from ") && message.ends_with("step-7"), "{message}");
    let saved = newest(folder.path());
    assert_eq!((saved.manifest.step, saved.manifest.resume.position), (7, 2 * BATCH as u64));
    let mut whole = Trainer::open(&program(), &device(), settings(2, None)).unwrap();
    run(&mut whole, 2, u64::MAX);
    let mut second = Trainer::resume(&program(), &device(), settings(2, None), saved).unwrap();
    assert_eq!(run(&mut second, 2, u64::MAX), Ending::Finished);
    assert_eq!(bits(&second.parameters().unwrap()), bits(&whole.parameters().unwrap()));
}

#[test]
fn an_epoch_is_saved_before_its_evaluation_which_may_fail() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(1, Some(folder.path()))).unwrap();
    let mut asked = 0;
    let mut failing = || -> Result<Box<dyn BatchSource>, BoxError> {
        asked += 1;
        // The first time is before the first step.
        if asked == 1 { evaluation_batches() } else { Err("the evaluation rows are gone".into()) }
    };
    let mut source = batches(1, PER_EPOCH, None);
    let error = trainer.run(&mut source, Some(&mut failing), &mut |_: &Event<'_>| {}, &|| false).unwrap_err();
    assert!(error.to_string().ends_with("step-5"), "{error}");
    let saved = newest(folder.path());
    assert!(saved.manifest.evaluation_due && saved.manifest.history.epochs.is_empty());
    let mut second = Trainer::resume(&program(), &device(), settings(1, None), saved).unwrap();
    assert_eq!(run(&mut second, 1, u64::MAX), Ending::Finished);
    assert!(second.history().epochs[0].evaluation.is_some());
}

#[test]
fn a_stream_that_ends_before_the_last_epoch_is_no_finished_run() {
    // Within an epoch, and between two.
    for (length, ended) in [(3, "in epoch 1 of 2, after step 3"), (PER_EPOCH, "in epoch 2 of 2, after step 5")] {
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = Trainer::open(&program(), &device(), settings(2, Some(folder.path()))).unwrap();
        let mut source = batches(2, PER_EPOCH, None).take(length as usize);
        let error = trainer.run(&mut source, None, &mut |_: &Event<'_>| {}, &|| false).unwrap_err();
        assert!(matches!(error, TrainingError::BatchesEnded { .. }), "{error}");
        assert!(error.to_string().contains(ended), "{error}");
        let saved = newest(folder.path()).manifest;
        assert_eq!((saved.step, saved.resume.epoch, saved.evaluation_due), (length, length / PER_EPOCH, false));
        assert_eq!(saved.history.epochs.len() as u64, length / PER_EPOCH);
    }
}

#[test]
fn targets_of_another_type_are_refused_instead_of_having_no_weight() {
    let mut wrong = batch(0, 0, PER_EPOCH);
    wrong.tensors.insert("targets".into(), Tensor::i64([BATCH, CLASSES], vec![1; BATCH * CLASSES]));
    let wanted = "input `targets`: the graph wants float32 [6, 3], the batch has int64 [6, 3]";
    let mut runner = StepRunner::open(&program(), &device(), &StepSettings::default()).unwrap();
    assert_eq!(runner.step(wrong.clone(), 0.1).unwrap_err().to_string(), wanted);
    let mut trainer = Trainer::open(&program(), &device(), settings(1, None)).unwrap();
    let mut source = std::iter::once(Ok::<_, BoxError>(wrong));
    let error = trainer.run(&mut source, None, &mut |_: &Event<'_>| {}, &|| false).unwrap_err();
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn a_learning_rate_that_is_no_number_is_refused() {
    let mut runner = StepRunner::open(&program(), &device(), &StepSettings::default()).unwrap();
    for rate in [f32::NAN, f32::INFINITY, -0.1] {
        let message = runner.step(batch(0, 0, 1), rate).unwrap_err().to_string();
        assert!(message.starts_with("learning_rate is "), "{message}");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_run_and_the_error_says_where_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut often = settings(1, Some(folder.path()));
    often.checkpoints.as_mut().unwrap().every_steps = 2;
    let mut trainer = Trainer::open(&program(), &device(), often).unwrap();
    // A file where the next checkpoint is to be written.
    let mut observer = |event: &Event<'_>| {
        if let Event::CheckpointSaved { step: 2, .. } = event {
            fs::write(folder.path().join(".tmp-step-4"), b"in the way").unwrap();
        }
    };
    let mut source = batches(1, PER_EPOCH, None);
    let error = trainer.run(&mut source, None, &mut observer, &|| false).unwrap_err();
    fs::remove_file(folder.path().join(".tmp-step-4")).unwrap();
    let message = error.to_string();
    assert!(matches!(error, TrainingError::NotSaved { step: 4, .. }), "{message}");
    assert!(message.contains("`--resume`") && message.ends_with("step-2"), "{message}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains(".tmp-step-4"));
    assert_eq!(newest(folder.path()).manifest.step, 2);
}

/// A learning rate that drives the loss up, and the warnings that it brings about.
fn diverging(epochs: u64) -> (Trainer, Vec<String>, Vec<(bool, bool)>) {
    let mut steep = settings(epochs, None);
    steep.step.optimizer = optimizer("sgd", json!({"learning_rate": 20}));
    steep.step.gradient_clip_norm = None;
    steep.schedule = Schedule::default();
    let mut trainer = Trainer::open(&program(), &device(), steep).unwrap();
    let (mut warnings, mut told) = (Vec::new(), Vec::new());
    let mut observer = |event: &Event<'_>| match event {
        Event::Warning { message } => warnings.push(message.to_string()),
        Event::Evaluated { best, better_than_start, .. } => told.push((*best, *better_than_start)),
        _ => {}
    };
    let mut source = batches(epochs, PER_EPOCH, None);
    trainer.run(&mut source, Some(&mut evaluation_batches), &mut observer, &|| false).unwrap();
    (trainer, warnings, told)
}

#[test]
fn a_diverged_run_is_told_once_and_no_epoch_of_it_is_praised() {
    let (trainer, warnings, told) = diverging(4);
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.contains("the training has diverged: from step "), "{warning}");
    assert!(trainer.history().loss_watch.found().is_some());
    assert_eq!(told, [(false, false); 4], "{:?}", trainer.history());
    let notes = trainer.history().notes();
    for part in ["has diverged", "no epoch is better than the weights before the first step"] {
        assert!(notes.iter().any(|note| note.contains(part)), "{part} is missing in {notes:?}");
    }
    // Two runs of the same are the same, the watch included.
    assert_eq!(diverging(4).0.history().loss_watch, trainer.history().loss_watch);
}

#[test]
fn a_run_that_learns_has_its_start_on_record_and_nothing_to_note() {
    let mut trainer = Trainer::open(&program(), &device(), settings(6, None)).unwrap();
    let mut told = Vec::new();
    let mut observer = |event: &Event<'_>| match event {
        Event::Warning { message } => told.push(message.to_string()),
        Event::StartEvaluated { evaluation } => told.push(format!("start {}", evaluation.rows)),
        _ => {}
    };
    let mut source = batches(6, PER_EPOCH, None);
    trainer.run(&mut source, Some(&mut evaluation_batches), &mut observer, &|| false).unwrap();
    assert_eq!(told, ["start 24"]);
    let history = trainer.history();
    assert!(history.start.as_ref().unwrap().figure("accuracy") < history.best.as_ref().unwrap().figure("accuracy"));
    assert_eq!(history.notes(), Vec::<String>::new());
}

#[test]
fn an_evaluation_whose_loss_is_no_number_is_never_the_best_and_nothing_but_such_ends_in_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(2, Some(folder.path()))).unwrap();
    let poisoned = || -> Result<Box<dyn BatchSource>, BoxError> {
        let mut batch = batch(50, 0, 4);
        batch.tensors.get_mut("x").unwrap().as_f32_mut().unwrap()[3] = f32::NAN;
        Ok(Box::new(std::iter::once(Ok::<_, BoxError>(batch))))
    };
    // Only the first of two epochs: the second is the best, although its accuracy is no higher.
    let mut asked = 0;
    let mut first = || {
        asked += 1;
        if asked == 2 { poisoned() } else { evaluation_batches() }
    };
    let mut warnings = Vec::new();
    let mut observer = |event: &Event<'_>| {
        if let Event::Warning { message } = event {
            warnings.push(message.to_string());
        }
    };
    trainer.run(&mut batches(2, PER_EPOCH, None), Some(&mut first), &mut observer, &|| false).unwrap();
    assert_eq!(trainer.history().best.as_ref().unwrap().epoch, 1);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("after epoch 1 1 of 6 evaluation rows have scores that are no numbers"),
        "{warnings:?}"
    );

    checkpoint::clear(folder.path()).unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(2, Some(folder.path()))).unwrap();
    let mut always = poisoned;
    let mut run = |trainer: &mut Trainer| {
        let mut source = batches(2, PER_EPOCH, trainer.resume_point());
        trainer.run(&mut source, Some(&mut always), &mut |_: &Event<'_>| {}, &|| false).unwrap_err()
    };
    let error = run(&mut trainer);
    assert!(matches!(error, TrainingError::NonFiniteEvaluations { epochs: 2, .. }), "{error}");
    assert!(error.to_string().contains("step-10"), "{error}");
    assert_eq!(trainer.history().epochs.len(), 2);
    // Resuming what ended so does not make it good.
    let mut resumed = Trainer::resume(&program(), &device(), settings(2, None), newest(folder.path())).unwrap();
    assert!(matches!(run(&mut resumed), TrainingError::NonFiniteEvaluations { .. }));
}

#[test]
fn a_node_without_a_kernel_is_named_before_any_step() {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([BATCH, WIDTH]));
    let short = graph.add("Cast", &[x], &[("to", 4.into())]).unwrap();
    // the least of integers of 16 bits is in the standard, and not in ONNX Runtime
    let least = graph.add("Min", &[short, short], &[]).unwrap();
    let value = graph.add("Cast", &[least], &[("to", 1.into())]).unwrap();
    let weight = graph.constant("weight", Constant::f32([WIDTH, CLASSES], &[0.1; WIDTH * CLASSES]));
    let logits = graph.add("MatMul", &[value, weight], &[]).unwrap();
    graph.set_outputs(&[logits]);
    let refused = check_kernels(&program_of(graph.to_onnx("integers")), &device()).unwrap_err();
    assert!(refused.to_string().contains("Could not find an implementation for Min(13)"), "{refused}");
    assert_eq!(check_kernels(&program(), &device()).unwrap(), None);
}
