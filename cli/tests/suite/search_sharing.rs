//! What trials at a time share, to the bits of trials alone.

use serde_json::Value;

use crate::search::{OPEN, arguments, outcome, status};
use crate::workplace::{Workplace, has_runtime};

#[test]
fn trials_at_a_time_have_the_bits_of_one_after_the_other() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run(&arguments("run", &OPEN)).done();
    let beside = [&OPEN[..], &["output.folder=beside"]].concat();
    let said = place.run(&[&arguments("run", &beside)[..], &["--parallel", "3"]].concat()).done();
    assert!(said.contains("6 of 6 trials finished (6 complete)"), "{said}");
    assert_eq!(outcome(&status(&place, "beside")), outcome(&status(&place, "study")));
    // equal chains: one of three at a time draws and renders, the others take part
    let [_, joined] = passes(&said);
    assert!(joined >= 2, "{said}");
    for trial in 0..6 {
        let model = format!("trials/{trial:04}/model.onnx");
        assert!(place.read(&format!("study/{model}")) == place.read(&format!("beside/{model}")), "{model} differs");
    }
}

#[test]
fn trials_of_other_numbers_of_epochs_share_the_passes_that_they_have_in_common() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let epochs = [
        "training.epochs={choose: [4, 2, 3]}",
        "search={objective: loss, proposer: grid, trials: 3}",
        "transforms.train=[{random_resized_crop: {size: 16}}, horizontal_flip]",
        "seed=1",
    ];
    for (folder, parallel) in [("one", "1"), ("beside", "3")] {
        let output = format!("output.folder={folder}");
        let line = [&arguments("run", &[&epochs[..], &[&output]].concat())[..], &["--parallel", parallel]].concat();
        let said = place.run(&line).done();
        assert!(said.contains("3 of 3 trials finished (3 complete)"), "{said}");
        assert!(parallel == "1" || passes(&said)[1] >= 2, "{said}");
    }
    let [one, beside] = ["one", "beside"].map(|folder| outcome(&status(&place, folder)));
    assert_eq!(one, beside);
    for trial in 0..3 {
        let model = format!("trials/{trial:04}/model.onnx");
        assert!(place.read(&format!("one/{model}")) == place.read(&format!("beside/{model}")), "{model} differs");
    }
}

#[test]
fn trials_at_a_time_have_the_next_one_proposed_with_the_end_of_one_before_another_can_end() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let learned = [
        "training.optimizer={adamw: {learning_rate: {log_uniform: [0.001, 0.1]}}}",
        "search={objective: loss, proposer: {tpe: {startup_trials: 2}}, trials: 8, parallel: 2}",
        "transforms.train=[{resize: {size: 16}}]",
        "training.epochs=1",
        "output.folder=learned",
    ];
    place.run(&arguments("run", &learned)).done();
    let journal = std::fs::read_to_string(place.path("learned/journal.jsonl")).unwrap();
    let events = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let names: Vec<String> = events.map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    let acts: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| ["proposed", "finished"].contains(name)).collect();
    // two to begin with, whoever is quick; then each end with what follows from it
    let wanted = ["proposed"; 2].into_iter().chain(["finished", "proposed"].into_iter().cycle().take(12));
    assert_eq!(acts, wanted.chain(["finished"; 2]).collect::<Vec<_>>());
}

/// Passes that were opened, and those that took part in one of them.
fn passes(said: &str) -> [u64; 2] {
    let line = said.lines().find(|line| line.contains("took part in one of these")).unwrap_or_default();
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    [1, 2].map(|at| numbers.get(at).copied().unwrap_or_default())
}

#[test]
fn trials_at_a_time_whose_draws_differ_share_no_pass_and_one_that_ends_early_leaves_the_others_their_bits() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // draws that depend on the seed
    let drawn = "transforms.train=[{random_resized_crop: {size: 16}}, horizontal_flip]";
    let seeds = ["seed={choose: [1, 2]}", "search={objective: accuracy, proposer: grid, trials: 2}", drawn];
    let two = [&seeds[..], &["training.epochs=3", "output.folder=seeds"]].concat();
    let said = place.run(&[&arguments("run", &two)[..], &["--parallel", "2"]].concat()).done();
    assert!(said.contains("2 of 2 trials finished (2 complete)"), "{said}");
    // a median rule ends some of four at a time
    let stopped = [
        "training.optimizer={adamw: {learning_rate: {choose: [1.0e-6, 1.0e-5, 0.003, 0.01]}}}",
        "search={objective: loss, proposer: grid, trials: 4, stopping: {threshold: {upper: 1.05, warmup_steps: 2}}}",
        drawn,
        "training.epochs=4",
    ];
    for (folder, parallel) in [("one", "1"), ("four", "4")] {
        let output = format!("output.folder={folder}");
        let line = [&arguments("run", &[&stopped[..], &[&output]].concat())[..], &["--parallel", parallel]].concat();
        place.run(&line).done();
    }
    let [one, four] = ["one", "four"].map(|folder| outcome(&status(&place, folder)));
    assert_eq!(one, four);
    assert!(one.iter().any(|trial| trial[0] == "complete"), "{one:?}");
}

#[test]
fn trials_share_what_is_kept_of_a_frozen_prefix_in_memory_and_in_files_and_have_the_bits_of_runs_alone() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let rates = [
        "training.optimizer={adamw: {learning_rate: {choose: [0.001, 0.003, 0.01]}}}",
        "search={objective: accuracy, proposer: grid, trials: 3}",
        "transforms.train=[{resize: {size: 16}}]",
        "training.epochs=2",
        "model.train=head",
        "model.head=new",
    ];
    for (folder, kept, parallel) in [
        ("memory", "training.frozen_prefix=kept", "1"),
        ("files", "training.frozen_prefix={kept: {memory: 1 KiB, disk: 1 GB}}", "1"),
        ("beside", "training.frozen_prefix={kept: {memory: 1 KiB, disk: 1 GB}}", "3"),
    ] {
        let output = format!("output.folder={folder}");
        let line = [&arguments("run", &[&rates[..], &[kept, &output]].concat())[..], &["--json"]].concat();
        let said = place.run(&[&line[..], &["--parallel", parallel]].concat()).done();
        let filled = said.matches("the frozen part is run for").count();
        // the rows to evaluate on, and those of training: each once for all trials
        assert_eq!(filled, 2, "{folder}: {said}");
        let left = std::fs::read_dir(place.path(&format!("{folder}/workers"))).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".activations")), "{left:?}");
    }
    let study = status(&place, "memory");
    for (trial, known) in study["trials"].as_array().unwrap().iter().enumerate() {
        let rate = known["settings"].as_array().unwrap().iter().find(|set| set[0].as_str().unwrap().ends_with("rate"));
        let rate = format!("training.optimizer={{adamw: {{learning_rate: {}}}}}", rate.unwrap()[1]);
        let alone = format!("output.folder=alone-{trial}");
        place.run_with("train", &[&rate, rates[2], rates[3], rates[4], rates[5], &alone]).done();
        for folder in ["memory", "files", "beside"] {
            let model = format!("{folder}/trials/{trial:04}/model.onnx");
            assert!(place.read(&model) == place.read(&format!("alone-{trial}/model.onnx")), "{model} differs");
        }
    }
}

#[test]
fn trials_at_a_time_hold_no_more_of_rows_and_of_what_is_kept_than_one_of_them_may() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // 32 bytes a row: training rows of one kind and evaluation rows fit, those of two kinds do not
    let kinds = [
        "transforms.train={choose: [[{resize: {size: 16}}], [{resize: {size: 16}}, {horizontal_flip: {probability: 1.0}}]]}",
        "seed={choose: [1, 2]}",
        "search={objective: loss, proposer: grid, trials: 4}",
        "training.epochs=3",
        "model.train=head",
        "training.frozen_prefix={kept: {memory: 3 KB}}",
    ];
    let mut outcomes = Vec::new();
    for (folder, parallel) in [("one", "1"), ("beside", "4")] {
        let output = format!("output.folder={folder}");
        let line = [&arguments("run", &[&kinds[..], &[&output]].concat())[..], &["--json"]].concat();
        let said = place.run(&[&line[..], &["--parallel", parallel]].concat()).done();
        let summary: Value = serde_json::from_str(said.trim().lines().last().unwrap()).unwrap();
        let names = ["rows_bytes_peak", "kept_bytes_peak", "bytes_most"];
        let [of_rows, kept, most] = names.map(|name| summary["shared"][name].as_u64().unwrap());
        // `data.memory` and `memory`, whatever the number of trials at a time
        assert_eq!(most, (64 << 20) + 3000, "{summary}");
        assert!(of_rows > 0 && of_rows <= 64 << 20, "{summary}");
        assert!((48 * 32..=3000).contains(&kept), "{summary}");
        outcomes.push(outcome(&status(&place, folder)));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert!(outcomes[0].iter().all(|trial| trial[0] == "complete"), "{outcomes:?}");
    for trial in 0..4 {
        let model = format!("trials/{trial:04}/model.onnx");
        assert!(place.read(&format!("one/{model}")) == place.read(&format!("beside/{model}")), "{model} differs");
    }
}

#[test]
fn trials_at_a_time_of_large_batches_that_have_room_one_after_the_other_do_not_fail_for_their_part_of_the_memory() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // two batches of 24 images, and as much for what is evaluated: more than a quarter of three quarters of a mebibyte
    let batches = [
        "data.batch={choose: [2, 24]}",
        "seed={choose: [1, 2]}",
        "search={objective: loss, proposer: grid, trials: 4}",
        "transforms.train=[{resize: {size: 16}}]",
        "training.epochs=1",
        "data.memory=1 MiB",
    ];
    let mut outcomes = Vec::new();
    for (folder, parallel) in [("one", "1"), ("beside", "4")] {
        let output = format!("output.folder={folder}");
        let line = [&arguments("run", &[&batches[..], &[&output]].concat())[..], &["--parallel", parallel]].concat();
        let ran = place.run(&line);
        let told = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_told =
            told.contains("at a time, and not on 4: the memory of 1.0 MiB that is shared by 4 streams is too small");
        assert_eq!(is_told, parallel == "4", "{told}");
        let said = ran.done();
        assert!(said.contains("4 of 4 trials finished (4 complete)"), "{said}");
        outcomes.push(outcome(&status(&place, folder)));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    // nor is it left to words alone how many there are
    let line =
        [&arguments("run", &[&batches[..], &["output.folder=told"]].concat())[..], &["--parallel", "4", "--json"]]
            .concat();
    let said = place.run(&line).done();
    let limits = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let limits: Vec<u64> = limits
        .filter(|event| event["event"] == "parallel_limited")
        .map(|event| event["parallel"].as_u64().unwrap())
        .collect();
    assert!(limits.len() == 1 && (1..4).contains(&limits[0]), "{limits:?}: {said}");
    // where not even one at a time has room, nothing is tried
    let small = [&["data.batch={choose: [2, 400]}"][..], &batches[1..], &["output.folder=small"]].concat();
    let line = [&arguments("run", &small)[..], &["--parallel", "4"]].concat();
    place.run(&line).failed_with(&["`data.memory`", "`data.batch`"]);
    assert!(!place.path("small/trials").join("0000").exists(), "a trial was begun");
}

#[test]
fn how_many_trials_fit_counts_the_streams_that_fill_what_is_kept_of_a_frozen_prefix() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // two batches of images and as much for what is measured: more than half of three quarters of a mebibyte
    let batches = [
        "data.batch=48",
        "seed={choose: [1, 2]}",
        "search={objective: loss, proposer: grid, trials: 2}",
        "transforms.train=[{resize: {size: 16}}]",
        "training.epochs=2",
        "data.memory=1 MiB",
        "model.train=head",
    ];
    for (folder, kept) in [("kept", "training.frozen_prefix=kept"), ("auto", "training.frozen_prefix=auto")] {
        let output = format!("output.folder={folder}");
        let line = [&arguments("run", &[&batches[..], &[kept, &output]].concat())[..], &["--parallel", "2"]].concat();
        let ran = place.run(&line);
        let told = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains("at a time, and not on 2"), "{folder}: {told}");
        let said = ran.done();
        assert!(said.contains("2 of 2 trials finished (2 complete)"), "{folder}: {said}");
    }
}

#[test]
fn a_trial_that_has_no_room_alone_fails_alone_where_what_is_kept_of_a_frozen_prefix_is_shared() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // two batches of 400 images take more than there is, those of 2 do not
    let batches = [
        "data.batch={choose: [400, 2]}",
        "search={objective: loss, proposer: grid, trials: 2, retries: 0}",
        "transforms.train=[{resize: {size: 16}}]",
        "training.epochs=1",
        "data.memory=1 MiB",
        "model.train=head",
        "training.frozen_prefix=kept",
        "output.folder=alone",
    ];
    place.run(&[&arguments("run", &batches)[..], &["--parallel", "1"]].concat()).done();
    let study = status(&place, "alone");
    let mut states: Vec<String> = outcome(&study).iter().map(|trial| trial[0].to_string()).collect();
    states.sort();
    assert_eq!(states, ["\"complete\"", "\"failed\""], "{study}");
    let reasons = study["trials"].as_array().unwrap().iter().filter_map(|trial| trial["reason"].as_str());
    let [reason] = reasons.collect::<Vec<_>>()[..] else { panic!("{study}") };
    assert!(reason.contains("set `data.memory` to at least"), "{reason}");
    assert!(!reason.contains("--parallel") && !reason.contains("shared by"), "{reason}");
}

#[test]
fn trials_at_a_time_whose_memory_is_left_open_share_the_largest_of_it() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let memory = [
        "data.memory={choose: [8 MiB, 32 MiB]}",
        "search={objective: loss, proposer: grid, trials: 2}",
        "transforms.train=[{resize: {size: 16}}]",
        "training.epochs=1",
        "output.folder=memory",
    ];
    let said = place.run(&[&arguments("run", &memory)[..], &["--parallel", "2"]].concat()).done();
    assert!(said.contains("2 of 2 trials finished (2 complete)"), "{said}");
}

#[test]
fn trials_at_a_time_whose_threads_are_left_open_do_not_fail_for_the_threads_of_others() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let threads = [
        "training.threads={choose: [1, 2, 0]}",
        "search={objective: loss, proposer: grid, trials: 3}",
        "transforms.train=[{resize: {size: 16}}]",
        "training.epochs=1",
        "model.train=head",
    ];
    let most = std::thread::available_parallelism().unwrap().get().max(2);
    let own = format!(", 2 at a time, each with 1 to {most} threads of its own");
    for (folder, parallel, kept) in [
        ("one", "1", "recomputed"),
        ("beside", "2", "recomputed"),
        // what is kept is shared by trials one after the other too
        ("kept", "1", "kept"),
    ] {
        let (output, kept) = (format!("output.folder={folder}"), format!("training.frozen_prefix={kept}"));
        let changes = [&threads[..], &[&output, &kept]].concat();
        let ran = place.run(&[&arguments("run", &changes)[..], &["--parallel", parallel]].concat());
        assert_eq!(ran.stderr.contains(&own), parallel == "2", "{folder}: {}", ran.stderr);
        let said = ran.done();
        assert!(said.contains("3 of 3 trials finished (3 complete)"), "{folder}: {said}");
    }
    let [one, beside] = ["one", "beside"].map(|folder| outcome(&status(&place, folder)));
    assert_eq!(one, beside);
    for trial in 0..3 {
        let model = format!("trials/{trial:04}/model.onnx");
        assert!(place.read(&format!("one/{model}")) == place.read(&format!("beside/{model}")), "{model} differs");
    }
    // as many for all are shared
    let shared = ["seed={choose: [1, 2]}", "training.threads=2", threads[1], threads[2], threads[3]];
    let line = [&arguments("run", &shared)[..], &["--parallel", "2"]].concat();
    let ran = place.run(&line);
    assert!(ran.stderr.contains(", 2 at a time, which share 2 threads"), "{}", ran.stderr);
    ran.done();
}
