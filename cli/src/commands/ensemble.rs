use std::path::{Path, PathBuf};

use anyhow::Context;
use millstream::recipes::ensemble::{
    EnsembleFolder, EvaluateOptions, ExportOptions, ExportReport, FitOptions, FitReport, MembersOptions, MembersReport,
    Sampling, evaluate, export, fit, snapshots, train_members,
};
use millstream::recipes::{Catalogs, Silent, Stop, import_rows_of};
use millstream::schemas::choice::{Catalog, Row};
use millstream::schemas::recipe::FoldsRecipe;
use millstream::schemas::{Choice, Recipe, decimal, grouped, nearest, shell_path, shown, shown_path};
use millstream::training::Evaluation;
use millstream::training::ensembles::{EnsembleKind, EnsembleReport};
use millstream::training::metrics::{FigureKind, confidence_in_words};
use serde_json::{Map, Value};

use crate::arguments::{Ensemble, EnsembleCommand, EnsembleFit, EnsembleMembers, Global, MeasureArguments};
use crate::messages::harmless;
use crate::table::Table;
use crate::{Outcome, commands, messages, output, progress, signals};

pub(crate) fn run(global: &Global, arguments: &Ensemble) -> anyhow::Result<Outcome> {
    let catalogs = Catalogs::default();
    match &arguments.command {
        EnsembleCommand::Fit(arguments) => {
            let options = fit_options(global, arguments, catalogs)?;
            let mut progress = if global.json { Box::new(Silent) } else { progress::choose(global) };
            let report = fit(&options, progress.as_mut(), &Stop::default());
            drop(progress);
            let report = report?;
            if global.json { output::print_json(&report)? } else { output::print(&told(&report))? }
        }
        EnsembleCommand::Export { folder, output: to, flips } => {
            let options = ExportOptions {
                folder: EnsembleFolder(path(folder)?),
                output: to.as_deref().map(path).transpose()?,
                flips: *flips,
                library: global.runtime.clone(),
                catalogs,
            };
            let report = export(&options)?;
            if global.json { output::print_json(&report)? } else { output::print(&exported(&report, &report.notes))? }
        }
        EnsembleCommand::Evaluate { folder, predictions, measure } => {
            let options = EvaluateOptions {
                folder: EnsembleFolder(path(folder)?),
                predictions: paths(predictions)?,
                metrics: metrics(measure)?,
                best: measure.best.clone(),
                bootstrap: measure.bootstrap,
                seed: measure.seed,
                memory: measure.memory,
                catalogs,
            };
            let report = evaluate(&options)?;
            if global.json { output::print_json(&report)? } else { output::print(&figures(&report, &|_| None))? }
        }
        EnsembleCommand::Members(arguments) => {
            return commands::with_recipe(&arguments.recipe, &["output.folder"], |recipe| {
                members(global, arguments, &recipe, catalogs)
            });
        }
        EnsembleCommand::Snapshots { run, output: to } => {
            let written = snapshots(&path(run)?, &path(to)?, &catalogs)?;
            if global.json {
                output::print_json(&written)?;
            } else {
                let lines: Vec<String> = written.iter().map(|path| format!("written: {}", shown_path(path))).collect();
                output::print(&lines.join("\n"))?;
            }
        }
        EnsembleCommand::Methods { name } => methods(global, &catalogs.ensembles, name.as_deref())?,
    }
    Ok(Outcome::Done)
}

fn members(
    global: &Global,
    arguments: &EnsembleMembers,
    recipe: &Recipe,
    catalogs: Catalogs,
) -> anyhow::Result<Outcome> {
    let EnsembleMembers { stratify, group, seed, .. } = arguments.clone();
    let sampling = match (arguments.folds, arguments.bags) {
        (Some(count), _) => Sampling::Folds(FoldsRecipe { count, stratify, group, seed }),
        (None, count) => Sampling::Bags { count: count.unwrap_or_default(), seed },
    };
    let options = MembersOptions {
        sampling,
        folder: path(&arguments.output)?,
        memory: arguments.memory,
        bootstrap: arguments.bootstrap,
        library: global.runtime.clone(),
        catalogs,
    };
    let mut progress = if global.json { Box::new(Silent) } else { progress::choose(global) };
    // before signals are listened to: an import that is cut off goes on by itself the next time
    import_rows_of(recipe, progress.as_mut(), &Stop::default())?;
    let stop = Stop::default();
    signals::listen(&stop)?;
    let report = train_members(recipe, &options, progress.as_mut(), &stop);
    drop(progress);
    if stop.is_requested() {
        signals::answer();
    }
    let Some(report) = report? else {
        messages::tell("interrupted; what is finished stays, and the same command goes on");
        return Ok(Outcome::Interrupted);
    };
    if global.json {
        output::print_json(&report)?
    } else {
        output::print(&members_told(&report))?
    }
    Ok(Outcome::Done)
}

/// Each on the rows that it has not seen, then all of them.
fn members_told(report: &MembersReport) -> String {
    let mut kinds = report.figures.clone();
    kinds.push(FigureKind::loss());
    let headings: Vec<String> = kinds.iter().map(|kind| format!(">{}", kind.label())).collect();
    let headings: Vec<&str> = ["", ">rows"].into_iter().chain(headings.iter().map(String::as_str)).collect();
    let mut table = Table::new(&headings);
    for member in &report.members {
        let own = [member.name.clone(), grouped(member.rows)];
        table.row(own.into_iter().chain(cells(&kinds, &member.evaluation)));
    }
    let all = ["all, unseen rows".to_owned(), grouped(report.answered)];
    table.row(all.into_iter().chain(cells(&kinds, &report.out_of_fold)));
    let folder = shell_path(&report.folder);
    format!(
        "{}\n{}model: {}\npredictions: {}\nto combine it with others:  millstream ensemble fit {folder} …\n",
        table.render(),
        output::prose(&report.rows_in_words()),
        shown_path(&report.model),
        shown_path(&report.predictions)
    )
}

/// Figures with their intervals.
fn cells(kinds: &[FigureKind], evaluation: &Evaluation) -> Vec<String> {
    let cell =
        |kind: &FigureKind| kind.shown_with_interval(evaluation.figure(&kind.name), evaluation.interval(&kind.name));
    kinds.iter().map(cell).collect()
}

fn path(given: &Path) -> anyhow::Result<PathBuf> {
    commands::argument_path(given.as_os_str())
}

fn paths(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    given.iter().map(|given| path(given)).collect()
}

fn fit_options(global: &Global, arguments: &EnsembleFit, catalogs: Catalogs) -> anyhow::Result<FitOptions> {
    let EnsembleFit { measure, .. } = arguments;
    Ok(FitOptions {
        members: paths(&arguments.members)?,
        predictions: paths(&arguments.predictions)?,
        method: Choice::new(arguments.method.as_str(), options(&arguments.options)?),
        metrics: metrics(measure)?,
        best: measure.best.clone(),
        holdout: arguments.holdout,
        seed: measure.seed,
        bootstrap: measure.bootstrap,
        flips: arguments.flips,
        output_name: arguments.output_name.clone(),
        memory: measure.memory,
        recipe: arguments.recipe.as_deref().map(path).transpose()?,
        library: global.runtime.clone(),
        folder: EnsembleFolder(path(&arguments.output)?),
        overwrite: arguments.overwrite,
        catalogs,
    })
}

/// `l2=0.01` as an object; what is no JSON is a text.
fn options(given: &[String]) -> anyhow::Result<Value> {
    let mut options = Map::new();
    for option in given {
        let (key, value) =
            option.split_once('=').with_context(|| format!("`--option {}`: wanted KEY=VALUE", shown(option)))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        anyhow::ensure!(options.insert(key.to_owned(), value).is_none(), "`--option {}` is given twice", shown(key));
    }
    Ok(Value::Object(options))
}

/// `f1`, or `{"top_k": {"k": 3}}`.
fn metrics(measure: &MeasureArguments) -> anyhow::Result<Vec<Choice>> {
    let one = |text: &String| match text.trim_start().starts_with('{') {
        true => {
            serde_json::from_str(text).with_context(|| format!("`--metric {}` is no name and no JSON", shown(text)))
        }
        false => Ok(Choice::named(text.as_str())),
    };
    measure.metrics.iter().map(one).collect()
}

fn told(report: &FitReport) -> String {
    let FitReport { ensemble, exported: model, folder } = report;
    let mut text = format!("{}, {}\n\n", shown(&ensemble.method.name), ensemble.split_in_words());
    text.push_str(&figures(&ensemble.report, &|member| ensemble.share(member)));
    text.push('\n');
    text.push_str(&exported(model, &ensemble.notes));
    text.push_str(&format!("report: {}\n", shown_path(EnsembleFolder(folder.clone()).report())));
    text
}

fn exported(report: &ExportReport, notes: &[String]) -> String {
    let mut text = String::new();
    if let Some(nodes) = report.nodes {
        let apart: usize = report.member_nodes.iter().sum();
        let sum = format!(
            "the model has {} nodes; up to their scores its members have {} together",
            grouped(nodes as u64),
            grouped(apart as u64)
        );
        text.push_str(&output::prose(&sum));
    }
    for note in notes {
        text.push_str(&output::prose(&format!("note: {}", harmless(note))));
    }
    text.push_str(&format!("model: {} ({:.1} MB)\n", shown_path(&report.model), report.bytes as f64 / 1e6));
    text
}

/// Members, their mean and the ensemble under each other.
fn figures(report: &EnsembleReport, share: &dyn Fn(usize) -> Option<f64>) -> String {
    let kinds = report.kinds();
    let weighted = (0..report.members.len()).any(|member| share(member).is_some());
    let mut headings = vec![String::new()];
    headings.extend(weighted.then(|| ">weight".to_owned()));
    headings.extend(kinds.iter().map(|kind| format!(">{}", kind.label())));
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    let cells = |evaluation: &Evaluation| cells(&kinds, evaluation);
    let weight = |text: String| weighted.then_some(text);
    for (at, member) in report.members.iter().enumerate() {
        let own = share(at).map_or_else(|| "–".to_owned(), decimal);
        table.row(std::iter::once(member.name.clone()).chain(weight(own)).chain(cells(&member.evaluation)));
    }
    let mean = kinds.iter().map(|kind| kind.shown(report.mean_of_members.get(&kind.name)));
    table.row(std::iter::once("members' mean".to_owned()).chain(weight(String::new())).chain(mean));
    table.row(std::iter::once("ensemble".to_owned()).chain(weight(String::new())).chain(cells(&report.ensemble)));
    let mut text = table.render();
    if !report.ensemble.intervals.is_empty() {
        text.push_str(&output::prose(&format!(
            "intervals of {}, on {} rows",
            confidence_in_words(report.ensemble.confidence),
            grouped(report.ensemble.rows)
        )));
    }
    text.extend(report.gain_in_words().map(|gain| output::prose(&harmless(&gain))));
    text
}

fn methods(global: &Global, catalog: &Catalog<EnsembleKind>, name: Option<&str>) -> anyhow::Result<()> {
    let entry = |row: &EnsembleKind| {
        serde_json::json!({
            "name": row.name, "summary": row.summary, "documentation": row.documentation, "options": row.schema(),
        })
    };
    let Some(name) = name else {
        if global.json {
            return output::print_json(&catalog.rows().iter().map(entry).collect::<Vec<_>>());
        }
        let mut table = Table::new(&["name", "what it is"]);
        catalog.rows().iter().for_each(|row| table.row([row.name.to_owned(), row.summary.to_owned()]));
        return output::print(&table.render());
    };
    let row = catalog.get(name).with_context(|| {
        let near = nearest(name, catalog.rows().iter().map(|row| row.name));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        format!("there is no way to make one model of several called `{}`{hint}", shown(name))
    })?;
    if global.json {
        return output::print_json(&entry(row));
    }
    let mut text = format!("{}: {}\n\n{}", row.name, row.summary, output::prose(row.documentation));
    let schema = row.schema();
    for (option, about) in schema["properties"].as_object().into_iter().flatten() {
        let description = about["description"].as_str().unwrap_or_default();
        text.push_str(&output::prose(&format!("--option {option}=…: {description}")));
    }
    output::print(&text)
}
