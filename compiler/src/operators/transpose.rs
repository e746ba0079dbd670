use super::{Gradient, Operator, Sample, TypeRuleInput, axes, folding, varied};
use crate::CompilerError;
use crate::graph::{Constant, Known, Node, TensorType};
use crate::operators::SampleInput;

/// `Transpose`: axes in the order of `perm`, or reversed. dx: dy in the inverse order.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Transpose",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(|b| {
        let rank = b.input_shape(0)?.len();
        let order = order(&b.node, rank).map_err(|message| b.error(message))?;
        let dy = b.dy()?;
        let dx = b.graph.transpose(dy, &axes::inverse(&order))?;
        b.give(0, dx)
    }),
    samples: || {
        let integers = SampleInput::Fixed(Constant::i64([2, 3], &[1, 2, 3, 4, 5, 6]));
        vec![
            Sample::new("reversed", vec![varied(&[2, 3, 4])], vec![]),
            Sample::new("cyclic order", vec![varied(&[2, 3, 4])], vec![("perm", vec![1, 2, 0].into())]),
            Sample::new("integers", vec![integers], vec![]),
        ]
    },
};

fn order(node: &Node, rank: usize) -> Result<Vec<usize>, String> {
    let Some(given) = node.ints("perm") else { return Ok((0..rank).rev().collect()) };
    let order = given.iter().map(|axis| axes::from_front(*axis, rank)).collect::<Result<Vec<usize>, String>>()?;
    if axes::all_from_front(given, rank)?.len() != rank {
        return Err(format!("perm {given:?} for {rank} axes"));
    }
    Ok(order)
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let order = order(rule.node, x.shape.len()).map_err(|message| rule.error(message))?;
    Ok(vec![TensorType { dtype: x.dtype, shape: order.iter().map(|axis| x.shape[*axis].clone()).collect() }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let Some(source) = folding::integer_input(rule, 0) else { return Ok(None) };
    let Some(shape) = folding::small_shape(&types(rule)?.remove(0).shape) else { return Ok(None) };
    let order = order(rule.node, shape.len()).map_err(|message| rule.error(message))?;
    let steps = folding::steps(&source.shape);
    let from = |at: &[usize]| at.iter().zip(&order).map(|(at, axis)| at * steps[*axis]).sum();
    Ok(folding::moved(&source, &shape, from))
}
