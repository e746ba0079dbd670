use super::{Gradient, Operator, Sample, TypeRuleInput, varied, varied_in};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Length, TensorType};

/// `BatchNormalization` in inference form: y = scale · (x − mean) / √(variance + ε) + bias, all of them `[C]` for x
/// `[N, C, …]`; mean and variance are given. With r = 1/√(variance + ε) and x̂ = (x − mean) · r: dx = dy · scale · r,
/// dscale = Σ dy · x̂, dbias = Σ dy, dmean = −scale · r · Σ dy, dvariance = −½ · scale · r² · Σ dy · x̂.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "BatchNormalization",
    opsets: 13..=25,
    weights: &[1, 2],
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
        vec![
            Sample::new("images", inputs(&[2, 3, 4, 3]), vec![]),
            Sample::new("rows", inputs(&[4, 3]), vec![("epsilon", 0.1.into())]),
            Sample::new("a sequence", inputs(&[2, 3, 5]), vec![("epsilon", 0.01.into())]),
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
    if b.node.int("training_mode").unwrap_or(0) != 0 {
        return Err(b.no_gradient("it normalizes by the batch (training_mode is on); only the inference form has one"));
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
