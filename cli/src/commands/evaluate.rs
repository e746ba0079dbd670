use anyhow::Context;
use millstream::recipes::runs::RECIPE_FILE;
use millstream::recipes::{Catalogs, EvaluateOptions, EvaluationReport, Stop, evaluate, require_no_input};
use millstream::training::metrics::{Cell, FigureKind, Record, Table, confidence_in_words, with_interval};
use millstream::training::{Evaluation, SetEvaluation};

use crate::arguments::{self, Global};
use crate::output;
use crate::table::Table as Columns;
use crate::terminal::{columns, output_width};
use crate::{Outcome, commands, messages, progress};
use millstream::schemas::{Recipe, count, grouped, percent, shown, shown_path};

/// Larger matrices do not fit on a screen; `--json` has them.
const MOST_CLASSES: usize = 20;

pub(crate) fn run(global: &Global, arguments: &arguments::Evaluate, recipe: &Recipe) -> anyhow::Result<Outcome> {
    let options = EvaluateOptions {
        model: match &arguments.model {
            Some(model) => Some(commands::argument_path(model.as_os_str())?),
            None => None,
        },
        data: match arguments.data.as_slice() {
            [] => None,
            paths => Some(commands::argument_paths(paths)?.try_into().expect("there is a path")),
        },
        decimal_comma: arguments.decimal_comma,
        other_sets: true,
        library: global.runtime.clone(),
        views: arguments.tta,
        predictions: match &arguments.predictions {
            Some(path) => Some(commands::argument_path(path.as_os_str())?),
            None => None,
        },
        catalogs: Catalogs::default(),
    };
    if let Some(file) = &options.predictions {
        let recipe = &arguments.recipe.recipe;
        let read = if recipe.is_dir() { recipe.join(RECIPE_FILE) } else { recipe.clone() };
        require_no_input(file, [read.as_path()].into_iter().chain(options.model.as_deref()))?;
    }
    let mut progress = if global.json { Box::new(millstream::recipes::Silent) } else { progress::choose(global) };
    let report = evaluate(recipe, &options, progress.as_mut(), &Stop::default());
    drop(progress);
    let mut report = report?.context("the evaluation was stopped")?;
    if global.json {
        // they are for the report page
        report.evaluation.leave_out_maps();
        report.other_evaluations.iter_mut().for_each(|set| set.evaluation.leave_out_maps());
        output::print_json(&report)?
    } else {
        report.warnings.iter().filter(|_| !global.quiet).for_each(|warning| messages::warn(warning));
        output::print(&describe(&report, global.verbose > 0))?
    }
    Ok(Outcome::Done)
}

/// `accuracy 88.6 % of 140 rows (82.3 % to 92.9 %), top-5 99.0 %, loss 0.4012; intervals of 95 %`.
pub(crate) fn figures(evaluation: &Evaluation, kinds: &[FigureKind]) -> String {
    let loss = FigureKind::loss();
    let measured = kinds.iter().chain([&loss]).filter_map(|kind| Some((kind, evaluation.figure(&kind.name)?)));
    let measured = measured.map(|(kind, value)| {
        let interval = evaluation.interval(&kind.name).map(|ends| format!(" ({})", kind.shown_interval(ends)));
        (format!("{} {}", kind.label(), kind.shown(Some(value))), interval.unwrap_or_default())
    });
    let mut parts: Vec<_> = measured.collect();
    parts[0].0.push_str(&format!(" of {}", count(evaluation.rows, "row")));
    let parts: Vec<String> = parts.into_iter().map(|(figure, interval)| figure + &interval).collect();
    let confidence = if evaluation.intervals.is_empty() { String::new() } else { of_confidence(evaluation) };
    parts.join(", ") + &confidence
}

fn of_confidence(evaluation: &Evaluation) -> String {
    format!("; intervals of {}", confidence_in_words(evaluation.confidence))
}

/// A table for each column, with a line for each of its values.
pub(crate) fn slices(evaluation: &Evaluation, kinds: &[FigureKind]) -> String {
    let mut text = String::new();
    for column in &evaluation.slices {
        let is_there = |kind: &&FigureKind| column.slices.iter().any(|slice| slice.figures.get(&kind.name).is_some());
        let kinds: Vec<&FigureKind> = kinds.iter().filter(is_there).collect();
        let headings: Vec<String> = kinds.iter().map(|kind| format!(">{}", column.heading(kind))).collect();
        let headings: Vec<&str> =
            [column.column.as_str(), ">rows"].into_iter().chain(headings.iter().map(String::as_str)).collect();
        let mut table = Columns::new(&headings);
        for slice in &column.slices {
            let figure = |kind: &&FigureKind| {
                kind.shown_with_interval(slice.figures.get(&kind.name), slice.interval(&kind.name))
            };
            let cells = [slice.name.to_string(), grouped(slice.rows)];
            table.row(cells.into_iter().chain(kinds.iter().map(figure)));
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    let lacks_interval = |kind: &FigureKind| {
        evaluation.interval(&kind.name).is_none() && evaluation.slices.iter().any(|column| column.lacks_interval(kind))
    };
    if kinds.iter().any(lacks_interval) {
        text.push_str(&output::prose(
            "what has no interval is no share of rows; `evaluation.intervals: {bootstrap: 1000}` draws rows for it",
        ));
    }
    text
}

/// A line for each other set, with its slices.
pub(crate) fn others(sets: &[SetEvaluation], kinds: &[FigureKind]) -> String {
    let mut text = String::new();
    for SetEvaluation { name, evaluation } in sets {
        text.push_str(&output::prose(&format!("on `{}`: {}", shown(name), figures(evaluation, kinds))));
        if !evaluation.slices.is_empty() {
            text.push_str(&format!("{}\n", slices(evaluation, kinds)));
        }
    }
    text
}

fn describe(report: &EvaluationReport, verbose: bool) -> String {
    let mut text = format!("{}\n", figures(&report.evaluation, &report.figures));
    let is_matrix = |(_, table): &&(String, Table)| matches!(table, Table::Matrix(_));
    let (matrices, lists): (Vec<_>, Vec<_>) = report.evaluation.tables.iter().partition(is_matrix);
    for (name, table) in lists.into_iter().chain(matrices) {
        text.push_str(&match table {
            Table::Classes(records) => format!("\n{}", of_classes(records)),
            Table::Matrix(counts) => matrix(name, counts, &report.classes),
        });
    }
    text.push_str(&slices(&report.evaluation, &report.figures));
    let others = others(&report.other_evaluations, &report.figures);
    if !others.is_empty() {
        text.push_str(&format!("\n{others}"));
    }
    if report.evaluation.not_finite > 0 {
        let (rows, one) = (report.evaluation.not_finite, report.evaluation.not_finite == 1);
        let verbs = if one {
            "has scores that are no numbers, and counts"
        } else {
            "have scores that are no numbers, and count"
        };
        text.push_str(&output::prose(&format!("\n{} {verbs} as wrong", count(rows, "row"))));
    }
    if report.skipped > 0 {
        let was = if report.skipped == 1 { "was" } else { "were" };
        text.push_str(&format!("\n{} {was} left out\n", count(report.skipped, "damaged row")));
    }
    for note in &report.notes {
        text.push_str(&output::prose(&format!("\nnote: {}", messages::harmless(note))));
    }
    if verbose && !report.preprocessing_known {
        text.push_str(&output::prose("\nthe model's file does not say with which preprocessing it was trained"));
    }
    let device = output::device(&report.device, &report.device_reason, verbose);
    text.push_str(&format!("\n{}\non {device}, {:.1} s\n", shown_path(&report.model), report.seconds));
    if let Some(path) = &report.predictions {
        text.push_str(&format!("predictions: {}\n", shown_path(path)));
    }
    text
}

fn of_classes(records: &[Record]) -> String {
    let Some(first) = records.first() else { return String::new() };
    // Numbers stand to the right.
    let heading = |(name, cell): &(String, Cell)| match cell {
        Cell::Text(_) if name == "name" => "class".to_owned(),
        Cell::Text(_) => name.replace('_', "-"),
        Cell::Count(_) | Cell::Share(_) | Cell::Intervals(_) => format!(">{}", name.replace('_', "-")),
    };
    let text = |record: &Record, column: &str, cell: &Cell| match cell {
        Cell::Text(text) => text.clone(),
        Cell::Count(count) => grouped(*count),
        Cell::Share(Some(share)) => with_interval(percent(*share), record.interval(column), percent),
        Cell::Share(None) | Cell::Intervals(_) => "–".to_owned(),
    };
    let headings: Vec<String> = first.cells().map(heading).collect();
    let mut table = Columns::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for record in records {
        table.row(record.cells().map(|(column, cell)| text(record, column, cell)));
    }
    table.render()
}

/// As many predicted classes beside each other as the screen is wide, then the next ones.
fn matrix(name: &str, matrix: &[Vec<u64>], names_of_classes: &[String]) -> String {
    let (name, classes) = (name.replace('_', " "), names_of_classes.len());
    if !(1..=MOST_CLASSES).contains(&classes) || matrix.len() != classes {
        let has = if matrix.is_empty() { String::new() } else { format!("; `--json` prints the {name}") };
        return output::prose(&format!("\n{} are too many for a {name} here{has}", count(classes as u64, "class")));
    }
    let widest = matrix.iter().flatten().map(|count| grouped(*count).len()).max().unwrap_or(1).max(2) + 2;
    let names = names_of_classes.iter().map(|name| columns(name)).max().unwrap_or(0).clamp(10, 24) + 5;
    let beside = (output_width().saturating_sub(names) / widest).max(1);
    let mut text = format!("\n{name} (columns: predicted class):\n");
    for first in (0..classes).step_by(beside) {
        let shown = first..(first + beside).min(classes);
        let numbers: Vec<_> = shown.clone().map(|index| format!(">{index}")).collect();
        let headings: Vec<&str> = ["true class"].into_iter().chain(numbers.iter().map(String::as_str)).collect();
        let mut table = Columns::new(&headings);
        for (index, (name, counts)) in names_of_classes.iter().zip(matrix).enumerate() {
            let counts = counts[shown.clone()].iter().map(|count| grouped(*count));
            table.row([format!("{index} {name}")].into_iter().chain(counts));
        }
        text.push_str(&table.render());
    }
    text
}
