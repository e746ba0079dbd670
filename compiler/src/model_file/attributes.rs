//! Attributes of a file's nodes, as graphs hold them.

use std::collections::BTreeMap;

use super::constant_of;
use super::onnx::{AttributeProto, NodeProto, attribute_proto::AttributeType};
use super::scope::Scope;
use crate::CompilerError;
use crate::graph::{Attribute, standard_domain};
use millstream_schemas::shown;

/// Attributes of floats that are elements of a tensor: they may be anything.
const ELEMENTS: [&str; 4] = ["value", "value_float", "value_floats", "extrapolation_value"];
/// Those of which an infinity says that there is no bound, or that a place is hidden.
const BOUNDS: [&str; 5] = ["min", "max", "clip", "mask_filter_value", "swiglu_limit"];

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
    let numbers: &[f32] = match kind {
        Some(AttributeType::Float) => &[proto.f()],
        Some(AttributeType::Floats) => &proto.floats,
        _ => &[],
    };
    check_floats(node, name, numbers)?;
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

/// Refuses numbers with which an operator can compute nothing.
fn check_floats(node: &NodeProto, name: &str, numbers: &[f32]) -> Result<(), CompilerError> {
    // of `ai.onnx.ml` and of others' domains NaN may have a meaning, as what stands for a missing number
    let is_computed_with = matches!(standard_domain(node.domain()), "" | "com.microsoft") && !ELEMENTS.contains(&name);
    let is_clip =
        |other: &AttributeProto| other.name() == "activation" && other.s.as_deref() == Some(b"Clip".as_slice());
    let is_bound = BOUNDS.contains(&name) || name == "activation_params" && node.attribute.iter().any(is_clip);
    let is_wrong = |number: &&f32| if is_bound { number.is_nan() } else { !number.is_finite() };
    let Some(wrong) = numbers.iter().find(is_wrong).filter(|_| is_computed_with) else { return Ok(()) };
    let label = if node.name().is_empty() { node.output.first().map_or("", String::as_str) } else { node.name() };
    Err(CompilerError::unsupported(
        format!(
            "attribute `{}` of node `{}` ({}), which is {wrong},",
            shown(name),
            shown(label),
            shown(node.op_type())
        ),
        "nothing can be computed with it; export the model again, and look where this number comes from",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::node;

    #[test]
    fn bounds_of_a_fused_clip_may_be_infinite_and_parameters_of_other_activations_may_not() {
        for (activation, parameters, passes) in [
            ("Clip", [f32::NEG_INFINITY, 6.0], true),
            ("Clip", [0.0, f32::INFINITY], true),
            ("Clip", [f32::NAN, 6.0], false),
            ("HardSigmoid", [f32::INFINITY, 0.5], false),
        ] {
            let word = AttributeProto {
                name: Some("activation".into()),
                s: Some(activation.as_bytes().to_vec().into()),
                ..AttributeProto::default()
            };
            let convolution = NodeProto {
                domain: Some("com.microsoft".into()),
                attribute: vec![word],
                ..node("FusedConv", &["x", "w"], &["y"])
            };
            let checked = check_floats(&convolution, "activation_params", &parameters);
            assert_eq!(checked.is_ok(), passes, "{activation} {parameters:?}");
        }
    }
}
