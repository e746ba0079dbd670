use std::collections::{BTreeMap, HashMap, HashSet};

use super::constant_of;
use super::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_shape_proto, tensor_shape_proto::dimension::Value as Dimension, type_proto,
};
use crate::CompilerError;
use crate::graph::{Attribute, ElementType, Graph, Length, Node, TensorType, ValueId, standard_domain};
use crate::inference::Inference;
use crate::operators::OperatorCatalog;
use millstream_schemas::{AxisLength, shown};

/// What the first axis of an input is called where a file has a length of 0 there.
const ROWS: &str = "batch";

/// A file as a graph: its nodes as they stand, types as far as it states them or the rules of a catalog can tell. An axis
/// without a length has the file's name for it, or one of its own. `shapes` are those of inputs that the data decides:
/// they say how many axes there are where the file does not.
pub(crate) fn import(
    proto: &ModelProto,
    shapes: &BTreeMap<String, Vec<AxisLength>>,
    catalog: &OperatorCatalog,
) -> Result<Graph, CompilerError> {
    let file = proto.graph.as_ref().expect("the gate refuses a model without a graph");
    let opset = super::gate::opset(proto).expect("the gate refuses a model without an opset");
    let mut graph = Graph::new(opset, catalog.clone());
    for import in &proto.opset_import {
        if !matches!(import.domain(), "" | "ai.onnx") {
            graph.other_opsets.insert(import.domain().to_owned(), import.version());
        }
    }
    let mut values: HashMap<&str, ValueId> = HashMap::new();
    for tensor in &file.initializer {
        let constant = constant_of(tensor).expect("the gate checked every tensor");
        values.insert(tensor.name(), graph.constant(tensor.name(), constant));
    }
    let rows = free_symbol(file);
    for input in &file.input {
        if let Some(constant) = values.get(input.name()) {
            // up to IR version 3 every initializer is listed as an input
            if proto.ir_version() > 3 {
                graph.set_overridable(*constant);
            }
            continue;
        }
        let ranks = shapes.get(input.name()).map(Vec::len);
        values.insert(input.name(), graph.untyped_input(input.name(), input_type(input, ranks, &rows)));
    }
    let declared = declared_types(file, &rows);
    let mut inference = Inference::new(catalog);
    for node in &file.node {
        let inputs = node.input.iter().map(|name| values.get(name.as_str()).copied()).collect();
        let parsed = Node {
            name: node.name().to_owned(),
            operator: node.op_type().to_owned(),
            domain: standard_domain(node.domain()).to_owned(),
            inputs,
            outputs: Vec::new(),
            attributes: attributes(node)?,
            metadata: node.metadata_props.iter().map(|entry| (entry.key().into(), entry.value().into())).collect(),
        };
        graph.push_named(parsed, &node.output, &|_, name| declared.get(name).cloned());
        let at = graph.nodes().len() - 1;
        inference.state(&mut graph, at);
        let made = graph.nodes().last().expect("a node was just added").outputs.clone();
        for (name, id) in node.output.iter().zip(made) {
            values.extend(id.map(|id| (name.as_str(), id)));
        }
    }
    for value in &file.value_info {
        if let Some(id) = values.get(value.name()) {
            graph.set_declared(*id);
        }
    }
    for output in &file.output {
        let value = values[output.name()];
        graph.set_element_type(value, element_type(output));
        graph.output(value);
    }
    Ok(graph)
}

/// Lengths of a declared value's axes, `None` for symbolic ones; nothing when no shape is declared.
pub(crate) fn known_shape(value: &ValueInfoProto) -> Option<Vec<Option<usize>>> {
    let length = |dim: &tensor_shape_proto::Dimension| match &dim.value {
        Some(Dimension::DimValue(length)) => usize::try_from(*length).ok().filter(|length| *length > 0),
        _ => None,
    };
    let shape = tensor_of(value)?.shape.as_ref()?;
    Some(shape.dim.iter().map(length).collect())
}

/// What the elements of a declared value are.
pub(super) fn element_type(value: &ValueInfoProto) -> Option<ElementType> {
    ElementType::from_onnx(tensor_of(value)?.elem_type())
}

fn tensor_of(value: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor),
        _ => None,
    }
}

fn dimensions(value: &ValueInfoProto) -> Option<&[tensor_shape_proto::Dimension]> {
    Some(&tensor_of(value)?.shape.as_ref()?.dim)
}

/// The type of an input, each axis of unknown length with a name.
fn input_type(input: &ValueInfoProto, rank: Option<usize>, rows: &str) -> Option<TensorType> {
    let own = |axis: usize| Length::named(&format!("{}_axis_{axis}", input.name()));
    let shape = match dimensions(input) {
        Some(dims) => {
            dims.iter().enumerate().map(|(axis, dim)| length(dim, axis, rows).unwrap_or_else(|| own(axis))).collect()
        }
        // without a declared shape any will do, so the data's
        None => (0..rank?).map(own).collect(),
    };
    let declared = TensorType { dtype: element_type(input)?, shape };
    declared.fits_a_machine().then_some(declared)
}

/// The length of an axis as it is declared, or its name.
fn length(dim: &tensor_shape_proto::Dimension, axis: usize, rows: &str) -> Option<Length> {
    match &dim.value {
        // some exporters write a length of 0 where any will do
        Some(Dimension::DimValue(0)) if axis == 0 => Some(Length::named(rows)),
        Some(Dimension::DimValue(length)) => usize::try_from(*length).ok().filter(|length| *length > 0).map(Into::into),
        Some(Dimension::DimParam(name)) if !name.is_empty() => Some(Length::named(name)),
        _ => None,
    }
}

/// Types that the file declares for values that nodes make, where each of their axes has a length or a name.
fn declared_types(file: &GraphProto, rows: &str) -> HashMap<String, TensorType> {
    let complete = |value: &ValueInfoProto| {
        let dims = dimensions(value)?.iter().enumerate();
        let shape = dims.map(|(axis, dim)| length(dim, axis, rows)).collect::<Option<Vec<Length>>>()?;
        let declared = TensorType { dtype: element_type(value)?, shape };
        declared.fits_a_machine().then(|| (value.name().to_owned(), declared))
    };
    file.value_info.iter().chain(&file.output).filter_map(complete).collect()
}

/// A name for the axis of rows that no other axis has.
fn free_symbol(file: &GraphProto) -> String {
    let values = file.input.iter().chain(&file.output).chain(&file.value_info);
    let dims = values.filter_map(dimensions).flatten();
    let taken: HashSet<&str> = dims
        .filter_map(|dim| match &dim.value {
            Some(Dimension::DimParam(name)) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    free_length_name(&|name| taken.contains(name))
}

/// A name for the axis of rows that is not taken.
pub(crate) fn free_length_name(is_taken: &dyn Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{ROWS}.{number}"));
    let mut all = std::iter::once(ROWS.to_owned()).chain(numbered);
    all.find(|name| !is_taken(name)).expect("numbers do not run out")
}

fn attributes(node: &NodeProto) -> Result<BTreeMap<String, Attribute>, CompilerError> {
    node.attribute.iter().map(|proto| Ok((proto.name().to_owned(), attribute(node, proto)?))).collect()
}

fn attribute(node: &NodeProto, proto: &AttributeProto) -> Result<Attribute, CompilerError> {
    let text = |bytes: &bytes::Bytes| match std::str::from_utf8(bytes) {
        Ok(text) => Attribute::String(text.to_owned()),
        Err(_) => Attribute::Bytes(bytes.clone()),
    };
    let kind = proto.r#type.and_then(|kind| AttributeType::try_from(kind).ok());
    Ok(match kind {
        Some(AttributeType::Float) => Attribute::Float(proto.f()),
        Some(AttributeType::Int) => Attribute::Int(proto.i()),
        Some(AttributeType::String) => proto.s.as_ref().map_or_else(|| Attribute::String(String::new()), text),
        Some(AttributeType::Floats) => Attribute::Floats(proto.floats.clone()),
        Some(AttributeType::Ints) => Attribute::Ints(proto.ints.clone()),
        Some(AttributeType::Strings) => Attribute::Strings(proto.strings.clone()),
        Some(AttributeType::Tensor) if proto.t.is_some() => {
            let tensor = proto.t.as_ref().expect("just seen");
            Attribute::Tensor(constant_of(tensor).expect("the gate checked every tensor"))
        }
        _ => {
            return Err(CompilerError::unsupported(
                format!(
                    "attribute `{}` of node `{}` ({})",
                    shown(proto.name()),
                    shown(node.name()),
                    shown(node.op_type())
                ),
                "only numbers, strings and dense tensors are read",
            ));
        }
    })
}
