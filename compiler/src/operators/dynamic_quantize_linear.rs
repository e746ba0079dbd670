use super::{Gradient, Operator, Sample, TypeRuleInput, varied};
use crate::CompilerError;
use crate::graph::{ElementType, TensorType};

/// `DynamicQuantizeLinear`: x as unsigned bytes, with the scale and zero point that fit its range.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "DynamicQuantizeLinear",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("it rounds to integers: constant between steps"),
    samples: || vec![Sample::new("matrix", vec![varied(&[2, 3])], vec![]).with_outputs(3)],
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let scalar = |dtype| TensorType { dtype, shape: vec![] };
    let y = TensorType { dtype: ElementType::U8, shape: x.shape.clone() };
    Ok(vec![y, scalar(ElementType::F32), scalar(ElementType::U8)])
}
