//! What operators on texts are told.

use crate::CompilerError;
use crate::graph::TensorType;
use crate::operators::TypeRuleInput;

/// Always an error: a graph computes with numbers.
pub(crate) fn left_aside(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    Err(rule.error(
        "it is about texts, which are left aside: batches hold numbers, and a tokenizer makes them \
         (`data.inputs` with `token_ids`)",
    ))
}
