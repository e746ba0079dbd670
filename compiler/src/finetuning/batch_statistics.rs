//! BatchNormalization in training mode: normalized by the batch, with running statistics that follow it.

use std::collections::{BTreeMap, HashMap, HashSet};

use millstream_schemas::count;
use millstream_schemas::recipe::BatchNormalization;

use super::training_mode::standardizes_weight;
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Length, Node, ValueId};
use crate::losses::LossInputs;

/// Share of the running statistics that stays at each step, where the node does not say; ONNX's default.
const MOMENTUM: f32 = 0.9;

/// The normalizations by given statistics whose scale or bias is one of `weights`, by their places in the graph.
pub(crate) fn normalizations(graph: &Graph, weights: &[ValueId]) -> Vec<usize> {
    let trained: HashSet<ValueId> = weights.iter().copied().collect();
    let is_trained =
        |node: &Node| [1, 2].iter().any(|input| node.input(*input).is_some_and(|id| trained.contains(&id)));
    let all = graph.nodes().iter().enumerate().filter(|(_, node)| is_normalization(graph, node) && is_trained(node));
    all.map(|(at, _)| at).collect()
}

/// What is done with the normalizations of a graph, in words, where there are any that are trained.
///
/// # Errors
/// They are to be normalized by the batch, and there are none.
pub(crate) fn note(
    graph: &Graph,
    weights: &[ValueId],
    wanted: BatchNormalization,
) -> Result<Option<String>, CompilerError> {
    let trained = normalizations(graph, weights).len() as u64;
    let others = graph.nodes().iter().filter(|node| is_normalization(graph, node)).count() as u64 - trained;
    let nodes = count(trained, "BatchNormalization node");
    Ok(match (wanted, trained) {
        (BatchNormalization::Frozen, 0) => None,
        (BatchNormalization::Frozen, _) => Some(format!(
            "scale and bias of {nodes} are trained, the running statistics stay those of the model's file; \
             `model.batch_normalization: training` lets them follow the data"
        )),
        (_, 0) => {
            let found = match others {
                0 => "the model has no BatchNormalization; exporters fold it into convolutions".to_owned(),
                others => format!("{} in the model, in no trained layer", count(others, "BatchNormalization node")),
            };
            let message = format!("nothing is normalized by the batch: {found}; use `batch_normalization: frozen`");
            return Err(CompilerError::setting("model.batch_normalization", message));
        }
        (_, _) => {
            let kept = match others {
                0 => String::new(),
                others => format!("; {others} in frozen layers keep theirs"),
            };
            let anew = if wanted.is_reestimated() { "; `train` computes those of what it exports anew" } else { "" };
            Some(format!(
                "{nodes} in trained layers normalize by the batch, and their running statistics follow it{anew}{kept}"
            ))
        }
    })
}

/// Whether a node normalizes what comes through the model by given statistics; one that standardizes a kernel has none of its own.
fn is_normalization(graph: &Graph, node: &Node) -> bool {
    node.is("BatchNormalization") && !node.normalizes_by_batch() && !standardizes_weight(graph, node)
}

/// Gives each normalization statistics of its own, where an exporter has merged equal ones. Nodes with the same scale and
/// bias are one module, and share theirs.
pub(crate) fn untie_statistics(graph: &mut Graph) {
    let mut owners = HashMap::new();
    for at in 0..graph.nodes().len() {
        if !is_normalization(graph, &graph.nodes()[at]) {
            continue;
        }
        for input in [3, 4] {
            let node = &graph.nodes()[at];
            let Some(value) = node.input(input) else { continue };
            let owner = (input, node.input(1), node.input(2));
            if *owners.entry(value).or_insert(owner) == owner {
                continue;
            }
            let Some(constant) = graph.constant_of(value).cloned() else { continue };
            let name = graph.name(value).to_owned();
            let own = graph.named_constant(&name, constant);
            graph.set_input(at, input, own);
        }
    }
}

/// A running statistic that is an input of the graph.
#[derive(Clone, Debug)]
pub(crate) struct OpenedStatistic {
    pub(crate) value: ValueId,
    /// Scale or bias of its normalization, which is trained.
    pub(crate) beside: ValueId,
    /// Its first values.
    pub(crate) first: Vec<f32>,
}

/// Makes the statistics of these normalizations inputs of the graph.
///
/// # Errors
/// A statistic is computed by the graph, or is not of 32-bit floats.
pub(crate) fn open_statistics(
    graph: &mut Graph,
    places: &[usize],
    weights: &[ValueId],
) -> Result<Vec<OpenedStatistic>, CompilerError> {
    let mut opened: Vec<OpenedStatistic> = Vec::new();
    let (mut known, weights) = (HashSet::new(), weights.iter().copied().collect::<HashSet<ValueId>>());
    for at in places {
        for input in [3, 4] {
            let node = &graph.nodes()[*at];
            let value = node.input(input);
            if value.is_some_and(|value| known.contains(&value)) {
                continue;
            }
            let beside = [1, 2].iter().find_map(|input| node.input(*input).filter(|id| weights.contains(id)));
            let first = value.and_then(|value| graph.constant_of(value)).and_then(Constant::to_f32);
            let (Some(value), Some(beside), Some(first)) = (value, beside, first) else {
                return Err(CompilerError::Node {
                    node: graph.label(node),
                    operator: node.operator.clone(),
                    message: "its running statistics are no constants of float32; use `batch_normalization: frozen`"
                        .into(),
                });
            };
            graph.constant_to_input(value);
            known.insert(value);
            opened.push(OpenedStatistic { value, beside, first });
        }
    }
    Ok(opened)
}

/// What becomes of the statistics of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The running ones follow them.
    Followed,
    /// They are given as they are; those of a module that is used several times as the mean over its uses.
    Alone,
}

/// Lets these normalizations take mean and variance of the batch, rows without weight left out, and returns by the running
/// ones what each of them is after the step, or what that of the batch is.
///
/// With w = 1 for a row that has weight and 0 for another, and n of their elements in a channel: mean = Σ w·x / n, variance =
/// Σ w·(x − mean)² / n, y = (x − mean) / √(variance + ε) · scale + bias. The running mean becomes momentum · running + (1 −
/// momentum) · mean, the running variance takes Σ w·(x − mean)² / (n − 1), as in `torch.nn.BatchNorm2d`.
///
/// # Errors
/// An operator that this needs is missing in the graph's table, or the type of what is normalized is not known.
pub(crate) fn take_from_batch(
    graph: &mut Graph,
    places: &[usize],
    rows: &RowsOfBatch<'_>,
    wanted: Use,
) -> Result<HashMap<ValueId, ValueId>, CompilerError> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let results: HashSet<ValueId> =
        places.iter().filter_map(|at| graph.nodes()[*at].outputs.first().copied()?).collect();
    let present = graph.in_front_of(0, |graph| present_rows(graph, rows))?;
    let (mut next, mut alone) = (HashMap::new(), BTreeMap::<ValueId, Vec<ValueId>>::new());
    let chosen = |_: &Graph, node: &Node| {
        node.outputs.first().copied().flatten().filter(|made| results.contains(made)).map(drop)
    };
    graph.replace_each(chosen, |graph, node, ()| {
        let (made, statistics) = normalized(graph, &node, present)?;
        for (running, of_batch) in statistics {
            match wanted {
                Use::Followed => {
                    let momentum = node.float("momentum").unwrap_or(MOMENTUM);
                    // a module that is used twice has followed the batch once already
                    let last = next.get(&running).copied().unwrap_or(running);
                    next.insert(running, followed(graph, momentum, last, of_batch)?);
                }
                Use::Alone => alone.entry(running).or_default().push(of_batch),
            }
        }
        Ok(vec![made])
    })?;
    for (running, of_uses) in alone {
        next.insert(running, mean_of(graph, &of_uses)?);
    }
    Ok(next)
}

/// momentum · last + (1 − momentum) · of the batch.
fn followed(graph: &mut Graph, momentum: f32, last: ValueId, of_batch: ValueId) -> Result<ValueId, CompilerError> {
    let (stays, comes) = (graph.scalar(momentum), graph.scalar(1.0 - momentum));
    let (stays, comes) = (graph.times(last, stays)?, graph.times(of_batch, comes)?);
    graph.plus(stays, comes)
}

fn mean_of(graph: &mut Graph, values: &[ValueId]) -> Result<ValueId, CompilerError> {
    let [first, others @ ..] = values else { unreachable!("each has at least one use") };
    if others.is_empty() {
        return Ok(*first);
    }
    let sum = others.iter().try_fold(*first, |sum, value| graph.plus(sum, *value))?;
    let share = graph.scalar(1.0 / values.len() as f32);
    graph.times(sum, share)
}

/// The graph of a model whose statistics are its inputs that gives those of a batch, each in the place of the running one.
///
/// # Errors
/// As [`take_from_batch`].
pub(crate) fn statistics_graph(
    graph: &Graph,
    places: &[usize],
    rows: &RowsOfBatch<'_>,
    opened: &[OpenedStatistic],
) -> Result<Graph, CompilerError> {
    let mut graph = graph.clone();
    let of_batch = take_from_batch(&mut graph, places, rows, Use::Alone)?;
    let mut outputs = Vec::new();
    for statistic in opened {
        let name = format!("{}.of_batch", graph.name(statistic.value));
        // a value can be one output only, and must not be an input
        let output = graph.add("Identity", &[of_batch[&statistic.value]], &[])?;
        let name = graph.free_name(&name);
        graph.rename(output, &name)?;
        outputs.push(output);
    }
    graph.set_outputs(&outputs);
    Ok(graph)
}

/// What says which rows of a batch have weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowsOfBatch<'a> {
    pub(crate) inputs: &'a LossInputs,
    /// The class that does not count, where targets are numbers of classes.
    pub(crate) ignored_class: Option<i64>,
}

/// 1 for each row with weight, `[batch]`.
fn present_rows(graph: &mut Graph, rows: &RowsOfBatch<'_>) -> Result<ValueId, CompilerError> {
    let RowsOfBatch { inputs, ignored_class } = *rows;
    let axes: Vec<i64> = (1..graph.shape(inputs.targets)?.len() as i64).collect();
    let weights = match (inputs.weights, ignored_class) {
        (Some(weights), _) => weights,
        (None, Some(ignored)) => {
            let ignored = graph.constant("ignored_class", Constant::i64([], &[ignored]));
            let is_ignored = graph.add("Equal", &[inputs.targets, ignored], &[])?;
            let counts = graph.add("Not", &[is_ignored], &[])?;
            let counts = graph.cast(counts, ElementType::F32)?;
            if axes.is_empty() { counts } else { graph.reduce_sum(counts, &axes, false)? }
        }
        // a row of the targets sums to its weight
        (None, None) => graph.reduce_sum(inputs.targets, &axes, false)?,
    };
    let zero = graph.scalar(0.0);
    let counted = graph.add("Greater", &[weights, zero], &[])?;
    graph.cast(counted, ElementType::F32)
}

/// What a normalization by the batch makes, and by its running statistics those of the batch.
fn normalized(
    graph: &mut Graph,
    node: &Node,
    present: ValueId,
) -> Result<(ValueId, [(ValueId, ValueId); 2]), CompilerError> {
    let input = |index: usize| {
        node.input(index).ok_or_else(|| CompilerError::Node {
            node: node.name.clone(),
            operator: node.operator.clone(),
            message: format!("input {index} is missing"),
        })
    };
    let [x, scale, bias, running_mean, running_variance] = [input(0)?, input(1)?, input(2)?, input(3)?, input(4)?];
    let shape = graph.shape(x)?.to_vec();
    let spatial: Vec<i64> = (2..shape.len() as i64).collect();
    let in_row: Length = shape[2..].iter().product();
    let along = |value: ValueId, graph: &mut Graph| {
        let mut lengths = vec![1; shape.len()];
        lengths[1] = -1;
        let lengths = graph.integers(&lengths);
        graph.add("Reshape", &[value, lengths], &[])
    };
    // [batch, 1], so that sums over a row are weighed, not its elements
    let rows = {
        let lengths = graph.integers(&[-1, 1]);
        graph.add("Reshape", &[present, lengths], &[])?
    };
    let count = {
        let rows = graph.reduce_sum(present, &[0], false)?;
        let one = graph.scalar(1.0);
        let rows = graph.add("Max", &[rows, one], &[])?;
        let in_row = graph.length_as_float(&in_row)?;
        graph.times(rows, in_row)?
    };
    let summed = |value: ValueId, graph: &mut Graph| {
        let of_row = if spatial.is_empty() { value } else { graph.reduce_sum(value, &spatial, false)? };
        let weighed = graph.times(of_row, rows)?;
        graph.reduce_sum(weighed, &[0], false)
    };
    let sum = summed(x, graph)?;
    let mean = graph.divided_by(sum, count)?;
    let wide_mean = along(mean, graph)?;
    let centred = graph.minus(x, wide_mean)?;
    let squares = graph.times(centred, centred)?;
    let squares = summed(squares, graph)?;
    let variance = graph.divided_by(squares, count)?;
    let epsilon = graph.scalar(node.float("epsilon").unwrap_or(1e-5));
    let deviation = graph.plus(variance, epsilon)?;
    let deviation = graph.add("Sqrt", &[deviation], &[])?;
    let factor = graph.divided_by(scale, deviation)?;
    let (factor, bias) = (along(factor, graph)?, along(bias, graph)?);
    let scaled = graph.times(centred, factor)?;
    let made = graph.plus(scaled, bias)?;

    let unbiased = {
        let one = graph.scalar(1.0);
        let less = graph.minus(count, one)?;
        let less = graph.add("Max", &[less, one], &[])?;
        graph.divided_by(squares, less)?
    };
    Ok((made, [(running_mean, mean), (running_variance, unbiased)]))
}
