//! Operators that run graphs of their own, as often as the data decide: what those make of what they are given.

use std::collections::HashMap;

use crate::CompilerError;
use crate::graph::{Body, Graph, Length, TensorType};
use crate::operators::TypeRuleInput;

/// A graph that a node runs.
pub(crate) fn body<'a>(rule: &TypeRuleInput<'a>, name: &str) -> Result<(&'a Body, &'a Graph), CompilerError> {
    let body = rule.node.body(name).ok_or_else(|| rule.error(format!("it has no {name}")))?;
    Ok((body, body.graph().ok_or_else(|| not_known(rule, "what it runs is not read"))?))
}

/// The types of what a graph makes, with lengths for the names in it: those of what its inputs are given. Nothing for what may
/// have another length in each turn.
///
/// # Errors
/// What it is given is not what its inputs are.
pub(crate) fn made(
    rule: &TypeRuleInput<'_>,
    graph: &Graph,
    given: &[Option<TensorType>],
) -> Result<Vec<Option<TensorType>>, CompilerError> {
    if graph.inputs().len() != given.len() {
        return Err(rule.error(format!("{} values for {} inputs of its graph", given.len(), graph.inputs().len())));
    }
    let mut lengths: HashMap<String, Length> = HashMap::new();
    for (input, given) in graph.inputs().iter().zip(given) {
        let Some(declared) = graph.tensor_type(*input) else { continue };
        let Some(given) = given else { return Err(not_known(rule, "what it reads is not known")) };
        let mut fits = declared.dtype == given.dtype && declared.shape.len() == given.shape.len();
        for (declared, given) in declared.shape.iter().zip(&given.shape) {
            fits &= match declared.name() {
                Some(name) => lengths.entry(name.to_owned()).or_insert_with(|| given.clone()) == given,
                None => true,
            };
        }
        if !fits {
            return Err(not_known(rule, &format!("its graph reads {declared} and is given {given}")));
        }
    }
    let length = |name: &str| lengths.get(name).cloned();
    // what is no name has its length by names, which are known by now
    for (input, given) in graph.inputs().iter().zip(given) {
        let (Some(declared), Some(given)) = (graph.tensor_type(*input), given) else { continue };
        if !declared.with(&length).agrees_with(given) {
            return Err(not_known(rule, &format!("its graph reads {declared} and is given {given}")));
        }
    }
    Ok(graph.outputs().iter().map(|output| graph.tensor_type(*output).map(|made| made.with(&length))).collect())
}

/// An error that says why the types are not known.
pub(crate) fn not_known(rule: &TypeRuleInput<'_>, message: &str) -> CompilerError {
    CompilerError::NotKnown {
        node: rule.graph.label(rule.node),
        operator: rule.node.operator.clone(),
        message: message.to_owned(),
    }
}

/// The types of inputs from the one `first` on, as far as they are known.
pub(crate) fn given(rule: &TypeRuleInput<'_>, first: usize) -> Vec<Option<TensorType>> {
    (first..rule.node.inputs.len()).map(|input| rule.optional(input).cloned()).collect()
}

/// The types of states: those that they begin with, where each turn leaves them so.
pub(crate) fn states(
    rule: &TypeRuleInput<'_>,
    first: &[Option<TensorType>],
    made: &[Option<TensorType>],
) -> Result<Vec<TensorType>, CompilerError> {
    let kept = |(first, made): (&Option<TensorType>, &Option<TensorType>)| match (first, made) {
        (Some(first), Some(made)) if first.agrees_with(made) => Ok(first.clone()),
        _ => Err(not_known(rule, "a turn changes the shape of what it hands on")),
    };
    first.iter().zip(made).map(kept).collect()
}
