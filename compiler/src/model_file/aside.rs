//! What is left aside of a model: strings, maps, and sequences that the data bring, with all that is made of them. Batches hold
//! tensors of numbers, and labels are made of scores, not scores of labels.

use super::onnx::{NodeProto, TensorProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, type_proto};
use super::scope::Imported;
use crate::graph::standard_domain;

/// ONNX's number of the element type of strings.
pub(super) const STRING: i32 = 8;

/// Operators of traditional machine learning that make or take strings or maps alone.
pub(super) const OPERATORS: [&str; 3] = ["CastMap", "CategoryMapper", "DictVectorizer"];

/// Whether a tensor of the file holds strings.
pub(super) fn is_text(tensor: &TensorProto) -> bool {
    tensor.data_type() == STRING
}

/// Whether an output is declared as strings.
pub(super) fn is_text_output(output: &ValueInfoProto) -> bool {
    let kind = output.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    matches!(kind, Some(type_proto::Value::TensorType(tensor)) if tensor.elem_type() == STRING)
}

/// Whether a declared value is no tensor of numbers: strings, a map, or a sequence.
pub(super) fn is_declared_aside(value: &ValueInfoProto) -> bool {
    value.r#type.as_ref().is_some_and(is_type_aside)
}

fn is_type_aside(kind: &TypeProto) -> bool {
    match &kind.value {
        Some(type_proto::Value::TensorType(tensor)) => tensor.elem_type() == STRING,
        Some(type_proto::Value::MapType(_) | type_proto::Value::SequenceType(_)) => true,
        Some(type_proto::Value::OptionalType(optional)) => {
            optional.elem_type.as_ref().is_some_and(|kind| is_type_aside(kind))
        }
        _ => false,
    }
}

/// Which outputs of a node are left aside: all, or the labels of a classifier whose classes have names.
pub(super) fn outputs(node: &NodeProto, inputs: &[Option<Imported>]) -> std::ops::Range<usize> {
    let all = 0..node.output.len();
    if inputs.iter().flatten().any(Imported::is_aside) || makes_text(node) {
        return all;
    }
    let has_names = has(node, "classlabels_strings");
    match (node.domain(), node.op_type()) {
        ("ai.onnx.ml", "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier") if has_names => 0..1,
        ("ai.onnx.ml", name) if OPERATORS.contains(&name) => all,
        ("ai.onnx.ml", "LabelEncoder") if has(node, "classes_strings") || has(node, "values_strings") => all,
        _ => 0..0,
    }
}

fn has(node: &NodeProto, name: &str) -> bool {
    node.attribute.iter().any(|attribute| attribute.name() == name && !attribute.strings.is_empty())
}

/// Whether a node makes strings by what it says itself.
fn makes_text(node: &NodeProto) -> bool {
    if node.attribute.iter().any(|attribute| attribute.t.as_ref().is_some_and(is_text)) {
        return true;
    }
    let is_standard = standard_domain(node.domain()).is_empty();
    let says = |name: &str| node.attribute.iter().any(|attribute| attribute.name() == name);
    match node.op_type() {
        "Cast" if is_standard => {
            let to = node.attribute.iter().find(|attribute| attribute.name() == "to");
            to.is_some_and(|to| to.r#type == Some(AttributeType::Int as i32) && to.i() == i64::from(STRING))
        }
        "Constant" if is_standard => says("value_string") || says("value_strings"),
        _ => false,
    }
}
