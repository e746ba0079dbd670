//! The command line itself: help, usage, JSON, a reader that goes away.

use std::io::{BufRead, BufReader, PipeWriter};
use std::process::Stdio;

use crate::workplace::{Ran, Workplace, has_runtime, millstream};

#[test]
fn every_command_explains_itself() {
    let commands: &[&[&str]] = &[
        &[],
        &["train"],
        &["check"],
        &["evaluate"],
        &["preview"],
        &["lr-find"],
        &["inspect"],
        &["report"],
        &["schema"],
        &["transforms"],
        &["adapter"],
        &["adapter", "list"],
        &["adapter", "extract"],
        &["adapter", "merge"],
        &["adapter", "convert"],
        &["runtime"],
        &["runtime", "install"],
        &["runtime", "doctor"],
    ];
    for command in commands {
        let help = millstream(&[command, &["--help"][..]].concat()).done();
        assert!(help.contains("Usage: millstream"), "{help}");
    }
    let help = millstream(&["--help"]).done();
    for part in ["Exit codes:", "interrupted", "Examples:"] {
        assert!(help.contains(part), "{help}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [&["trian"][..], &["train"], &["train", "a.yaml", "--resume", "--overwrite"], &["inspect", "--n"]]
    {
        assert_eq!(millstream(arguments).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn the_schema_knows_every_key_and_transform() {
    let schema = millstream(&["schema"]).json();
    let text = schema.to_string();
    for part in ["learning_rate", "random_resized_crop", "degrees", "gradient_clip_norm"] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn transforms_are_listed_and_explained() {
    let listed = millstream(&["transforms"]).done();
    assert!(listed.contains("rotate") && listed.contains("swap_words") && listed.contains("mix_up"), "{listed}");
    let explained = millstream(&["transforms", "rotate"]).done();
    assert!(explained.contains("degrees: ") && explained.contains("In a recipe:"), "{explained}");
    let all = millstream(&["transforms", "--json"]).json();
    assert!(all.as_array().unwrap().iter().all(|row| row["options"].is_object()));
    millstream(&["transforms", "rotat"]).failed_with(&["did you mean `rotate`?"]);
}

/// An output that nobody reads any more.
fn closed() -> PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    let place = Workplace::new();
    for (arguments, code) in [
        (&["schema"][..], 0),
        (&["inspect", "model.onnx"], 0),
        (&["check", "recipe.yaml", "--set", "training.device=cuda:99"], 1),
    ] {
        let output = place.command(arguments).stdout(closed()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn training_goes_on_when_nobody_reads_its_progress() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let output = place.command(&["train", "recipe.yaml"]).stderr(closed()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(place.path("run/model.onnx").exists());
}

#[test]
fn a_library_that_is_not_there_is_an_error_that_names_it() {
    let place = Workplace::new();
    let arguments = ["train", "recipe.yaml", "--runtime", "nowhere.so"];
    place.run(&arguments).failed_with(&["nowhere.so", "no such file"]);
    let doctor = place.run(&["runtime", "doctor", "--runtime", "nowhere.so"]);
    assert_eq!(doctor.code, Some(1));
    assert!(doctor.stdout.contains("millstream runtime install"), "{}", doctor.stdout);
}

#[test]
fn an_empty_path_is_not_the_working_directory() {
    let place = Workplace::new();
    for arguments in [&["inspect", ""][..], &["evaluate", "recipe.yaml", "--data", ""]] {
        place.run(arguments).failed_with(&["a path is empty"]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_are_no_utf8_are_taken_or_refused_and_never_changed() {
    use std::os::unix::ffi::OsStrExt;
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let name = std::ffi::OsStr::from_bytes(b"run-\xff");
    let run = |arguments: &[&str]| Ran::of(place.command(arguments).arg(name).output().unwrap());
    run(&["train", "recipe.yaml", "--output"]).failed_with(&["run-\u{fffd}: the name is no UTF-8; choose another"]);
    run(&["inspect"]).failed_with(&["the name is no UTF-8; name the folder above it"]);
    place.run_with("train", &["training.epochs=1"]).done();
    std::fs::rename(place.path("run/model.onnx"), place.path("").join(name)).unwrap();
    let said = run(&["evaluate", "recipe.yaml", "--model"]).done();
    assert!(said.contains("accuracy "), "{said}");
    // A folder above them all.
    let folder = place.path("").join("folder").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(place.path("recipe.yaml"), folder.join("recipe.yaml")).unwrap();
    let mut check = place.command(&["check", "recipe.yaml"]);
    let ran = Ran::of(check.current_dir(&folder).output().unwrap());
    ran.failed_with(&["a folder above it has a name that is no UTF-8", "recipe.yaml:"]);
    // The home folder, and the library that is named.
    let home = place.path("homes").join(name);
    let mut doctor = place.command(&["runtime", "doctor", "--json"]);
    let doctor = doctor.env("HOME", &home).env("XDG_DATA_HOME", &home).env("ORT_DYLIB_PATH", home.join("x.so"));
    let told = Ran::of(doctor.output().unwrap());
    assert_eq!(told.code, Some(1), "{}{}", told.stdout, told.stderr);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap_or_else(|e| panic!("{e}: {}", told.stderr));
    assert!(told["install_folder"].as_str().unwrap().contains("run-\u{fffd}"), "{told}");
    // The folder of a run.
    let runs = place.path("runs");
    std::fs::create_dir(&runs).unwrap();
    std::fs::rename(place.path("run"), runs.join(name)).unwrap();
    let ran = place.command(&["report", "--json"]).arg(runs.join(name)).output().unwrap();
    let told = Ran::of(ran).json();
    assert!(told["runs"][0].as_str().unwrap().ends_with("run-\u{fffd}"), "{told}");
    assert_eq!(told["report"], "report.html");
    let mut command = place.command(&["watch", "--json"]);
    let mut watch = command.arg(runs.join(name)).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(line.contains("run-\u{fffd}\""), "{line}");
}

#[test]
fn what_a_command_reads_is_not_replaced_by_what_it_writes() {
    let place = Workplace::new();
    crate::import::class_folders(&place, "photos", 0, 9);
    std::fs::create_dir(place.path("step")).unwrap();
    std::fs::copy(place.path("model.onnx"), place.path("step/evaluation.onnx")).unwrap();
    let photos = ["--set", "data.train=photos", "--set", "data.evaluate=null"];
    for (line, more, kept) in [
        (&["preview", "recipe.yaml", "-o", "photos/red/000.png"][..], &photos[..], "photos/red/000.png"),
        (&["lr-find", "recipe.yaml", "-o", "recipe.yaml"], &[], "recipe.yaml"),
        (&["lr-find", "recipe.yaml", "-o", "model.onnx"], &[], "model.onnx"),
        (&["evaluate", "recipe.yaml", "--predictions", "recipe.yaml"], &[], "recipe.yaml"),
        (&["evaluate", "recipe.yaml", "--model", "model.onnx", "--predictions", "model.onnx"], &[], "model.onnx"),
        (&["init", "train-0.parquet", "-o", "train-0.parquet", "--overwrite"], &[], "train-0.parquet"),
        (&["init", "train-0.parquet", "model.onnx", "-o", "model.onnx", "--overwrite"], &[], "model.onnx"),
        (
            &["compile", "recipe.yaml", "-o", "step", "--overwrite"],
            &["--set", "model.path=step/evaluation.onnx"],
            "step/evaluation.onnx",
        ),
        (&["adapter", "merge", "model.onnx", "-a", "gone", "-o", "model.onnx"], &[], "model.onnx"),
        (&["adapter", "convert", "gone", "-o", "model.onnx", "--model", "model.onnx"], &[], "model.onnx"),
    ] {
        let before = place.read(kept);
        place.run(&[line, more].concat()).failed_with(&["read, and would be replaced"]);
        assert!(place.read(kept) == before, "{line:?}");
    }
}
