use std::f32::consts::FRAC_2_PI;

use super::{Gradient, Operator, Sample, SampleInput, same_as_first, varied, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{ElementType, Graph, Length, ValueId};

/// `com.microsoft.MoE`: of x `[…, hidden]` the `k` experts with the highest scores `[rows, experts]`, each two dense layers
/// `[experts, out, in]` with an activation between, weighted by the softmax of the scores. Where its gradient is needed all experts are
/// computed, and those that are not chosen weigh nothing.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "MoE",
    opsets: 1..=1,
    weights: &[2, 3, 4, 5],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let scores = || varied_in(&[3, 4], -2.0, 2.0);
        let layers = || [varied(&[4, 6, 5]), varied(&[4, 6]), varied(&[4, 5, 6]), varied(&[4, 5])];
        let of = |k: i64, activation: &'static str| vec![("k", k.into()), ("activation_type", activation.into())];
        let inputs = || [varied(&[3, 5]), scores()].into_iter().chain(layers()).collect::<Vec<_>>();
        let normalized = [of(2, "silu"), vec![("normalize_routing_weights", 1.into())]].concat();
        let [first, _, last, _] = layers();
        let bare = vec![varied(&[1, 3, 5]), scores(), first, SampleInput::Absent, last];
        vec![
            Sample::new("two experts", inputs(), of(2, "gelu")),
            Sample::new("two that share all", inputs(), normalized),
            Sample::new("one expert", inputs(), of(1, "identity")),
            Sample::new("a sequence, without biases", bare, of(1, "relu")),
        ]
    },
};

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let [x, scores, first, last] = [0, 1, 2, 4].map(|index| node.input(index));
    let (x, scores, first, last) = (x?, scores?, first?, last?);
    let [first_bias, last_bias, third] = [3, 5, 6].map(|index| node.node.input(index));
    if third.is_some() || node.node.int("use_sparse_mixer").unwrap_or(0) != 0 {
        return Err(node.no_gradient(
            "it has a third layer or the routing of a sparse mixer; the forms of two layers are written out",
        ));
    }
    let activation = node.node.string("activation_type").unwrap_or("relu").to_owned();
    let k = node.node.int("k").unwrap_or(1);
    let normalizes = node.node.int("normalize_routing_weights").unwrap_or(0) != 0;
    let shape = node.input_type(0)?.shape;
    let (Some(experts), Some(hidden)) = (node.input_type(1)?.shape.last().cloned(), shape.last().cloned()) else {
        return Err(node.error("its input and its scores have no axes"));
    };
    let rows: Length = shape[..shape.len() - 1].iter().product();
    let graph = &mut *node.graph;
    let flat = graph.reshape(x, &[rows.clone(), hidden])?;
    let inner = dense(graph, flat, first, first_bias)?;
    let Some(active) = activated(graph, inner, &activation)? else {
        return Err(node.no_gradient(format!("its activation `{activation}` is not written out")));
    };
    let made = dense(graph, active, last, last_bias)?;
    let share = shares(graph, scores, k, normalizes)?;
    let share = graph.transpose(share, &[1, 0])?;
    let share = graph.reshape(share, &[experts, rows, 1.into()])?;
    let weighed = graph.times(made, share)?;
    let sum = graph.reduce_sum(weighed, &[0], false)?;
    Ok(vec![graph.reshape(sum, &shape)?])
}

/// x · Wᵀ + b for each expert: `[experts, rows, out]`.
fn dense(graph: &mut Graph, x: ValueId, weight: ValueId, bias: Option<ValueId>) -> Result<ValueId, CompilerError> {
    let turned = graph.transpose(weight, &[0, 2, 1])?;
    let made = graph.add("MatMul", &[x, turned], &[])?;
    let Some(bias) = bias else { return Ok(made) };
    let [experts, out] = <[Length; 2]>::try_from(graph.shape(bias)?.to_vec())
        .map_err(|_| CompilerError::unsupported("a bias of experts that is no matrix", "it is [experts, numbers]"))?;
    let bias = graph.reshape(bias, &[experts, 1.into(), out])?;
    graph.plus(made, bias)
}

/// None of an activation that is not known here.
fn activated(graph: &mut Graph, x: ValueId, activation: &str) -> Result<Option<ValueId>, CompilerError> {
    Ok(Some(match activation {
        "identity" => x,
        "relu" => graph.add("Relu", &[x], &[])?,
        "silu" => {
            let gate = graph.add("Sigmoid", &[x], &[])?;
            graph.times(x, gate)?
        }
        "gelu" => {
            // its kernel computes tanh's approximation
            let [half, one, part, root] = [0.5, 1.0, 0.044715, FRAC_2_PI.sqrt()].map(|value| graph.scalar(value));
            let square = graph.times(x, x)?;
            let cube = graph.times(square, x)?;
            let cube = graph.times(cube, part)?;
            let bent = graph.plus(x, cube)?;
            let bent = graph.times(bent, root)?;
            let bent = graph.add("Tanh", &[bent], &[])?;
            let share = graph.plus(bent, one)?;
            let share = graph.times(share, half)?;
            graph.times(x, share)?
        }
        _ => return Ok(None),
    }))
}

/// How much each expert counts in a row: the softmax of all scores, 0 for those that are not among the `k` highest.
fn shares(graph: &mut Graph, scores: ValueId, k: i64, normalizes: bool) -> Result<ValueId, CompilerError> {
    let experts = graph.shape(scores)?.last().cloned().unwrap_or_else(|| 1.into());
    let share = graph.add("Softmax", &[scores], &[("axis", (-1).into())])?;
    let count = graph.integers(&[k]);
    let found = graph.add_with("TopK", &[Some(scores), Some(count)], &[("axis", (-1).into())], 2)?;
    let depth = graph.lengths(&[experts])?;
    let off_on = graph.integers(&[0, 1]);
    let chosen = graph.add("OneHot", &[found[1], depth, off_on], &[("axis", (-1).into())])?;
    let chosen = graph.reduce_sum(chosen, &[1], false)?;
    let chosen = graph.cast(chosen, ElementType::F32)?;
    let share = graph.times(share, chosen)?;
    if !normalizes {
        return Ok(share);
    }
    let all = graph.reduce_sum(share, &[1], true)?;
    graph.divided_by(share, all)
}
