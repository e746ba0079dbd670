use super::super::linear_weight::{LinearMap, LinearWeight};
use super::super::method_function::MethodModel;
use crate::finetuning::nodes::picks_rows;
use crate::graph::{Graph, ValueId};

/// Tables of embeddings: matrices of floats of whose rows `Gather` takes some. As linear maps they read one row each.
pub(in super::super) fn tables(model: &MethodModel<'_>) -> Vec<LinearWeight> {
    let graph = &*model.graph;
    let mut found: Vec<LinearWeight> = Vec::new();
    for layer in model.layers {
        for weight in layer.weights.iter().filter(|weight| weight.input == 0) {
            let [rows, width] = *weight.shape.as_slice() else { continue };
            if found.iter().any(|other| other.value == weight.value) {
                continue;
            }
            let mut reads = vec![weight.value];
            let (mut is_picked, mut is_shared) = (false, graph.outputs().contains(&weight.value));
            for node in graph.nodes() {
                for (input, value) in node.inputs.iter().enumerate() {
                    if !value.is_some_and(|value| reads.contains(&value)) {
                        continue;
                    }
                    match node.outputs.first().copied().flatten() {
                        Some(made) if node.is("Identity") => {
                            is_shared |= graph.outputs().contains(&made);
                            reads.push(made);
                        }
                        _ if input == 0 && picks_rows(node) => is_picked = true,
                        _ => is_shared = true,
                    }
                }
            }
            if is_picked {
                let map = LinearMap::Dense { inputs: rows, outputs: width, is_transposed: false, factor: 1.0 };
                found.push(LinearWeight {
                    layer: layer.name.clone(),
                    value: weight.value,
                    shape: weight.shape.clone(),
                    reads: reads.into_iter().map(|value| (value, false)).collect(),
                    map,
                    is_shared,
                    is_quantized: false,
                });
            }
        }
    }
    found
}

/// The nodes that take rows of a table, as the graph is now.
pub(in super::super) fn table_readers(graph: &Graph, table: &LinearWeight) -> Vec<usize> {
    let reads = |value: ValueId| table.reads.iter().any(|(read, _)| *read == value);
    let nodes = graph.nodes().iter().enumerate();
    nodes.filter(|(_, node)| picks_rows(node) && node.input(0).is_some_and(reads)).map(|(index, _)| index).collect()
}
