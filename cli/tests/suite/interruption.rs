//! Killed, asked to end, resumed: the bits are those of a run that nobody disturbed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::dataset;
use crate::workplace::{Workplace, has_runtime};

const LONG: [&str; 2] = ["training.epochs=40", "output.checkpoint.every_steps=5"];

fn start(place: &Workplace) -> Child {
    let mut arguments = vec!["train", "recipe.yaml", "--json"];
    arguments.extend(LONG.iter().flat_map(|change| ["--set", *change]));
    place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

/// Reads events until one holds this text; then does something to the process and waits for its end.
fn disturb(mut child: Child, at: &str, signal: &str) -> (ExitStatus, String) {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(at) {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the run ended before {at}");
    }
    let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap(), stderr)
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
    let (status, _) = disturb(start(&place), "checkpoints/step-25\"", "-KILL");
    assert_eq!(status.code(), None, "killed by a signal");
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
    for signal in ["-TERM", "-INT"] {
        let (status, stderr) = match signal {
            "-TERM" => disturb(start(&place), "\"step\":7,", signal),
            _ => {
                let mut arguments = vec!["train", "recipe.yaml", "--json", "--resume"];
                arguments.extend(LONG.iter().flat_map(|change| ["--set", *change]));
                let mut command = place.command(&arguments);
                let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
                disturb(child, "\"event\":\"step\"", signal)
            }
        };
        assert_eq!(status.code(), Some(3), "{stderr}");
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
        let mut child = place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (mut line, mut written) = (String::new(), 0);
        while written < 2 && lines.read_line(&mut line).unwrap() > 0 {
            written += usize::from(line.contains("checkpoints/step-"));
            line.clear();
        }
        std::thread::sleep(std::time::Duration::from_micros(700 * round));
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
        std::io::copy(&mut lines, &mut std::io::sink()).unwrap();
        let code = child.wait().unwrap().code();
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
    disturb(start(&place), "checkpoints/step-25\"", "-KILL");
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
