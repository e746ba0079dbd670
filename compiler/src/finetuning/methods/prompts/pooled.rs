use std::collections::HashSet;

use super::super::method_function::MethodModel;
use super::cut::lengthened_axes;
use super::place::Place;
use crate::CompilerError;
use crate::finetuning::nodes::{named, producers};
use crate::graph::{Graph, Node, ValueId};
use crate::inference::infer_behind;

/// Leaves virtual tokens out of what is read of whole rows (the first place, a mean, the last token) behind all of these values,
/// what the heads of attentions give. Returns where, in words.
///
/// # Errors
/// What is read has become longer otherwise than by a place for each virtual token.
pub(super) fn leave_out_of_pools(
    model: &mut MethodModel<'_>,
    heads: &[ValueId],
    (place, count): (Place, usize),
) -> Result<Option<String>, CompilerError> {
    let (base, graph) = (model.base, &mut *model.graph);
    let in_front: HashSet<ValueId> = {
        let makers = producers(graph);
        let mut found: HashSet<ValueId> = HashSet::new();
        let mut left: Vec<ValueId> = heads.to_vec();
        while let Some(value) = left.pop() {
            if found.insert(value)
                && let Some(at) = makers.get(&value)
            {
                left.extend(graph.nodes()[*at].inputs.iter().flatten());
            }
        }
        found
    };
    // rows may lie one behind the other in between, and are no longer told apart there
    let is_changed = |graph: &Graph, value: ValueId| match (base.contains(value), graph.tensor_type(value)) {
        (false, _) => false,
        (true, None) => base.tensor_type(value).is_some(),
        (true, Some(is)) => base.tensor_type(value).is_some_and(|was| !is.agrees_with(was)),
    };
    let mut pools: Vec<(ValueId, usize, ValueId)> = Vec::new();
    for node in graph.nodes() {
        let Some(made) = node.outputs.first().copied().flatten() else { continue };
        // lengths are those of what stays longer
        let counts = node.is("Shape") || node.is("Size");
        if in_front.contains(&made) || counts || !base.contains(made) || is_changed(graph, made) {
            continue;
        }
        for (input, value) in node.inputs.iter().enumerate() {
            pools.extend(value.filter(|value| is_changed(graph, *value)).map(|value| (made, input, value)));
        }
    }
    let mut told = Vec::new();
    let mut changed = Vec::new();
    for (made, input, value) in pools {
        let makes = |node: &Node| node.outputs.first().copied().flatten() == Some(made);
        let at = graph.nodes().iter().position(makes).expect("it was just seen");
        let before = graph.nodes().len();
        let axes = lengthened_axes((base, &*graph), value, count)?;
        let name = format!("{}.of_tokens", graph.name(value));
        let cut = graph.in_front_of(at, |graph| {
            axes.iter().try_fold(value, |cut, axis| Ok(place.parts(graph, cut, (count, *axis), &name)?.1))
        })?;
        let at = at + graph.nodes().len() - before;
        graph.set_input(at, input, cut);
        changed.push(cut);
        told.push(named(graph, &graph.nodes()[at]));
    }
    infer_behind(graph, changed, model.operators, &|value| {
        base.contains(value).then(|| base.tensor_type(value).cloned()).flatten()
    });
    told.dedup();
    Ok((!told.is_empty()).then(|| format!("virtual tokens are left out of what {} reads", told.join(", "))))
}
