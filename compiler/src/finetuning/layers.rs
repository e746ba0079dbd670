use std::collections::HashSet;

use crate::graph::{Graph, Node, ValueId};
use crate::operators::OperatorCatalog;

/// Nodes with weights that belong together, for example a convolution and its bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Name: what the names of its weights share, or its node's name where those are generated.
    pub name: String,
    /// Operator of its first node.
    pub operator: String,
    /// Its weights.
    pub weights: Vec<Weight>,
    /// Factor on its learning rate that whatever added it asks for; 1 for a layer of the model's own.
    pub learning_rate_multiplier: f32,
}

/// A weight as one node reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The constant.
    pub value: ValueId,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Index of the node that reads it.
    pub node: usize,
    /// Which of the node's inputs it is.
    pub input: usize,
}

impl Layer {
    /// Number of trainable numbers.
    pub fn parameters(&self) -> usize {
        self.weights.iter().map(|weight| weight.shape.iter().product::<usize>()).sum()
    }
}

/// The layers of a graph by the rows of a catalog, from the input to the output.
pub fn layers(graph: &Graph, catalog: &OperatorCatalog) -> Vec<Layer> {
    let constants: HashSet<ValueId> = graph.constants().into_iter().collect();
    let mut layers: Vec<Layer> = Vec::new();
    let mut behind_weights: HashSet<ValueId> = HashSet::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        let fed = node.inputs.iter().flatten().any(|input| behind_weights.contains(input));
        let weights =
            if fed || !is_arithmetic(node) { weights_of(graph, index, &constants, catalog) } else { Vec::new() };
        if fed || !weights.is_empty() {
            behind_weights.extend(node.outputs.iter().flatten());
        }
        let Some(first) = weights.first() else { continue };
        let name = layer_name(node, graph.name(first.value));
        match layers.iter_mut().rev().take(4).find(|layer| layer.name == name) {
            Some(layer) => layer.weights.extend(weights),
            None => {
                let name = unique(&layers, name);
                let operator = node.operator.clone();
                layers.push(Layer { name, operator, weights, learning_rate_multiplier: 1.0 });
            }
        }
    }
    layers
}

/// Numbers in the float tensors of a graph that belong to no layer: position tables, input normalization and the like.
/// Single numbers are settings, and the statistics of a normalization are no weights.
pub(crate) fn other_weights(graph: &Graph, layers: &[Layer]) -> usize {
    let in_layers = layers.iter().flat_map(|layer| &layer.weights).map(|weight| weight.value);
    let normalizations = graph.nodes().iter().filter(|node| node.operator == "BatchNormalization");
    let statistics = normalizations.flat_map(|node| node.inputs.iter().skip(3).flatten().copied());
    let counted: HashSet<ValueId> = in_layers.chain(statistics).collect();
    let others = graph.constants().into_iter().filter(|value| !counted.contains(value));
    let floats = others.filter_map(|value| graph.constant_of(value)).filter(|constant| constant.dtype.is_float());
    floats.map(|constant| constant.shape.iter().product()).filter(|count: &usize| *count > 1).sum()
}

/// A constant beside these is a bias or scale only behind a layer; in front of all layers it normalizes the input.
fn is_arithmetic(node: &Node) -> bool {
    matches!(node.operator.as_str(), "Add" | "Mul")
}

fn weights_of(graph: &Graph, index: usize, constants: &HashSet<ValueId>, catalog: &OperatorCatalog) -> Vec<Weight> {
    let node = &graph.nodes()[index];
    let Some(row) = catalog.find(&node.domain, &node.operator) else { return Vec::new() };
    let weight = |input: &usize| {
        let value = node.input(*input).filter(|value| constants.contains(value))?;
        let shape = graph.float_constant(value)?.shape.clone();
        // a single number beside an operand is a setting of the formula; elsewhere it is a weight like others
        let least = if is_arithmetic(node) { 2 } else { 1 };
        (shape.iter().product::<usize>() >= least).then_some(Weight { value, shape, node: index, input: *input })
    };
    row.weights.iter().filter_map(weight).collect()
}

/// `layer3.0.conv1` from the weight `layer3.0.conv1.weight`; where exporters made up the weight's name
/// (`onnx::MatMul_758`, `val_12`), the node's name without slashes and operator.
fn layer_name(node: &Node, weight: &str) -> String {
    const PARTS: [&str; 9] = ["weight", "bias", "kernel", "gamma", "beta", "scale", "weights", "biases", "weight_bias"];
    if let Some((prefix, part)) = weight.rsplit_once(['.', '/'])
        && PARTS.contains(&part)
    {
        return prefix.to_owned();
    }
    let generated =
        weight.contains("::") || weight.rsplit_once('_').is_some_and(|(_, tail)| tail.parse::<u64>().is_ok());
    let from_node = node.name.trim_start_matches('/');
    let from_node = match from_node.rsplit_once('/') {
        Some((prefix, last)) if last == node.operator || last.starts_with(&format!("{}_", node.operator)) => prefix,
        _ => from_node,
    };
    if generated && !from_node.is_empty() { from_node.replace('/', ".") } else { weight.to_owned() }
}

fn unique(layers: &[Layer], name: String) -> String {
    let taken = |name: &str| layers.iter().any(|layer| layer.name == name);
    let mut number = 2;
    let mut free = name.clone();
    while taken(&free) {
        free = format!("{name}#{number}");
        number += 1;
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, read, value, weight};

    #[test]
    fn a_weight_of_one_number_is_counted_and_input_normalization_is_no_layer() {
        let nodes = vec![
            node("Mul", &["x", "spread"], &["a"]),
            node("Add", &["shift", "a"], &["b"]),
            node("Gemm", &["b", "fc.weight", "fc.bias"], &["c"]),
            node("PRelu", &["c", "slope"], &["d"]),
            node("Mul", &["gamma", "d"], &["e"]),
            node("Add", &["e", "half"], &["f"]),
            node("BatchNormalization", &["f", "bn.scale", "bn.bias", "bn.mean", "bn.variance"], &["y"]),
        ];
        let shapes: [(&str, &[usize]); 11] = [
            ("spread", &[3]),
            ("shift", &[3]),
            ("fc.weight", &[3, 4]),
            ("fc.bias", &[4]),
            ("slope", &[1]),
            ("gamma", &[4]),
            ("half", &[1]),
            ("bn.scale", &[4]),
            ("bn.bias", &[4]),
            ("bn.mean", &[4]),
            ("bn.variance", &[4]),
        ];
        let weights = shapes.iter().map(|(name, shape)| weight(name, shape)).collect();
        let graph = read(graph(nodes, weights, vec![value("x", &[3])], vec![value("y", &[4])]));
        let found = layers(&graph, &OperatorCatalog::standard());
        let counts: Vec<(&str, usize)> = found.iter().map(|layer| (layer.name.as_str(), layer.parameters())).collect();
        assert_eq!(counts, [("fc", 16), ("slope", 1), ("gamma", 4), ("bn", 8)]);
        assert_eq!(other_weights(&graph, &found), 3 + 3);
    }
}
