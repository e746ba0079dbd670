//! Models written node by node, for tests: unlike a `Graph` they may be wrong, or use operators that nobody knows.

use prost::Message;

use crate::Model;
use crate::model_file::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto::AttributeType, tensor_shape_proto::Dimension,
    tensor_shape_proto::dimension::Value as Length, type_proto,
};

/// A node, named after its first output. `Domain.Operator` is an operator of that domain.
pub(crate) fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let (domain, operator) = operator.split_once('.').unwrap_or(("", operator));
    NodeProto {
        op_type: Some(operator.into()),
        domain: Some(domain.into()),
        name: outputs.first().map(|name| (*name).to_owned()),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: outputs.iter().map(|name| (*name).to_owned()).collect(),
        ..NodeProto::default()
    }
}

/// The node with an attribute of integers; a single one is a number.
pub(crate) fn with(mut node: NodeProto, name: &str, values: &[i64]) -> NodeProto {
    let mut attribute = AttributeProto { name: Some(name.into()), ..AttributeProto::default() };
    match values {
        [one] => (attribute.i, attribute.r#type) = (Some(*one), Some(AttributeType::Int as i32)),
        many => (attribute.ints, attribute.r#type) = (many.to_vec(), Some(AttributeType::Ints as i32)),
    }
    node.attribute.push(attribute);
    node
}

/// A `Constant` node with floats.
pub(crate) fn constant_node(name: &str, shape: &[usize]) -> NodeProto {
    let (t, kind) = (Some(weight("", shape)), Some(AttributeType::Tensor as i32));
    let attribute = AttributeProto { name: Some("value".into()), t, r#type: kind, ..AttributeProto::default() };
    NodeProto { attribute: vec![attribute], ..node("Constant", &[], &[name]) }
}

/// Floats.
pub(crate) fn weight(name: &str, shape: &[usize]) -> TensorProto {
    let count = shape.iter().product();
    TensorProto {
        name: Some(name.into()),
        dims: shape.iter().map(|length| *length as i64).collect(),
        data_type: Some(1),
        float_data: (0..count).map(|at| (at % 7) as f32 / 7.0 - 0.4).collect(),
        ..TensorProto::default()
    }
}

/// 64-bit integers.
pub(crate) fn whole(name: &str, shape: &[usize], values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: shape.iter().map(|length| *length as i64).collect(),
        data_type: Some(7),
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// A float value `[batch, …]` with a symbolic batch.
pub(crate) fn value(name: &str, lengths: &[i64]) -> ValueInfoProto {
    value_of(name, 1, lengths)
}

/// As [`value`], of 64-bit integers.
pub(crate) fn integers(name: &str, lengths: &[i64]) -> ValueInfoProto {
    value_of(name, 7, lengths)
}

fn value_of(name: &str, element_type: i32, lengths: &[i64]) -> ValueInfoProto {
    let batch = Length::DimParam("batch".into());
    let lengths = std::iter::once(batch).chain(lengths.iter().map(|length| Length::DimValue(*length)));
    let dim = lengths.map(|length| Dimension { value: Some(length), ..Dimension::default() }).collect();
    let tensor = type_proto::Tensor { elem_type: Some(element_type), shape: Some(TensorShapeProto { dim }) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(kind), ..ValueInfoProto::default() }
}

/// A value without a declared type.
pub(crate) fn untyped(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() }
}

/// A graph of these nodes and weights.
pub(crate) fn graph(
    nodes: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
    inputs: Vec<ValueInfoProto>,
    outputs: Vec<ValueInfoProto>,
) -> GraphProto {
    GraphProto { node: nodes, initializer, input: inputs, output: outputs, ..GraphProto::default() }
}

/// A graph as a model of opset 17, which also knows version 3 of the domain `odd`.
pub(crate) fn proto(graph: GraphProto) -> ModelProto {
    let opset = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) };
    let opset_import = vec![opset("", 17), opset("odd", 3)];
    ModelProto { ir_version: Some(8), opset_import, graph: Some(graph), ..ModelProto::default() }
}

/// A graph as a model that passed the gate.
pub(crate) fn model(graph: GraphProto) -> Model {
    Model::from_bytes(proto(graph).encode_to_vec()).unwrap()
}

/// A graph of a file as a graph of values.
pub(crate) fn read(graph: GraphProto) -> crate::graph::Graph {
    let catalog = crate::OperatorCatalog::standard();
    model(graph).graph(&std::collections::BTreeMap::new(), &catalog).unwrap()
}

/// The names of what each node reads.
pub(crate) fn reads(graph: &crate::graph::Graph) -> Vec<String> {
    let names = |node: &crate::graph::Node| {
        let names = node.inputs.iter().map(|input| input.map_or("", |input| graph.name(input)));
        names.collect::<Vec<&str>>().join(" ")
    };
    graph.nodes().iter().map(names).collect()
}
