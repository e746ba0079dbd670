use std::path::Path;

use millstream::OperatorCatalog;
use millstream::compiler::{BoxMaps, ExportAdvice, KnownOperators, Passage, known_operators};
use millstream::recipes::inspect::{DatasetReport, ModelInspection, WholeStep, inspect_dataset, inspect_model};
use millstream::schemas::recipe::ByteSize;

use crate::arguments::{Global, Inspect};
use crate::commands::check::{layers, operators, shape, structure};
use crate::messages::harmless;
use crate::output;
use crate::table::Table;
use crate::{Outcome, commands};
use millstream::schemas::{count, grouped, percent, shown};

/// Files that are named one by one; the rest is counted.
const MOST_FILES: usize = 20;
/// Files that are looked at as models: what other tools save is told by its content, and what to do with it.
const MODELS: [&str; 13] =
    ["onnx", "ort", "pt", "pth", "ckpt", "safetensors", "gguf", "h5", "keras", "tflite", "pb", "pkl", "joblib"];

pub(crate) fn run(global: &Global, arguments: &Inspect) -> anyhow::Result<Outcome> {
    if arguments.operators {
        let known = known_operators(&OperatorCatalog::standard());
        if global.json {
            output::print_json(&known)?
        } else {
            output::print(&describe_operators(&known))?
        }
        return Ok(Outcome::Done);
    }
    let paths = commands::argument_paths(&arguments.paths)?;
    let is_model = |path: &String| {
        let extension = Path::new(path).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        MODELS.iter().any(|known| extension.eq_ignore_ascii_case(known))
    };
    if paths.iter().any(is_model) || !arguments.patterns.is_empty() {
        let [path] = paths.as_slice() else {
            anyhow::bail!("{} were named; models are inspected one at a time", count(paths.len() as u64, "path"));
        };
        let report = inspect_model(
            Path::new(path),
            &arguments.patterns,
            &OperatorCatalog::standard(),
            global.runtime.as_deref(),
        )?;
        if global.json {
            output::print_json(&report)?
        } else {
            output::print(&describe_model(&report))?
        }
        if report.patterns.iter().any(|found| found.layers.is_empty()) {
            return Ok(Outcome::Refused);
        }
    } else {
        let report = inspect_dataset(&paths, Path::new("/"), arguments.label.as_deref())?;
        if global.json {
            output::print_json(&report)?
        } else {
            output::print(&describe_dataset(&report))?
        }
        if report.label.is_none() && arguments.label.is_some() {
            return Ok(Outcome::Refused);
        }
    }
    Ok(Outcome::Done)
}

fn describe_operators(known: &KnownOperators) -> String {
    let mut listed = Table::new(&["operator", "domain", "opsets", "gradient", "why"]);
    for row in &known.operators {
        let gradient = match row.gradient {
            Passage::Defined => "yes",
            Passage::Expanded => "yes, as simpler operators",
            Passage::Zero => "zero",
            Passage::None => "none",
            Passage::Resolved => "resolved on import",
        };
        listed.row([
            row.operator.into(),
            if row.domain.is_empty() { "ai.onnx".into() } else { row.domain.into() },
            row.opsets.map_or_else(String::new, |(first, last)| format!("{first} to {last}")),
            gradient.into(),
            row.reason.unwrap_or_default().into(),
        ]);
    }
    output::prose(&format!(
        "{}; models of opset {} to {} are read, those before {} as {}",
        count(known.operators.len() as u64, "operator"),
        known.oldest_opset,
        known.newest_opset,
        known.kept_from,
        known.read_as
    )) + &listed.render()
}

fn describe_dataset(report: &DatasetReport) -> String {
    let mut text = output::prose(&format!(
        "{} in {}, {} on disk ({} decompressed), {} of at most {}",
        count(report.rows, "row"),
        count(report.files.len() as u64, "file"),
        ByteSize(report.bytes),
        ByteSize(report.uncompressed_bytes),
        count(report.row_groups as u64, "row group"),
        count(report.largest_row_group, "row")
    ));
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
            classes.row([index.to_string(), class.name.clone(), grouped(class.rows), percent(share)]);
        }
        text.push_str(&classes.render());
    }
    for (rows, what) in [(report.unlabelled, "unlabelled (−1)"), (report.null_labels, "without a label (null)")] {
        if rows > 0 {
            let are = if rows == 1 { "is" } else { "are" };
            text.push_str(&format!("  {} {are} {what}\n", count(rows, "row")));
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
        text.push_str(&format!("  … and {} more\n", grouped((report.files.len() - MOST_FILES) as u64)));
    }
    for note in &report.notes {
        text.push_str(&output::prose(&format!("\nnote: {}", harmless(note))));
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
            let dtype = model.element_types.get(name).copied().unwrap_or_default();
            text.push_str(&format!("{kind} {} {} {dtype}\n", shown(name), shape(axes)));
        }
    }
    let (layers_found, parameters) = (model.layers.len() as u64, model.parameters as u64);
    text.push_str(&format!("\n{}, {}:\n", count(layers_found, "layer"), count(parameters, "parameter")));
    text.push_str(&layers(model, false));
    text.push_str(&structure(model));
    text.push_str("\noperators:\n");
    text.push_str(&operators(model, false));
    for note in &model.notes {
        text.push_str(&output::prose(&format!("\nnote: {}", harmless(note))));
    }
    text.push_str(&box_maps(&report.box_maps));
    text.push_str(&whole_step(&report.whole_step));
    if report.advice.is_empty() {
        text.push_str("\nthe export has nothing that is known to train badly\n");
    } else {
        text.push_str("\nwhat to change in the export:\n");
    }
    for ExportAdvice { finding, change } in &report.advice {
        text.push_str(&output::prose(&format!("  {}", harmless(finding))));
        text.push_str(&output::prose(&format!("    → {}", harmless(change))));
    }
    for found in &report.patterns {
        let hint =
            found.nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean `{}`?", shown(nearest)));
        text.push_str(&output::prose(&format!(
            "\n`{}` matches {} with {}{hint}",
            shown(&found.pattern),
            count(found.layers.len() as u64, "layer"),
            count(found.parameters as u64, "parameter")
        )));
        for layer in &found.layers {
            text.push_str(&format!("  {}\n", shown(layer)));
        }
    }
    text
}

/// Which maps of a model of pictures tell boxes.
fn box_maps(of_outputs: &[BoxMaps]) -> String {
    if of_outputs.is_empty() {
        return String::new();
    }
    let sides = |sides: [Option<usize>; 2]| {
        let [down, across] = sides.map(|side| side.map_or_else(|| "?".to_owned(), |side| side.to_string()));
        if down == across { down } else { format!("{down} × {across}") }
    };
    let mut listed = Table::new(&["output", ">finer", "map", ">features", ">places a side", ">pixels a place"]);
    for of in of_outputs {
        for (finer, map) in of.maps.iter().enumerate() {
            let numbers = [grouped(map.features as u64), sides(map.places), sides(map.pixels)];
            let names = [of.output.clone(), finer.to_string(), map.name.clone()];
            listed.row(names.into_iter().chain(numbers));
        }
    }
    let mut text = "\nmaps that a detector can stand on (`head: {boxes: {finer: …}}`):\n".to_owned();
    if of_outputs.iter().any(|of| !of.maps.is_empty()) {
        text.push_str(&listed.render());
    }
    for why in of_outputs.iter().filter_map(|of| of.obstacle.as_ref()) {
        text.push_str(&output::prose(&format!("  {}", harmless(why))));
    }
    text
}

/// What a step takes that trains all layers.
fn whole_step(step: &WholeStep) -> String {
    let mut said = Vec::new();
    if let Some(memory) = &step.memory {
        said.push(format!(
            "memory: about {} on the CPU for one row, with AdamW and without the data (weights {}, gradients and optimizer {}, computed \
             values {}, graphs {}, the program itself {})",
            ByteSize(memory.total),
            ByteSize(memory.weights),
            ByteSize(memory.training_state),
            ByteSize(memory.activations),
            ByteSize(memory.graphs),
            ByteSize(memory.process)
        ));
    }
    said.extend(step.obstacle.as_ref().map(|obstacle| format!("not told in full: {}", harmless(obstacle))));
    said.extend(step.kernels.as_ref().map(|kernels| format!("kernels: {}", harmless(kernels))));
    said.extend(step.notes.iter().map(|note| format!("note: {}", harmless(note))));
    let lines = said.iter().map(|line| output::prose(&format!("  {line}")));
    "\na step that trains all layers:\n".to_owned() + &lines.collect::<String>()
}
