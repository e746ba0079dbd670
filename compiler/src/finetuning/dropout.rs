//! Dropout in training: what is left out is said by masks, which are inputs of the training step.
//!
//! N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014): y = x·m / (1 − p), m = 1 with
//! probability 1 − p and 0 otherwise. The masks come from outside, so that they are a function of a seed and the step alone, on every
//! device and after every resume; ONNX Runtime's own `Dropout` draws from a generator whose state cannot be kept.

use std::collections::HashSet;

use millstream_schemas::recipe::DropoutMode;
use millstream_schemas::{MaskEntry, count};

use super::residual::leading;
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Length, Node, TensorType, ValueId};
use crate::tensor_entry::axis_length;

/// The share that a node drops where it does not say; ONNX's default.
const RATE: f32 = 0.5;

/// Adds a `Dropout` to a model, which passes all on until it is made live.
pub(crate) fn append(graph: &mut Graph, x: ValueId, rate: f32) -> Result<ValueId, CompilerError> {
    let rate = graph.named_constant("dropout_rate", Constant::f32([], &[rate]));
    graph.append("Dropout", &[x, rate], &[], "dropped")
}

/// The `Dropout` nodes that drop in training: those whose result is one of `own`, and with [`DropoutMode::Live`] all that lead to
/// the prediction.
pub(crate) fn places(graph: &Graph, prediction: ValueId, own: &[ValueId], mode: DropoutMode) -> Vec<usize> {
    let leading = match mode {
        DropoutMode::Off => HashSet::new(),
        DropoutMode::Live => leading(graph, prediction),
    };
    let is_live = |at: usize, node: &Node| {
        let output = node.outputs.first().copied().flatten();
        is_dropout(node) && (leading.contains(&at) || output.is_some_and(|output| own.contains(&output)))
    };
    graph.nodes().iter().enumerate().filter(|(at, node)| is_live(*at, node)).map(|(at, _)| at).collect()
}

/// What is done with the `Dropout` nodes of a model's file, in words, where it has any.
///
/// # Errors
/// They are to drop, and there are none.
pub(crate) fn note(
    graph: &Graph,
    prediction: ValueId,
    own: &[ValueId],
    mode: DropoutMode,
) -> Result<Option<String>, CompilerError> {
    let of_file = places(graph, prediction, &[], DropoutMode::Live);
    let is_own = |at: &&usize| graph.nodes()[**at].outputs[0].is_some_and(|output| own.contains(&output));
    let (own, of_file): (Vec<&usize>, Vec<&usize>) = of_file.iter().partition(is_own);
    Ok(match (mode, of_file.len() as u64) {
        (DropoutMode::Off, 0) => None,
        (DropoutMode::Off, nodes) => Some(format!(
            "{} of the model's file pass all on in training too; `model.dropout: live` lets them drop",
            count(nodes, "Dropout node")
        )),
        (DropoutMode::Live, 0) if own.is_empty() => {
            let message = "the model has no Dropout node: exporters leave them out unless told to export for training; \
                           use `dropout: off`, or `dropout` of `head: {on_features: …}` and of methods";
            return Err(CompilerError::setting("model.dropout", message));
        }
        (DropoutMode::Live, 0) => None,
        (DropoutMode::Live, nodes) => {
            Some(format!("{} of the model's file drop in training", count(nodes, "Dropout node")))
        }
    })
}

/// Turns `Dropout` off in a model that was exported for training, where it would drop in the tuned model too; returns how many.
pub(crate) fn turn_off(graph: &mut Graph) -> u64 {
    let drops = |node: &Node, graph: &Graph| {
        let mode = node.input(2).and_then(|mode| graph.constant_of(mode)).and_then(Constant::to_i64);
        is_dropout(node) && mode.is_some_and(|mode| mode.first().is_some_and(|on| *on != 0))
    };
    let found: Vec<usize> =
        graph.nodes().iter().enumerate().filter(|(_, node)| drops(node, graph)).map(|(at, _)| at).collect();
    for at in &found {
        let inputs = graph.nodes()[*at].inputs[..2].to_vec();
        graph.set_inputs(*at, inputs);
    }
    found.len() as u64
}

fn is_dropout(node: &Node) -> bool {
    node.is("Dropout")
}

/// Lets the nodes with these results drop what masks say, and returns the masks, which become inputs of the graph.
///
/// # Errors
/// A share is not a constant of 0 to below 1, or the lengths of an axis are more than a product of named ones.
pub(crate) fn make_live(graph: &mut Graph, results: &HashSet<ValueId>) -> Result<Vec<MaskEntry>, CompilerError> {
    let mut masks = Vec::new();
    // one that drops nothing stays as it is
    let drops = |node: &Node, graph: &Graph| share(node, graph) != Some(0.0);
    let is_one = |node: &Node, graph: &Graph| {
        let output = node.outputs.first().copied().flatten();
        is_dropout(node) && output.is_some_and(|output| results.contains(&output)) && drops(node, graph)
    };
    let chosen = |graph: &Graph, node: &Node| is_one(node, graph).then_some(());
    graph.replace_each(chosen, |graph, node, ()| {
        let (made, mask) = dropped(graph, &node)?;
        masks.push(mask);
        Ok(made)
    })?;
    Ok(masks)
}

/// The share that a node drops, where that is not computed.
fn share(node: &Node, graph: &Graph) -> Option<f32> {
    let Some(rate) = node.input(1) else { return Some(RATE) };
    graph.constant_of(rate)?.to_f32()?.first().copied()
}

/// The outputs of a node that drops, and its mask.
fn dropped(graph: &mut Graph, node: &Node) -> Result<(Vec<ValueId>, MaskEntry), CompilerError> {
    let error = |message: String| CompilerError::Node {
        node: node.name.clone(),
        operator: node.operator.clone(),
        message: format!(
            "{message}; use `model.dropout: off`, or no `dropout` where it is that of a method or of the new head"
        ),
    };
    let x = node.input(0).ok_or_else(|| error("input 0 is missing".into()))?;
    let rate = share(node, graph);
    let rate = rate.ok_or_else(|| error("the share that it drops is computed".into()))?;
    if !(0.0..1.0).contains(&rate) {
        return Err(error(format!("it drops a share of {rate}, wanted 0 to below 1")));
    }
    let shape = graph.shape(x)?.to_vec();
    let factors = |length: &Length| {
        let open = || {
            error(format!(
                "it drops in a tensor with an axis of {length}, and masks have named axes and products of them"
            ))
        };
        length.factors().ok_or_else(open)
    };
    let split = shape.iter().map(factors).collect::<Result<Vec<_>, _>>()?.concat();
    let name = graph.free_name(&format!("{}.mask", graph.name(node.outputs[0].unwrap_or(x))));
    let mask = graph.input(&name, TensorType { dtype: ElementType::Bool, shape: split.clone() });
    let entry = MaskEntry { name, shape: split.iter().map(axis_length).collect(), keep: 1.0 - rate };
    let mask = if split == shape { mask } else { graph.reshape(mask, &shape)? };
    let scale = graph.scalar(1.0 / (1.0 - rate));
    let scaled = graph.times(x, scale)?;
    let zero = graph.scalar(0.0);
    let kept = graph.add("Where", &[mask, scaled, zero], &[])?;
    Ok((vec![kept, mask], entry))
}
