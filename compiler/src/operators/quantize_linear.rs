use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, varied, varied_in};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, TensorType};

/// `QuantizeLinear`: y = round(x / scale) + zero point, cut to the range of its integers.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "QuantizeLinear",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("it rounds to integers: constant between steps"),
    samples: || {
        let zero = SampleInput::Fixed(Constant { dtype: ElementType::I8, shape: vec![], bytes: vec![3].into() });
        let scale = || SampleInput::Fixed(Constant::f32([], &[0.125]));
        vec![
            Sample::new("unsigned", vec![varied(&[2, 3]), scale()], vec![]),
            Sample::new("signed", vec![varied(&[2, 3]), scale(), zero], vec![]),
            Sample::new("a scale a column", vec![varied(&[2, 3]), varied_in(&[3], 0.1, 0.2)], vec![]),
        ]
    },
};

pub(super) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, _) = (rule.input(0)?, rule.input(1)?);
    let said = rule.node.int("output_dtype").filter(|number| *number != 0);
    let dtype = match (rule.optional(2), said) {
        (Some(zero), _) => zero.dtype,
        (None, Some(number)) => i32::try_from(number)
            .ok()
            .and_then(ElementType::from_onnx)
            .ok_or_else(|| rule.error(format!("element type {number}, which is not supported")))?,
        (None, None) => ElementType::U8,
    };
    Ok(vec![TensorType { dtype, shape: x.shape.clone() }])
}
