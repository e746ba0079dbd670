//! The nodes of a model's file: which makes a value, and what a node is called.

use std::collections::HashMap;

use millstream_schemas::shown;

use crate::graph::qualified;
use crate::graph::{Constant, tensor_proto};
use crate::model_file::onnx::{AttributeProto, GraphProto, NodeProto, attribute_proto::AttributeType};

/// Index of the node that makes each value.
pub(super) fn producers(graph: &GraphProto) -> HashMap<&str, usize> {
    let nodes = graph.node.iter().enumerate();
    let made = nodes.flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index)));
    made.filter(|(name, _)| !name.is_empty()).collect()
}

/// `node `x` (Sigmoid)`.
pub(crate) fn named(node: &NodeProto) -> String {
    let name = if node.name().is_empty() { node.output.first().map_or("", String::as_str) } else { node.name() };
    format!("node `{}` ({})", shown(name), qualified(node.op_type(), node.domain()))
}

/// A node of the standard operators, named after its output.
pub(super) fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(operator.into()),
        name: Some(output.into()),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// The node with an attribute that is a whole number.
pub(super) fn with_integer(mut node: NodeProto, name: &str, value: i64) -> NodeProto {
    let kind = Some(AttributeType::Int as i32);
    node.attribute.push(AttributeProto { name: Some(name.into()), i: Some(value), r#type: kind, ..Default::default() });
    node
}

/// The node with an attribute that is a list of whole numbers.
pub(super) fn with_integers(mut node: NodeProto, name: &str, values: &[i64]) -> NodeProto {
    let (ints, kind) = (values.to_vec(), Some(AttributeType::Ints as i32));
    node.attribute.push(AttributeProto { name: Some(name.into()), ints, r#type: kind, ..Default::default() });
    node
}

/// Adds a constant and says what it is called.
pub(super) fn constant(graph: &mut GraphProto, name: &str, value: &Constant) -> String {
    let name = free_name(graph, name);
    graph.initializer.push(tensor_proto(&name, value));
    name
}

/// The name, or with a number behind it where it is taken.
pub(super) fn free_name(graph: &GraphProto, name: &str) -> String {
    let taken = |name: &str| {
        graph.initializer.iter().any(|tensor| tensor.name() == name)
            || graph.input.iter().any(|input| input.name() == name)
            || graph.node.iter().any(|node| node.name() == name || node.output.iter().any(|output| output == name))
    };
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken(name)).expect("numbers do not end")
}
