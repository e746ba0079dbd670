use std::f32::consts::{FRAC_2_SQRT_PI, SQRT_2};

use super::{Gradient, Operator, Sample, same_as_first, varied, varied_in};
use crate::CompilerError;
use crate::graph::{Graph, ValueId};

/// `com.microsoft.FastGelu`: y = s/2 · (1 + tanh(√(2/π) · (s + 0.044715 s³))) with s = x + bias, the bias a vector along
/// the last axis that may be left out, as those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "FastGelu",
    opsets: 1..=1,
    weights: &[1],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Expand(|node| {
        let x = node.input(0)?;
        let sum = match node.node.input(1) {
            Some(bias) => node.graph.plus(x, bias)?,
            None => x,
        };
        Ok(vec![of(node.graph, sum)?])
    }),
    samples: || {
        let x = || varied_in(&[2, 3, 5], -3.0, 3.0);
        vec![
            Sample::new("without a bias", vec![x()], vec![]),
            Sample::new("a bias along the last axis", vec![x(), varied(&[5])], vec![]),
        ]
    },
};

/// s/2 · (1 + tanh(√(2/π) · (s + 0.044715 s³))).
pub(super) fn of(graph: &mut Graph, sum: ValueId) -> Result<ValueId, CompilerError> {
    let [half, one, scale, cubic] = [0.5, 1.0, FRAC_2_SQRT_PI / SQRT_2, 0.044_715].map(|value| graph.scalar(value));
    let square = graph.times(sum, sum)?;
    let inner = graph.times(square, cubic)?;
    let inner = graph.plus(inner, one)?;
    let inner = graph.times(inner, sum)?;
    let inner = graph.times(inner, scale)?;
    let tanh = graph.add("Tanh", &[inner], &[])?;
    let share = graph.plus(tanh, one)?;
    let share = graph.times(share, half)?;
    graph.times(sum, share)
}
