//! Two runs in one process: the same data and model with two learning rates, advanced in turns, under one memory budget,
//! with one set of workers and one pool of ONNX Runtime's threads.
//!
//! ```text
//! cargo run --example digits_network -- target/demo/network.onnx
//! cargo run --release --example two_runs -- examples/digits/pretrain.yaml 2e-3 5e-4
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anyhow::{Context, Result};
use millstream::recipes::{Opened, ResourceOptions, Resources, RunOptions, RunState, Silent, StartMode, Stop, load};
use millstream::schemas::recipe::RecipeText;
use millstream::training::Until;
use millstream::{Catalogs, Recipe};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, rates @ ..] = &arguments[..] else { anyhow::bail!("usage: two_runs RECIPE.yaml LEARNING_RATE...") };
    anyhow::ensure!(!rates.is_empty(), "usage: two_runs RECIPE.yaml LEARNING_RATE...");

    let catalogs = Catalogs::default();
    let recipe = |rate: &String| -> Result<Recipe> {
        let folder = format!("output.folder=target/demo/two-runs/{rate}");
        let changes = [folder, format!("training.optimizer={{adamw: {{learning_rate: {rate}}}}}")];
        Ok(load(&RecipeText::read(file.as_ref(), &changes)?, &catalogs)?)
    };

    // What the runs share. It comes first, since the threads are those of the whole process.
    let first = recipe(&rates[0])?;
    let resources = Resources::open(&ResourceOptions {
        memory: first.data.memory,
        runs: rates.len(),
        ..ResourceOptions::default()
    })?;

    // Data and model are opened once.
    let opened = Opened::open(&first, &catalogs)?;
    let options =
        RunOptions { start: StartMode::Overwrite, resources: Some(resources.clone()), ..RunOptions::default() };
    let mut runs = Vec::new();
    for rate in rates {
        runs.push(opened.with(&recipe(rate)?)?.compile()?.run(&options, &mut Silent)?);
    }

    let stop = Stop::default();
    for epoch in 1.. {
        let mut all_done = true;
        for (rate, run) in rates.iter().zip(&mut runs) {
            let progress = run.advance(Until::Epoch(epoch), &mut Silent, &stop)?;
            let last = run.history().epochs.last().context("an epoch was just done")?;
            println!("learning rate {rate}, epoch {}: training loss {:.4}", last.epoch + 1, last.training_loss);
            all_done &= progress.state == RunState::Finished;
        }
        if all_done {
            break;
        }
    }
    for (rate, run) in rates.iter().zip(runs) {
        let summary = run.finish(&mut Silent)?;
        let evaluation = summary.evaluation.context("the recipe names no rows to evaluate on")?;
        let figures = summary.figures.iter().filter_map(|kind| Some((&kind.name, evaluation.figure(&kind.name)?)));
        let figures: String = figures.map(|(name, value)| format!(", {name} {value:.4}")).collect();
        println!("learning rate {rate}: loss {:.4}{figures}, in {}", evaluation.loss, summary.folder.display());
    }
    let streams = resources.streams();
    println!("at most {} of {} bytes were held at a time", streams.bytes_peak(), streams.memory().0);
    Ok(())
}
