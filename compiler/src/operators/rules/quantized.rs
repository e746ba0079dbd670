//! Operators on quantized tensors: bytes with a scale and a zero point, scale · (q − zero point).

use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, TensorType, ValueId};
use crate::operators::{SampleInput, TypeRuleInput, fixed_floats};

/// Why there is no gradient.
pub(crate) const REASON: &str = "it computes with integers and rounds: constant between steps";

/// The element type of a quantized output: that of its zero point, and unsigned where there is none.
pub(crate) fn output_dtype(rule: &TypeRuleInput<'_>, zero_point: usize) -> ElementType {
    rule.optional(zero_point).map_or(ElementType::U8, |known| known.dtype)
}

/// The type of an output of signed bytes, as long as the first input.
pub(crate) fn signed_as_first(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    Ok(vec![TensorType { dtype: ElementType::I8, shape: rule.input(0)?.shape.clone() }])
}

/// The type of an output like the first input, quantized by a zero point.
pub(crate) fn as_first(rule: &TypeRuleInput<'_>, zero_point: usize) -> Result<Vec<TensorType>, CompilerError> {
    let shape = rule.input(0)?.shape.clone();
    Ok(vec![TensorType { dtype: output_dtype(rule, zero_point), shape }])
}

/// The type of two quantized inputs broadcast: each with a scale and a zero point, those of the output behind them.
pub(crate) fn broadcast(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let shape = rule.broadcast(&rule.input(0)?.shape, &rule.input(3)?.shape)?;
    Ok(vec![TensorType { dtype: output_dtype(rule, 7), shape }])
}

/// scale · (integers + bias), as floats: what is left of a product of integers.
pub(crate) fn scaled(
    graph: &mut Graph,
    whole: ValueId,
    scales: [ValueId; 2],
    bias: Option<ValueId>,
) -> Result<ValueId, CompilerError> {
    let floats = graph.cast(whole, ElementType::F32)?;
    let scale = graph.times(scales[0], scales[1])?;
    let scaled = graph.times(floats, scale)?;
    bias.map_or(Ok(scaled), |bias| graph.plus(scaled, bias))
}

/// Bytes of a shape.
pub(crate) fn bytes(shape: &[usize]) -> SampleInput {
    let count: usize = shape.iter().product();
    let bytes: Vec<u8> = (0..count).map(|at| (at * 89 + 17) as u8).collect();
    SampleInput::Fixed(Constant { dtype: ElementType::U8, shape: shape.to_vec(), bytes: bytes.into() })
}

/// Bytes of a shape, half of them below zero.
pub(crate) fn signed_bytes(shape: &[usize]) -> SampleInput {
    match bytes(shape) {
        SampleInput::Fixed(unsigned) => SampleInput::Fixed(Constant { dtype: ElementType::I8, ..unsigned }),
        other => other,
    }
}

/// A scale.
pub(crate) fn scale() -> SampleInput {
    fixed_floats(&[], &[0.125])
}

/// A zero point.
pub(crate) fn zero_point() -> SampleInput {
    SampleInput::Fixed(Constant { dtype: ElementType::U8, shape: Vec::new(), bytes: vec![3].into() })
}

/// Bytes of a shape with a scale and a zero point.
pub(crate) fn tensor(shape: &[usize]) -> Vec<SampleInput> {
    vec![bytes(shape), scale(), zero_point()]
}

/// Tensors with their scales and zero points, and those of the output.
pub(crate) fn tensors(shapes: &[&[usize]]) -> Vec<SampleInput> {
    shapes.iter().flat_map(|shape| tensor(shape)).chain([scale(), zero_point()]).collect()
}
