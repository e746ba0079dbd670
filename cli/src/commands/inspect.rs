use std::path::Path;

use anyhow::Context;
use millstream::recipes::inspect::{DatasetReport, ModelInspection, inspect_dataset, inspect_model};
use millstream::schemas::recipe::ByteSize;

use crate::Outcome;
use crate::arguments::{Global, Inspect};
use crate::commands::check::{layers, operators, shape};
use crate::output::{self, Table, grouped};
use millstream::schemas::shown;

/// Files that are named one by one; the rest is counted.
const MOST_FILES: usize = 20;

pub(crate) fn run(global: &Global, arguments: &Inspect) -> anyhow::Result<Outcome> {
    let is_model =
        Path::new(&arguments.path).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
    if is_model || !arguments.patterns.is_empty() {
        let report = inspect_model(Path::new(&arguments.path), &arguments.patterns)?;
        if global.json { output::print_json(&report)? } else { output::print(&describe_model(&report))? }
    } else {
        let base = std::env::current_dir().context("the working directory cannot be read")?;
        let report = inspect_dataset(&arguments.path, &base, &arguments.label)?;
        if global.json { output::print_json(&report)? } else { output::print(&describe_dataset(&report))? }
    }
    Ok(Outcome::Done)
}

fn describe_dataset(report: &DatasetReport) -> String {
    let mut text = format!(
        "{} rows in {} file(s), {} on disk ({} decompressed), {} row groups of at most {} rows\n",
        grouped(report.rows),
        report.files.len(),
        ByteSize(report.bytes),
        ByteSize(report.uncompressed_bytes),
        report.row_groups,
        grouped(report.largest_row_group.into())
    );
    text.push_str("\ncolumns:\n");
    let mut columns = Table::new(&["name", "meaning", "type", ""]);
    for column in &report.columns {
        let role = match Some(&column.name) {
            name if name == report.input.as_ref() => "input",
            name if name == report.label.as_ref() => "class",
            _ => "",
        };
        columns.row([column.name.clone(), column.feature.clone(), column.r#type.clone(), role.into()]);
    }
    text.push_str(&columns.render());
    if !report.classes.is_empty() {
        text.push_str("\nclasses:\n");
        let mut classes = Table::new(&[">", "name", ">rows", ">share"]);
        for (index, class) in report.classes.iter().enumerate() {
            let share = class.rows as f64 / report.rows.max(1) as f64;
            classes.row([index.to_string(), class.name.clone(), grouped(class.rows), output::percent(share)]);
        }
        text.push_str(&classes.render());
    }
    for (rows, what) in [(report.unlabelled, "unlabelled (−1)"), (report.null_labels, "without a label (null)")] {
        if rows > 0 {
            text.push_str(&format!("  {} rows are {what}\n", grouped(rows)));
        }
    }
    text.push_str("\nfiles:\n");
    let mut files = Table::new(&["name", ">rows", ">size", ">row groups", "written by"]);
    for file in report.files.iter().take(MOST_FILES) {
        files.row([
            file.name.clone(),
            grouped(file.rows),
            ByteSize(file.bytes).to_string(),
            file.row_groups.to_string(),
            file.created_by.clone().unwrap_or_default(),
        ]);
    }
    text.push_str(&files.render());
    if report.files.len() > MOST_FILES {
        text.push_str(&format!("  … and {} more\n", report.files.len() - MOST_FILES));
    }
    for note in &report.notes {
        text.push_str(&format!("\nnote: {}\n", shown(note)));
    }
    text
}

fn describe_model(report: &ModelInspection) -> String {
    let model = &report.model;
    let mut text = format!(
        "opset {}, written by {}\n",
        model.opset,
        if model.producer.is_empty() { "?".into() } else { shown(&model.producer) }
    );
    for (kind, values) in [("input", &model.inputs), ("output", &model.outputs)] {
        for (name, axes) in values {
            text.push_str(&format!("{kind} {} {}\n", shown(name), shape(axes)));
        }
    }
    text.push_str(&format!("\n{} layers, {} parameters:\n", model.layers.len(), grouped(model.parameters as u64)));
    text.push_str(&layers(model, false));
    text.push_str("\noperators:\n");
    text.push_str(&operators(model, false));
    for found in &report.patterns {
        let hint =
            found.nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean `{}`?", shown(nearest)));
        text.push_str(&format!(
            "\n`{}` matches {} layers with {} parameters{hint}\n",
            found.pattern,
            found.layers.len(),
            grouped(found.parameters as u64)
        ));
        for layer in &found.layers {
            text.push_str(&format!("  {}\n", shown(layer)));
        }
    }
    text
}
