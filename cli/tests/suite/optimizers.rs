//! Optimizers and what stands around them, from the command line, on a table of real measurements.

use serde_json::Value;

use crate::corpus::{corpus, example};
use crate::tables::{set, table_network};
use crate::workplace::{Workplace, has_runtime, millstream, text};

#[test]
fn each_learns_to_tell_tumours_apart_and_what_was_measured_is_exported() {
    let Some(_) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = example("tables/breast-cancer.yaml");
    let network = folder.path().join("network.onnx");
    table_network(&network, &[("measurements", 30)], 2);
    let free = "training.optimizer={schedule_free_adamw: {learning_rate: 0.01, weight_decay: 0.01}}";
    let rows = [
        ("free", vec![free, "training.schedule={constant: {warmup: 0.05}}"]),
        ("eight", vec!["training.optimizer={adamw_8bit: {learning_rate: 0.003, min_8bit_size: 256}}"]),
        ("lookahead", vec!["training.lookahead={}"]),
        ("sharp", vec!["training.sharpness_aware={}", "training.accumulate=2"]),
        ("adaptive", vec!["training.sharpness_aware={rho: 0.5, adaptive: true}"]),
        ("noise", vec!["training.gradient_noise={}"]),
        ("decay", vec!["training.decay_all=true"]),
    ];
    for (name, changes) in rows {
        let output = folder.path().join(name);
        let (path, output) = (set("model.path", &network), set("output.folder", &output));
        let run = |command: &str| -> Value {
            let changes = changes.iter().copied().chain([path.as_str(), output.as_str()]);
            let changes: Vec<&str> = changes.flat_map(|change| ["--set", change]).collect();
            let said = millstream(&[&[command, text(&recipe), "--json"][..], &changes].concat()).done();
            // Of a run the last line is its end.
            serde_json::from_str::<Value>(said.trim())
                .unwrap_or_else(|_| serde_json::from_str(said.lines().last().unwrap()).unwrap())
        };
        assert_eq!(run("check")["problems"], serde_json::json!([]), "{name}");
        let [trained, exported] = ["train", "evaluate"].map(|command| run(command)["evaluation"].clone());
        assert!(trained["accuracy"].as_f64().unwrap() >= 0.94, "{name}: {trained}");
        let losses = [&trained, &exported].map(|evaluation| evaluation["loss"].as_f64().unwrap());
        assert!((losses[0] - losses[1]).abs() < 1e-5, "{name}: {trained} and {exported}");
    }
}

#[test]
fn what_makes_no_sense_around_an_optimizer_is_told_at_its_place() {
    let place = Workplace::new();
    for (change, wanted) in [
        ("training.lookahead={steps: 0}", "training.lookahead.steps: wanted 1 or more, got 0"),
        ("training.lookahead={alpha: 1.5}", "training.lookahead.alpha: wanted above 0 and at most 1, got 1.5"),
        ("training.lookahead={k: 5}", "training.lookahead"),
        ("training.sharpness_aware={rho: 0}", "training.sharpness_aware.rho: wanted above 0, got 0"),
        ("training.gradient_noise={eta: 0}", "training.gradient_noise.eta: wanted above 0, got 0"),
        ("training.gradient_noise={gamma: -1}", "training.gradient_noise.gamma: wanted 0 or more"),
        ("training.sam=true", "sharpness_aware: {rho: 0.05}"),
        ("training.optimizer=ranger", "`training.lookahead: {steps: 5, alpha: 0.5}` stands beside it"),
    ] {
        let said = place.run_with("check", &[change]).failed_with(&[]);
        assert!(said.contains(wanted), "{change}: wanted {wanted}\n{said}");
    }
    // `check` knows what a run would refuse
    if has_runtime() {
        let free = "training.optimizer=schedule_free_adamw";
        for (change, wanted) in [
            ("training.average=ema", "training.average is ema: wanted another optimizer beside it"),
            ("training.lookahead={}", "training.lookahead is 5 steps: wanted another optimizer beside it"),
        ] {
            let said = place.run_with("check", &[free, change]);
            let told = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.code == Some(1) && told.contains(wanted), "{told}\n{}", said.stderr);
            place.run_with("train", &[free, change]).failed_with(&[wanted]);
        }
    }
}
