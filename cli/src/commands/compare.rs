use anyhow::Context;
use millstream::recipes::comparison::{
    self, CompareOptions, ComparisonReport, PairedComparison, PairedFigure, compare,
};
use millstream::recipes::{Catalogs, Stop};
use millstream::schemas::files::replace_file;
use millstream::schemas::{count, decimal, grouped, shown_path};
use millstream::training::metrics::{FigureKind, Unit, confidence_in_words, interval_in_words};

use crate::arguments::{self, Global};
use crate::table::Table;
use crate::{Outcome, kept_files, messages, missing_place, output, progress, signals};

pub(crate) fn run(global: &Global, arguments: &arguments::Compare) -> anyhow::Result<Outcome> {
    arguments.runs.iter().try_for_each(|run| missing_place::require_run(run))?;
    arguments.html.iter().try_for_each(|file| kept_files::require_page(file, &arguments.runs))?;
    let options = CompareOptions {
        runs: arguments.runs.clone(),
        predict: arguments.predict,
        resamples: arguments.resamples,
        seed: arguments.seed,
        library: global.runtime.clone(),
        catalogs: Catalogs::default(),
    };
    let mut progress = if global.json { Box::new(millstream::recipes::Silent) } else { progress::choose(global) };
    let stop = Stop::default();
    signals::listen_and_answer(&stop, "stopping: nothing is compared; a second signal ends at once")?;
    let report = compare(&options, progress.as_mut(), &stop);
    drop(progress);
    if stop.is_requested() {
        signals::answer();
    }
    let Some(report) = report? else { return Ok(Outcome::Interrupted) };
    if let Some(file) = &arguments.html {
        replace_file(file, comparison::page(&report).as_bytes())
            .with_context(|| format!("cannot write {}", shown_path(file)))?;
    }
    if global.json {
        output::print_json(&report)?;
        return Ok(Outcome::Done);
    }
    report.notes.iter().filter(|_| !global.quiet).for_each(|note| messages::warn(note));
    let mut text = describe(&report);
    if let Some(file) = &arguments.html {
        text += &format!("\n{}\n", shown_path(file));
    }
    output::print(&text)?;
    Ok(Outcome::Done)
}

fn describe(report: &ComparisonReport) -> String {
    let names: Vec<&str> = report.runs.iter().map(|run| run.name.as_str()).collect();
    let mut text = match report.settings.is_empty() {
        true => "nothing is set otherwise: recipes, base model, data and device are the same\n".to_owned(),
        false => {
            let headings: Vec<&str> = std::iter::once("set otherwise").chain(names.iter().copied()).collect();
            let mut table = Table::new(&headings);
            for setting in &report.settings {
                let values = (0..names.len()).map(|run| setting.shown(run).unwrap_or_else(|| "–".to_owned()));
                table.row(std::iter::once(setting.place.clone()).chain(values));
            }
            table.render()
        }
    };
    let headings: Vec<String> = names.iter().map(|name| format!(">{name}")).collect();
    let headings: Vec<&str> = std::iter::once("").chain(headings.iter().map(String::as_str)).collect();
    let mut table = Table::new(&headings);
    for kind in &report.figures {
        let figure = |run: &comparison::ComparedRun| {
            let Some(evaluation) = &run.evaluation else { return "–".to_owned() };
            kind.shown_with_interval(evaluation.figure(&kind.name), evaluation.interval(&kind.name))
        };
        table.row(std::iter::once(kind.label()).chain(report.runs.iter().map(figure)));
    }
    if let Some(sets) = report.sets() {
        let sets = sets.into_iter().map(str::to_owned);
        table.row(std::iter::once("measured on".to_owned()).chain(sets));
    }
    let rows = |run: &comparison::ComparedRun| {
        run.evaluation.as_ref().map_or_else(|| "–".to_owned(), |evaluation| grouped(evaluation.rows))
    };
    table.row(std::iter::once("rows".to_owned()).chain(report.runs.iter().map(rows)));
    text += &format!("\n{}", table.render());
    let mut measured = report.runs.iter().filter_map(|run| run.evaluation.as_ref());
    if let Some(evaluation) = measured.find(|evaluation| !evaluation.intervals.is_empty()) {
        text += &output::prose(&format!("in brackets: intervals of {}", confidence_in_words(evaluation.confidence)));
    }
    for pair in &report.pairs {
        text += &of_pair(report, pair);
    }
    text
}

fn of_pair(report: &ComparisonReport, pair: &PairedComparison) -> String {
    let (first, second) = (&report.runs[pair.first].name, &report.runs[pair.second].name);
    let mut text = format!("\n{second} against {first}, on the same {}", count(pair.rows, "row"));
    text += &match pair.left_out {
        0 => "\n".to_owned(),
        rows => format!(" (without {} that one of them alone has answered)\n", count(rows, "row")),
    };
    let interval = format!(">interval of {}", confidence_in_words(report.confidence));
    let mut table = Table::new(&["", ">difference", &interval, ">p"]);
    for figure in &pair.figures {
        let PairedFigure { kind, difference, interval, p, .. } = figure;
        table.row([
            kind.label(),
            difference.map_or_else(|| "–".into(), |value| signed(kind, value)),
            interval.map_or_else(|| "–".into(), |ends| interval_in_words(ends, |end| signed(kind, end))),
            p.map_or_else(|| "–".into(), chance),
        ]);
    }
    text += &table.render();
    if let Some(right) = &pair.right {
        let after = if right.p_adjusted == right.p {
            String::new()
        } else {
            format!(", after Holm {}", chance(right.p_adjusted))
        };
        text += &output::prose(&format!(
            "{} alone has {} right, {} alone {}: p {}{after} (McNemar's exact test)",
            first,
            count(right.first_only, "row"),
            second,
            grouped(right.second_only),
            chance(right.p)
        ));
    }
    text
}

fn signed(kind: &FigureKind, value: f64) -> String {
    match kind.unit {
        Unit::Share => format!("{:+.1} points", 100.0 * value),
        Unit::Number => format!("{}{}", if value < 0.0 { '-' } else { '+' }, decimal(value.abs())),
    }
}

/// `0.0310`, `<0.0001`.
fn chance(p: f64) -> String {
    if p < 1e-4 { "<0.0001".into() } else { format!("{p:.4}") }
}
