use super::{Gradient, Operator, Sample, folding, varied};
use crate::graph::{ElementType, Length, TensorType};

/// `Size`: the number of elements.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Size",
    opsets: 13..=25,
    weights: &[],
    types: |rule| {
        rule.input(0)?;
        Ok(vec![TensorType::new(ElementType::I64, Vec::<Length>::new())])
    },
    fold: Some(|rule| Ok(folding::from_elements(ElementType::I64, &[], vec![rule.input(0)?.elements()]))),
    gradient: Gradient::Zero("a number of elements does not depend on values"),
    samples: || {
        vec![
            Sample::new("several axes", vec![varied(&[2, 3, 4])], vec![]),
            Sample::new("no axis", vec![varied(&[])], vec![]),
            Sample::new("an empty axis", vec![varied(&[2, 0])], vec![]),
        ]
    },
};
