use super::{Gradient, Operator, Sample, TypeRuleInput, conv, fused_activations, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, TensorType, ValueId};

/// `com.microsoft.FusedConv`: `Conv`, to which its fourth input is added, and an activation. As those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "FusedConv",
    opsets: 1..=1,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let sample = |name, activation: &str, parameters: &[f32], is_added: bool| {
            let mut inputs = vec![varied(&[2, 3, 4, 4]), varied(&[2, 3, 3, 3]), varied(&[2])];
            inputs.extend(is_added.then(|| varied(&[2, 2, 4, 4])));
            let pads = Attribute::Ints(vec![1, 1, 1, 1]);
            let mut attributes = vec![("kernel_shape", Attribute::Ints(vec![3, 3])), ("pads", pads)];
            attributes.push(("activation", activation.into()));
            if !parameters.is_empty() {
                attributes.push(("activation_params", Attribute::Floats(parameters.to_vec())));
            }
            Sample::new(name, inputs, attributes)
        };
        vec![
            sample("sigmoid", "Sigmoid", &[], false),
            sample("tanh of a sum", "Tanh", &[], true),
            sample("a leak", "LeakyRelu", &[0.75], false),
            sample("hard sigmoid", "HardSigmoid", &[0.02, 0.5], false),
            sample("hard swish", "HardSwish", &[], true),
            sample("bounds", "Clip", &[-50.0, 50.0], false),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    with_added(rule, conv::types(rule)?)
}

/// The types of what a convolution makes, where the fourth input can be added to it.
pub(super) fn with_added(rule: &TypeRuleInput<'_>, made: Vec<TensorType>) -> Result<Vec<TensorType>, CompilerError> {
    match rule.optional(3).filter(|added| added.shape.len() != made[0].shape.len()) {
        Some(added) => Err(rule.error(format!("{added} is added to {}", made[0]))),
        None => Ok(made),
    }
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let inputs: Vec<Option<ValueId>> = node.node.inputs.iter().take(3).copied().collect();
    let own = fused_activations::attributes_before(&node.node);
    let own: Vec<(&str, Attribute)> = own.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let y = node.graph.add_with("Conv", &inputs, &own, 1)?[0];
    Ok(vec![added_and_activated(node, y)?])
}

/// A node's fourth input added to what its convolution gave, and its activation.
pub(super) fn added_and_activated(node: &mut Expansion<'_>, mut y: ValueId) -> Result<ValueId, CompilerError> {
    if let Some(added) = node.node.input(3) {
        y = node.graph.plus(y, added)?;
    }
    let name = node.node.string("activation").unwrap_or_default().to_owned();
    let parameters = match node.node.attributes.get("activation_params") {
        Some(Attribute::Floats(values)) => values.clone(),
        _ => Vec::new(),
    };
    fused_activations::of(node, y, &name, &parameters)
}
