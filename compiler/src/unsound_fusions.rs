use std::collections::HashSet;

use prost::Message;

use crate::model_file::onnx::{GraphProto, ModelProto};

/// The optimizers of ONNX Runtime that would change what a model computes, by their names: sessions of the model are to be opened without
/// them.
///
/// - `Pad_Fusion` makes a pad in front of a `MaxPool` the pool's own padding, which counts as nothing in a maximum where the zeros of
///   the node count as zeros.
/// - `GatherToSliceFusion` makes what is gathered by a `Range` a slice, in which a negative start or limit counts from the end; also where
///   a node that changes nothing stands between the two.
///
/// Bytes that are no model have none.
pub fn unsound_fusions(model: &[u8]) -> Vec<&'static str> {
    let Some(graph) = ModelProto::decode(model).ok().and_then(|model| model.graph) else { return Vec::new() };
    let pads = anywhere(&graph, pads_in_front_of_pools).then_some("Pad_Fusion");
    let gathers = anywhere(&graph, has_range).then_some("GatherToSliceFusion");
    pads.into_iter().chain(gathers).collect()
}

/// Whether something holds of a graph, or of one in its nodes.
fn anywhere(graph: &GraphProto, holds: fn(&GraphProto) -> bool) -> bool {
    let nested = || graph.node.iter().flat_map(|node| &node.attribute).filter_map(|attribute| attribute.g.as_ref());
    holds(graph) || nested().any(|graph| anywhere(graph, holds))
}

/// Nodes that the runtime takes away first, where they change nothing.
const TAKEN_AWAY: [&str; 3] = ["Cast", "Dropout", "Identity"];

fn pads_in_front_of_pools(graph: &GraphProto) -> bool {
    // nodes are in an order in which they can run
    let mut padded: HashSet<&str> = HashSet::new();
    graph.node.iter().any(|node| {
        let reads_padded = node.input.first().is_some_and(|read| padded.contains(read.as_str()));
        let is_padded = node.op_type() == "Pad" || reads_padded && TAKEN_AWAY.contains(&node.op_type());
        padded.extend(node.output.first().filter(|_| is_padded).map(String::as_str));
        node.op_type() == "MaxPool" && reads_padded
    })
}

/// A range of which nothing is gathered loses nothing by it.
fn has_range(graph: &GraphProto) -> bool {
    graph.node.iter().any(|node| node.op_type() == "Range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, proto, untyped, value, whole};

    #[test]
    fn what_is_gathered_by_a_range_is_no_slice_whose_ends_count_from_behind() {
        let range = || node("Range", &["start", "limit", "step"], &["places"]);
        let gather = |places: &str| node("Gather", &["x", places], &["y"]);
        for (nodes, bounds, wanted) in [
            (vec![range(), gather("places")], [2, -1, -1], vec!["GatherToSliceFusion"]),
            (vec![range(), gather("places")], [-3, 0, 1], vec!["GatherToSliceFusion"]),
            (vec![range(), gather("places")], [0, -1, 1], vec!["GatherToSliceFusion"]),
            (
                vec![range(), node("Identity", &["places"], &["same"]), gather("same")],
                [-3, 0, 1],
                vec!["GatherToSliceFusion"],
            ),
            (vec![gather("start")], [2, -1, -1], vec![]),
        ] {
            let names = ["start", "limit", "step"];
            let numbers = names.iter().zip(bounds).map(|(name, number)| whole(name, &[], &[number])).collect();
            let file = proto(graph(nodes, numbers, vec![value("x", &[3])], vec![untyped("y")]));
            assert_eq!(unsound_fusions(&file.encode_to_vec()), wanted, "{bounds:?}");
        }
    }

    #[test]
    fn a_pad_in_front_of_a_pool_counts_in_the_maximum() {
        let pad = || node("Pad", &["x", "pads"], &["p"]);
        let pool = |read: &str| node("MaxPool", &[read], &["y"]);
        for (nodes, wanted) in [
            (vec![pad(), pool("p")], vec!["Pad_Fusion"]),
            (vec![pad(), node("Identity", &["p"], &["same"]), pool("same")], vec!["Pad_Fusion"]),
            (vec![pad(), node("Relu", &["p"], &["r"]), pool("r")], vec![]),
        ] {
            let file = proto(graph(nodes, vec![], vec![value("x", &[3])], vec![untyped("y")]));
            assert_eq!(unsound_fusions(&file.encode_to_vec()), wanted);
        }
        assert!(unsound_fusions(b"no model").is_empty());
    }
}
