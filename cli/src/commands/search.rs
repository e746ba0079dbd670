use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream::recipes::search::{self, OpenRecipe, SearchOptions, SearchSummary, StudyFolder};
use millstream::recipes::{Catalogs, RecipeError, StartMode, Stop, TrainOptions, require_no_input};
use millstream::schemas::files::replace_file;
use millstream::schemas::recipe::RecipeText;
use millstream::schemas::{count, shell_path, shown_path};
use millstream::search::TrialState;

use crate::arguments::{self, Global, SearchCommand, SearchHow, StudyArguments};
use crate::{Outcome, commands, messages, output, progress, search_progress, signals, study_table};

pub(crate) fn run(global: &Global, arguments: &arguments::Search) -> anyhow::Result<Outcome> {
    match &arguments.command {
        SearchCommand::Run { recipe, output, how } => {
            let folder = output.as_ref().map(|folder| commands::argument_path(folder.as_os_str())).transpose()?;
            let elsewhere: &[&str] = if folder.is_some() { &["output.folder"] } else { &[] };
            commands::with_text(&commands::text_of(recipe)?, elsewhere, |text| {
                work(global, how, |options, events, stop| {
                    search::run(text, &text.arguments(), folder.as_deref(), options, events, stop)
                })
            })
        }
        SearchCommand::Resume { study, how } | SearchCommand::Worker { study, how } => {
            let folder = study_folder(study)?;
            work(global, how, |options, events, stop| search::resume(&folder, options, events, stop))
        }
        SearchCommand::Status { study } => {
            let report = search::status(&study_folder(study)?, &Catalogs::default())?;
            if global.json {
                output::print_json(&report)?
            } else {
                output::print(&study_table::describe(&report))?
            }
            Ok(Outcome::Done)
        }
        SearchCommand::Best { study, output, refit } => best(global, &study_folder(study)?, output.as_deref(), *refit),
        SearchCommand::Retry { study, trials } => retry(global, &study_folder(study)?, trials),
        SearchCommand::Export { study, optuna, csv } => {
            let folder = study_folder(study)?;
            anyhow::ensure!(optuna.is_none() || optuna != csv, "`--optuna` and `--csv` name one file; name two");
            let own = folder.files();
            let mut written = optuna.iter().chain(csv);
            written.try_for_each(|file| require_no_input(file, own.iter().map(PathBuf::as_path)))?;
            let study = search::study(&folder, &Catalogs::default())?;
            let written = |file: &Path, text: String| {
                let failed = |source| RecipeError::Io { doing: "write", path: file.to_owned(), source };
                replace_file(file, text.as_bytes()).map_err(failed)
            };
            optuna.iter().try_for_each(|file| written(file, search::optuna(&study)))?;
            csv.iter().try_for_each(|file| written(file, search::csv(&study)))?;
            Ok(Outcome::Done)
        }
    }
}

fn retry(global: &Global, folder: &StudyFolder, trials: &[u64]) -> anyhow::Result<Outcome> {
    let queued = search::retry(folder, trials, &Catalogs::default())?;
    if global.json {
        output::print_json(&serde_json::json!({ "queued": queued }))?;
        return Ok(Outcome::Done);
    }
    let numbers: Vec<String> = queued.iter().map(ToString::to_string).collect();
    let folder = shell_path(folder.path());
    let said = match numbers.as_slice() {
        [] => "no trial has failed".to_owned(),
        [one] => format!("trial {one} is queued; to go on:  millstream search resume {folder}"),
        _ => format!("trials {} are queued; to go on:  millstream search resume {folder}", numbers.join(", ")),
    };
    output::print(&format!("{said}\n"))?;
    Ok(Outcome::Done)
}

/// The folder that is named, or that of the recipe that is.
fn study_folder(arguments: &StudyArguments) -> anyhow::Result<StudyFolder> {
    let path = commands::argument_path(arguments.study.as_os_str())?;
    if !path.is_file() {
        return Ok(StudyFolder::new(path));
    }
    let text = RecipeText::read(&path, &[])?;
    Ok(StudyFolder::new(&OpenRecipe::load(&text, &Catalogs::default())?.first().output.folder))
}

fn work(
    global: &Global,
    how: &SearchHow,
    act: impl FnOnce(&SearchOptions, &mut dyn search::SearchEvents, &Stop) -> Result<SearchSummary, RecipeError>,
) -> anyhow::Result<Outcome> {
    let options = SearchOptions {
        parallel: how.parallel.map(|trials| trials as usize),
        trials: how.trials,
        silence: Some(Duration::from_secs(how.lost_after)),
        library: global.runtime.clone(),
        catalogs: Catalogs::default(),
    };
    let stop = Stop::default();
    signals::listen(&stop)?;
    let mut events = search_progress::choose(global);
    let summary = act(&options, events.as_mut(), &stop);
    drop(events);
    if stop.is_requested() {
        signals::answer();
    }
    let summary = summary?;
    if summary.interrupted {
        let folder = shell_path(&summary.study.folder);
        let finished = count(summary.study.finished(), "trial");
        messages::tell(&format!(
            "interrupted; {finished} finished, what ran is saved\nto go on:  millstream search resume {folder}"
        ));
    }
    if global.json {
        let mut value = serde_json::to_value(&summary)?;
        value["event"] = if summary.interrupted { "interrupted".into() } else { "finished".into() };
        output::print_json_line(&value)?;
    } else {
        let shared = &summary.shared;
        let mut text = study_table::describe(&summary.study);
        if shared.runs > 0 {
            text.push_str(&output::prose(&format!(
                "{} in {:.1} s; data and model were opened {}, training steps compiled {}",
                count(shared.runs, "run"),
                summary.seconds,
                count(shared.opened, "time"),
                count(shared.compiled, "time"),
            )));
        }
        if shared.joined > 0 {
            text.push_str(&output::prose(&format!(
                "{} over rows: {} opened, {} took part in one of these, {} went on alone",
                count(shared.streams + shared.joined, "pass"),
                shared.streams,
                shared.joined,
                shared.left
            )));
        }
        text.push_str(&format!("page: {}\n", shown_path(summary.study.folder.join("search.html"))));
        output::print(&text)?;
    }
    let is_any_complete = summary.study.trials.iter().any(|trial| trial.state == TrialState::Complete);
    Ok(match (summary.interrupted, is_any_complete) {
        (true, _) => Outcome::Interrupted,
        (false, true) => Outcome::Done,
        // the report says why
        (false, false) => Outcome::Refused,
    })
}

fn best(global: &Global, folder: &StudyFolder, file: Option<&Path>, refit: bool) -> anyhow::Result<Outcome> {
    let file = file.map(|file| commands::argument_path(file.as_os_str())).transpose()?;
    let report = search::best(folder, file.as_deref(), &Catalogs::default())?;
    if !refit {
        if global.json {
            output::print_json(&report)?;
        } else {
            let trial = report.study.best_trial().map(|trial| study_table::trial(&report.study, trial));
            output::print(&format!("{}recipe: {}\n", trial.unwrap_or_default(), shown_path(&report.recipe)))?;
        }
        return Ok(Outcome::Done);
    }
    let options = TrainOptions {
        start: StartMode::New,
        library: global.runtime.clone(),
        catalogs: Catalogs::default(),
        keep_graph: false,
    };
    let stop = Stop::default();
    signals::listen(&stop)?;
    let mut events = progress::choose(global);
    let refitted = search::refit(folder, &options, events.as_mut(), &stop);
    drop(events);
    if stop.is_requested() {
        signals::answer();
    }
    let refitted = refitted?;
    let steps = refitted.as_ref().map_or(0, |(summary, _)| summary.steps);
    let Some((summary, notes)) = refitted.filter(|(summary, _)| !summary.interrupted) else {
        let command = format!("millstream search best {} --refit", shell_path(folder.path()));
        messages::tell(&format!("interrupted after step {steps}\nto go on:  {command}"));
        return Ok(Outcome::Interrupted);
    };
    if global.json {
        let mut value = serde_json::to_value(&summary)?;
        value["event"] = "finished".into();
        value["refit"] = serde_json::to_value(&notes)?;
        output::print_json_line(&value)?;
    } else {
        let mut text: String = notes.iter().map(|note| output::prose(note)).collect();
        let model = summary.model.as_deref().map_or_else(String::new, shown_path);
        text.push_str(&format!("{}\nmodel: {model}\n", count(summary.steps, "step")));
        output::print(&text)?;
    }
    Ok(Outcome::Done)
}
