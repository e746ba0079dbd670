//! A model card as Hugging Face reads it, with the nine sections of Mitchell et al., "Model Cards for Model Reporting" (2019).

use millstream_schemas::{count, grouped, percent};
use millstream_training::Evaluation;
use millstream_training::metrics::{Cell, FigureKind, Record, Table, confidence_in_words, with_interval};

use super::front_matter::{FrontMatter, ModelResults, measured};
use super::get_started;
use super::ledger::Ledger;
use super::model_facts::ModelFacts;
use super::model_use;
use super::statements::Statements;
use crate::data_facts::DataFacts;
use crate::model_inputs::shown_shape;
use crate::origin::built;
use crate::pages::markdown::{code, list, prose, table, text};
use crate::run_files::RECIPE_FILE;

/// `README.md`.
pub(super) fn markdown(ledger: &Ledger) -> String {
    let said = &ledger.statements;
    let open = said.open();
    let mut out = front_matter(ledger).yaml();
    out += &format!("\n# {}\n\n{}\n", text(&ledger.name), Statements::or_open(&said.description));
    if !ledger.notes.is_empty() {
        out += &ledger.notes.iter().map(|note| format!("\n> {}\n", prose(note))).collect::<String>();
    }
    out += "\n## Model details\n\n";
    let mut details = vec![
        ("Developed by", Statements::or_open(&said.authors).to_owned()),
        ("Version", Statements::or_open(&said.version).to_owned()),
        ("License", Statements::or_open(&said.license).to_owned()),
        ("Contact", Statements::or_open(&said.contact).to_owned()),
        ("Citation", Statements::or_open(&said.citation).to_owned()),
        ("Fine-tuned from", base(ledger)),
        ("File", ledger.exported.as_ref().map_or_else(|| "none: the run has exported no model".into(), file)),
        (
            "Made by",
            format!(
                "{}, ONNX Runtime {} on {}",
                match &ledger.origin {
                    Some(origin) => built(&origin.software, origin.commit.as_deref()),
                    None => ledger.software.clone(),
                },
                text(&ledger.training.onnx_runtime),
                code(&ledger.training.device)
            ),
        ),
    ];
    details.extend(ledger.origin.as_ref().map(|origin| ("Began", text(&origin.began))));
    details.extend(ledger.study.as_ref().map(|part| ("Part of", text(&part.in_words()))));
    out += &list(&details);
    if let Some(model) = &ledger.exported {
        out += "\n";
        let rows = [("input", &model.inputs), ("output", &model.outputs)];
        let rows = rows.iter().flat_map(|(kind, values)| {
            values.iter().map(move |(name, shape)| {
                vec![(*kind).to_owned(), code(name), model.element_type(name).to_owned(), code(&shown_shape(shape))]
            })
        });
        out += &table(&["", "name", "type", "shape"], &rows.collect::<Vec<_>>());
    }
    if let Some(used) = &ledger.model_use {
        out += "\n### Inputs and outputs\n\nAll that a program needs to run the file without the recipe.\n";
        out += &model_use::markdown(used);
    }
    if let Some(model) = &ledger.exported {
        out += &get_started::markdown(model, ledger.model_use.as_ref(), "the recipe of the run says");
    }
    out += "\n## Intended use\n\n";
    out += &list(&[
        ("Intended for", Statements::or_open(&said.intended_use).to_owned()),
        ("Downstream use", Statements::or_open(&said.downstream_use).to_owned()),
        ("Users", Statements::or_open(&said.users).to_owned()),
        ("Out of scope", Statements::or_open(&said.out_of_scope_use).to_owned()),
    ]);
    out += &format!("\n## Factors\n\n{}\n", Statements::or_open(&said.factors));
    out += &format!("\n## Metrics\n\nWhat is exported is {}.", text(&ledger.results.selection));
    let measured = measured(ledger.results.evaluation.as_ref(), &ledger.results.figures);
    let names: Vec<String> = measured.iter().map(|kind| text(&kind.label())).collect();
    out += &match names.is_empty() {
        true => " No figure was measured.\n".to_owned(),
        false => format!(" Measured were {} and the loss.\n", names.join(", ")),
    };
    out += "\n## Evaluation data\n\n";
    out += &evaluation_data(ledger);
    out += "\n## Training data\n\n";
    if let Some(data) = ledger.split("train") {
        out += &format!("{}. [The datasheet](datasheet.md) has more.\n", size(data));
    }
    out += &training(ledger);
    out += "\n## Quantitative analyses\n\n";
    out += &results(ledger);
    out += &considerations(ledger);
    out += "\n## How it was made, again\n\n";
    out += &match ledger.parts.is_empty() {
        true => format!(
            "`{RECIPE_FILE}` beside the model, or the one in `ledger.json`, makes the same model from the same files on the same device and \
             library; `millstream reproduce` does, and says whether all is the same:\n\n"
        ),
        false => format!(
            "`{RECIPE_FILE}` beside the model, and the one in `ledger.json`, have the settings that held last, and make another model by \
             themselves. From the same files on the same device and library `millstream reproduce` repeats the run part by part, and says \
             whether all is the same:\n\n"
        ),
    };
    out += "```console\n$ millstream reproduce RUN\n```\n";
    if !open.is_empty() {
        let keys: Vec<String> = open.iter().map(|key| code(key)).collect();
        out += &format!("\nNot stated in `statements.yaml`: {}.\n", keys.join(", "));
    }
    out
}

/// What is to be thought of beside the figures.
fn considerations(ledger: &Ledger) -> String {
    let said = &ledger.statements;
    let mut out = format!("\n## Ethical considerations\n\n{}\n", Statements::or_open(&said.ethical_considerations));
    out += &format!(
        "\n## Environmental impact\n\nTrained for {} seconds on {}.\n\n{}\n",
        short(ledger.training.seconds),
        code(&ledger.training.device),
        Statements::or_open(&said.environmental_impact)
    );
    out += "\n## Caveats and recommendations\n\n";
    out += &list(&[
        ("Limitations", Statements::or_open(&said.limitations).to_owned()),
        ("Recommendations", Statements::or_open(&said.recommendations).to_owned()),
    ]);
    out
}

/// `18 rows in 1 file`.
fn size(data: &DataFacts) -> String {
    format!("{} in {}", count(data.rows, "row"), count(data.file_count(), "file"))
}

/// The sets that the model was evaluated on, and what each of them was for.
fn evaluation_data(ledger: &Ledger) -> String {
    let (sets, results) = (ledger.evaluated(), &ledger.results);
    let out = match sets {
        [] => "None: nothing was evaluated.\n".to_owned(),
        [data] => {
            let what = match results.is_chosen {
                true => "They were used to choose the state that is exported.",
                false => "The state that is exported was not chosen by them.",
            };
            format!("{}. {what} [The datasheet](datasheet.md) has more.\n", size(data))
        }
        _ => {
            let of = |data: &DataFacts| {
                let what = match (results.are_of(&data.split), results.is_chosen) {
                    (true, true) => "used to choose the state that is exported",
                    (true, false) => "measured; the state that is exported was not chosen by them",
                    (false, _) => "measured beside; nothing was chosen by them",
                };
                format!("- **{}:** {}, {what}\n", text(&data.split), size(data))
            };
            sets.iter().map(of).collect::<String>() + "\n[The datasheet](datasheet.md) has more.\n"
        }
    };
    out + &shared(ledger, if sets.len() > 1 { "the rows of evaluate" } else { "them" })
}

/// How many of the rows that are evaluated, which are named so, are in the training data too; nothing where none is.
pub(super) fn shared(ledger: &Ledger, rows: &str) -> String {
    let mut out = String::new();
    if let Some(shared) = ledger.shared_rows.filter(|shared| shared.shared > 0) {
        out += &format!(
            "\n{} of {} {} in the training data too{}.\n",
            grouped(shared.shared),
            rows,
            if shared.shared == 1 { "is" } else { "are" },
            ledger.compared_in_words(&shared)
        );
    }
    // what sets have in common among themselves says nothing of what was learned
    for shared in ledger.shared_between.iter().filter(|shared| shared.first == "train" && shared.rows.shared > 0) {
        out += &format!("\n{}.\n", text(&ledger.shared_in_words(shared)));
    }
    out
}

/// Of the run's model.
pub(super) fn front_matter(ledger: &Ledger) -> FrontMatter<'_> {
    let results = &ledger.results;
    FrontMatter {
        tags: &[],
        task: ledger.task.as_deref(),
        relation: "finetune",
        metrics: measured(results.evaluation.as_ref(), &results.figures),
        results: results.evaluation.as_ref().map(|evaluation| ModelResults {
            model: &ledger.name,
            split: results.set.as_deref(),
            evaluation,
        }),
        said: &ledger.statements,
    }
}

fn base(ledger: &Ledger) -> String {
    let from = ledger.lineage.iter().enumerate().map(|(at, parent)| {
        let word = if at == 0 { "which came from the run" } else { "that from the run" };
        format!(", {word} {}", code(&parent.run))
    });
    format!("{}{}", file(&ledger.base), from.collect::<String>())
}

/// A file with its hash, in words.
pub(super) fn file(model: &ModelFacts) -> String {
    let producer =
        if model.producer.is_empty() { String::new() } else { format!(", written by {}", text(&model.producer)) };
    let bytes = model.bytes.map_or_else(String::new, |bytes| format!(", {} bytes", grouped(bytes)));
    let opset = model.opset.map_or_else(String::new, |opset| format!(", opset {opset}"));
    format!("{}{bytes}{opset}{producer}, SHA-256 {}", code(&model.file), code(&model.sha256))
}

fn training(ledger: &Ledger) -> String {
    let facts = &ledger.training;
    let part = |keys: &[&str]| {
        let found = keys.iter().try_fold(&facts.recipe, |value, key| value.get(*key));
        found.map_or_else(|| "none".to_owned(), |value| code(&value.to_string()))
    };
    let transforms: Vec<String> = facts.transforms.iter().map(|one| code(one)).collect();
    let added: Vec<String> = facts.added_parts.iter().map(|part| text(&part.in_short())).collect();
    let mut out = String::from("\n### Training procedure\n\n");
    out += &list(&[
        (
            "Trained",
            format!(
                "{} of {} numbers{}",
                grouped(facts.trained),
                grouped(facts.trained + facts.frozen),
                match facts.trained_places {
                    // the base model, which tells it, is another now
                    0 => String::new(),
                    places => format!(", in {}", count(places, "layer")),
                }
            ),
        ),
        (
            "Added",
            match (added.is_empty(), facts.trained_places) {
                (false, _) => added.join("; "),
                (true, 0) => "not told: the base model, which tells it, is another now".to_owned(),
                (true, _) => "nothing".to_owned(),
            },
        ),
        ("Selection", part(&["model", "train"])),
        ("Methods", code(&serde_json::to_string(&facts.methods).unwrap_or_default())),
        ("Transforms", if transforms.is_empty() { "none".to_owned() } else { transforms.join(", ") }),
        ("Batch", part(&["data", "batch"])),
        ("Optimizer", part(&["training", "optimizer"])),
        ("Schedule", part(&["training", "schedule"])),
        ("Seed", part(&["seed"])),
        (
            "Length",
            format!(
                "{} in {}, {} seconds",
                count(facts.steps, "step"),
                count(facts.epochs, "epoch"),
                short(facts.seconds)
            ),
        ),
    ]);
    if !facts.added_parts.is_empty() {
        out += "\nWhat was added to the model, and trained:\n\n";
        out += &facts.added_parts.iter().map(|one| format!("- {}\n", prose(&one.in_words()))).collect::<String>();
    }
    if !facts.adapted_layers.is_empty() {
        out += "\nWhat methods adapt:\n\n";
        out += &facts.adapted_layers.iter().map(|one| format!("- {}\n", prose(&one.in_words()))).collect::<String>();
    }
    if !facts.frozen_layers.is_empty() {
        out += "\nWhat stayed as it was, and why:\n\n";
        out += &facts.frozen_layers.iter().map(|one| format!("- {}\n", prose(&one.in_words()))).collect::<String>();
    }
    if !facts.stages.is_empty() {
        let rows = facts.stages.iter().map(|stage| {
            vec![
                text(&stage.from),
                grouped(stage.trained as u64),
                grouped(stage.frozen as u64),
                count(stage.layers.len() as u64, "layer"),
            ]
        });
        out += &format!(
            "\nWhat was trained from when on:\n\n{}",
            table(&["from", ">trained", ">frozen", "in"], &rows.collect::<Vec<_>>())
        );
    }
    if !facts.decisions.is_empty() {
        out += "\nWhat rules decided, and what was noticed:\n\n";
        out += &facts.decisions.iter().map(|one| format!("- {}\n", prose(one))).collect::<String>();
    }
    if !ledger.decisions.is_empty() {
        out += "\nWhat people noted:\n\n";
        let noted = ledger.decisions.iter();
        out += &noted.map(|one| format!("- {}: {}\n", text(&one.time), prose(&one.text))).collect::<String>();
    }
    out
}

fn results(ledger: &Ledger) -> String {
    let chosen = ledger.chosen.as_ref();
    let chosen = chosen.map_or_else(String::new, |chosen| format!("\n{}\n", prose(&chosen.in_words())));
    let Some(evaluation) = &ledger.results.evaluation else {
        return format!("Nothing was evaluated.\n{chosen}");
    };
    let (kinds, set) = (&ledger.results.figures, ledger.results.named_set());
    let mut out = match set {
        Some(set) => format!("On {} ({})", text(set), count(evaluation.rows, "row")),
        None => format!("On {}", count(evaluation.rows, "row")),
    };
    out += &match evaluation.not_finite {
        0 => ":\n\n".to_owned(),
        some => format!(", of which {some} had scores that are no numbers and count as wrong:\n\n"),
    };
    out += &figures(evaluation, kinds);
    out += &chosen;
    for (name, found) in &evaluation.tables {
        let Table::Classes(records) = found else { continue };
        let Some(first) = records.first() else { continue };
        let headings: Vec<String> = first
            .cells()
            .map(|(column, cell)| match cell {
                Cell::Text(_) => column.replace('_', " "),
                Cell::Count(_) | Cell::Share(_) | Cell::Intervals(_) => format!(">{}", column.replace('_', " ")),
            })
            .collect();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> = records
            .iter()
            .map(|record| record.cells().map(|(column, cell)| shown_cell(record, column, cell)).collect())
            .collect();
        out += &format!("\n### {}\n\n{}", capitalized(&name.replace('_', " ")), table(&headings, &rows));
    }
    out += &slices(evaluation, kinds, &set.map_or_else(String::new, |set| format!(", on {}", text(set))));
    for set in &ledger.results.others {
        out += &format!("\n### On {} ({})\n\n", text(&set.name), count(set.evaluation.rows, "row"));
        out += &figures(&set.evaluation, kinds);
        out += &slices(&set.evaluation, kinds, &format!(", on {}", text(&set.name)));
    }
    out
}

/// A table for each column by whose values rows are told apart.
fn slices(evaluation: &Evaluation, kinds: &[FigureKind], on: &str) -> String {
    let mut out = String::new();
    for column in &evaluation.slices {
        out += &format!("\n### By {}{on}\n\n", text(&column.column));
        let measured: Vec<&FigureKind> = kinds
            .iter()
            .filter(|kind| column.slices.iter().any(|slice| slice.figures.get(&kind.name).is_some()))
            .collect();
        let labels: Vec<String> = measured.iter().map(|kind| format!(">{}", column.heading(kind))).collect();
        let headings: Vec<&str> = ["value", ">rows"].into_iter().chain(labels.iter().map(String::as_str)).collect();
        let rows = column.slices.iter().map(|slice| {
            let mut row = vec![text(&slice.name.to_string()), grouped(slice.rows)];
            let figure = |kind: &&FigureKind| {
                kind.shown_with_interval(slice.figures.get(&kind.name), slice.interval(&kind.name))
            };
            row.extend(measured.iter().map(figure));
            row
        });
        out += &table(&headings, &rows.collect::<Vec<_>>());
    }
    out
}

/// With one digit behind the point, or none where that is 0.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

fn shown_cell(record: &Record, column: &str, cell: &Cell) -> String {
    match cell {
        Cell::Text(name) => text(name),
        Cell::Count(count) => grouped(*count),
        Cell::Share(Some(share)) => with_interval(percent(*share), record.interval(column), percent),
        Cell::Share(None) | Cell::Intervals(_) => "–".to_owned(),
    }
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A table of an evaluation's figures with their intervals.
pub(super) fn figures(evaluation: &Evaluation, kinds: &[FigureKind]) -> String {
    let loss = FigureKind::loss();
    let measured = kinds.iter().chain([&loss]).filter_map(|kind| Some((kind, evaluation.figure(&kind.name)?)));
    let rows = measured.map(|(kind, value)| {
        let interval = evaluation.interval(&kind.name).map(|ends| kind.shown_interval(ends)).unwrap_or_default();
        vec![text(&kind.label()), kind.shown(Some(value)), interval]
    });
    let of = format!("interval of {}", confidence_in_words(evaluation.confidence));
    table(&["", ">figure", &of], &rows.collect::<Vec<_>>())
}
