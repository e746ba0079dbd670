use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, folding};
use crate::CompilerError;
use crate::graph::{Attribute, Constant, ElementType, Known, TensorType};

/// `ConstantOfShape`: one value, 0 if not given, in all places of a shape.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ConstantOfShape",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Zero("it depends on nothing but a shape"),
    samples: || {
        let two = || vec![("value", Attribute::Tensor(Constant::i64([1], &[2])))];
        vec![
            Sample::new("zeros", vec![fixed_integers(&[2, 3])], vec![]),
            Sample::new("integers", vec![fixed_integers(&[4])], two()),
            Sample::new("scalar", vec![fixed_integers(&[])], two()),
        ]
    },
};

fn value<'a>(rule: &TypeRuleInput<'a>) -> Option<&'a Constant> {
    match rule.node.attributes.get("value") {
        Some(Attribute::Tensor(value)) => Some(value),
        _ => None,
    }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let dtype = value(rule).map_or(ElementType::F32, |value| value.dtype);
    let shape = axes::lengths(rule.known_lengths(0)?).map_err(|message| rule.error(message))?;
    Ok(vec![TensorType { dtype, shape }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let output = types(rule)?.remove(0);
    let Some((value, shape)) = value(rule).zip(folding::small_shape(&output.shape)) else { return Ok(None) };
    let Some(one) = value.bytes.get(..value.dtype.bytes()) else { return Ok(None) };
    let bytes = one.repeat(shape.iter().product()).into();
    Ok(Some(Known::Constant(Constant { dtype: value.dtype, shape, bytes })))
}
