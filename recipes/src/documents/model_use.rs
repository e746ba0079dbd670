//! What a program needs that runs a model by itself: how its inputs are made, and what its outputs say.

use std::path::Path;

use millstream_compiler::Model;
use millstream_compiler::losses::PredictionKind;
use millstream_pipeline::Holds;
use millstream_pipeline::encodings::ByHand;
use millstream_schemas::choice::{Catalog, Row};
use millstream_schemas::recipe::TransparencyPolicy;
use millstream_schemas::{Choice, Recipe, Standardization, TensorRole, decimal, grouped, shown};
use millstream_training::metrics::Detecting;
use serde::Serialize;
use serde_json::Value;

use crate::calibrated::THRESHOLDS;
use crate::loss_targets::prediction_axes;
use crate::model_inputs::shown_shape;
use crate::pages::markdown::{code, list, prose, table};
use crate::preprocessing::Preprocessing;
use crate::{Catalogs, Opened, RecipeError};

/// Columns or classes that a card names; of more these first ones.
const MOST_NAMED: usize = 100;

/// What a program needs that runs a model by itself.
#[derive(Clone, Debug, Serialize)]
pub struct ModelUse {
    /// Its inputs, in the model's order; those that an encoding makes beside another are told with it.
    pub inputs: Vec<InputUse>,
    /// What happens to images and texts before they are inputs, in order.
    pub transforms: Vec<TransformUse>,
    /// What happens to transparent pixels; none of a model that takes no images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transparency: Option<TransparencyPolicy>,
    /// The output that holds what the model was trained for.
    pub output: OutputUse,
}

/// How an input is made.
#[derive(Clone, Debug, Serialize)]
pub struct InputUse {
    /// Its name.
    pub name: String,
    /// The columns that it is made of, in order.
    pub columns: Vec<String>,
    /// The encoding, with every default filled in.
    pub encoding: Choice,
    /// Of one row; null where it differs.
    pub shape: Vec<Option<usize>>,
    /// The same for a program that knows no encodings.
    pub by_hand: ByHand,
    /// What the model does to its numbers itself, a number a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<Standardization>,
}

/// A transform of evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct TransformUse {
    /// Its name and options.
    pub transform: Choice,
    /// What it does, in one line.
    pub summary: String,
}

/// What an output says.
#[derive(Clone, Debug, Serialize)]
pub struct OutputUse {
    /// Its name.
    pub name: String,
    /// Sentences in plain text.
    pub said: Vec<String>,
    /// The classes, labels or columns that its numbers are of, in their order.
    pub places: Vec<String>,
}

impl ModelUse {
    /// Of a model that a run has exported, whose rows are open; `classes` are those of the run, in the order of the scores.
    ///
    /// # Errors
    /// It is not told which output of the model holds what it was trained for.
    pub(super) fn of(model: &Model, opened: &Opened, classes: &[String]) -> Result<Self, RecipeError> {
        let of_recipe = || Preprocessing::of(&opened.recipe, &opened.train, &opened.spec, opened.loss.reads());
        // the file of an older build says less than the recipe and its rows
        let noted = Preprocessing::read(model).ok().flatten().unwrap_or_else(of_recipe);
        let names = model.inputs().into_iter().map(|(name, _)| name);
        let inputs: Vec<InputUse> = names.filter_map(|name| input(&name, &noted, opened)).collect();
        let transforms = noted.transforms().iter().map(|transform| {
            let row = opened.catalogs.transforms.get(&transform.name);
            let summary = row.map_or_else(String::new, |row| row.summary.to_owned());
            TransformUse { transform: without_folders(transform, &opened.catalogs.transforms), summary }
        });
        let is_image = |input: &InputUse| {
            let kind = opened.catalogs.encodings.get(&input.encoding.name);
            kind.is_some_and(|kind| kind.takes.contains(&Holds::Bytes))
        };
        Ok(Self {
            transforms: transforms.collect(),
            transparency: inputs.iter().any(is_image).then(|| noted.transparency()),
            inputs,
            output: output(model, &noted, opened, classes)?,
        })
    }
}

/// None of what is made beside another input, such as the mask of tokens.
fn input(name: &str, noted: &Preprocessing, opened: &Opened) -> Option<InputUse> {
    let made = noted.inputs().get(name)?;
    let stated = columns(&made.encoding);
    let columns = if stated.is_empty() { opened.train.encoders.columns_in(name).to_vec() } else { stated };
    Some(InputUse {
        name: name.to_owned(),
        by_hand: by_hand(&made.encoding, &columns, &made.learned, opened),
        inside: inside(&made.learned),
        columns,
        encoding: without_folders(&made.encoding, &opened.catalogs.encodings),
        shape: made.shape.clone(),
    })
}

/// With the names of the files that it reads in place of their paths: where these lay says nothing elsewhere, and may name a person.
pub(super) fn without_folders<R: Row>(choice: &Choice, catalog: &Catalog<R>) -> Choice {
    let mut choice = choice.clone();
    for option in catalog.get(&choice.name).map(Row::path_options).unwrap_or_default() {
        let Some(value) = choice.options.get_mut(&option) else { continue };
        let name = value.as_str().and_then(|path| Path::new(path).file_name());
        if let Some(name) = name.map(|name| name.to_string_lossy().into_owned()) {
            *value = name.into();
        }
    }
    choice
}

/// A recipe with every default, in which files and folders are named as [`without_folders`] does.
pub(super) fn recipe_without_folders(recipe: &Recipe, catalogs: &Catalogs) -> Value {
    serde_json::to_value(recipe.without_folders(&catalogs.definitions())).unwrap_or_default()
}

/// The columns that an encoding names.
fn columns(encoding: &Choice) -> Vec<String> {
    match encoding.options.get("column") {
        Some(Value::String(column)) => vec![column.clone()],
        Some(Value::Array(columns)) => columns.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// What a model does to numbers itself, of what an encoding has learned.
fn inside(learned: &Value) -> Option<Standardization> {
    let read: Standardization = serde_json::from_value(learned.clone()).ok()?;
    (read != Standardization::default()).then_some(read)
}

/// What the encoding says of itself, or else its documentation.
fn by_hand(encoding: &Choice, columns: &[String], learned: &Value, opened: &Opened) -> ByHand {
    let Some(kind) = opened.catalogs.encodings.get(&encoding.name) else { return ByHand::default() };
    let found = kind.by_hand(&encoding.options, columns, learned).unwrap_or_default();
    match found.said.is_empty() {
        true => ByHand { said: vec![kind.documentation.to_owned()], ..found },
        false => found,
    }
}

fn output(model: &Model, noted: &Preprocessing, opened: &Opened, classes: &[String]) -> Result<OutputUse, RecipeError> {
    let reads = noted.reads(classes);
    let count = Some(classes.len()).filter(|count| *count > 0);
    let axes = prediction_axes(&opened.loss, &opened.train, &opened.spec);
    let chances = model.chances(noted.output(), reads, count, axes, &opened.catalogs.operators)?;
    let is = match (reads, chances.made_by.as_deref()) {
        (PredictionKind::ClassScores, None) if chances.is_one_score => {
            "One score for each place, that of the second class against the first: its sigmoid is the probability of the second class, \
             which is the answer where the score is above 0."
        }
        (PredictionKind::ClassScores, Some(_)) if chances.is_one_score => {
            "For each place the probability of the second class, which is the answer where it is above one half."
        }
        (PredictionKind::ClassScores, None) => {
            "Scores of the classes before any softmax: a softmax over the classes makes probabilities of them. The class with the highest \
             score is the answer."
        }
        (PredictionKind::ClassScores, Some("LogSoftmax")) => {
            "Logarithms of the probabilities of the classes. The class with the highest is the answer."
        }
        (PredictionKind::ClassScores, Some(_)) => {
            "Probabilities of the classes. The class with the highest is the answer."
        }
        (PredictionKind::LabelScores, None) => {
            "Scores of the labels before any sigmoid: the sigmoid of a score is the probability that the label holds."
        }
        (PredictionKind::LabelScores, Some(_)) => "For each label the probability that it holds.",
        (PredictionKind::SequenceScores, None) => {
            "Scores of the symbols at each place of the sequence, before any softmax, as CTC reads them."
        }
        (PredictionKind::SequenceScores, Some("LogSoftmax")) => {
            "Logarithms of the probabilities of the symbols at each place of the sequence, as CTC reads them."
        }
        (PredictionKind::SequenceScores, Some(_)) => {
            "Probabilities of the symbols at each place of the sequence, as CTC reads them."
        }
        (PredictionKind::Numbers, _) => "Numbers that were trained to be what the target is.",
        (PredictionKind::Embeddings, _) => "Vectors that are compared with each other.",
        (PredictionKind::Boxes, _) => {
            "For each place of a map scores of the classes before a sigmoid, whose sigmoids are the probabilities that a thing of the class is \
             there, then the logarithms of the distances from the middle of the place to the left, top, right and bottom side of its box, in \
             places."
        }
    };
    let (mut said, mut places) = (vec![is.to_owned()], classes.to_vec());
    if reads == PredictionKind::Boxes {
        let most = Detecting::default().most_overlap;
        said.push(format!(
            "Of boxes of one class that overlap by more than {most}, intersection over union, the likeliest is the answer."
        ));
    }
    if reads == PredictionKind::Numbers {
        for (encoding, learned) in noted.targets() {
            let stated = columns(encoding);
            let of = if stated.is_empty() { opened.train.encoders.columns_of(TensorRole::Target) } else { stated };
            let names: Vec<String> = of.iter().map(|name| format!("`{}`", shown(name))).collect();
            let scaled = inside(learned).is_some_and(|inside| inside.scale.is_some());
            let unit = if scaled { ", in its unit: the model itself undoes the standardization" } else { "" };
            said.push(format!("The target is {}, made by `{}`{unit}.", names.join(", "), shown(&encoding.name)));
            let found = by_hand(encoding, &of, learned, opened);
            // of numbers side by side the columns say all
            match found.places.is_empty() {
                true if !["number", "vector"].contains(&encoding.name.as_str()) => said.extend(found.said),
                true => {}
                false => places = found.places,
            }
        }
    }
    if let Some(thresholds) = model.metadata(THRESHOLDS) {
        said.push(format!(
            "A label, or the second of two classes, is said to hold from a probability of {} on, as fitted on the evaluation rows \
             (`{THRESHOLDS}` in the file).",
            shown(thresholds)
        ));
    }
    Ok(OutputUse { name: chances.output, said, places })
}

/// The part of a card.
pub(super) fn markdown(used: &ModelUse) -> String {
    let mut out = String::new();
    for input in &used.inputs {
        out += &format!("\n#### Input {}\n\n", code(&input.name));
        let columns: Vec<String> = input.columns.iter().take(MOST_NAMED).map(|name| code(name)).collect();
        let more = more(input.columns.len(), "`ledger.json`");
        let options = format!("{}: {}", input.encoding.name, input.encoding.options);
        out += &list(&[
            ("Made of", if columns.is_empty() { "no column".to_owned() } else { columns.join(", ") + &more }),
            ("Shape of a row", code(&shown_shape(&input.shape))),
            ("Encoding", code(&options)),
        ]);
        out += &sentences(&input.by_hand.said);
        out += &places_of(input);
    }
    if !used.transforms.is_empty() {
        out += "\n#### What happens to a row first, in this order\n\n";
        let rows = used.transforms.iter().enumerate().map(|(at, one)| {
            let options = format!("{}: {}", one.transform.name, one.transform.options);
            format!("{}. {} {}\n", at + 1, code(&options), prose(&one.summary))
        });
        out += &rows.collect::<String>();
    }
    out += match used.transparency {
        Some(TransparencyPolicy::Drop) => {
            "\nOf transparent pixels the stored colours are taken, without their transparency.\n"
        }
        Some(TransparencyPolicy::White) => "\nTransparent pixels are blended onto white.\n",
        Some(TransparencyPolicy::Black) => "\nTransparent pixels are blended onto black.\n",
        None => "",
    };
    out += &format!("\n#### Output {}\n", code(&used.output.name));
    out += &sentences(&used.output.said);
    if !used.output.places.is_empty() {
        out += &format!("\nIn this order: {}.\n", numbered(&used.output.places, "`ledger.json` and `labels.txt`"));
    }
    out
}

fn sentences(said: &[String]) -> String {
    said.iter().map(|one| format!("\n{}\n", prose(one))).collect()
}

/// What the places of an input stand for; with the numbers that the model has for them.
fn places_of(input: &InputUse) -> String {
    let places = &input.by_hand.places;
    let Some(inside) = &input.inside else {
        let says_more = places.len() > 1 || places.first() != input.columns.first();
        return match places.is_empty() || !says_more {
            true => String::new(),
            false => format!("\nIn this order: {}.\n", numbered(places, "`ledger.json`")),
        };
    };
    let number = |numbers: Option<&Vec<f32>>, at: usize| {
        let number = numbers.and_then(|numbers| numbers.get(at));
        number.map_or_else(|| "–".to_owned(), |number| decimal(f64::from(*number)))
    };
    let rows = input.columns.iter().take(MOST_NAMED).enumerate().map(|(at, column)| {
        let (means, deviations) = inside.scale.as_ref().map_or((None, None), |(means, all)| (Some(means), Some(all)));
        vec![at.to_string(), code(column), number(means, at), number(deviations, at), number(inside.fill.as_ref(), at)]
    });
    let headings = [">place", "column", ">mean", ">standard deviation", ">in place of NaN"];
    let more = match input.columns.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        rest => format!("\n{} more are in `ledger.json`.\n", grouped(rest as u64)),
    };
    format!("\nWithin the model:\n\n{}{more}", table(&headings, &rows.collect::<Vec<_>>()))
}

/// ``0 `cat`, 1 `dog` ``; of many the first, and the file that has all.
fn numbered(names: &[String], file: &str) -> String {
    let named = names.iter().take(MOST_NAMED).enumerate();
    let named: Vec<String> = named.map(|(at, name)| format!("{at} {}", code(name))).collect();
    named.join(", ") + &more(names.len(), file)
}

/// How many are left out, and where they are.
fn more(all: usize, file: &str) -> String {
    match all.saturating_sub(MOST_NAMED) {
        0 => String::new(),
        rest => format!(" and {} more, which are in {file}", grouped(rest as u64)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_card_of_many_classes_says_the_first_and_the_file_that_has_all() {
        let names: Vec<String> = (0..1234).map(|at| format!("class {at}")).collect();
        let said = numbered(&names, "`labels.txt`");
        assert!(said.starts_with("0 `class 0`, 1 `class 1`, "), "{said}");
        assert!(said.ends_with("99 `class 99` and 1,134 more, which are in `labels.txt`"), "{said}");
        assert_eq!(numbered(&names[..2], "`labels.txt`"), "0 `class 0`, 1 `class 1`");
    }

    #[test]
    fn what_a_model_does_to_numbers_itself_is_told_by_column() {
        let learned = json!({"fill": [1.5, 2.5], "scale": [[1.5, 2.5], [0.5, 4.0]]});
        let input = InputUse {
            name: "x".into(),
            columns: vec!["weight".into(), "height".into()],
            encoding: Choice::new("number", json!({"column": ["weight", "height"]})),
            shape: vec![Some(2)],
            by_hand: ByHand { said: Vec::new(), places: vec!["weight".into(), "height".into()] },
            inside: inside(&learned),
        };
        let said = places_of(&input);
        for row in ["| 0 | `weight` | 1.5", "| 1 | `height` | 2.5", "| place | column | mean |"] {
            assert!(said.contains(row), "{row} is not in\n{said}");
        }
        // what other encodings learn is none of this
        assert!([json!({}), json!(null), json!({"values": ["a"]})].iter().all(|learned| inside(learned).is_none()));
        let plain = places_of(&InputUse { inside: None, ..input });
        assert_eq!(plain, "\nIn this order: 0 `weight`, 1 `height`.\n");
    }
}
