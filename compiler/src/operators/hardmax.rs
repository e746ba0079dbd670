use super::{Gradient, Operator, Sample, TypeRuleInput, element_types, varied};
use crate::CompilerError;
use crate::graph::TensorType;

/// `Hardmax`: 1 at the first of the largest elements on an axis, else 0.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Hardmax",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("constant while the order of elements stays"),
    samples: || {
        vec![
            Sample::new("last axis", vec![varied(&[3, 5])], vec![]),
            Sample::new("middle axis", vec![varied(&[2, 4, 3])], vec![("axis", 1.into())]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = element_types::floats(rule, 0)?;
    rule.axis(rule.node.int("axis").unwrap_or(-1), x.shape.len())?;
    Ok(vec![x.clone()])
}
