use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Constant, ElementType, Length, TensorType, ValueId};

/// `DequantizeLinear`: y = scale · (x − zero point), for integers x, with one scale, one for each place of an axis, or one
/// for each block of an axis. As those operators where one scale depends on what is trained; several have no gradient.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "DequantizeLinear",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let bytes = |dtype: ElementType, shape: &[usize], values: &[u8]| {
            SampleInput::Fixed(Constant { dtype, shape: shape.to_vec(), bytes: values.to_vec().into() })
        };
        let x = || bytes(ElementType::U8, &[2, 3], &[0, 1, 255, 128, 7, 130]);
        let signed = || bytes(ElementType::I8, &[2, 3], &[0, 1, 255, 128, 7, 130]);
        let scales = |values: &[f32]| SampleInput::Fixed(Constant::f32([values.len()], values));
        let zero = bytes(ElementType::U8, &[], &[128]);
        let zeros = bytes(ElementType::I8, &[3], &[0, 255, 3]);
        vec![
            Sample::new("one scale", vec![x(), varied_in(&[], 0.5, 1.5), zero], vec![]),
            Sample::new("a scale a column", vec![signed(), scales(&[0.5, 1.5, 0.25]), zeros], vec![]),
            Sample::new("a scale a row", vec![signed(), scales(&[0.5, 1.5])], vec![("axis", 0.into())]),
        ]
    },
};

pub(super) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, scale) = (rule.input(0)?, rule.input(1)?);
    if x.dtype.is_float() || !scale.dtype.is_float() {
        return Err(rule.error(format!("{x} by scales {scale}, wanted integers by floats")));
    }
    if scale.shape.len() == 1 && scale.shape[0] != 1 {
        let axis = rule.axis(rule.node.int("axis").unwrap_or(1), x.shape.len())?;
        if !scale.shape[0].agrees_with(&x.shape[axis]) {
            return Err(rule.error(format!(
                "{} scales for axis {axis} of {x}; export the model with fixed lengths for what is open",
                scale.shape[0]
            )));
        }
    }
    // opset 23 lets the node state the type of the result
    let dtype = match rule.node.int("output_dtype").filter(|number| *number != 0) {
        Some(number) => ElementType::stated(number).map_err(|told| rule.error(format!("gives {told}")))?,
        None => scale.dtype,
    };
    Ok(vec![TensorType { dtype, shape: x.shape.clone() }])
}

pub(super) fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (x, scale) = (node.input(0)?, node.input(1)?);
    let known = node.input_type(1)?;
    if known.elements() != 1 {
        return Err(node.no_gradient(format!("several scales, {:?}, depend on what is trained", known.shape)));
    }
    let mut value = node.graph.cast(x, known.dtype)?;
    if let Some(zero) = node.node.input(2) {
        let zero = node.graph.cast(zero, known.dtype)?;
        let zero = node.graph.reshape::<Length>(zero, &[])?;
        value = node.graph.minus(value, zero)?;
    }
    let scale = node.graph.reshape::<Length>(scale, &[])?;
    let product = node.graph.times(value, scale)?;
    let stated = node.node.int("output_dtype").and_then(|number| ElementType::stated(number).ok());
    Ok(vec![match stated.filter(|stated| *stated != known.dtype) {
        Some(stated) => node.graph.cast(product, stated)?,
        None => product,
    }])
}
