use std::path::absolute;

use anyhow::Context;
use millstream::recipes::{RunSummary, StartMode, Stop, TrainOptions, train};

use crate::arguments::{Global, Train};
use crate::commands::evaluate::figures;
use crate::output::{self, grouped};
use crate::{Outcome, commands, messages, progress, signals};

pub(crate) fn run(global: &Global, arguments: &Train) -> anyhow::Result<Outcome> {
    let mut recipe = commands::load(&arguments.recipe)?;
    if let Some(folder) = &arguments.output {
        recipe.output.folder = absolute(folder).with_context(|| format!("cannot use {}", folder.display()))?;
    }
    let options = TrainOptions {
        start: match (arguments.resume, arguments.overwrite) {
            (true, _) => StartMode::Resume,
            (_, true) => StartMode::Overwrite,
            _ => StartMode::New,
        },
        library: global.runtime.clone(),
        keep_graph: arguments.keep_graph,
    };
    let stop = Stop::default();
    signals::listen(&stop)?;
    let mut progress = progress::choose(global);
    let summary = train(&recipe, &options, progress.as_mut(), &stop);
    // The bars are cleared before anything else is printed.
    drop(progress);
    let summary = summary?;
    if global.json {
        let mut value = serde_json::to_value(&summary)?;
        value["event"] = if summary.interrupted { "interrupted".into() } else { "finished".into() };
        output::print_json_line(&value)?;
    } else if !summary.interrupted {
        output::print(&describe(&summary))?;
    }
    if !summary.interrupted {
        return Ok(Outcome::Done);
    }
    let saved = match &summary.checkpoint {
        Some(checkpoint) => format!("saved in {}", checkpoint.display()),
        None => "before the first step was done; there is nothing to save yet".into(),
    };
    let mut command = format!("millstream train {} --resume", arguments.recipe.recipe.display());
    for change in &arguments.recipe.overrides {
        command.push_str(&format!(" --set '{change}'"));
    }
    if let Some(folder) = &arguments.output {
        command.push_str(&format!(" --output {}", folder.display()));
    }
    messages::say(global, &format!("interrupted after step {}, {saved}\nto go on:  {command}", summary.steps));
    Ok(Outcome::Interrupted)
}

fn describe(summary: &RunSummary) -> String {
    let mut text = match &summary.evaluation {
        Some(evaluation) => {
            let epoch = summary.epoch.map_or_else(String::new, |epoch| format!(" (epoch {epoch} was the best)"));
            format!("{}{epoch}\n", figures(evaluation))
        }
        None => "trained; without `data.evaluate` nothing was measured\n".into(),
    };
    text.push_str(&format!(
        "{} steps, {} parameters trained, {} frozen\n",
        grouped(summary.steps),
        grouped(summary.trained as u64),
        grouped(summary.frozen as u64)
    ));
    let timing = &summary.timing;
    let busy = timing.waiting + timing.graph + timing.update;
    if busy > 0.0 {
        let share = |seconds: f64| output::percent(seconds / busy);
        text.push_str(&format!(
            "time in steps: {} in the graph, {} in the update, {} waiting for data\n",
            share(timing.graph),
            share(timing.update),
            share(timing.waiting)
        ));
    }
    if let Some(model) = &summary.model {
        text.push_str(&format!(
            "model: {}\nreport: {}\n",
            model.display(),
            summary.folder.join("report.html").display()
        ));
    }
    text
}
