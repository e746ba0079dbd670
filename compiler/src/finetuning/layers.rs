use std::collections::HashMap;

use crate::model_file::onnx::{GraphProto, NodeProto, TensorProto};
use crate::operators;

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

/// The layers of a graph, from the input to the output.
pub fn layers(graph: &GraphProto) -> Vec<Layer> {
    let tensors: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let mut layers: Vec<Layer> = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        let weights = weights_of(index, node, &tensors);
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

fn weights_of(index: usize, node: &NodeProto, tensors: &HashMap<&str, &TensorProto>) -> Vec<Weight> {
    let Some(row) = operators::find(node.op_type(), node.domain()) else { return Vec::new() };
    let weight = |input: &usize| {
        let name = node.input.get(*input)?;
        let tensor = tensors.get(name.as_str())?;
        let shape: Vec<usize> = tensor.dims.iter().map(|length| *length as usize).collect();
        let is_weight = tensor.data_type() == 1 && shape.iter().product::<usize>() > 1;
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
