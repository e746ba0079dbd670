use super::{Gradient, Operator, Sample, TypeRuleInput, normalizations, varied, varied_in};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::TensorType;
use normalizations::Standardized;

/// `InstanceNormalization`: y = scale · x̂ + bias with x̂ = (x − mean) · r, r = 1/√(variance + ε) over the spatial axes of
/// `[N, C, …]`, scale and bias `[C]`. With g = dy · scale: dx = r · (g − mean(g) − x̂ · mean(g · x̂)), dscale = Σ dy · x̂,
/// dbias = Σ dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "InstanceNormalization",
    opsets: 13..=25,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let inputs = |shape: &[usize]| {
            let channels = || [shape[1]];
            vec![varied(shape), varied_in(&channels(), 0.5, 1.5), varied(&channels())]
        };
        vec![
            Sample::new("images", inputs(&[2, 3, 4, 3]), vec![]),
            Sample::new("a sequence", inputs(&[2, 3, 5]), vec![("epsilon", 0.1.into())]),
            Sample::new("volumes", inputs(&[1, 2, 2, 3, 2]), vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    if x.shape.len() < 3 {
        return Err(rule.error(format!("{x} has no spatial axes")));
    }
    for index in 1..3 {
        rule.input(index)?;
        normalizations::require_vector(rule, index, &x.shape[1])?;
    }
    Ok(vec![x.clone()])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (x, scale, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
    let rank = b.input_shape(0)?.len();
    let others: Vec<i64> = (0..rank as i64).filter(|axis| *axis != 1).collect();
    if b.wants(2) {
        let dbias = b.graph.reduce_sum(dy, &others, false)?;
        b.give(2, dbias)?;
    }
    if !b.wants(0) && !b.wants(1) {
        return Ok(());
    }
    let epsilon = b.node.float("epsilon").unwrap_or(1e-5);
    let normalized = Standardized::by_variance(b.graph, x, (2..rank as i64).collect(), epsilon)?;
    if b.wants(1) {
        let product = b.graph.times(dy, normalized.hat)?;
        let dscale = b.graph.reduce_sum(product, &others, false)?;
        b.give(1, dscale)?;
    }
    if b.wants(0) {
        let wide = normalizations::along_channels(b.graph, scale, rank)?;
        let g = b.graph.times(dy, wide)?;
        let dx = normalized.back(b.graph, g)?;
        b.give(0, dx)?;
    }
    Ok(())
}
