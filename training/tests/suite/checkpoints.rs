//! Checkpoints that are cut, changed, incomplete or left behind by a process that died.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{BATCH, batch, batches, classes, model, program};
use millstream_compiler::losses::PredictionKind;
use millstream_compiler::{FineTuning, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_runtime::Device;
use millstream_schemas::{Batch, Fingerprint, Tensor};
use millstream_training::MetricSet;
use millstream_training::checkpoint::{self, CheckpointSettings};
use millstream_training::metrics::Table;
use millstream_training::schedules::Schedule;
use millstream_training::{BatchSource, BoxError, Event, LoopSettings, StepSettings, Trainer, TrainerSettings};
use serde_json::Value;

fn device() -> Device {
    Device::cpu(millstream_runtime::ready(None).unwrap())
}

/// Three epochs of two steps.
fn settings(folder: &Path) -> TrainerSettings {
    TrainerSettings {
        step: StepSettings::default(),
        schedule: Schedule::default(),
        epochs: 3,
        batches_per_epoch: 2,
        accumulate: 1,
        early_stopping: None,
        loop_settings: LoopSettings::default(),
        classes: classes(),
        metrics: MetricSet::usual(PredictionKind::ClassScores),
        checkpoints: Some(CheckpointSettings { folder: folder.to_owned(), every_steps: 0, keep: 3 }),
        fingerprint: Fingerprint::default(),
    }
}

/// Three checkpoints: steps 2, 4 and 6.
fn saved() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(&program(), &device(), settings(folder.path())).unwrap();
    trainer.run(&mut batches(3, 2, None), None, &mut |_: &Event<'_>| {}, &|| false).unwrap();
    folder
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_of_any_kind_to_any_file_is_noticed_and_the_one_before_is_taken() {
    let folder = saved();
    let newest = folder.path().join("step-6");
    let files: Vec<PathBuf> = fs::read_dir(&newest).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 5, "{files:?}");
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("cut", truncate),
        ("a bit flipped", flip_a_bit),
        ("emptied", |path| fs::write(path, b"").unwrap()),
        ("deleted", |path| fs::remove_file(path).unwrap()),
    ];
    for file in files {
        let whole = fs::read(&file).unwrap();
        for (what, damage) in damages {
            damage(&file);
            let found = checkpoint::load_newest(folder.path()).unwrap();
            let what = format!("{} {what}", file.display());
            assert_eq!(found.checkpoint.expect(&what).manifest.step, 4, "{what}");
            assert_eq!(found.skipped.len(), 1, "{what}");
            let name = file.file_name().unwrap().to_str().unwrap();
            let name = name.strip_suffix(".sha256").unwrap_or(name);
            assert!(found.skipped[0].reason.contains(name), "{what}: {}", found.skipped[0].reason);
            fs::write(&file, &whole).unwrap();
        }
    }
    assert_eq!(checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap().manifest.step, 6);
}

#[test]
fn a_hostile_header_with_a_matching_hash_is_refused() {
    let folder = saved();
    let newest = folder.path().join("step-6");
    let mut manifest: Value = serde_json::from_slice(&fs::read(newest.join("manifest.json")).unwrap()).unwrap();
    let hostile = [u64::MAX.to_le_bytes().as_slice(), b"{}"].concat();
    fs::write(newest.join("weights.safetensors"), &hostile).unwrap();
    let entry = manifest["files"].as_array_mut().unwrap().iter_mut().find(|file| file["name"] == "weights.safetensors");
    let entry = entry.unwrap();
    entry["bytes"] = hostile.len().into();
    entry["sha256"] = Fingerprint::of_bytes(&hostile).0.into();
    let text = serde_json::to_vec(&manifest).unwrap();
    fs::write(newest.join("manifest.json.sha256"), Fingerprint::of_bytes(&text).0).unwrap();
    fs::write(newest.join("manifest.json"), text).unwrap();
    let message = checkpoint::load(&newest).unwrap_err().to_string();
    assert!(message.contains("weights.safetensors: "), "{message}");
    assert_eq!(checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap().manifest.step, 4);
}

#[test]
fn a_manifest_of_another_version_is_named_as_such() {
    let folder = saved();
    let newest = folder.path().join("step-6");
    let text = fs::read_to_string(newest.join("manifest.json")).unwrap().replacen("\"version\":3", "\"version\":9", 1);
    fs::write(newest.join("manifest.json.sha256"), Fingerprint::of_bytes(text.as_bytes()).0).unwrap();
    fs::write(newest.join("manifest.json"), text).unwrap();
    let message = checkpoint::load(&newest).unwrap_err().to_string();
    assert!(message.contains("version 9, this build reads 2 to 3"), "{message}");
}

/// Makes a checkpoint one of the second version, whose manifest holds the history.
fn as_version_2(checkpoint: &Path) {
    let read = |name: &str| -> Value { serde_json::from_slice(&fs::read(checkpoint.join(name)).unwrap()).unwrap() };
    let (mut manifest, history) = (read("manifest.json"), read("history.json"));
    manifest["version"] = Value::from(2);
    manifest["history"] = history;
    manifest["files"].as_array_mut().unwrap().retain(|file| file["name"] != "history.json");
    let text = serde_json::to_vec(&manifest).unwrap();
    fs::write(checkpoint.join("manifest.json.sha256"), Fingerprint::of_bytes(&text).0).unwrap();
    fs::write(checkpoint.join("manifest.json"), text).unwrap();
    fs::remove_file(checkpoint.join("history.json")).unwrap();
}

#[test]
fn a_checkpoint_of_an_older_build_whose_manifest_holds_the_history_is_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let mut evaluation = || -> Result<Box<dyn BatchSource>, BoxError> {
        Ok(Box::new(std::iter::once(Ok::<_, BoxError>(batch(50, 0, 1)))))
    };
    let settings = || {
        let mut settings = settings(folder.path());
        settings.step.threads = 1;
        settings
    };
    let mut whole = Trainer::open(&program(), &device(), settings()).unwrap();
    whole.run(&mut batches(3, 2, None), Some(&mut evaluation), &mut |_: &Event<'_>| {}, &|| false).unwrap();
    let step = |step: u64| folder.path().join(format!("step-{step}"));
    fs::remove_dir_all(step(6)).unwrap();
    let newer = checkpoint::load(&step(4)).unwrap();
    as_version_2(&step(4));
    let older = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
    assert_eq!((older.manifest.version, older.manifest.step), (2, 4));
    assert_eq!(older.manifest.history, newer.manifest.history);
    assert!(older.manifest.history.best_evaluation().unwrap().table("confusion_matrix").is_some());
    let mut trainer = Trainer::resume(&program(), &device(), settings(), older).unwrap();
    let mut source = batches(3, 2, trainer.resume_point());
    trainer.run(&mut source, Some(&mut evaluation), &mut |_: &Event<'_>| {}, &|| false).unwrap();
    assert_eq!(trainer.parameters().unwrap(), whole.parameters().unwrap());
    let saved = checkpoint::load(&step(6)).unwrap();
    assert_eq!((saved.manifest.version, saved.path.join("history.json").exists()), (3, true));
    // one that has it nowhere is not whole
    as_version_2(&step(6));
    let file = step(6).join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    manifest.as_object_mut().unwrap().shift_remove("history").unwrap();
    let text = serde_json::to_vec(&manifest).unwrap();
    fs::write(step(6).join("manifest.json.sha256"), Fingerprint::of_bytes(&text).0).unwrap();
    fs::write(file, text).unwrap();
    let message = checkpoint::load(&step(6)).unwrap_err().to_string();
    assert!(message.contains("manifest.json does not list history.json"), "{message}");
}

#[test]
fn what_a_process_that_died_left_behind_is_cleared_up() {
    let folder = saved();
    // It died while writing step 8, and between the two renames of step 6.
    fs::create_dir(folder.path().join(".tmp-step-8")).unwrap();
    fs::write(folder.path().join(".tmp-step-8/weights.safetensors"), b"half").unwrap();
    fs::rename(folder.path().join("step-6"), folder.path().join(".replaced-step-6")).unwrap();
    let found = checkpoint::load_newest(folder.path()).unwrap();
    assert_eq!(found.checkpoint.unwrap().manifest.step, 6);
    assert!(found.skipped.is_empty());
    let left: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name.starts_with("step-")) && left.len() == 3, "{left:?}");
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let folder = saved();
    fs::write(folder.path().join("step-99"), b"a file of that name").unwrap();
    fs::create_dir(folder.path().join("step-by-step")).unwrap();
    checkpoint::clear(folder.path()).unwrap();
    assert!(folder.path().join("step-99").exists() && folder.path().join("step-by-step").exists());
    assert!(checkpoint::list(folder.path()).unwrap().is_empty());
    assert!(checkpoint::load_newest(&folder.path().join("nothing-here")).unwrap().checkpoint.is_none());
}

#[test]
fn a_damaged_checkpoint_of_a_later_step_does_not_push_out_the_good_one() {
    let folder = saved();
    truncate(&folder.path().join("step-6/weights.safetensors"));
    let good = checkpoint::load_newest(folder.path()).unwrap().checkpoint.unwrap();
    let mut settings = settings(folder.path());
    settings.checkpoints.as_mut().unwrap().keep = 2;
    let mut trainer = Trainer::resume(&program(), &device(), settings, good).unwrap();
    let mut source = batches(3, 2, trainer.resume_point());
    let steps = Cell::new(4);
    let mut observer = |event: &Event<'_>| {
        if let Event::Step(step) = event {
            steps.set(step.step);
        }
    };
    trainer.run(&mut source, None, &mut observer, &|| steps.get() == 5).unwrap();
    let left: Vec<u64> = checkpoint::list(folder.path()).unwrap().into_iter().map(|(step, _)| step).collect();
    assert_eq!(left, [5, 4]);
}

/// Batches and a program of so many classes.
fn of_classes(classes: usize) -> (TrainingProgram, impl Fn(Batch) -> Batch) {
    let model = Model::from_bytes(model()).unwrap();
    let program = compile(&model, &FineTuning::head(BATCH, classes), &OperatorCatalog::standard()).unwrap();
    let widen = move |mut batch: Batch| {
        let mut targets = vec![0.0; BATCH * classes];
        for slot in 0..BATCH {
            targets[slot * classes + batch.class("targets", slot).unwrap()] = 1.0;
        }
        batch.tensors.insert("targets".into(), Tensor::f32([BATCH, classes], targets));
        batch
    };
    (program, widen)
}

#[test]
fn a_checkpoint_of_a_thousand_classes_and_many_epochs_can_be_loaded() {
    const CLASSES: usize = 1000;
    let folder = tempfile::tempdir().unwrap();
    let (program, widen) = of_classes(CLASSES);
    let mut settings = settings(folder.path());
    settings.classes = (0..CLASSES).map(|class| format!("class {class}")).collect();
    (settings.epochs, settings.batches_per_epoch) = (6, 1);
    let mut evaluation = || -> Result<Box<dyn BatchSource + '_>, BoxError> {
        Ok(Box::new((0..2).map(|index| Ok::<_, BoxError>(widen(batch(50, index, 2))))))
    };
    let mut trainer = Trainer::open(&program, &device(), settings).unwrap();
    let mut source = batches(6, 1, None).map(|batch| batch.map(&widen));
    trainer.run(&mut source, Some(&mut evaluation), &mut |_: &Event<'_>| {}, &|| false).unwrap();
    let found = checkpoint::load_newest(folder.path()).unwrap();
    assert!(found.skipped.is_empty(), "{:?}", found.skipped);
    let loaded = found.checkpoint.unwrap();
    let history = &loaded.manifest.history;
    assert_eq!((&history.epochs, &history.best), (&trainer.history().epochs, &trainer.history().best));
    let Some(Table::Matrix(counts)) = history.best_evaluation().unwrap().table("confusion_matrix") else { panic!() };
    assert_eq!(counts.len(), CLASSES);
    assert_eq!(history.best_evaluation(), trainer.history().best_evaluation());
    let size = |file: &str| fs::metadata(loaded.path.join(file)).unwrap().len();
    let sizes = (size("history.json"), size("manifest.json"));
    assert!(sizes.0 < 4 << 20 && sizes.1 < 64 << 10, "{sizes:?} bytes");
}

#[test]
fn the_best_parameters_are_written_once_when_they_are_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.epochs = 1;
    let mut evaluation = || -> Result<Box<dyn BatchSource>, BoxError> {
        Ok(Box::new(std::iter::once(Ok::<_, BoxError>(batch(50, 0, 1)))))
    };
    let mut trainer = Trainer::open(&program(), &device(), settings).unwrap();
    trainer.run(&mut batches(1, 2, None), Some(&mut evaluation), &mut |_: &Event<'_>| {}, &|| false).unwrap();
    let saved = checkpoint::load(&folder.path().join("step-2")).unwrap();
    assert!(!saved.path.join("best.safetensors").exists());
    assert_eq!(saved.best.as_ref(), Some(&saved.parameters));
}
