//! Losses that read one score of each example, that of its class.

use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{ElementType, Graph, Length, TensorType, ValueId};
use crate::operators::{Sample, SampleInput, TypeRuleInput, fixed_integers_of, varied, varied_in};

type Emitted = Result<ValueId, CompilerError>;

/// The type of the loss of scores `[N, C, …]` for classes `[N, …]`: that of the classes' shape, or of one number.
pub(crate) fn types(rule: &TypeRuleInput<'_>) -> Result<TensorType, CompilerError> {
    let (scores, classes) = (rule.input(0)?, rule.input(1)?);
    let without: Vec<Length> =
        scores.shape.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, at)| at.clone()).collect();
    let fits = scores.shape.len() >= 2
        && without.len() == classes.shape.len()
        && without.iter().zip(&classes.shape).all(|(a, b)| a.agrees_with(b));
    if !fits {
        let open = without.iter().chain(&classes.shape).any(|length| length.as_number().is_none());
        let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
        return Err(rule.error(format!("classes {classes} for scores {scores}{advice}")));
    }
    let is_each = match rule.node.string("reduction").unwrap_or("mean") {
        "none" => true,
        "sum" | "mean" => false,
        other => return Err(rule.error(format!("reduction `{}`", millstream_schemas::shown(other)))),
    };
    Ok(TensorType { dtype: scores.dtype, shape: if is_each { classes.shape.clone() } else { Vec::new() } })
}

/// The loss −w · s[class] of scores s, by the node's `reduction` and `ignore_index`; its third input are the weights w of classes.
pub(crate) fn loss(node: &mut Expansion<'_>, scores: ValueId) -> Emitted {
    let classes = node.input(1)?;
    let shape = node.input_type(1)?.shape;
    let reduction = node.node.string("reduction").unwrap_or("mean").to_owned();
    let (ignored, weights) = (node.node.int("ignore_index"), node.node.input(2));
    let graph = &mut *node.graph;
    let mut classes = graph.cast(classes, ElementType::I64)?;
    let mut share = None;
    if let Some(ignored) = ignored {
        let [ignored, first] =
            [ignored, 0].map(|value| graph.constant("class", crate::graph::Constant::i64([], &[value])));
        let is_ignored = graph.add("Equal", &[classes, ignored], &[])?;
        let counts = graph.add("Not", &[is_ignored], &[])?;
        classes = graph.add("Where", &[counts, classes, first], &[])?;
        share = Some(graph.cast(counts, ElementType::F32)?);
    }
    if let Some(weights) = weights {
        let own = graph.add("Gather", &[weights, classes], &[])?;
        share = Some(share.map_or(Ok(own), |share| graph.times(own, share))?);
    }
    let axis = graph.integers(&[1]);
    let index = graph.add("Unsqueeze", &[classes, axis], &[])?;
    let picked = graph.add("GatherElements", &[scores, index], &[("axis", 1.into())])?;
    let picked = graph.reshape(picked, &shape)?;
    let mut loss = graph.add("Neg", &[picked], &[])?;
    if let Some(share) = share {
        loss = graph.times(loss, share)?;
    }
    match reduction.as_str() {
        "none" => Ok(loss),
        "sum" => sum(graph, loss),
        _ => {
            let total = sum(graph, loss)?;
            let count = match share {
                Some(share) => sum(graph, share)?,
                None => graph.length_as_float(&shape.iter().product())?,
            };
            graph.divided_by(total, count)
        }
    }
}

fn sum(graph: &mut Graph, value: ValueId) -> Emitted {
    let axes: Vec<i64> = (0..graph.shape(value)?.len() as i64).collect();
    graph.reduce_sum(value, &axes, false)
}

/// Each reduction, with weights and classes that are left out.
pub(crate) fn samples() -> Vec<Sample> {
    let scores = || varied(&[3, 4]);
    let classes = || fixed_integers_of(&[3], &[2, 0, 3]);
    let weights = || varied_in(&[4], 0.5, 1.5);
    let reduction = |name: &str| vec![("reduction", name.into())];
    let deep: Vec<SampleInput> = vec![varied(&[2, 3, 2, 2]), fixed_integers_of(&[2, 2, 2], &[0, 2, 1, 1, 2, 0, 0, 1])];
    let ignoring = |name: &str| [reduction(name), vec![("ignore_index", 0.into())]].concat();
    vec![
        Sample::new("the mean", vec![scores(), classes()], vec![]).since(16),
        Sample::new("the mean by weights", vec![scores(), classes(), weights()], vec![]).since(16),
        Sample::new("the sum", vec![scores(), classes()], reduction("sum")).since(16),
        Sample::new("each", vec![scores(), classes(), weights()], reduction("none")).since(16),
        Sample::new("without a class", vec![scores(), classes(), weights()], ignoring("mean")).since(16),
        Sample::new("without a class of places", deep, ignoring("mean")).since(16),
    ]
}
