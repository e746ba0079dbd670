use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Graph, Length, Node, TensorType, ValueId};

/// `CenterCropPad`: axes brought to lengths by cutting or adding zeros, as much on both sides, at the end one more where
/// the difference is odd. `Pad`, whose negative margins cut.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "CenterCropPad",
    opsets: 18..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let axes = |axes: &[i64]| vec![("axes", axes.to_vec().into())];
        vec![
            Sample::new("cut", vec![varied(&[5, 6]), fixed_integers(&[2, 3])], vec![]),
            Sample::new("padded", vec![varied(&[2, 3]), fixed_integers(&[5, 5])], vec![]),
            Sample::new("both", vec![varied(&[5, 2]), fixed_integers(&[3, 4])], vec![]),
            Sample::new("named axes", vec![varied(&[2, 5, 4]), fixed_integers(&[2, 4])], axes(&[-1, 1])),
        ]
    },
};

/// The wanted length of each axis, where it is named.
fn wanted(graph: &Graph, node: &Node, rank: usize) -> Result<Vec<Option<Length>>, String> {
    let lengths = node.input(1).and_then(|shape| graph.lengths_of(shape)).ok_or("the shape is computed from data")?;
    let lengths = axes::lengths(lengths)?;
    let all: Vec<i64> = (0..rank as i64).collect();
    let named = node.ints("axes").unwrap_or(&all);
    axes::all_from_front(named, rank)?;
    if lengths.len() != named.len() {
        return Err(format!("{} lengths for {} axes", lengths.len(), named.len()));
    }
    let mut wanted = vec![None; rank];
    for (axis, length) in named.iter().zip(lengths) {
        wanted[axes::from_front(*axis, rank)?] = Some(length);
    }
    Ok(wanted)
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    rule.known_lengths(1)?;
    let wanted = wanted(rule.graph, rule.node, x.shape.len()).map_err(|message| rule.error(message))?;
    let shape = wanted.into_iter().zip(&x.shape).map(|(wanted, have)| wanted.unwrap_or_else(|| have.clone()));
    Ok(vec![TensorType { dtype: x.dtype, shape: shape.collect() }])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (x, shape) = (node.input(0)?, node.input_type(0)?.shape);
    let wanted = wanted(node.graph, &node.node, shape.len()).map_err(|message| node.error(message))?;
    let (mut before, mut after) = (vec![], vec![]);
    for (wanted, have) in wanted.iter().zip(&shape) {
        let added = wanted.as_ref().unwrap_or(have) - have;
        let cut = Length::number(0) - &added;
        before.push(if added.is_at_least(0) {
            added.quotient(&2.into())
        } else if cut.is_at_least(0) {
            Length::number(0) - cut.quotient(&2.into())
        } else {
            let reason =
                format!("whether a length of {have} is cut or padded is open; export the model with fixed lengths for what is open");
            return Err(node.no_gradient(reason));
        });
        after.push(&added - before.last().expect("one was added"));
    }
    Ok(vec![node.graph.pad(x, &before, &after)?])
}
