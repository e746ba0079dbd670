//! Constants that say which places of an attention or of a graph see each other: masks and adjacencies, whatever they are called.

use std::collections::HashSet;

use super::constant_kind::{is_adjacency, is_diagonal, is_part};
use super::module_path::{is_generated, of_weight};
use super::views::VIEWS;
use crate::graph::{Constant, Graph, Node, ValueId};

/// What stands between what is added to scores and the softmax of them.
const BETWEEN: [&str; 14] = [
    "Add",
    "Cast",
    "Clip",
    "Div",
    "Dropout",
    "LeakyRelu",
    "Max",
    "Min",
    "Mul",
    "Relu",
    "Slice",
    "Sub",
    "Tanh",
    "Where",
];

/// Words of the names of constants that tell which places see each other.
const WORDS: [&str; 4] = ["adj", "adjacency", "mask", "masks"];

/// Words of the names of matrices that join places in a product, beside those.
const JOINING: [&str; 8] = ["ahat", "edge", "edges", "graph", "hop", "laplacian", "neighbors", "neighbours"];

/// Values that a softmax is taken of, and what those are made of element by element and in other forms.
pub(super) fn scores(graph: &Graph) -> HashSet<ValueId> {
    let mut found = HashSet::new();
    for node in graph.nodes().iter().rev().filter(|node| node.domain.is_empty()) {
        let operator = node.operator.as_str();
        let leads_there = node.outputs.iter().flatten().any(|made| found.contains(made));
        let hands_on = BETWEEN.contains(&operator) || VIEWS.contains(&operator);
        if operator == "Softmax" || leads_there && hands_on {
            found.extend(node.inputs.iter().flatten());
        }
    }
    found
}

/// Whether a node makes `scores` beside a constant, and a word of its name says that it tells which places see each other.
pub(super) fn is_named_beside_scores(node: &Node, scores: &HashSet<ValueId>, name: &str) -> bool {
    let is_beside = ["Add", "Mul", "Sub", "Where"].iter().any(|operator| node.is(operator));
    is_beside && names_places(name) && makes_scores(node, scores)
}

/// Whether a constant beside `scores`, or one that places are joined by, is no parameter by its values: a matrix of places by places with
/// nothing below zero and some of it zero. Biases by relative position, and slopes of distances that are learned, are none.
pub(super) fn joins_places_of(
    (node, input): (&Node, usize),
    scores: &HashSet<ValueId>,
    name: &str,
    constant: &Constant,
) -> bool {
    let operator = if node.domain.is_empty() { node.operator.as_str() } else { "" };
    let may_join = match operator {
        "Add" | "Sub" => !is_of_layer(name) && makes_scores(node, scores),
        // what is called a bias and is multiplied by is none: the causal mask of the first GPT
        "Mul" | "Slice" => !is_of_layer(name) || name.ends_with(".bias"),
        "MatMul" => {
            let is_meant = input == 0 || names_places(name) || joins_places(name);
            is_meant && !is_of_layer(name) && !is_generated(name) && !is_diagonal(constant)
        }
        _ => false,
    };
    may_join && is_adjacency(constant)
}

fn makes_scores(node: &Node, scores: &HashSet<ValueId>) -> bool {
    node.outputs.iter().flatten().any(|made| scores.contains(made))
}

/// Whether a name ends like that of a parameter of a layer.
fn is_of_layer(name: &str) -> bool {
    is_part(name) || of_weight(name).is_some()
}

fn names_places(name: &str) -> bool {
    let last = name.rsplit(['.', '/']).next().unwrap_or(name);
    last.split('_').any(|word| WORDS.contains(&word.to_ascii_lowercase().as_str()))
}

/// Whether a name is that of an adjacency in a product: `A`, `a_hat`, `edge_w`, `graph`.
fn joins_places(name: &str) -> bool {
    let last = name.rsplit(['.', '/']).next().unwrap_or(name).to_ascii_lowercase();
    last == "a" || last.starts_with("a_") || last.split('_').any(|word| JOINING.contains(&word))
}

#[cfg(test)]
mod tests {
    use crate::finetuning::frozen_constant::frozen_constants;
    use crate::finetuning::{Layer, layers};
    use crate::handmade::{graph, node, read, value, weight};
    use crate::model_file::onnx::{NodeProto, TensorProto};
    use crate::operators::OperatorCatalog;

    /// An attention over 4 places, with a node between its scores `h` and the softmax of `s`.
    fn attention(between: NodeProto) -> Vec<NodeProto> {
        vec![
            node("MatMul", &["x", "first.weight"], &["h"]),
            between,
            node("LeakyRelu", &["s"], &["l"]),
            node("Softmax", &["l"], &["p"]),
            node("MatMul", &["p", "h"], &["y"]),
        ]
    }

    /// Whether a constant beside the scores is trained, and why it is not, of a model from `x` `[batch, 4, 4]`.
    fn found(nodes: Vec<NodeProto>, constant: TensorProto, is_asked_for: bool) -> (bool, Option<String>) {
        let name = constant.name().to_owned();
        let weights = vec![weight("first.weight", &[4, 4]), constant];
        let mut graph = read(graph(nodes, weights, vec![value("x", &[4, 4])], vec![value("y", &[4, 4])]));
        if is_asked_for {
            let asked = graph.find(&name).unwrap();
            graph.ask_for(asked);
        }
        let catalog = OperatorCatalog::standard();
        let all: Vec<Layer> = layers(&graph, &catalog);
        let is_trained = all.iter().flat_map(|layer| &layer.weights).any(|weight| graph.name(weight.value) == name);
        let frozen = frozen_constants(&graph, &all, &catalog);
        (is_trained, frozen.into_iter().find(|constant| constant.name == name).map(|constant| constant.reason))
    }

    fn floats(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
        TensorProto { float_data: values.to_vec(), ..weight(name, shape) }
    }

    /// Numbers `[4, 4]` of these, one for pairs that are neighbours and one for others.
    fn pairs(joined: f32, apart: f32) -> Vec<f32> {
        (0..16i32).map(|at| if (at / 4 - at % 4).abs() < 2 { joined } else { apart }).collect()
    }

    #[test]
    fn an_adjacency_and_a_mask_that_are_added_to_scores_are_not_trained_and_learned_biases_are() {
        let learned: Vec<f32> = (1..17).map(|at| (at as f32 * 1.7).sin()).collect();
        let begun = [0.0; 16];
        let weighted: Vec<f32> = pairs(1.0, 0.0).iter().enumerate().map(|(at, one)| one * (at as f32 + 0.5)).collect();
        let half: Vec<f32> =
            learned.iter().enumerate().map(|(at, one)| if at % 4 > at / 4 { 0.0 } else { *one }).collect();
        // names, values, whether they are trained, and a word of the reason
        let rows: [(&str, &[f32], bool, &str); 14] = [
            ("edge_w", &pairs(1.0, 0.0), false, "adjacency"),
            ("gat.0.edge_w", &weighted, false, "adjacency"),
            ("val_3", &pairs(1.0, 0.0), false, "adjacency"),
            ("gat.adj", &learned, false, "buffer"),
            ("gat.adj_bias", &learned, false, "buffer"),
            ("gat.mask_0", &learned, false, "buffer"),
            ("gat.hidden", &pairs(0.0, -1e4), false, "mask"),
            ("gat.bias", &pairs(0.0, -1e9), false, "mask"),
            ("gat.penalties", &pairs(0.0, -5.0), true, ""),
            ("gat.edge_w", &learned, true, ""),
            ("attn.relative_position_bias", &learned, true, ""),
            ("attn.position_bias", &begun, true, ""),
            // learned behind a causal mask, so that only places before are
            ("attn.distances", &half, true, ""),
            ("onnx::Add_12", &learned, true, ""),
        ];
        for (name, values, is_trained, word) in rows {
            let nodes = attention(node("Add", &["h", name], &["s"]));
            let (got, reason) = found(nodes, floats(name, &[4, 4], values), false);
            assert_eq!(got, is_trained, "{name} {values:?}: {reason:?}");
            assert!(is_trained && reason.is_none() || reason.is_some_and(|told| told.contains(word)), "{name}");
        }
    }

    #[test]
    fn what_takes_the_place_of_masked_scores_is_not_trained_and_what_is_learned_for_them_is() {
        for (number, is_trained) in [(-1e9, false), (-1e4, false), (-3.3, true)] {
            let mut nodes = attention(node("Where", &["c", "h", "gat.far"], &["s"]));
            nodes.insert(1, node("Greater", &["h", "x"], &["c"]));
            let (got, reason) = found(nodes, floats("gat.far", &[4, 4], &[number; 16]), false);
            assert_eq!(got, is_trained, "{number}: {reason:?}");
        }
    }

    #[test]
    fn an_adjacency_that_places_are_multiplied_by_is_not_trained() {
        let joined = pairs(0.5, 0.0);
        let product = |first: &str, second: &str| {
            vec![node("MatMul", &["x", "first.weight"], &["h"]), node("MatMul", &[first, second], &["y"])]
        };
        for (nodes, name, is_trained) in [
            (product("net.a_hat", "h"), "net.a_hat", false),
            (product("h", "net.a_hat"), "net.a_hat", false),
            (product("h", "net.A"), "net.A", false),
            (product("h", "net.graph"), "net.graph", false),
            (product("net.support", "h"), "net.support", false),
            // what goes along features may be a factor of a matrix without negative numbers
            (product("h", "nmf.basis"), "nmf.basis", true),
            (product("h", "net.fc.weight"), "net.fc.weight", true),
            (product("h", "onnx::MatMul_7"), "onnx::MatMul_7", true),
            (attention(node("Mul", &["h", "attn.bias"], &["s"])), "attn.bias", false),
            (attention(node("Mul", &["h", "attn.weight"], &["s"])), "attn.weight", true),
        ] {
            assert_eq!(found(nodes, floats(name, &[4, 4], &joined), false).0, is_trained, "{name}");
        }
    }

    #[test]
    fn a_matrix_that_begins_as_the_identity_is_trained_on_either_side_of_a_product() {
        let identity: Vec<f32> = (0..16).map(|at| if at / 4 == at % 4 { 1.0 } else { 0.0 }).collect();
        let product = |first: &str, second: &str| {
            vec![node("MatMul", &["x", "first.weight"], &["h"]), node("MatMul", &[first, second], &["y"])]
        };
        for (first, second) in [("align.rotation", "h"), ("h", "align.rotation")] {
            let (is_trained, reason) =
                found(product(first, second), floats("align.rotation", &[4, 4], &identity), false);
            assert!(is_trained, "{first} {second}: {reason:?}");
        }
    }

    #[test]
    fn a_learned_adjacency_is_trained_where_a_recipe_names_it_and_outside_of_scores_a_sum_is_a_sum() {
        let sum = || attention(node("Add", &["h", "gat.edge_w"], &["s"]));
        let joined = || floats("gat.edge_w", &[4, 4], &pairs(0.5, 0.0));
        assert!(!found(sum(), joined(), false).0);
        assert!(found(sum(), joined(), true).0);
        let nodes = vec![
            node("MatMul", &["x", "first.weight"], &["h"]),
            node("Add", &["h", "gat.edge_w"], &["s"]),
            node("Tanh", &["s"], &["y"]),
        ];
        assert!(found(nodes, joined(), false).0);
    }
}
