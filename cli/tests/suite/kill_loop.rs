//! Killed at any point, again and again, and with no room left to write: nothing is lost, and what comes out in the end has the
//! bits of a run that nobody disturbed.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::running::Running;
use crate::workplace::{Ran, Workplace, has_runtime};

/// How often a run is killed, where it is another number than 20.
const ROUNDS: &str = "MILLSTREAM_KILL_ROUNDS";
const CHANGES: [&str; 2] = ["training.epochs=40", "output.checkpoint.every_steps=1"];

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", "recipe.yaml"];
    arguments.extend(CHANGES.iter().flat_map(|change| ["--set", *change]));
    arguments.extend(more);
    arguments
}

fn checkpoints(place: &Workplace) -> Vec<String> {
    let Ok(entries) = fs::read_dir(place.path("run/checkpoints")) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // what is being written has another name
    names.filter(|name| name.starts_with("step-")).collect()
}

#[test]
fn killed_at_any_point_again_and_again_gives_the_same_bytes() {
    if !has_runtime() {
        return;
    }
    let rounds: u64 = std::env::var(ROUNDS).map_or(20, |rounds| rounds.parse().expect("a number of rounds"));
    let place = Workplace::new();
    let started = Instant::now();
    place.run(&train(&["--set", "output.folder=whole"])).done();
    // points spread over what a run takes, whatever the machine is
    let mut longest = started.elapsed();
    // with its recipe the folder holds a run
    let begun = || place.path("run/recipe.yaml").exists();
    let go_on = || if begun() { "--resume" } else { "--overwrite" };
    let (mut killed, mut resumed) = (0, 0);
    for round in 0..rounds {
        let goes_on = begun() && !checkpoints(&place).is_empty();
        resumed += u64::from(goes_on);
        let arguments = train(&[go_on(), "--json"]);
        let mut running = Running::start(&place, &arguments);
        let part = ((round * 7919 + 13) % 997) as u32;
        let ran = if round % 2 == 0 {
            // at any time, also before there is anything to tell
            running.ended_after(longest * part / 997)
        } else {
            // after some checkpoints, whatever the pace of the machine is
            let mut left = 1 + part % 9;
            running.reaches(|line| {
                left -= u32::from(line.contains("checkpoints/step-"));
                left == 0
            });
            std::thread::sleep(Duration::from_micros(u64::from(part)));
            running.signal("KILL");
            running.ended()
        };
        let stderr = ran.stderr;
        match ran.code {
            None => killed += 1,
            Some(0) => {
                // the next is from the beginning, and killed sooner where this one was too
                if !goes_on {
                    longest = longest.mul_f64(0.7);
                }
                assert!(place.read("run/model.onnx") == place.read("whole/model.onnx"), "round {round}");
                fs::remove_dir_all(place.path("run")).unwrap();
            }
            Some(code) => panic!("round {round}, {arguments:?}: {code}, {stderr}"),
        }
    }
    assert!(killed * 4 >= rounds, "{killed} of {rounds} were killed in time");
    assert!(resumed > 0, "none of {rounds} went on from a checkpoint");
    place.run(&train(&[go_on()])).done();
    assert!(place.read("run/model.onnx") == place.read("whole/model.onnx"), "after {killed} kills it is another");
}

/// A limit on the size of files stands for a full disk: a write fails in its middle, as an ordinary user can arrange it.
#[test]
fn with_no_room_for_a_checkpoint_nothing_is_lost_and_a_resumed_run_gives_the_same_bytes() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run(&train(&["--set", "output.folder=whole"])).done();
    place.run(&train(&["--set", "training.max_steps=9", "--set", "output.folder=sizes"])).done();
    let newest = checkpoint_bytes(&place);
    // stopped behind some checkpoints, then resumed where none can be written whole
    let begin = train(&["--json"]);
    let mut running = Running::start(&place, &begin);
    running.until_saved(9);
    running.killed();
    let before = checkpoints(&place);
    assert!(!before.is_empty());
    let blocks = (newest / 2 / 512).max(1);
    let resume = train(&["--resume"]);
    let own = place.command(&resume);
    let mut limited = Command::new("bash");
    // 512 bytes a block as POSIX has it; without the signal, writes fail as on a full disk
    limited.arg("-c").arg(format!("set -o posix; trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""));
    limited.arg(own.get_program()).args(own.get_args()).current_dir(place.path("")).stdin(Stdio::null());
    let ran = Ran::of(limited.output().unwrap());
    let stderr = ran.failed_with(&["run"]);
    assert!(stderr.contains("File too large") || stderr.contains("file too large"), "{stderr}");
    assert!(before.iter().all(|name| checkpoints(&place).contains(name)), "{before:?}: {:?}", checkpoints(&place));
    place.run(&resume).done();
    assert!(place.read("run/model.onnx") == place.read("whole/model.onnx"), "the tuned models differ");
}

/// The largest file of the checkpoints of a small run.
fn checkpoint_bytes(place: &Workplace) -> u64 {
    let mut open = vec![place.path("sizes/checkpoints")];
    let mut most = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            most = most.max(fs::metadata(&path).unwrap().len());
        }
    }
    assert!(most > 1024, "checkpoints are too small for a limit: {most}");
    most
}
