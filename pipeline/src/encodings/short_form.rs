//! The tensors of a recipe that says what is read in one word each.

use millstream_schemas::{Choice, TARGETS, TensorRole};
use serde_json::json;

use super::entry::WantedTensor;
use crate::sources::Holds;
use crate::{Dataset, PipelineError};

/// The tensors of a recipe that says `input` and `label` alone.
///
/// # Errors
/// There is no image or text column, or it is ambiguous which is meant.
pub fn short_form(
    dataset: &Dataset,
    input: Option<&str>,
    label: &str,
    name: &str,
) -> Result<Vec<WantedTensor>, PipelineError> {
    let (input, holds) = match input {
        Some(input) => (input.to_owned(), dataset.holds(input, "image or text", &[Holds::Bytes, Holds::Text])?),
        None => dataset.only_input(label)?,
    };
    let encoding = |kind: &str, column: &str| Choice::new(kind, json!({ "column": column }));
    let kind = if holds == Holds::Text { "text" } else { "image" };
    let mut wanted = vec![WantedTensor {
        name: name.into(),
        role: TensorRole::Input,
        encoding: encoding(kind, &input),
        place: "data.input".into(),
    }];
    if !label.is_empty() {
        wanted.push(WantedTensor {
            name: TARGETS.into(),
            role: TensorRole::Target,
            encoding: encoding("class_label", label),
            place: "data.label".into(),
        });
    }
    Ok(wanted)
}
