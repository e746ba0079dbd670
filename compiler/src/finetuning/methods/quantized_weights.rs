use std::collections::{HashMap, HashSet};

use super::linear_weight::{LinearMap, LinearWeight, linear_map};
use crate::finetuning::attention::Edges;
use crate::finetuning::module_path;
use crate::graph::{Graph, Node, ValueId};

/// What quantizers put behind the names of weights and nodes.
const ENDINGS: [&str; 7] = ["_quantized", "_quant", "_Q2", "_Q4", "_Q8", "_Bnb4", "_DequantizeLinear"];

/// The quantized weights of linear layers and convolutions that lead to a value, or of all where there is none: behind a
/// `DequantizeLinear`, or read by a node that multiplies integers. From the input to the output.
pub(crate) fn quantized_weights(base: &Graph, prediction: Option<ValueId>) -> Vec<LinearWeight> {
    let is_integer = |value: ValueId| base.constant_of(value).is_some_and(|constant| !constant.dtype.is_float());
    let edges = Edges::new(base);
    let products: HashMap<usize, _> = edges.integers().map(|product| (product.multiplies, product)).collect();
    let leads = prediction.map(|prediction| behind(base, &edges, prediction));
    let mut found: Vec<LinearWeight> = Vec::new();
    for (index, node) in base.nodes().iter().enumerate() {
        if leads.as_ref().is_some_and(|leads| !leads.contains(&index)) {
            continue;
        }
        let product = products.get(&index).copied();
        let (value, shape, read, map) = if let Some(own) = product {
            let (inputs, outputs) = (own.inputs, own.outputs);
            let (shape, map) = match (own.groups, base.constant_of(own.packed)) {
                (Some(groups), Some(kernels)) => {
                    let (shape, inputs_in_a_group) = (kernels.shape.clone(), inputs / groups);
                    let kernel = shape.get(2..).unwrap_or_default().to_vec();
                    (shape, LinearMap::Convolution { outputs, inputs_in_a_group, kernel, groups })
                }
                _ => {
                    let map = LinearMap::Dense { inputs, outputs, is_transposed: false, factor: 1.0 };
                    (vec![inputs, outputs], map)
                }
            };
            (own.packed, shape, own.packed, map)
        } else {
            let Some(read) = node.input(1) else { continue };
            let Some(value) = edges.stored(read).filter(|value| *value != read && is_integer(*value)) else { continue };
            let Some(shape) = base.tensor_type(read).and_then(|known| known.fixed_shape()) else { continue };
            let Some(map) = linear_map(node, &shape, false) else { continue };
            (value, shape, read, map)
        };
        if let Some(same) = found.iter_mut().find(|weight| weight.value == value) {
            same.reads.extend((!same.reads.contains(&(read, false))).then_some((read, false)));
            continue;
        }
        let end = product.map_or(index, |product| product.end);
        let bias =
            edges.linear(end).and_then(|linear| linear.bias).or_else(|| node.input(2).filter(|_| product.is_none()));
        let name = layer_name(base, node, value, bias.and_then(|bias| edges.stored(bias)));
        let is_taken = |name: &str| found.iter().any(|weight| weight.layer == name);
        let numbered = (2..).map(|number| format!("{name}#{number}"));
        let layer = std::iter::once(name.clone()).chain(numbered).find(|name| !is_taken(name));
        let layer = layer.expect("numbers do not end");
        let reads = vec![(read, false)];
        found.push(LinearWeight { layer, value, shape, reads, map, is_shared: false, is_quantized: true });
    }
    found
}

/// The path of the module, by its bias, its weight or its node; or else what the weight is called.
pub(super) fn layer_name(base: &Graph, node: &Node, weight: ValueId, bias: Option<ValueId>) -> String {
    let before = |name: &str| {
        let ending = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
        ending.unwrap_or(name).to_owned()
    };
    let of_weight = |value: ValueId| module_path::of_weight(&before(base.name(value))).map(str::to_owned);
    let of_node = || {
        let mut plain = Node { name: before(&node.name), ..node.clone() };
        match plain.operator.as_str() {
            "Conv" | "Gather" | "Gemm" => {}
            "ConvInteger" => plain.operator = "Conv".into(),
            _ => plain.operator = "MatMul".into(),
        }
        module_path::of_node(base, &plain)
    };
    let name = before(base.name(weight));
    let named = bias.and_then(of_weight).or_else(|| of_weight(weight)).or_else(of_node);
    named.unwrap_or_else(|| {
        if module_path::is_generated(&name) && !node.name.is_empty() { before(&node.name) } else { name }
    })
}

/// The nodes that a value is computed by.
pub(super) fn behind(graph: &Graph, edges: &Edges<'_>, value: ValueId) -> HashSet<usize> {
    let (mut found, mut open) = (HashSet::new(), vec![value]);
    while let Some(value) = open.pop() {
        let Some(at) = edges.producers.get(&value) else { continue };
        if found.insert(*at) {
            open.extend(graph.nodes()[*at].inputs.iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::graph::Constant;
    use crate::operators::OperatorCatalog;

    #[test]
    fn a_quantized_table_or_layer_is_called_as_its_module_is() {
        for (operator, node, wanted) in [
            ("Gather", "/embeddings/Gather_quant", "embeddings"),
            ("Conv", "/stem/Conv_quant", "stem"),
            ("Gemm", "/head/Gemm_quant", "head"),
            ("MatMulInteger", "/fc/MatMul_quant", "fc"),
        ] {
            let mut base = Graph::new(17, OperatorCatalog::standard());
            let weight = base.constant("onnx::MatMul_12_quantized", Constant::f32([2, 2], &[0.0; 4]));
            let node = Node {
                name: node.to_owned(),
                operator: operator.to_owned(),
                domain: String::new(),
                inputs: vec![Some(weight)],
                outputs: Vec::new(),
                attributes: BTreeMap::new(),
                metadata: Vec::new(),
            };
            assert_eq!(layer_name(&base, &node, weight, None), wanted);
        }
    }
}
