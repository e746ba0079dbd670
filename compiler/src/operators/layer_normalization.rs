use super::{Gradient, Operator, Sample, TypeRuleInput, axes, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Length, TensorType};

/// `LayerNormalization`: y = scale · x̂ + bias with x̂ = (x − mean) · r, r = 1/√(variance + ε), over the axes from `axis` on.
/// With g = dy · scale: dx = r · (g − mean(g) − x̂ · mean(g · x̂)), dscale = dy · x̂, dbias = dy, summed.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "LayerNormalization",
    opsets: 17..=25,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let last = || vec![varied(&[2, 3, 6]), varied(&[6]), varied(&[6])];
        let two = vec![varied(&[2, 3, 4]), varied(&[3, 4]), varied(&[3, 4])];
        vec![
            Sample::new("last axis", last(), vec![]),
            Sample::new("two axes", two, vec![("axis", 1.into()), ("epsilon", 0.1.into())]),
            Sample::new("negative axis, no bias", vec![varied(&[3, 5]), varied(&[5])], vec![("axis", (-1).into())]),
            Sample::new("with statistics", last(), vec![]).with_outputs(3),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let axis = rule.axis(rule.node.int("axis").unwrap_or(-1), x.shape.len())?;
    for index in [1, 2] {
        let Some(weight) = rule.optional(index) else { continue };
        if rule.broadcast(&x.shape[axis..], &weight.shape)? != x.shape[axis..] {
            return Err(rule.error(format!("input {index} is {weight}, wanted {:?}", &x.shape[axis..])));
        }
    }
    let rank = x.shape.len();
    let ones = std::iter::repeat_n(Length::from(1), rank - axis);
    let statistic = TensorType::new(x.dtype, x.shape[..axis].iter().cloned().chain(ones));
    Ok(vec![x.clone(), statistic.clone(), statistic])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    if b.output_gradient(1).is_some() || b.output_gradient(2).is_some() {
        return Err(b.no_gradient("the loss depends on its Mean or InvStdDev output"));
    }
    let (x, scale, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
    if b.wants(2) {
        b.give(2, dy)?;
    }
    if !b.wants(0) && !b.wants(1) {
        return Ok(());
    }
    let shape = b.input_shape(0)?;
    let axis = axes::from_front(b.node.int("axis").unwrap_or(-1), shape.len()).map_err(|message| b.error(message))?;
    let y = b.output(0)?;
    let (mean, inverse) = (b.graph.add_output(y, 1)?, b.graph.add_output(y, 2)?);
    let centred = b.graph.minus(x, mean)?;
    let hat = b.graph.times(centred, inverse)?;
    if b.wants(1) {
        let dscale = b.graph.times(dy, hat)?;
        b.give(1, dscale)?;
    }
    if b.wants(0) {
        let last: Vec<i64> = (axis as i64..shape.len() as i64).collect();
        let g = b.graph.times(dy, scale)?;
        let mean = b.graph.reduce_mean(g, &last)?;
        let product = b.graph.times(g, hat)?;
        let slope = b.graph.reduce_mean(product, &last)?;
        let along = b.graph.times(hat, slope)?;
        let centred = b.graph.minus(g, mean)?;
        let rest = b.graph.minus(centred, along)?;
        let dx = b.graph.times(rest, inverse)?;
        b.give(0, dx)?;
    }
    Ok(())
}
