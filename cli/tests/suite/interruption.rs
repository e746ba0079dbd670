//! Killed, asked to end, resumed: the bits are those of a run that nobody disturbed.

use std::process::{Command, Stdio};

use crate::dataset;
use crate::running::Running;
use crate::workplace::{Ran, Workplace, has_runtime};

const LONG: [&str; 2] = ["training.epochs=40", "output.checkpoint.every_steps=5"];

fn start(place: &Workplace, more: &[&str]) -> Running {
    let mut arguments = vec!["train", "recipe.yaml", "--json"];
    arguments.extend(LONG.iter().flat_map(|change| ["--set", *change]));
    arguments.extend(more);
    Running::start(place, &arguments)
}

fn undisturbed(place: &Workplace) -> Vec<u8> {
    let mut changes = LONG.to_vec();
    changes.push("output.folder=whole");
    place.run_with("train", &changes).done();
    place.read("whole/model.onnx")
}

fn resume(place: &Workplace) -> String {
    let mut arguments = vec!["train", "recipe.yaml", "--resume"];
    arguments.extend(LONG.iter().flat_map(|change| ["--set", *change]));
    let ran = place.run(&arguments);
    let stderr = ran.stderr.clone();
    ran.done();
    stderr
}

#[test]
fn killed_and_resumed_gives_the_same_bytes() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // In the middle of an epoch, well before the end.
    let mut running = start(&place, &[]);
    running.until_saved(25);
    running.killed();
    assert!(!place.path("run/model.onnx").exists());
    let stderr = resume(&place);
    assert!(stderr.contains("resuming after"), "{stderr}");
    assert!(place.read("run/model.onnx") == undisturbed(&place), "the tuned models differ");
}

#[test]
fn terminated_saves_says_how_to_resume_and_resumes_to_the_same_bytes() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for (signal, more, at) in [("TERM", &[][..], "\"step\":7,"), ("INT", &["--resume"], "\"event\":\"step\"")] {
        let mut running = start(&place, more);
        running.until(at);
        running.signal(signal);
        let Ran { code, stderr, .. } = running.ended();
        assert_eq!(code, Some(3), "{stderr}");
        assert!(stderr.contains("interrupted after step"), "{stderr}");
        assert!(stderr.contains("millstream train recipe.yaml --resume --set training.epochs=40"), "{stderr}");
        assert!(!place.path("run/model.onnx").exists());
    }
    resume(&place);
    assert!(place.read("run/model.onnx") == undisturbed(&place), "the tuned models differ");
}

/// Every step writes a checkpoint, so a signal comes while one is being written more often than not.
#[test]
fn interrupted_while_checkpoints_are_written_resumes_to_the_same_bytes() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let changes = ["training.epochs=40", "output.checkpoint.every_steps=1"];
    let mut interrupted = 0;
    for round in 0..10_u64 {
        let mut arguments = vec!["train", "recipe.yaml", "--json"];
        arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
        arguments.extend((round > 0).then_some("--resume"));
        let mut running = Running::start(&place, &arguments);
        let mut written = 0;
        // It may end by itself.
        running.reaches(|line| {
            written += usize::from(line.contains("checkpoints/step-"));
            written == 2
        });
        std::thread::sleep(std::time::Duration::from_micros(700 * round));
        running.signal("INT");
        let code = running.ended().code;
        assert!(matches!(code, Some(0 | 3)), "{code:?}");
        interrupted += u32::from(code == Some(3));
        let unfinished = std::fs::read_dir(place.path("run/checkpoints")).unwrap();
        let names: Vec<_> = unfinished.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| name.starts_with("step-")), "{names:?}");
    }
    assert!(interrupted > 2, "{interrupted}");
    let mut arguments = vec!["train", "recipe.yaml", "--resume"];
    arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
    place.run(&arguments).done();
    let whole = [&changes[..], &["output.folder=whole"]].concat();
    place.run_with("train", &whole).done();
    assert!(place.read("run/model.onnx") == place.read("whole/model.onnx"), "the tuned models differ");
}

#[test]
fn resuming_refuses_what_changed_and_names_it() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run(&["train", "recipe.yaml", "--resume"]).failed_with(&["holds no whole checkpoint"]);
    place.run_with("train", &[]).done();
    place.run_with("train", &[]).failed_with(&["holds a run already", "--resume", "--overwrite"]);
    let resume = |change: &str| place.run(&["train", "recipe.yaml", "--resume", "--set", change]);
    resume("seed=4").failed_with(&["cannot resume", "`seed` changed", "then 3, now 4"]);
    resume("training.accumulate=2").failed_with(&["`training.accumulate` changed"]);
    resume("transforms.train.1.rotate.degrees=11").failed_with(&["`transforms.train[1].rotate.degrees` changed"]);
    // Where and how fast is free: this run is finished, and stays so.
    resume("data.workers=1").done();
    dataset::write(&place.path("train-1.parquet"), &dataset::rows(24, 20));
    resume("data.workers=1").failed_with(&["`data.train` changed", "train-1.parquet (20 rows, "]);
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let mut running = start(&place, &[]);
    running.until_saved(25);
    running.killed();
    let folder = place.path("run/checkpoints");
    let mut steps: Vec<u64> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_prefix("step-")?.parse().ok())
        .collect();
    steps.sort_unstable();
    assert!(steps.len() >= 2, "{steps:?}");
    let newest = folder.join(format!("step-{}/weights.safetensors", steps[steps.len() - 1]));
    let mut bytes = std::fs::read(&newest).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let stderr = resume(&place);
    assert!(stderr.contains("is not whole and is passed over"), "{stderr}");
    assert!(place.read("run/model.onnx") == undisturbed(&place), "the tuned models differ");
}

#[test]
fn terminated_while_the_model_is_opened_ends_at_once_and_leaves_nothing() {
    let place = Workplace::new();
    // a model that is never read to its end
    let pipe = place.path("slow.onnx");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for command in [&["train", "recipe.yaml"][..], &["train", "recipe.yaml", "--dry-run"]] {
        let arguments = [command, &["--set", "model.path=slow.onnx"]].concat();
        let child = place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // opened for writing as soon as the program reads it
        let _writer = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        let ended = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(3), "{stderr}");
        let wanted =
            if command.len() == 2 { "interrupted before the first step was done" } else { "a dry run leaves nothing" };
        assert!(stderr.contains(wanted), "{stderr}");
        assert!(!place.path("run").exists());
    }
}
