//! `docs/catalogs.md`: what a recipe can choose among, from `schema`, `transforms --json`, `ensemble methods --json` and the
//! documentation in the source of each row.

use serde_json::Value;

use super::asked::Asked;
use super::documentation;
use super::schema_text::{CATALOGS, anchor, bare, escaped, meaning, plain, shape, table};

const HEAD: &str = "\
# Catalogs

<!-- Written by `cargo xtask docs` from `millstream schema`, `millstream transforms --json`, `millstream ensemble methods --json` and the\n     documentation of each row in its source. -->

What a recipe chooses by name, with options. A name is written by itself (`adamw`) or with options (`{adamw: {learning_rate: 1e-3}}`). A program of yours adds rows of its own to each of
these ([CONTRIBUTING](../CONTRIBUTING.md)).

";

/// Of each catalog: its definition, where its rows stand in a recipe, the page that says more, and the folder of its rows.
const PLACES: &[(&str, &str, &str, &str)] = &[
    ("Encoding", "`data.inputs`, `data.targets`", "[Losses and their targets](losses.md)", "pipeline/src/encodings"),
    ("Head", "`model.head`", "[Classify images](tasks/images.md)", "compiler/src/finetuning/heads"),
    ("Initializer", "`model.head.new_with`, `model.initialize`", "", "compiler/src/initializers"),
    ("Log", "`output.logs`", "[Logs](logs.md)", "training/src/logs"),
    ("Loss", "`training.loss`", "[Losses and their targets](losses.md)", "compiler/src/losses"),
    ("Method", "`model.methods`", "[Adapters](adapters.md)", "compiler/src/finetuning/methods"),
    ("Metric", "`training.metrics`", "[Measuring](evaluation.md)", "training/src/metrics"),
    ("Optimizer", "`training.optimizer`", "[Optimizers](optimizers.md)", "training/src/optimizers"),
    ("Proposer", "`search.proposer`", "[Search](search.md)", "search/src/proposers"),
    ("Schedule", "`training.schedule`", "[Steering a run](steering.md)", "training/src/schedules"),
    ("StoppingRule", "`search.stopping`", "[Search](search.md)", "search/src/stopping"),
    ("Transform", "`transforms.train`, `transforms.evaluate`", "[Classify images](tasks/images.md)", ""),
];

pub(super) fn page(schema: &Value, asked: &Asked) -> Result<String, String> {
    let transforms = asked.json(&["transforms", "--json"])?;
    let ensembles = asked.json(&["ensemble", "methods", "--json"])?;
    let mut text = String::from(HEAD);
    let headings = CATALOGS.iter().map(|(_, heading)| *heading).chain(["Ways to make one model of several"]);
    let links: Vec<String> = headings.map(|heading| format!("[{heading}](#{})", anchor(heading))).collect();
    text.push_str(&format!("{}.\n", links.join(", ")));
    for (name, heading) in CATALOGS {
        let (_, place, page, folder) = PLACES
            .iter()
            .find(|(catalog, ..)| catalog == name)
            .ok_or_else(|| format!("PLACES in xtask/src/docs/catalogs_page.rs lacks `{name}`"))?;
        let more = if page.is_empty() { String::new() } else { format!("; more in {page}") };
        text.push_str(&format!("\n## {heading}\n\nIn a recipe: {place}{more}.\n"));
        if *name == "Transform" {
            for row in transforms.as_array().into_iter().flatten() {
                text.push_str(&explained(row));
            }
            continue;
        }
        for row in rows(&schema["$defs"][*name]) {
            let documentation = escaped(documentation::of(folder, row.name)?.trim());
            text.push_str(&format!("\n### `{}`\n\n{}\n\n{documentation}\n", row.name, row.summary));
            if let Some(options) = row.options {
                text.push_str(&options_text(options));
            }
        }
    }
    text.push_str("\n## Ways to make one model of several\n\n`--method` of `millstream ensemble fit`; more in [Ensembles](ensembles.md).\n");
    for row in ensembles.as_array().into_iter().flatten() {
        text.push_str(&explained(row));
    }
    Ok(text)
}

struct Row<'a> {
    name: &'a str,
    summary: String,
    options: Option<&'a Value>,
}

/// The rows of a catalog by name: a word, a mapping with options, or both.
fn rows(definition: &Value) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for way in definition["oneOf"].as_array().into_iter().flatten() {
        let mapping = way["properties"].as_object().and_then(|map| map.iter().next());
        let Some(name) = way["const"].as_str().or(mapping.map(|(name, _)| name.as_str())) else { continue };
        let options = mapping.map(|(_, options)| bare(options));
        match rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.options = row.options.or(options),
            None => rows.push(Row { name, summary: meaning(way), options }),
        }
    }
    rows.sort_by_key(|row| row.name);
    rows
}

/// A row that says of itself what it does and shows samples.
fn explained(row: &Value) -> String {
    let said = |key: &str| row[key].as_str().unwrap_or_default().trim().to_owned();
    let mut text = format!("\n### `{}`\n\n{} {}\n", said("name"), said("summary"), escaped(&said("documentation")));
    if let Some(reason) = row["changes_label"].as_str() {
        text.push_str(&format!("\nIt can change what the label should be: {reason}.\n"));
    }
    text.push_str(&options_text(&row["options"]));
    let samples: Vec<&Value> = row["samples"].as_array().into_iter().flatten().collect();
    if !samples.is_empty() {
        text.push_str("\n```yaml\n");
        for sample in samples {
            let is_bare = sample.as_object().is_some_and(serde_json::Map::is_empty);
            let name = said("name");
            text.push_str(&if is_bare { format!("- {name}\n") } else { format!("- {name}: {}\n", plain(sample)) });
        }
        text.push_str("```\n");
    }
    text
}

fn options_text(options: &Value) -> String {
    let link = |name: &str| {
        let (_, heading) = CATALOGS.iter().find(|(catalog, _)| *catalog == name)?;
        Some(format!("[{}](#{})", heading.to_lowercase(), anchor(heading)))
    };
    if options["properties"].as_object().is_some_and(|map| !map.is_empty()) {
        format!("\n{}", table(options, &link))
    } else if options["type"] == "object" || options.is_null() {
        String::new()
    } else {
        format!("\nWith {}.\n", shape(options, &link))
    }
}
