use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_integers, shape_floats, varied};
use crate::CompilerError;
use crate::graph::{ElementType, Known, TensorType};

/// `Cast`: another element type. Between floats dx = dy in x's type; from or to other types nothing flows.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Cast",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input_type(0)?, b.dy()?);
        let dtype = b.graph.known_type(dy)?.dtype;
        if !x.dtype.is_float() || !dtype.is_float() {
            return Ok(());
        }
        let dx = if x.dtype == dtype { dy } else { b.graph.cast(dy, x.dtype)? };
        b.give(0, dx)
    }),
    samples: || {
        let to = |dtype: ElementType| vec![("to", i64::from(dtype.to_onnx()).into())];
        vec![
            Sample::new("float to float", vec![varied(&[2, 3])], to(ElementType::F32)),
            Sample::new("integers to floats", vec![fixed_integers(&[-1, 0, 2])], to(ElementType::F32)),
            Sample::new("integers to truth values", vec![fixed_integers(&[-1, 0, 2])], to(ElementType::Bool)),
            Sample::new("integers to short ones", vec![fixed_integers(&[-1, 0, 2])], to(ElementType::I32)),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let number = rule.node.int("to").ok_or_else(|| rule.error("no attribute `to`"))?;
    let dtype = ElementType::stated(number).map_err(|told| rule.error(format!("casts to {told}")))?;
    Ok(vec![TensorType { dtype, shape: rule.input(0)?.shape.clone() }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let dtype = types(rule)?.remove(0).dtype;
    Ok(shape_floats::cast(rule, dtype))
}
