//! The classes of one dataset read as those of another.

use millstream_schemas::{Feature, shown};

use crate::RecipeError;
use crate::row_source::RowSource;

/// Lets the labels of `source` mean classes of `wanted` (names in the order of the scores, from `whose`).
///
/// Text is looked up by name, so its order does not matter. Numbers whose names the metadata declares must count in the
/// same order, and may stop earlier. Numbers without names are taken as they are; a row beyond the last is damaged.
pub(crate) fn align(source: &mut RowSource, wanted: &[String], whose: &str, place: &str) -> Result<(), RecipeError> {
    let refused = |message: String| RecipeError::mismatch(place, message);
    let Some((tensor, column)) = source.encoders.class_tensor().zip(source.encoders.class_column()) else {
        if let Some(encoders) = source.encoders.of_classes(&source.dataset, wanted)? {
            source.encoders = encoders;
        }
        return Ok(());
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
    Ok(())
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
    use super::*;

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
