use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_integers, folding, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{ElementType, TensorType};

/// `Min`: the smallest of the inputs, broadcast. dy goes to the input that is smaller; gradients of one or two inputs.
pub(super) const OPERATOR: Operator = Operator {
    name: "Min",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(
        |rule| if rule.node.inputs.len() == 2 { folding::binary(rule, |a, b| Some(a.min(b))) } else { Ok(None) },
    ),
    gradient: Gradient::Defined(gradient),
    samples: || {
        vec![
            Sample::new("same shape", vec![varied(&[3, 4]), varied(&[3, 4])], vec![]),
            Sample::new("second repeats", vec![varied(&[3, 4]), varied(&[4])], vec![]),
            Sample::new("first repeats", vec![varied(&[1]), varied(&[3, 4])], vec![]),
            Sample::new("one input", vec![varied(&[3])], vec![]),
            Sample::new("integers", vec![fixed_integers(&[-7, 8, 9]), fixed_integers(&[8])], vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let first = rule.input(0)?;
    let mut shape = first.shape.clone();
    for index in 1..rule.node.inputs.len() {
        shape = rule.broadcast(&shape, &rule.input(index)?.shape)?;
    }
    Ok(vec![TensorType { dtype: first.dtype, shape }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let dy = b.dy()?;
    match b.node.inputs.len() {
        1 => return b.give(0, dy),
        2 => {}
        _ => return Err(b.no_gradient("more than two inputs")),
    }
    let (first, second) = (b.input(0)?, b.input(1)?);
    // where both are equal the gradient goes to one of them only: to neither bound of a clipped value
    let first_wins = if b.wants(0) {
        b.graph.add("Less", &[first, second], &[])?
    } else {
        let second_wins = b.graph.add("Less", &[second, first], &[])?;
        b.graph.add("Not", &[second_wins], &[])?
    };
    if b.wants(0) {
        let gate = b.graph.cast(first_wins, ElementType::F32)?;
        let gradient = b.graph.times(dy, gate)?;
        b.give(0, gradient)?;
    }
    if b.wants(1) {
        let second_wins = b.graph.add("Not", &[first_wins], &[])?;
        let gate = b.graph.cast(second_wins, ElementType::F32)?;
        let gradient = b.graph.times(dy, gate)?;
        b.give(1, gradient)?;
    }
    Ok(())
}
