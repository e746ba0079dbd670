use anyhow::anyhow;
use millstream::schemas::nearest;
use millstream::transforms::{Transform, table};
use serde_json::{Value, json};

use crate::Outcome;
use crate::arguments::{Global, Transforms};
use crate::output;
use crate::table::Table;

pub(crate) fn run(global: &Global, arguments: &Transforms) -> anyhow::Result<Outcome> {
    match &arguments.name {
        None if global.json => output::print_json(&table().iter().map(as_json).collect::<Vec<_>>())?,
        None => list()?,
        Some(name) => {
            let row = table().iter().find(|row| row.name == name).ok_or_else(|| {
                let hint = nearest(name, table().iter().map(|row| row.name));
                let hint = hint.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
                anyhow!("no transform is called `{name}`{hint}; `millstream transforms` lists them")
            })?;
            if global.json { output::print_json(&as_json(row))? } else { output::print(&explain(row))? }
        }
    }
    Ok(Outcome::Done)
}

fn list() -> anyhow::Result<()> {
    let mut listed = Table::new(&["name", "of", "what it does"]);
    for row in table() {
        listed.row([row.name.into(), row.kind().to_string(), row.summary.into()]);
    }
    output::print(&format!("{}\n`millstream transforms NAME` explains one.", listed.render()))
}

fn as_json(row: &Transform) -> Value {
    json!({
        "name": row.name,
        "kind": row.kind(),
        "summary": row.summary,
        "documentation": row.documentation,
        "changes_label": row.changes_label,
        "options": row.schema(),
        "samples": samples(row),
    })
}

fn samples(row: &Transform) -> Vec<Value> {
    row.samples.iter().filter_map(|sample| serde_json::from_str(sample).ok()).collect()
}

fn explain(row: &Transform) -> String {
    let mut text = output::prose(&format!("{}: {}\n\n{}", row.name, row.summary, row.documentation.trim()));
    if let Some(reason) = row.changes_label {
        text.push_str(&output::prose(&format!("\nIt can change what the label should be: {reason}")));
    }
    let schema = row.schema();
    if let Some(options) = schema.get("properties").and_then(Value::as_object).filter(|options| !options.is_empty()) {
        text.push_str("\nOptions:\n");
        for (name, option) in options {
            let about = option.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
            let default = option.get("default").map_or_else(String::new, |value| format!(" [default: {value}]"));
            text.push_str(&output::prose(&format!("  {name}: {about}{default}")));
        }
    }
    text.push_str("\nIn a recipe:\n");
    for sample in samples(row) {
        let bare = sample.as_object().is_some_and(serde_json::Map::is_empty);
        let line = if bare { row.name.to_owned() } else { format!("{}: {sample}", row.name) };
        text.push_str(&format!("  - {line}\n"));
    }
    text
}
