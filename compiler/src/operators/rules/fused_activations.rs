//! The activations that ONNX Runtime fuses into the operator before them.

use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Node, ValueId};

/// Activations that have no more than these attributes.
const ACTIVATIONS: [(&str, &[&str]); 12] = [
    ("Elu", &["alpha"]),
    ("HardSigmoid", &["alpha", "beta"]),
    ("LeakyRelu", &["alpha"]),
    ("LogSoftmax", &["axis"]),
    ("Relu", &[]),
    ("Selu", &["alpha", "gamma"]),
    ("Sigmoid", &[]),
    ("Softmax", &["axis"]),
    ("Softplus", &[]),
    ("Softsign", &[]),
    ("Tanh", &[]),
    ("ThresholdedRelu", &["alpha"]),
];

/// The activation that a node names, whose attributes are the node's that begin with `activation_`; x as it is where it names none.
pub(crate) fn named(node: &mut Expansion<'_>, x: ValueId) -> Result<ValueId, CompilerError> {
    let name = node.node.string("activation").unwrap_or_default().to_owned();
    if name.is_empty() {
        return Ok(x);
    }
    let Some((name, attributes)) = ACTIVATIONS.into_iter().find(|(known, _)| *known == name) else {
        return Err(node.no_gradient(format!("its activation {} is not known", millstream_schemas::shown(&name))));
    };
    let given = |attribute: &&'static str| {
        Some((*attribute, node.node.attributes.get(&format!("activation_{attribute}"))?.clone()))
    };
    let attributes: Vec<(&str, Attribute)> = attributes.iter().filter_map(given).collect();
    node.graph.add(name, &[x], &attributes)
}

/// The attributes of a node but those of its activation.
pub(crate) fn attributes_before(node: &Node) -> Vec<(String, Attribute)> {
    let own = node.attributes.iter().filter(|(name, _)| !name.starts_with("activation"));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// An activation by its name, with its parameters in order; x as it is where the name is empty.
pub(crate) fn of(
    node: &mut Expansion<'_>,
    x: ValueId,
    name: &str,
    parameters: &[f32],
) -> Result<ValueId, CompilerError> {
    let parameter = |at: usize, usual: f32| parameters.get(at).copied().unwrap_or(usual);
    match name {
        "" => Ok(x),
        // it has no operator of its own before
        "HardSwish" if node.graph.opset < 14 => {
            let attributes = [("alpha", (1.0_f32 / 6.0).into()), ("beta", 0.5_f32.into())];
            let gate = node.graph.add("HardSigmoid", &[x], &attributes)?;
            node.graph.times(x, gate)
        }
        "HardSwish" | "Relu" | "Sigmoid" | "Tanh" => node.graph.add(name, &[x], &[]),
        "LeakyRelu" => node.graph.add(name, &[x], &[("alpha", parameter(0, 0.01).into())]),
        "HardSigmoid" => {
            let attributes = [("alpha", parameter(0, 0.2).into()), ("beta", parameter(1, 0.5).into())];
            node.graph.add(name, &[x], &attributes)
        }
        "Clip" => {
            let [low, high] = [parameter(0, f32::MIN), parameter(1, f32::MAX)].map(|bound| node.graph.scalar(bound));
            node.graph.add(name, &[x, low, high], &[])
        }
        other => Err(node.no_gradient(format!("its activation {} is not known", millstream_schemas::shown(other)))),
    }
}
