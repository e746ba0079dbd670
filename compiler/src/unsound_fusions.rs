use prost::Message;

use crate::model_file::onnx::{GraphProto, ModelProto, NodeProto};

/// The optimizers of ONNX Runtime that would change what a model computes, by their names: sessions of the model are to be opened without
/// them.
///
/// - `Pad_Fusion` makes a pad in front of a `MaxPool` the pool's own padding, which counts as nothing in a maximum where the zeros of
///   the node count as zeros.
/// - `GatherToSliceFusion` makes what is gathered by a `Range` a slice, whose end of −1 is the last place where that of a range
///   downwards is in front of the first.
///
/// Bytes that are no model have none.
pub fn unsound_fusions(model: &[u8]) -> Vec<&'static str> {
    let Some(graph) = ModelProto::decode(model).ok().and_then(|model| model.graph) else { return Vec::new() };
    let pads = anywhere(&graph, pads_in_front_of_pools).then_some("Pad_Fusion");
    let gathers = anywhere(&graph, gathers_downwards).then_some("GatherToSliceFusion");
    pads.into_iter().chain(gathers).collect()
}

/// Whether something holds of a graph, or of one in its nodes.
fn anywhere(graph: &GraphProto, holds: fn(&GraphProto) -> bool) -> bool {
    let nested = || graph.node.iter().flat_map(|node| &node.attribute).filter_map(|attribute| attribute.g.as_ref());
    holds(graph) || nested().any(|graph| anywhere(graph, holds))
}

/// What nodes of an operator make first, each with the node.
fn made_by<'a>(graph: &'a GraphProto, operator: &str) -> Vec<(&'a str, &'a NodeProto)> {
    let nodes = graph.node.iter().filter(|node| node.op_type() == operator);
    nodes.filter_map(|node| Some((node.output.first()?.as_str(), node))).collect()
}

fn pads_in_front_of_pools(graph: &GraphProto) -> bool {
    let padded = made_by(graph, "Pad");
    let is_padded = |name: &String| padded.iter().any(|(made, _)| made == name);
    graph.node.iter().any(|node| node.op_type() == "MaxPool" && node.input.first().is_some_and(is_padded))
}

fn gathers_downwards(graph: &GraphProto) -> bool {
    let ranges = made_by(graph, "Range");
    let is_upwards = |range: &NodeProto| {
        let step = range.input.get(2).and_then(|name| graph.initializer.iter().find(|tensor| tensor.name() == name));
        let number = step.and_then(|step| match (step.raw_data.as_deref(), step.int64_data.as_slice()) {
            (Some(bytes), _) => bytes.try_into().ok().map(i64::from_le_bytes),
            (None, [number]) => Some(*number),
            _ => None,
        });
        number.is_some_and(|number| number > 0)
    };
    let is_downwards = |name: &String| ranges.iter().any(|(made, range)| made == name && !is_upwards(range));
    graph.node.iter().any(|node| node.op_type() == "Gather" && node.input.get(1).is_some_and(is_downwards))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, proto, untyped, value, whole};

    #[test]
    fn what_is_gathered_by_a_range_downwards_is_no_slice() {
        for (step, wanted) in
            [(Some(-1), vec!["GatherToSliceFusion"]), (Some(1), vec![]), (None, vec!["GatherToSliceFusion"])]
        {
            let nodes =
                vec![node("Range", &["start", "limit", "step"], &["places"]), node("Gather", &["x", "places"], &["y"])];
            let step = step.map(|step| whole("step", &[], &[step]));
            let numbers = [whole("start", &[], &[2]), whole("limit", &[], &[-1])].into_iter().chain(step).collect();
            let file = proto(graph(nodes, numbers, vec![value("x", &[3])], vec![untyped("y")]));
            assert_eq!(unsound_fusions(&file.encode_to_vec()), wanted);
        }
        let nodes = vec![node("Pad", &["x", "pads"], &["p"]), node("MaxPool", &["p"], &["y"])];
        let file = proto(graph(nodes, vec![], vec![value("x", &[3])], vec![untyped("y")]));
        assert_eq!(unsound_fusions(&file.encode_to_vec()), ["Pad_Fusion"]);
        assert!(unsound_fusions(b"no model").is_empty());
    }
}
