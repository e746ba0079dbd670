use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Constant, ElementType, TensorType};

/// `LpNormalization`: y = x / n with the norm n = √Σx² (p = 2) or Σ|x| (p = 1) over an axis; 0 where the norm is 0. With
/// the norm's slope s = y or sign(x): dx = (dy − s · Σ(dy · y)) / n. Where the norm is 0 there is no slope, and dx is 0.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "LpNormalization",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let zeros = SampleInput::Fixed(Constant::f32([2, 3], &[0.0, 0.0, 0.0, 3.0, 0.0, -4.0]));
        vec![
            Sample::new("last axis", vec![varied(&[3, 5])], vec![]),
            Sample::new("first axis", vec![varied(&[3, 5])], vec![("axis", 0.into()), ("p", 2.into())]),
            Sample::new("sums of absolute values", vec![varied(&[2, 4, 3])], vec![("axis", 1.into()), ("p", 1.into())]),
            Sample::new("zeros", vec![zeros], vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    rule.axis(rule.node.int("axis").unwrap_or(-1), x.shape.len())?;
    match rule.node.int("p").unwrap_or(2) {
        1 | 2 => Ok(vec![x.clone()]),
        p => Err(rule.error(format!("a norm with p = {p}, wanted 1 or 2"))),
    }
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (x, y, dy) = (b.input(0)?, b.output(0)?, b.dy()?);
    let axis = b.node.int("axis").unwrap_or(-1);
    let is_squared = b.node.int("p").unwrap_or(2) == 2;
    let norm = if is_squared {
        let square = b.graph.times(x, x)?;
        let sum = b.graph.reduce_sum(square, &[axis], true)?;
        b.graph.add("Sqrt", &[sum], &[])?
    } else {
        let absolute = b.graph.add("Abs", &[x], &[])?;
        b.graph.reduce_sum(absolute, &[axis], true)?
    };
    let [zero, one] = [0.0, 1.0].map(|value| b.graph.scalar(value));
    let is_positive = b.graph.add("Greater", &[norm, zero], &[])?;
    let gate = b.graph.cast(is_positive, ElementType::F32)?;
    let one_for_zero = b.graph.minus(one, gate)?;
    let divisor = b.graph.plus(norm, one_for_zero)?;
    let inverse = b.graph.divided_by(gate, divisor)?;
    let slope = if is_squared { y } else { b.graph.add("Sign", &[x], &[])? };
    let product = b.graph.times(dy, y)?;
    let sum = b.graph.reduce_sum(product, &[axis], true)?;
    let along = b.graph.times(slope, sum)?;
    let rest = b.graph.minus(dy, along)?;
    let dx = b.graph.times(rest, inverse)?;
    b.give(0, dx)
}
