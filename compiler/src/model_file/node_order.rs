//! Nodes in an order in which each comes behind those whose results it reads. ONNX asks files for it; ONNX Runtime does not, and
//! converters to 16 bits append nodes at the end.

use std::collections::{HashMap, HashSet};

use super::onnx::{GraphProto, ModelProto, NodeProto};

/// Puts the nodes of a model's graphs and functions into order. Those that are in order stay as they are, and so does a graph with a
/// circle, which the gate refuses.
pub(super) fn put_in_order(model: &mut ModelProto) {
    if let Some(graph) = &mut model.graph {
        of_nodes(&mut graph.node);
    }
    for function in &mut model.functions {
        of_nodes(&mut function.node);
    }
}

/// The decoder bounds how deep graphs lie in each other.
fn of_nodes(nodes: &mut Vec<NodeProto>) {
    for attribute in nodes.iter_mut().flat_map(|node| &mut node.attribute) {
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            of_nodes(&mut graph.node);
        }
    }
    if let Some(order) = order(nodes) {
        let mut taken: Vec<Option<NodeProto>> = nodes.drain(..).map(Some).collect();
        nodes.extend(order.into_iter().filter_map(|place| taken[place].take()));
    }
}

/// An order, as near to that of the file as it can be; `None` where the file's own is one, or there is none.
fn order(nodes: &[NodeProto]) -> Option<Vec<usize>> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (place, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            // a second one is refused by the gate
            makers.entry(output).or_insert(place);
        }
    }
    let behind = |place: usize| {
        let mut read = Vec::new();
        reads(&nodes[place], &mut read);
        read.into_iter().filter_map(|name| makers.get(name).copied()).collect::<Vec<_>>()
    };
    if (0..nodes.len()).all(|place| behind(place).into_iter().all(|maker| maker < place)) {
        return None;
    }
    let mut order = Vec::with_capacity(nodes.len());
    let mut states = vec![State::Waiting; nodes.len()];
    for first in 0..nodes.len() {
        // each node with those that must come before it and are not there yet; no recursion, since files are long
        let mut path: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut next = (states[first] == State::Waiting).then_some(first);
        loop {
            if let Some(place) = next.take() {
                states[place] = State::Begun;
                let mut before = behind(place);
                before.reverse();
                path.push((place, before));
            }
            let Some((place, before)) = path.last_mut() else { break };
            match before.pop() {
                Some(maker) => match states[maker] {
                    State::Waiting => next = Some(maker),
                    State::Begun => return None,
                    State::Placed => {}
                },
                None => {
                    states[*place] = State::Placed;
                    order.push(*place);
                    path.pop();
                }
            }
        }
    }
    Some(order)
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Waiting,
    Begun,
    Placed,
}

/// Names that a node reads, those that the graphs in it read from around them among them.
fn reads<'a>(node: &'a NodeProto, found: &mut Vec<&'a str>) {
    found.extend(node.input.iter().map(String::as_str).filter(|name| !name.is_empty()));
    for graph in node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)) {
        let inner: HashSet<&str> = made(graph).collect();
        let mut of_graph: Vec<&str> = graph.output.iter().map(|output| output.name()).collect();
        graph.node.iter().for_each(|node| reads(node, &mut of_graph));
        found.extend(of_graph.into_iter().filter(|name| !inner.contains(name)));
    }
}

fn made(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let given =
        graph.initializer.iter().map(|tensor| tensor.name()).chain(graph.input.iter().map(|input| input.name()));
    given.chain(graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, proto, value};

    fn ordered(nodes: Vec<NodeProto>) -> Vec<String> {
        let mut model = proto(graph(nodes, vec![], vec![value("x", &[2])], vec![value("y", &[2])]));
        put_in_order(&mut model);
        model.graph.unwrap().node.iter().map(|node| node.output[0].clone()).collect()
    }

    #[test]
    fn converters_append_casts_at_the_end_and_the_file_is_read_all_the_same() {
        let relu = |from: &str, to: &str| node("Relu", &[from], &[to]);
        // as onnxconverter_common and ONNX Runtime's float16.py write them
        let rows = [
            (vec![relu("a", "y"), relu("x", "a")], vec!["a", "y"]),
            (vec![relu("b", "y"), relu("x", "c"), relu("a", "b"), relu("x", "a")], vec!["a", "b", "y", "c"]),
            (vec![relu("x", "a"), relu("a", "y")], vec!["a", "y"]),
            // a circle and a name that nothing makes are left to the gate
            (vec![relu("y", "a"), relu("a", "y")], vec!["a", "y"]),
            (vec![relu("y", "y")], vec!["y"]),
            (vec![relu("nothing", "y"), relu("x", "a")], vec!["y", "a"]),
        ];
        for (nodes, wanted) in rows {
            assert_eq!(ordered(nodes.clone()), wanted, "{nodes:?}");
        }
    }

    #[test]
    fn a_graph_in_a_node_counts_as_what_it_reads() {
        use crate::model_file::onnx::{AttributeProto, attribute_proto::AttributeType};
        let branch = graph(vec![node("Relu", &["late"], &["inner"])], vec![], vec![], vec![value("inner", &[2])]);
        let then = AttributeProto {
            name: Some("then_branch".into()),
            r#type: Some(AttributeType::Graph as i32),
            g: Some(branch),
            ..AttributeProto::default()
        };
        let choice = NodeProto { attribute: vec![then], ..node("If", &["x"], &["y"]) };
        assert_eq!(ordered(vec![choice, node("Relu", &["x"], &["late"])]), ["late", "y"]);
    }

    #[test]
    fn ten_thousand_nodes_back_to_front() {
        let name = |at: usize| format!("v{at}");
        let nodes = (0..10_000).rev().map(|at| node("Relu", &[&name(at)], &[&name(at + 1)])).collect();
        let order = ordered(nodes);
        assert_eq!((order[0].as_str(), order[9_999].as_str()), ("v1", "v10000"));
    }
}
