use std::collections::{HashMap, HashSet};

use crate::graph::ElementType;
use crate::model_file::onnx::{GraphProto, NodeProto, TensorProto};
use crate::operators::OperatorCatalog;

/// Nodes with weights that belong together, for example a convolution and its bias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Name: what the names of its weights share, or its node's name where those are generated.
    pub name: String,
    /// Operator of its first node.
    pub operator: String,
    /// Its weights.
    pub weights: Vec<Weight>,
}

/// A weight as one node reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Name of the initializer.
    pub initializer: String,
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
pub fn layers(graph: &GraphProto, catalog: &OperatorCatalog) -> Vec<Layer> {
    let tensors: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let mut layers: Vec<Layer> = Vec::new();
    let mut behind_weights: HashSet<&str> = HashSet::new();
    for (index, node) in graph.node.iter().enumerate() {
        let fed = node.input.iter().any(|input| behind_weights.contains(input.as_str()));
        let weights = if fed || !is_arithmetic(node) { weights_of(index, node, &tensors, catalog) } else { Vec::new() };
        if fed || !weights.is_empty() {
            behind_weights.extend(node.output.iter().map(String::as_str).filter(|name| !name.is_empty()));
        }
        let Some(first) = weights.first() else { continue };
        let name = layer_name(node, &first.initializer);
        match layers.iter_mut().rev().take(4).find(|layer| layer.name == name) {
            Some(layer) => layer.weights.extend(weights),
            None => {
                let name = unique(&layers, name);
                layers.push(Layer { name, operator: node.op_type().to_owned(), weights });
            }
        }
    }
    layers
}

/// Numbers in the float tensors of a graph that belong to no layer: position tables, input normalization and the like.
/// Single numbers are settings, and the statistics of a normalization are no weights.
pub(crate) fn other_weights(graph: &GraphProto, layers: &[Layer]) -> usize {
    let in_layers = layers.iter().flat_map(|layer| &layer.weights).map(|weight| weight.initializer.as_str());
    let normalizations = graph.node.iter().filter(|node| node.op_type() == "BatchNormalization");
    let statistics = normalizations.flat_map(|node| node.input.iter().skip(3)).map(String::as_str);
    let counted: HashSet<&str> = in_layers.chain(statistics).collect();
    let is_float =
        |tensor: &&TensorProto| ElementType::from_onnx(tensor.data_type()).is_some_and(ElementType::is_float);
    let others = graph.initializer.iter().filter(|tensor| !counted.contains(tensor.name())).filter(is_float);
    others.map(|tensor| shape_of(tensor).iter().product()).filter(|count: &usize| *count > 1).sum()
}

/// A constant beside these is a bias or scale only behind a layer; in front of all layers it normalizes the input.
fn is_arithmetic(node: &NodeProto) -> bool {
    matches!(node.op_type(), "Add" | "Mul")
}

fn shape_of(tensor: &TensorProto) -> Vec<usize> {
    tensor.dims.iter().map(|length| *length as usize).collect()
}

fn weights_of(
    index: usize,
    node: &NodeProto,
    tensors: &HashMap<&str, &TensorProto>,
    catalog: &OperatorCatalog,
) -> Vec<Weight> {
    let Some(row) = catalog.find(node.domain(), node.op_type()) else { return Vec::new() };
    let weight = |input: &usize| {
        let name = node.input.get(*input)?;
        let tensor = tensors.get(name.as_str())?;
        let shape = shape_of(tensor);
        // a single number beside an operand is a setting of the formula; elsewhere it is a weight like others
        let least = if is_arithmetic(node) { 2 } else { 1 };
        let is_weight = tensor.data_type() == 1 && shape.iter().product::<usize>() >= least;
        is_weight.then(|| Weight { initializer: name.clone(), shape, node: index, input: *input })
    };
    row.weights.iter().filter_map(weight).collect()
}

/// `layer3.0.conv1` from the weight `layer3.0.conv1.weight`; where exporters made up the weight's name
/// (`onnx::MatMul_758`, `val_12`), the node's name without slashes and operator.
fn layer_name(node: &NodeProto, weight: &str) -> String {
    const PARTS: [&str; 9] = ["weight", "bias", "kernel", "gamma", "beta", "scale", "weights", "biases", "weight_bias"];
    if let Some((prefix, part)) = weight.rsplit_once(['.', '/'])
        && PARTS.contains(&part)
    {
        return prefix.to_owned();
    }
    let generated =
        weight.contains("::") || weight.rsplit_once('_').is_some_and(|(_, tail)| tail.parse::<u64>().is_ok());
    let from_node = node.name().trim_start_matches('/');
    let from_node = match from_node.rsplit_once('/') {
        Some((prefix, last)) if last == node.op_type() || last.starts_with(&format!("{}_", node.op_type())) => prefix,
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
    use crate::handmade::{graph, node, value, weight};

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
        let graph = graph(nodes, weights, vec![value("x", &[3])], vec![value("y", &[4])]);
        let found = layers(&graph, &OperatorCatalog::standard());
        let counts: Vec<(&str, usize)> = found.iter().map(|layer| (layer.name.as_str(), layer.parameters())).collect();
        assert_eq!(counts, [("fc", 16), ("slope", 1), ("gamma", 4), ("bn", 8)]);
        assert_eq!(other_weights(&graph, &found), 3 + 3);
    }
}
