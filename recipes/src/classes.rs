//! The classes of one dataset read as those of another.

use std::collections::HashMap;

use millstream_schemas::{Feature, shown};

use crate::RecipeError;
use crate::row_source::RowSource;

/// Classes that a message names.
const SHOWN: usize = 8;

/// Lets the labels of `source` mean classes of `wanted` (names in the order of the scores, from `whose`).
///
/// Text is looked up by name, so its order does not matter. Numbers whose names the metadata declares must count in the
/// same order, and may stop earlier. Numbers without names are taken as they are; a row beyond the last is damaged. Classes of what lies
/// in lists are looked up by name, those of numbers whose names the metadata declares too. Classes that a recipe states are in the order of
/// the scores, whatever names these have elsewhere: a note is given where they differ. None of them may be wanted at another place, and those
/// that nobody has named must be the wanted ones.
pub(crate) fn align(
    source: &mut RowSource,
    wanted: &[String],
    whose: &str,
    place: &str,
) -> Result<Option<String>, RecipeError> {
    let refused = |message: String| RecipeError::mismatch(place, message);
    let Some((tensor, column)) = source.encoders.class_tensor().zip(source.encoders.class_column()) else {
        return match source.encoders.of_classes(&source.dataset, wanted)? {
            Some(encoders) => {
                source.encoders = encoders;
                Ok(None)
            }
            None => match difference(source.classes(), wanted, whose) {
                Some(difference) if source.encoders.classes_are_presumed() => Err(refused(format!(
                    "{difference}; name them alike in the encoding of the target, or the field with the classes"
                ))),
                difference => {
                    moved(source.classes(), wanted, whose).map_or(Ok(()), |moved| Err(refused(moved)))?;
                    Ok(difference.map(|difference| format!("{place}: {difference}; each is taken by its number")))
                }
            },
        };
    };
    match source.dataset.features().get(column) {
        Some(Feature::ClassLabel { names }) if !names.is_empty() => {
            same_order(names, wanted, whose).map_err(refused)?
        }
        Some(Feature::Text) => {
            if let Some(strange) = source.classes().iter().find(|class| !wanted.contains(class)) {
                return Err(refused(format!("class `{}` is none of those of {whose}", shown(strange))));
            }
        }
        _ => {}
    }
    let learned = serde_json::json!({ tensor: { "classes": wanted } });
    source.encoders = source.encoders.relearned(&source.dataset, &learned)?;
    Ok(None)
}

/// The classes of a model that names none, by their numbers, for rows in which the highest of them do not occur; none where rows have names
/// or other numbers, which would be guessed.
pub(crate) fn numbers_up_to(source: &RowSource, classes: usize) -> Option<Vec<String>> {
    source.encoders.class_tensor()?;
    let feature = source.dataset.features().get(source.encoders.class_column()?);
    let has_names = match feature {
        Some(Feature::ClassLabel { names }) => !names.is_empty(),
        Some(Feature::Text) => true,
        _ => false,
    };
    let own = source.classes();
    let are_numbers = own.iter().enumerate().all(|(at, name)| *name == at.to_string());
    (own.len() < classes && are_numbers && !has_names).then(|| (0..classes).map(|class| class.to_string()).collect())
}

/// How classes that are not learned of rows differ from those that are wanted, in words; none where they do not, or where there are none.
fn difference(own: &[String], wanted: &[String], whose: &str) -> Option<String> {
    if own.is_empty() || wanted.is_empty() || own == wanted {
        return None;
    }
    let listed = |names: &[String]| {
        let first: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{}`", shown(name))).collect();
        let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
        format!("{}{more}", first.join(", "))
    };
    Some(format!("the classes here are {}, and those of {whose} are {}", listed(own), listed(wanted)))
}

/// The first class that is wanted at another place, in words: by its number it would be taken for another.
fn moved(own: &[String], wanted: &[String], whose: &str) -> Option<String> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (place, name) in wanted.iter().enumerate() {
        places.entry(name).or_insert(place);
    }
    own.iter().enumerate().filter(|(here, name)| wanted.get(*here) != Some(*name)).find_map(|(here, name)| {
        let there = places.get(name.as_str())?;
        let name = shown(name);
        Some(format!(
            "`{name}` is class {here} here and class {there} in {whose}; state the classes in the order of {whose}"
        ))
    })
}

fn same_order(names: &[String], wanted: &[String], whose: &str) -> Result<(), String> {
    if let Some(index) = names.iter().zip(wanted).position(|(got, wanted)| got != wanted) {
        let (got, wanted) = (shown(&names[index]), shown(&wanted[index]));
        return Err(format!("class {index} is `{got}` here and `{wanted}` in {whose}"));
    }
    if names.len() > wanted.len() {
        return Err(format!("it has {} classes, {whose} has {}", names.len(), wanted.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millstream_pipeline::Dataset;
    use millstream_pipeline::arrow_array::builder::{Float64Builder, ListBuilder};
    use millstream_pipeline::arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
    use millstream_pipeline::encodings::{Encoders, WantedTensor, standard};
    use millstream_schemas::{Choice, TensorRole};
    use millstream_transforms::Chain;
    use serde_json::json;

    use super::*;

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn source_of(column: ArrayRef, name: &str, encoding: &str, options: serde_json::Value) -> RowSource {
        let rows = RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap();
        let dataset = Dataset::from_batches("rows", &[rows], 10).unwrap();
        let wanted = WantedTensor {
            name: "targets".into(),
            role: TensorRole::Target,
            encoding: Choice::new(encoding, options),
            place: format!("data.targets.{encoding}"),
        };
        let encoders = Encoders::open(&dataset, standard(), &[wanted], &[]).unwrap();
        let chain = Chain::parse(&[]).unwrap();
        RowSource { dataset, encoders, chain, notes: Vec::new(), is_imported: false }
    }

    #[test]
    fn classes_that_a_recipe_states_are_taken_by_their_numbers_whatever_the_model_calls_them() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["E E"]));
        let symbols = json!({"column": "text", "symbols": ["<pad>", " ", "E"]});
        let mut votes = ListBuilder::new(Float64Builder::new());
        votes.values().append_slice(&[0.25, 0.75]);
        votes.append(true);
        let votes: ArrayRef = Arc::new(votes.finish());
        let share: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        for (mut source, own, labels) in [
            (source_of(texts, "text", "symbols", symbols), &["<pad>", " ", "E"][..], &["<pad>", "|", "E"][..]),
            (
                source_of(votes, "votes", "class_probabilities", json!({"column": "votes"})),
                &["0", "1"],
                &["cat", "dog"],
            ),
            (source_of(share, "share", "class_probabilities", json!({"column": ["share"]})), &["share"], &["a", "b"]),
        ] {
            let note = align(&mut source, &named(labels), "the model", "data.train").unwrap().unwrap();
            assert_eq!(source.classes(), named(own));
            let of_both = [own[0], labels[1]].map(|name| format!("`{name}`"));
            assert!(note.starts_with("data.train: ") && of_both.iter().all(|name| note.contains(name)), "{note}");
            assert_eq!(align(&mut source, &named(own), "the model", "data.train").unwrap(), None);
        }
    }

    #[test]
    fn stated_classes_in_another_order_than_the_models_are_refused_and_not_taken_by_their_numbers() {
        let mut votes = ListBuilder::new(Float64Builder::new());
        votes.values().append_slice(&[0.25, 0.75]);
        votes.append(true);
        let votes: ArrayRef = Arc::new(votes.finish());
        let shares: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["E E"]));
        for (mut source, labels, wanted) in [
            (
                source_of(votes, "votes", "class_probabilities", json!({"column": "votes"})),
                &["1", "0"][..],
                "`0` is class 0 here and class 1 in the model",
            ),
            (
                source_of(shares, "share", "class_probabilities", json!({"column": ["share"]})),
                &["other", "share"],
                "`share` is class 0 here and class 1 in the model",
            ),
            (
                source_of(texts, "text", "symbols", json!({"column": "text", "symbols": ["<pad>", " ", "E"]})),
                &["<pad>", "E", " "],
                "` ` is class 1 here and class 2 in the model",
            ),
        ] {
            let refused = align(&mut source, &named(labels), "the model", "data.train").unwrap_err().to_string();
            for part in ["data.train", wanted, "state the classes in the order of the model"] {
                assert!(refused.contains(part), "{refused}");
            }
        }
    }

    #[test]
    fn a_class_that_is_wanted_at_another_place_is_told_with_both() {
        for (own, wanted, told) in [
            (&["sports", "politics"][..], &["politics", "sports"][..], Some(("sports", 0, 1))),
            (&["a", "b", "c"], &["a", "c"], Some(("c", 2, 1))),
            (&["a", "x", "c"], &["a", "y", "c"], None),
            (&["a", "b"], &["a", "b", "c"], None),
            (&["a", "b"], &["c", "d"], None),
        ] {
            let told = told.map(|(name, here, there)| format!("`{name}` is class {here} here and class {there} in x"));
            let found = moved(&named(own), &named(wanted), "x");
            assert_eq!(found.is_some(), told.is_some(), "{found:?}");
            assert!(found.zip(told).is_none_or(|(found, told)| found.starts_with(&told)), "{own:?}");
        }
    }

    #[test]
    fn boxes_without_classes_do_not_pass_for_the_first_of_several() {
        let mut boxes = ListBuilder::new(ListBuilder::new(Float64Builder::new()));
        boxes.values().values().append_slice(&[1.0, 2.0, 3.0, 4.0]);
        boxes.values().append(true);
        boxes.append(true);
        let boxes: ArrayRef = Arc::new(boxes.finish());
        let options = json!({"column": "boxes", "convention": "coco", "most": 1, "as": "classed"});
        let mut source = source_of(boxes, "boxes", "boxes", options);
        let refused =
            align(&mut source, &named(&["cat", "dog"]), "the model", "data.evaluate").unwrap_err().to_string();
        for part in ["data.evaluate", "the classes here are `object`, and those of the model are `cat`, `dog`"] {
            assert!(refused.contains(part), "{refused}");
        }
        align(&mut source, &["object".to_owned()], "the model", "data.evaluate").unwrap();
        align(&mut source, &[], "the training data", "data.evaluate").unwrap();
    }

    #[test]
    fn declared_numbers_must_count_in_the_same_order() {
        let classes = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let wanted = classes(&["daisy", "roses", "tulips"]);
        for (names, problem) in [
            (vec!["daisy", "roses", "tulips"], None),
            (vec!["daisy", "roses"], None),
            (vec!["tulips", "roses"], Some("class 0 is `tulips` here and `daisy` in the model")),
            (vec!["daisy", "roses", "tulips", "x\u{1b}"], Some("it has 4 classes, the model has 3")),
            (vec!["daisy", "x\u{1b}"], Some("class 1 is `x\\u{1b}` here and `roses` in the model")),
        ] {
            let got = same_order(&classes(&names), &wanted, "the model").err();
            assert_eq!(got, problem.map(str::to_owned), "{names:?}");
        }
    }
}
