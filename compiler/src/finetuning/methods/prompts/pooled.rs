use std::collections::HashSet;

use super::super::method_function::MethodModel;
use super::cut::lengthened_axes;
use super::place::Place;
use crate::CompilerError;
use crate::finetuning::nodes::{named, producers};
use crate::graph::{Graph, Node, ValueId};
use crate::inference::infer_behind;

/// What is no longer than it was, made of something that is: the value, which input of its node, what is read there.
type Pool = (ValueId, usize, ValueId);

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
    let mut pools: Vec<Pool> = Vec::new();
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
    let mut told: Vec<String> =
        pools.iter().map(|(made, ..)| named(graph, &graph.nodes()[maker_of(graph, *made)])).collect();
    // where rows lie one behind the other, they are cut where they are still apart: for all that reads them, since places in flat rows are
    // counted with their lengths
    let (mut flat, mut apart): (Vec<(ValueId, ValueId)>, Vec<ValueId>) = Default::default();
    for (made, _, value) in &pools {
        if let Err(refusal) = lengthened_axes((base, &*graph), *value, count) {
            let found = with_rows_apart((base, &*graph), *value, count).filter(|found| !in_front.contains(found));
            apart.push(found.ok_or(refusal)?);
            flat.push((*made, *value));
        }
    }
    apart.sort_unstable();
    apart.dedup();
    let cut_already = behind(graph, &apart);
    let mut changed = Vec::new();
    for (made, input, value) in pools.iter().copied().filter(|(.., value)| !cut_already.contains(value)) {
        let at = maker_of(graph, made);
        let (before, axes) = (graph.nodes().len(), lengthened_axes((base, &*graph), value, count)?);
        let cut = graph.in_front_of(at, |graph| cut(graph, value, &axes, (place, count)))?;
        graph.set_input(at + graph.nodes().len() - before, input, cut);
        changed.push(cut);
    }
    for value in apart {
        let at = maker_of(graph, value) + 1;
        let (before, axes) = (graph.nodes().len(), lengthened_axes((base, &*graph), value, count)?);
        let cut = graph.in_front_of(at, |graph| cut(graph, value, &axes, (place, count)))?;
        graph.replace_reads(at + graph.nodes().len() - before, value, cut);
        changed.push(cut);
    }
    infer_behind(graph, changed, model.operators, &|value| {
        base.contains(value).then(|| base.tensor_type(value).cloned()).flatten()
    });
    let cut_apart = pools.iter().filter(|(.., value)| cut_already.contains(value));
    for (made, _, value) in cut_apart {
        require_as_it_was((base, &*graph), (*made, *value))?;
    }
    for (made, value) in flat {
        require_places_of_tokens((base, &*graph), (made, value), &pools)?;
    }
    told.dedup();
    Ok((!told.is_empty()).then(|| format!("virtual tokens are left out of what {} reads", told.join(", "))))
}

fn maker_of(graph: &Graph, value: ValueId) -> usize {
    let makes = |node: &Node| node.outputs.first().copied().flatten() == Some(value);
    graph.nodes().iter().position(makes).expect("it was just seen")
}

/// These values, and all that is made of them.
fn behind(graph: &Graph, values: &[ValueId]) -> HashSet<ValueId> {
    let mut found: HashSet<ValueId> = values.iter().copied().collect();
    for node in graph.nodes() {
        if node.inputs.iter().flatten().any(|value| found.contains(value)) {
            found.extend(node.outputs.iter().flatten());
        }
    }
    found
}

/// A value without virtual tokens.
fn cut(
    graph: &mut Graph,
    value: ValueId,
    axes: &[usize],
    (place, count): (Place, usize),
) -> Result<ValueId, CompilerError> {
    let name = format!("{}.of_tokens", graph.name(value));
    axes.iter().try_fold(value, |cut, axis| Ok(place.parts(graph, cut, (count, *axis), &name)?.1))
}

/// What a value is a view of, in which each row still has an axis of its own for tokens; a node makes it.
fn with_rows_apart((base, graph): (&Graph, &Graph), value: ValueId, count: usize) -> Option<ValueId> {
    const VIEWS: [&str; 4] = ["Cast", "Flatten", "Identity", "Reshape"];
    let mut value = value;
    loop {
        let node = graph.producer(value).filter(|node| VIEWS.iter().any(|view| node.is(view)))?;
        value = node.input(0).filter(|value| base.contains(*value))?;
        if lengthened_axes((base, graph), value, count).is_ok_and(|axes| !axes.is_empty()) {
            return graph.producer(value).map(|_| value);
        }
    }
}

/// Whether a value is as long as without virtual tokens.
fn is_as_it_was((base, graph): (&Graph, &Graph), value: ValueId) -> bool {
    match (base.tensor_type(value), graph.tensor_type(value)) {
        (Some(was), Some(is)) => is.agrees_with(was),
        (was, is) => was.is_none() && is.is_none(),
    }
}

fn refused(graph: &Graph, made: ValueId, what: &str) -> CompilerError {
    let node = named(graph, &graph.nodes()[maker_of(graph, made)]);
    CompilerError::setting(
        "",
        format!(
            "virtual tokens cannot be left out of what {node} reads: {what}; export the model so that this reads `[batch, sequence, …]`, \
             or use `prefix_tuning` without `moves_places`, or `lora`"
        ),
    )
}

/// Refuses what a node reads where it is longer still.
fn require_as_it_was(graphs: (&Graph, &Graph), (made, value): (ValueId, ValueId)) -> Result<(), CompilerError> {
    match is_as_it_was(graphs, value) {
        true => Ok(()),
        false => Err(refused(graphs.1, made, "rows lie one behind the other there, with them")),
    }
}

/// Refuses places in flat rows that are counted with virtual tokens.
fn require_places_of_tokens(
    (base, graph): (&Graph, &Graph),
    (made, value): (ValueId, ValueId),
    pools: &[Pool],
) -> Result<(), CompilerError> {
    let is_pooled = |value: ValueId| pools.iter().any(|(made, ..)| *made == value);
    let mut seen: HashSet<ValueId> = HashSet::from([value]);
    let mut left: Vec<ValueId> = graph.nodes()[maker_of(graph, made)].inputs.iter().flatten().copied().collect();
    while let Some(place) = left.pop() {
        if !seen.insert(place) || !base.contains(place) || is_pooled(place) {
            continue;
        }
        match (base.integers_of(place), graph.integers_of(place)) {
            (Some(was), Some(is)) if was.elements == is.elements => continue,
            (None, None) if is_as_it_was((base, graph), place) => {}
            _ => {
                let what = "places in rows that lie one behind the other are counted with them";
                return Err(refused(graph, made, what));
            }
        }
        left.extend(graph.producer(place).iter().flat_map(|node| node.inputs.iter().flatten()));
    }
    Ok(())
}
