//! Stochastic depth in training: what a residual branch adds is left out at random.
//!
//! G. Huang et al., "Deep Networks with Stochastic Depth" (2016), as torchvision's `StochasticDepth` and timm's `DropPath` scale it:
//! y = x + f(x)·m / (1 − p), m = 1 with probability 1 − p and 0 otherwise, for each row or for all rows of a batch together. The masks come
//! from outside, as those of dropout.

use std::collections::{HashMap, HashSet};

use millstream_schemas::recipe::{DepthMode, DepthSchedule, StochasticDepthRecipe};
use millstream_schemas::{AxisLength, MaskEntry, count};

use super::residual::{Branch, has_fused_sums};
use crate::CompilerError;
use crate::binding::length_of;
use crate::graph::{ElementType, Graph, Length, TensorType, ValueId};
use crate::tensor_entry::axis_length;

/// The branches that are left out by what a recipe says, which are those whose rows can be told apart where they must be.
fn fitting(found: &[Branch], wanted: StochasticDepthRecipe) -> Vec<Branch> {
    let fits = |branch: &&Branch| wanted.mode == DepthMode::Batch || !branch.is_across_rows;
    found.iter().filter(fits).copied().collect()
}

/// The share of the `index`th of so many branches.
fn share(wanted: StochasticDepthRecipe, index: usize, branches: usize) -> f32 {
    match wanted.schedule {
        DepthSchedule::Linear if branches > 1 => {
            (f64::from(wanted.probability) * index as f64 / (branches - 1) as f64) as f32
        }
        DepthSchedule::Constant | DepthSchedule::Linear => wanted.probability,
    }
}

/// What is done with these branches, in words.
///
/// # Errors
/// There are none.
pub(crate) fn note(graph: &Graph, found: &[Branch], wanted: StochasticDepthRecipe) -> Result<String, CompilerError> {
    let branches = fitting(found, wanted);
    let across = found.len() - branches.len();
    if branches.is_empty() {
        let why = match (across, has_fused_sums(graph)) {
            (1.., _) => format!(
                "{} of the model {} rows on another axis than the first, and cannot be left out of a row; use `mode: batch`",
                count(found.len(), "residual branch"),
                if found.len() == 1 { "has its" } else { "have their" }
            ),
            (_, true) => "the model has no residual branch: ONNX Runtime's optimizer has put additions and what follows into one \
                          node; take the file that it was made from"
                .to_owned(),
            _ => "the model has no residual branch: no addition joins a value with what layers make of it; leave it out".to_owned(),
        };
        return Err(CompilerError::setting("model.stochastic_depth", why));
    }
    let [first, last] = [0, branches.len() - 1].map(|index| share(wanted, index, branches.len()));
    let by = match (wanted.mode, first == last) {
        (DepthMode::Row, true) => format!("of each row with a probability of {last}"),
        (DepthMode::Row, false) => {
            format!("of each row with a probability of {first} at the first to {last} at the last")
        }
        (DepthMode::Batch, true) => format!("of each batch with a probability of {last}"),
        (DepthMode::Batch, false) => {
            format!("of each batch with a probability of {first} at the first to {last} at the last")
        }
    };
    let others = match across {
        0 => String::new(),
        across => format!("; {across} more have their rows on another axis than the first, and stay"),
    };
    let stand = if branches.len() == 1 { "is" } else { "are" };
    Ok(format!("{} {stand} left out in training, {by}{others}", count(branches.len(), "residual branch")))
}

/// Lets additions of a graph of the model leave their branches out as masks say, which become inputs of the graph and are returned.
/// `name`: what a value of the branches is called in it.
///
/// # Errors
/// An addition is no longer there, or what a branch ends with is not of 32-bit floats with its rows first.
pub(crate) fn make_live(
    graph: &mut Graph,
    found: &[Branch],
    wanted: StochasticDepthRecipe,
    batch: &AxisLength,
    name: &dyn Fn(ValueId) -> String,
) -> Result<Vec<MaskEntry>, CompilerError> {
    let branches = fitting(found, wanted);
    let (mut masks, mut taken) = (Vec::new(), HashSet::new());
    let mut sums: HashMap<ValueId, Vec<(ValueId, HashSet<ValueId>)>> = HashMap::new();
    for node in graph.nodes().iter().filter(|node| node.is("Add") || node.is("Sum")) {
        let read: HashSet<ValueId> = node.inputs.iter().flatten().copied().collect();
        for (value, sum) in read.iter().filter_map(|value| Some((*value, node.outputs[0]?))) {
            sums.entry(value).or_default().push((sum, read.clone()));
        }
    }
    let (first, mut places) = (graph.nodes().len(), Vec::new());
    for (index, branch) in branches.iter().enumerate() {
        let [start, end] = [branch.start, branch.end].map(|value| graph.find(&name(value)));
        let of_end = end.and_then(|end| sums.get(&end)).into_iter().flatten();
        let mut of_both = of_end.filter(|(_, read)| start.is_some_and(|start| read.contains(&start)));
        let sum = of_both.find(|(sum, _)| taken.insert(*sum)).map(|(sum, _)| *sum);
        let (Some(end), Some(sum)) = (end, sum) else {
            let message = format!(
                "the addition of the branch that ends with `{}` has been rewritten; leave it out, or the method that does it",
                millstream_schemas::shown(name(branch.end))
            );
            return Err(CompilerError::setting("model.stochastic_depth", message));
        };
        let share = share(wanted, index, branches.len());
        // the first of a linear schedule always stays
        if share == 0.0 {
            continue;
        }
        let at = graph.maker(sum).expect("a node makes the sum");
        let before = graph.nodes().len();
        let (kept, mask) = masked(graph, end, share, wanted.mode, batch)?;
        places.push((graph.nodes().len() - before, at));
        let operand = graph.nodes()[at].inputs.iter().position(|input| *input == Some(end));
        graph.set_input(at, operand.expect("the addition reads the branch"), kept);
        masks.push(mask);
    }
    graph.move_added(first, &places);
    Ok(masks)
}

/// What a mask leaves of a branch's end.
fn masked(
    graph: &mut Graph,
    end: ValueId,
    share: f32,
    mode: DepthMode,
    batch: &AxisLength,
) -> Result<(ValueId, MaskEntry), CompilerError> {
    let refuse = |message: String| Err(CompilerError::setting("model.stochastic_depth", message));
    let known = graph.known_type(end)?.clone();
    let called = millstream_schemas::shown(graph.name(end));
    if known.dtype != ElementType::F32 {
        return refuse(format!("the branch that ends with `{called}` is {known}, wanted float32"));
    }
    let rows: Length = match mode {
        DepthMode::Batch => 1.into(),
        DepthMode::Row => length_of(batch),
    };
    if mode == DepthMode::Row && known.shape.first() != Some(&rows) {
        return refuse(format!(
            "the branch that ends with `{called}` is {known}, and its rows, {batch}, are not on its first axis; use `mode: batch`"
        ));
    }
    let name = graph.free_name(&format!("{}.mask", graph.name(end)));
    let mask = graph.input(&name, TensorType { dtype: ElementType::Bool, shape: vec![rows.clone()] });
    let entry = MaskEntry { name, shape: vec![axis_length(&rows)], keep: 1.0 - share };
    let mask = graph.cast(mask, ElementType::F32)?;
    let scale = graph.scalar(1.0 / (1.0 - share));
    let factor = graph.times(mask, scale)?;
    let mut lengths = vec![1; known.shape.len()];
    lengths[..1].fill(-1);
    let lengths = graph.integers(&lengths);
    let factor = graph.add("Reshape", &[factor, lengths], &[])?;
    Ok((graph.times(end, factor)?, entry))
}
