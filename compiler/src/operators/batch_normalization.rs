use super::{Gradient, Operator, Sample, TypeRuleInput, normalizations, varied, varied_in};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Length, TensorType};
use normalizations::Standardized;

/// `BatchNormalization`: y = scale · (x − mean) / √(variance + ε) + bias, all of them `[C]` for x `[N, C, …]`; mean and
/// variance are given, or those of the batch in training mode. With r = 1/√(variance + ε) and x̂ = (x − mean) · r: dscale =
/// Σ dy · x̂, dbias = Σ dy. Given statistics: dx = dy · scale · r, dmean = −scale · r · Σ dy, dvariance = −½ · scale · r² · Σ
/// dy · x̂. Those of the batch, with g = dy · scale: dx = r · (g − mean(g) − x̂ · mean(g · x̂)), and 0 for the running ones. A weight may be
/// what is normalized.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "BatchNormalization",
    opsets: 13..=25,
    // a kernel that is standardized is x itself
    weights: &[0, 1, 2],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let inputs = |shape: &[usize]| {
            let channels = || [shape[1]];
            vec![
                varied(shape),
                varied_in(&channels(), 0.5, 1.5),
                varied(&channels()),
                varied(&channels()),
                varied_in(&channels(), 0.5, 2.0),
            ]
        };
        let training =
            |momentum: f32| vec![("training_mode", 1.into()), ("momentum", momentum.into()), ("epsilon", 0.01.into())];
        vec![
            Sample::new("images", inputs(&[2, 3, 4, 3]), vec![]),
            Sample::new("rows", inputs(&[4, 3]), vec![("epsilon", 0.1.into())]),
            Sample::new("a sequence", inputs(&[2, 3, 5]), vec![("epsilon", 0.01.into())]),
            Sample::new("by the batch", inputs(&[3, 2, 2, 3]), training(0.9)).with_outputs(3).since(14),
            Sample::new("rows by the batch", inputs(&[5, 3]), training(0.0)).with_outputs(3).since(14),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let channels = x.shape.get(1).ok_or_else(|| rule.error(format!("{x} has no channel axis")))?;
    for index in 1..5 {
        let statistic = rule.input(index)?;
        if statistic.shape.len() != 1 || statistic.shape[0] != *channels {
            return Err(rule.error(format!("input {index} is {statistic}, wanted {channels} numbers")));
        }
    }
    let mut types = vec![x.clone()];
    types.resize_with(rule.outputs.max(1), || TensorType { dtype: x.dtype, shape: vec![channels.clone()] });
    Ok(types)
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    if b.node.normalizes_by_batch() {
        return by_the_batch(b);
    }
    let [x, scale, mean, variance] = [0, 1, 3, 4].map(|index| b.input(index));
    let (x, scale, mean, variance, dy) = (x?, scale?, mean?, variance?, b.dy()?);
    let shape = b.input_shape(0)?;
    let rank = shape.len();
    let along: Vec<Length> =
        [shape[1].clone()].into_iter().chain(std::iter::repeat_n(Length::from(1), rank - 2)).collect();
    let others: Vec<i64> = (0..rank as i64).filter(|axis| *axis != 1).collect();
    let epsilon = b.graph.scalar(b.node.float("epsilon").unwrap_or(1e-5));
    let spread = b.graph.plus(variance, epsilon)?;
    let deviation = b.graph.add("Sqrt", &[spread], &[])?;
    let slope = b.graph.divided_by(scale, deviation)?;
    if b.wants(0) {
        let wide = b.graph.reshape(slope, &along)?;
        let dx = b.graph.times(dy, wide)?;
        b.give(0, dx)?;
    }
    if b.wants(2) || b.wants(3) {
        let sum = b.graph.reduce_sum(dy, &others, false)?;
        b.give(2, sum)?;
        if b.wants(3) {
            let product = b.graph.times(sum, slope)?;
            let dmean = b.graph.add("Neg", &[product], &[])?;
            b.give(3, dmean)?;
        }
    }
    if b.wants(1) || b.wants(4) {
        let mean = b.graph.reshape(mean, &along)?;
        let centred = b.graph.minus(x, mean)?;
        let product = b.graph.times(dy, centred)?;
        let sum = b.graph.reduce_sum(product, &others, false)?;
        let dscale = b.graph.divided_by(sum, deviation)?;
        b.give(1, dscale)?;
        if b.wants(4) {
            let minus_half = b.graph.scalar(-0.5);
            let part = b.graph.times(dscale, slope)?;
            let part = b.graph.divided_by(part, deviation)?;
            let dvariance = b.graph.times(part, minus_half)?;
            b.give(4, dvariance)?;
        }
    }
    Ok(())
}

/// Back through the form that normalizes by the batch.
fn by_the_batch(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    if b.output_gradient(1).is_some() || b.output_gradient(2).is_some() {
        return Err(b.no_gradient("the loss depends on its running statistics"));
    }
    let (x, scale, dy, shape) = (b.input(0)?, b.input(1)?, b.dy()?, b.input_shape(0)?);
    let others: Vec<i64> = (0..shape.len() as i64).filter(|axis| *axis != 1).collect();
    let epsilon = b.node.float("epsilon").unwrap_or(1e-5);
    let normalized = Standardized::by_variance(b.graph, x, others.clone(), epsilon)?;
    if b.wants(0) {
        let wide = normalizations::along_channels(b.graph, scale, shape.len())?;
        let g = b.graph.times(dy, wide)?;
        let dx = normalized.back(b.graph, g)?;
        b.give(0, dx)?;
    }
    if b.wants(1) {
        let product = b.graph.times(dy, normalized.hat)?;
        let dscale = b.graph.reduce_sum(product, &others, false)?;
        b.give(1, dscale)?;
    }
    if b.wants(2) {
        let dbias = b.graph.reduce_sum(dy, &others, false)?;
        b.give(2, dbias)?;
    }
    for index in [3, 4].into_iter().filter(|index| b.wants(*index)).collect::<Vec<usize>>() {
        let zeros = b.graph.zeros(&shape[1..2])?;
        b.give(index, zeros)?;
    }
    Ok(())
}
