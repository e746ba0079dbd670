//! What proposers reach on functions whose optimum is known: the median of the best value after 25 and 50 trials, the quartiles
//! after 50, and the time of a proposal with 50 trials behind it. Of many seeds also the medians of each twenty: how far chance takes them.
//!
//! ```text
//! cargo run -p millstream-search --release --example reference_functions -- 20 tpe gaussian_process
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "../tests/suite/functions.rs"]
mod functions;

use std::time::{Duration, Instant};

use functions::{FUNCTIONS, Function, study};
use millstream_schemas::Choice;
use millstream_search::proposers::standard;
use millstream_search::{Asked, Outcome};
use serde_json::{Value, json};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seeds: u64 = arguments.next().and_then(|seeds| seeds.parse().ok()).unwrap_or(20);
    let wanted: Vec<String> = arguments.collect();
    let mut rows: Vec<(String, Choice)> = standard()
        .rows()
        .iter()
        .filter(|row| row.name != "grid")
        .map(|row| (row.name.to_owned(), Choice::named(row.name)))
        .collect();
    let of_optuna = json!({"startup": "random", "startup_trials": 10, "better_share": 0.1, "candidates": 24});
    rows.push(("tpe as Optuna's".into(), Choice::new("tpe", of_optuna)));
    rows.push(("tpe, one by one".into(), Choice::new("tpe", json!({"multivariate": false}))));
    rows.push(("gaussian_process without noise".into(), Choice::new("gaussian_process", json!({"noise": false}))));
    rows.retain(|(name, _)| wanted.is_empty() || wanted.contains(name));
    println!(
        "{seeds} seeds; best after 25 / 50 trials, median (quartiles at 50); milliseconds of a proposal at 50 trials"
    );
    for (name, choice) in rows {
        for function in FUNCTIONS {
            let (mut at_25, mut at_50, mut times) = (Vec::new(), Vec::new(), Vec::new());
            for seed in 0..seeds {
                let (best, time) = run(function, &choice, seed);
                at_25.push(best[24]);
                at_50.push(best[49]);
                times.push(time.as_secs_f64() * 1000.0);
            }
            let twenties: Vec<String> =
                at_50.chunks_exact(20).map(|twenty| format!("{:.3}", quantile(&mut twenty.to_vec(), 0.5))).collect();
            let [early, late, low, high, time] = [
                quantile(&mut at_25, 0.5),
                quantile(&mut at_50, 0.5),
                quantile(&mut at_50, 0.25),
                quantile(&mut at_50, 0.75),
                quantile(&mut times, 0.5),
            ];
            println!("{name:32} {:9} {early:9.5} / {late:9.5} ({low:.5} … {high:.5})  {time:8.3} ms", function.name);
            if twenties.len() > 1 {
                println!("  medians of twenties: {}", twenties.join(" "));
            }
        }
    }
}

/// The best value after each trial, and the time of the last proposal.
fn run(function: &Function, choice: &Choice, seed: u64) -> (Vec<f64>, Duration) {
    let mut study = study(function, choice.clone(), seed);
    let mut best = Vec::new();
    let mut time = Duration::ZERO;
    for _ in 0..51 {
        let began = Instant::now();
        let Ok(Asked::Trial(trial)) = study.ask() else { break };
        time = began.elapsed();
        let values: Value = study
            .settings()
            .space
            .values(&trial.assignment)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let value = (function.value)(&values);
        best.push(best.last().map_or(value, |best: &f64| best.min(value)));
        study.tell(trial.number, Outcome::complete(value)).expect("the trial runs");
    }
    (best, time)
}

/// On a straight line between neighbours, as NumPy has it.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = share * (values.len() - 1) as f64;
    let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
    below + (above - below) * place.fract()
}
