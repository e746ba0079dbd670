//! Attributes of a file's nodes, as graphs hold them.

use std::collections::BTreeMap;

use super::constant_of;
use super::onnx::{AttributeProto, NodeProto, attribute_proto::AttributeType};
use super::scope::Scope;
use crate::CompilerError;
use crate::graph::Attribute;
use millstream_schemas::shown;

/// Those of a node but the graphs that it runs; one that names an attribute of the function around it is what the caller has given, or left out.
pub(super) fn attributes<'a>(
    node: &'a NodeProto,
    scope: &Scope<'a, '_>,
) -> Result<BTreeMap<String, Attribute>, CompilerError> {
    let given = node.attribute.iter().filter_map(|proto| Some((proto.name(), scope.attribute(proto)?)));
    let given = given.filter(|(_, proto)| proto.g.is_none());
    given.map(|(name, proto)| Ok((name.to_owned(), attribute(node, name, proto)?))).collect()
}

fn attribute(node: &NodeProto, name: &str, proto: &AttributeProto) -> Result<Attribute, CompilerError> {
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
                format!("attribute `{}` of node `{}` ({})", shown(name), shown(node.name()), shown(node.op_type())),
                "only numbers, strings and dense tensors are read",
            ));
        }
    })
}
