//! Axes that a file names and whose length its nodes fix all the same.

use std::collections::HashSet;

use millstream_schemas::shown;
use serde::Serialize;

use crate::CompilerError;
use crate::finetuning::FineTuning;
use crate::graph::{Graph, Length, Node, ValueId};
use crate::model_file::Model;
use crate::operators::OperatorCatalog;
use crate::prepared::prepare;

/// A length that a node asks of an axis of an input whose length the file leaves open: what an exporter wrote down while it
/// traced, as of a network that goes through a sequence step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TracedLength {
    /// The input.
    pub input: String,
    /// Its axis.
    pub axis: usize,
    /// The length that the axis must have.
    pub length: usize,
    /// The first node that asks it.
    pub node: String,
    /// Its operator.
    pub operator: String,
}

/// Operators that take lengths which are the same, or one.
const BROADCASTING: [&str; 17] = [
    "Add",
    "And",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mul",
    "Or",
    "Pow",
    "Sub",
    "Sum",
    "Where",
];

/// The lengths that the nodes of a model ask of axes which its file leaves open, of each axis the first.
///
/// # Errors
/// The fine-tuning does not fit the model.
pub fn traced_lengths(
    model: &Model,
    wanted: &FineTuning,
    catalog: &OperatorCatalog,
) -> Result<Vec<TracedLength>, CompilerError> {
    let prepared = prepare(model, wanted, catalog)?;
    let graph = &prepared.graph;
    let Some(prediction) = prepared.prediction else { return Ok(Vec::new()) };
    Ok(of_graph(graph, prediction, |graph, node, name| graph.only_length(node, node.outputs.len(), name)))
}

/// Of a graph whose nodes fit, so that it is those that broadcast which ask.
pub(crate) fn of_fitting(graph: &Graph, prediction: ValueId) -> Vec<TracedLength> {
    of_graph(graph, prediction, |_, _, _| None)
}

fn of_graph(
    graph: &Graph,
    prediction: ValueId,
    of_misfit: impl Fn(&Graph, &Node, &str) -> Option<usize>,
) -> Vec<TracedLength> {
    let mut axes: Vec<(String, ValueId, usize)> = Vec::new();
    for input in graph.inputs() {
        let shape = graph.tensor_type(*input).map_or(&[][..], |known| &known.shape);
        // the first axis is that of the rows
        for (axis, length) in shape.iter().enumerate().skip(1) {
            let name = length.name().filter(|name| axes.iter().all(|(other, ..)| other != name));
            axes.extend(name.map(|name| (name.to_owned(), *input, axis)));
        }
    }
    if axes.is_empty() {
        return Vec::new();
    }
    let mut needed = HashSet::from([prediction]);
    let mut leading: Vec<&Node> = Vec::new();
    for node in graph.nodes().iter().rev() {
        if node.outputs.iter().flatten().any(|made| needed.contains(made)) {
            needed.extend(node.inputs.iter().flatten());
            leading.push(node);
        }
    }
    leading.reverse();
    let of_axis = |(name, input, axis): &(String, ValueId, usize)| {
        let asked = leading.iter().find_map(|node| {
            let length = met(graph, node, name).or_else(|| of_misfit(graph, node, name))?;
            Some((*node, length))
        });
        asked.map(|(node, length)| TracedLength {
            input: graph.name(*input).to_owned(),
            axis: *axis,
            length,
            node: graph.label(node),
            operator: node.qualified_operator(),
        })
    };
    axes.iter().filter_map(of_axis).collect()
}

/// The number above one that meets a name where both are broadcast.
fn met(graph: &Graph, node: &Node, name: &str) -> Option<usize> {
    if !node.domain.is_empty() || !BROADCASTING.contains(&node.operator.as_str()) {
        return None;
    }
    let shapes = node.inputs.iter().flatten().map(|input| graph.tensor_type(*input).map(|known| &known.shape));
    let shapes: Vec<&Vec<Length>> = shapes.collect::<Option<_>>()?;
    let rank = shapes.iter().map(|shape| shape.len()).max()?;
    (0..rank).find_map(|from_end| {
        let lengths = || shapes.iter().filter_map(|shape| shape.iter().rev().nth(from_end));
        let is_named = lengths().any(|length| length.name() == Some(name));
        lengths().filter_map(Length::fixed).find(|length| is_named && *length > 1)
    })
}

impl std::fmt::Display for TracedLength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { input, axis, length, node, operator } = self;
        write!(
            f,
            "axis {axis} of the input `{}` must be {length} long, although the model's file leaves it open: node `{node}` ({operator}) takes \
             no other length, which the exporter wrote down",
            shown(input)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;

    #[test]
    fn a_length_that_was_written_down_while_tracing_is_told_with_the_node_that_asks_it() {
        let open = Length::named("sequence");
        for (by, shape, wanted) in
            [("Add", vec![12, 4], Some(12)), ("Add", vec![1, 4], None), ("MatMul", vec![4, 12], None)]
        {
            let mut graph = Graph::new(17, OperatorCatalog::standard());
            let x = graph.input("x", TensorType::f32([Length::named("batch"), open.clone(), 4.into()]));
            let other = graph.input("other", TensorType::f32(&shape));
            let y = graph.append(by, &[x, other], &[], "y").unwrap();
            let got: Vec<usize> = of_fitting(&graph, y).iter().map(|traced| traced.length).collect();
            assert_eq!(got, wanted.into_iter().collect::<Vec<usize>>(), "{by} {shape:?}");
        }
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([Length::named("batch"), open]));
        let matrix = graph.input("matrix", TensorType::f32([12, 4]));
        let y = graph.append("MatMul", &[x, matrix], &[], "y").unwrap();
        let found = of_graph(&graph, y, |graph, node, name| graph.only_length(node, 1, name));
        assert_eq!(found.iter().map(|traced| (traced.axis, traced.length)).collect::<Vec<_>>(), [(1, 12)]);
        assert!(found[0].to_string().contains("axis 1 of the input `x` must be 12 long"), "{}", found[0]);
    }
}
