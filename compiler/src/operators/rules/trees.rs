//! Ensembles of decision trees (`ai.onnx.ml`).

use crate::CompilerError;
use crate::graph::{Attribute, Length};
use crate::operators::TypeRuleInput;

/// Why there is no gradient.
pub(crate) const REASON: &str = "it compares with thresholds: constant between steps";

/// The number of rows of `[rows, features]`, which may be one row of features alone.
pub(crate) fn rows(rule: &TypeRuleInput<'_>) -> Result<Length, CompilerError> {
    match rule.input(0)?.shape.as_slice() {
        [rows, _] => Ok(rows.clone()),
        [_] => Ok(1.into()),
        _ => Err(rule.error(format!("{}, wanted rows of features", rule.input(0)?))),
    }
}

/// A tree that asks whether the first feature is at most a bound, and has two leaves: the attributes of its nodes.
pub(crate) fn stump() -> Vec<(&'static str, Attribute)> {
    let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
    let modes = ["BRANCH_LEQ", "LEAF", "LEAF"].map(|mode| bytes::Bytes::from_static(mode.as_bytes()));
    vec![
        ("nodes_treeids", ints(&[0, 0, 0])),
        ("nodes_nodeids", ints(&[0, 1, 2])),
        ("nodes_featureids", ints(&[0, 0, 0])),
        ("nodes_values", Attribute::Floats(vec![0.25, 0.0, 0.0])),
        ("nodes_modes", Attribute::Strings(modes.to_vec())),
        ("nodes_truenodeids", ints(&[1, 0, 0])),
        ("nodes_falsenodeids", ints(&[2, 0, 0])),
    ]
}
