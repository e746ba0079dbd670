use millstream::recipes::{
    Catalogs, DryRunReport, RecipeError, RunSummary, StartMode, Stop, TrainOptions, dry_run, import_rows_of, train,
};
use millstream::schemas::recipe::{ByteSize, EvaluationRecipe};
use millstream::training::Evaluation;

use crate::arguments::{Global, Train};
use crate::colour::Meaning;
use crate::commands::evaluate::{figures, others, slices};
use crate::output;
use crate::{Outcome, commands, messages, progress, signals};
use millstream::schemas::{Recipe, count, decimal, grouped, percent, shell_word, shown, shown_path};

pub(crate) fn run(global: &Global, arguments: &Train, mut recipe: Recipe) -> anyhow::Result<Outcome> {
    if let Some(folder) = &arguments.output {
        let folder = commands::argument_path(folder.as_os_str())?;
        // The recipe that was used is written into it, as a text.
        anyhow::ensure!(folder.to_str().is_some(), "{}: the name is no UTF-8; choose another", shown_path(&folder));
        recipe.output.folder = folder;
    }
    let options = TrainOptions {
        start: match (arguments.resume, arguments.overwrite) {
            (true, _) => StartMode::Extend,
            (_, true) => StartMode::Overwrite,
            _ => StartMode::New,
        },
        library: global.runtime.clone(),
        catalogs: Catalogs::default(),
        keep_graph: arguments.keep_graph,
    };
    // before signals are listened to: an import that is cut off goes on by itself the next time
    let mut progress = progress::choose(global);
    let imported = import_rows_of(&recipe, progress.as_mut(), &Stop::default());
    drop(progress);
    imported?;
    let stop = Stop::default();
    signals::listen(&stop)?;
    if arguments.dry_run {
        return try_out(global, &recipe, &options, &stop);
    }
    let page = arguments.watch.then(|| commands::watch::Beside::begin(&mut recipe)).transpose()?;
    let mut progress = progress::choose(global);
    let summary = train(&recipe, &options, progress.as_mut(), &stop);
    // The bars are cleared before anything else is printed.
    drop(progress);
    page.into_iter().for_each(commands::watch::Beside::end);
    if stop.is_requested() {
        signals::answer();
    }
    let mut summary = match summary {
        Err(RecipeError::Stopped) => {
            messages::tell(
                "interrupted before the first step was done; there is nothing to save yet\nto go on, give the same command again",
            );
            if global.json {
                let event = serde_json::json!({ "event": "interrupted", "steps": 0, "interrupted": true });
                output::print_json_line(&event)?;
            }
            return Ok(Outcome::Interrupted);
        }
        summary => summary?,
    };
    if summary.interrupted {
        // First: whoever reads our output may have been interrupted too.
        messages::tell(&how_to_go_on(global, arguments, &summary));
    }
    if global.json {
        // they are for the report page, and in `metrics.json`
        let of_sets = summary.other_evaluations.iter_mut().map(|set| &mut set.evaluation);
        summary.evaluation.iter_mut().chain(of_sets).for_each(Evaluation::leave_out_maps);
        let mut value = serde_json::to_value(&summary)?;
        value["event"] = if summary.interrupted { "interrupted".into() } else { "finished".into() };
        output::print_json_line(&value)?;
    } else if !summary.interrupted {
        output::print(&describe(&summary))?;
    }
    Ok(if summary.interrupted { Outcome::Interrupted } else { Outcome::Done })
}

/// One batch through everything.
fn try_out(global: &Global, recipe: &Recipe, options: &TrainOptions, stop: &Stop) -> anyhow::Result<Outcome> {
    let mut progress = progress::choose(global);
    let report = dry_run(recipe, options, progress.as_mut(), stop);
    drop(progress);
    if stop.is_requested() {
        signals::answer();
    }
    let Some(report) = report? else {
        messages::tell("interrupted; a dry run leaves nothing to go on with");
        return Ok(Outcome::Interrupted);
    };
    if global.json {
        let mut value = serde_json::to_value(&report)?;
        value["event"] = "tried".into();
        output::print_json_line(&value)?;
    } else {
        output::print(&tried(&report))?;
    }
    Ok(Outcome::Done)
}

fn tried(report: &DryRunReport) -> String {
    let DryRunReport { loss, evaluated, model_bytes, opening, step: [waiting, graph, update], .. } = report;
    let evaluated = if *evaluated > 0 { format!(", {} evaluated", count(*evaluated, "row")) } else { String::new() };
    let works = Meaning::Good.output("one batch went through everything");
    format!(
        "{works}: a step (loss {}){evaluated}, a model of {} written and opened again; nothing was left behind\n\
         opening took {opening:.2} s, the first step {:.2} s ({:.2} waiting for its rows)\n",
        decimal(f64::from(*loss)),
        ByteSize(*model_bytes),
        waiting + graph + update,
        waiting
    )
}

fn how_to_go_on(global: &Global, arguments: &Train, summary: &RunSummary) -> String {
    let saved = match &summary.checkpoint {
        Some(checkpoint) => format!("saved in {}", shown_path(checkpoint)),
        None => "before the first step was done; there is nothing to save yet".into(),
    };
    // a recipe that was made of data and a model lies in the run's folder
    let (recipe, output) = match arguments.model {
        Some(_) => (&summary.folder, &None),
        None => (&arguments.recipe.recipe, &arguments.output),
    };
    let mut command = format!("millstream train {} --resume", shell_word(&recipe.display().to_string()));
    let paths = [("--output", output), ("--runtime", &global.runtime)];
    let paths = paths.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?.display().to_string())));
    let changes = arguments.recipe.overrides.iter().map(|change| ("--set", change.clone()));
    for (flag, value) in changes.chain(paths) {
        command.push_str(&format!(" {flag} {}", shell_word(&value)));
    }
    if arguments.watch {
        command.push_str(" --watch");
    }
    format!("interrupted after step {}, {saved}\nto go on:  {command}", summary.steps)
}

fn describe(summary: &RunSummary) -> String {
    let mut text = match &summary.evaluation {
        Some(evaluation) => {
            let no_better =
                if summary.better_than_start == Some(false) { ", no better than before training" } else { "" };
            let best = |best: &String| format!(" ({best} was the best{no_better})");
            let averaged = |steps: &Vec<u64>| format!(" (the mean of {}{no_better})", count(steps.len(), "state"));
            let epoch = match &summary.averaged {
                Some(steps) => averaged(steps),
                None => summary.best.as_ref().map_or_else(String::new, best),
            };
            let meaning = if no_better.is_empty() { Meaning::Good } else { Meaning::Warning };
            let on = match summary.evaluated_on.as_deref() {
                None | Some(EvaluationRecipe::MAIN) => String::new(),
                Some(set) => format!("on `{}`: ", shown(set)),
            };
            meaning.output(&format!("{on}{}{epoch}", figures(evaluation, &summary.figures))) + "\n"
        }
        None => "trained; without `data.evaluate` nothing was measured\n".into(),
    };
    if let Some(evaluation) = summary.evaluation.as_ref().filter(|evaluation| !evaluation.slices.is_empty()) {
        text.push_str(&format!("{}\n", slices(evaluation, &summary.figures)));
    }
    text.push_str(&format!(
        "{}, {} trained, {} frozen\n",
        count(summary.steps, "step"),
        count(summary.trained as u64, "parameter"),
        grouped(summary.frozen as u64)
    ));
    text.push_str(&others(&summary.other_evaluations, &summary.figures));
    text.push_str(&timing(summary));
    if let Some(model) = &summary.model {
        text.push_str(&format!(
            "model: {}\nreport: {}\n",
            shown_path(model),
            shown_path(summary.folder.join("report.html"))
        ));
    }
    if let Some(model) = &summary.last_model {
        text.push_str(&format!("of the last step: {}\n", shown_path(model)));
    }
    text
}

/// How long a step took, where that time went, how soon it began, and how much memory it took.
fn timing(summary: &RunSummary) -> String {
    let timing = &summary.timing;
    let busy = timing.waiting + timing.graph + timing.update;
    if busy <= 0.0 {
        return String::new();
    }
    let share = |seconds: f64| percent(seconds / busy);
    let mut text = format!(
        "a step took {:.1} ms: {} graph, {} update, {} waiting for data\n",
        busy / summary.steps.max(1) as f64 * 1000.0,
        share(timing.graph),
        share(timing.update),
        share(timing.waiting)
    );
    text.push_str(&format!(
        "first batch after {:.2} s, first step after {:.2} s\n",
        summary.opening + timing.first_batch,
        summary.opening + timing.first_step
    ));
    if let Some(bytes) = summary.peak_memory {
        text.push_str(&format!("at most {} MB of memory\n", grouped(bytes / 1_000_000)));
    }
    text
}
