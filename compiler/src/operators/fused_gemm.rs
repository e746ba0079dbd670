use super::{Gradient, Operator, Sample, fused_activations, gemm, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, ValueId};

/// `com.microsoft.FusedGemm`: `Gemm` and an activation, as those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "FusedGemm",
    opsets: 1..=1,
    weights: &[1, 2],
    types: gemm::types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let sample = |name, activation: &str, others: Vec<(&'static str, Attribute)>| {
            let inputs = vec![varied(&[2, 3]), varied(&[4, 3]), varied(&[4])];
            let own = vec![("activation", Attribute::from(activation)), ("transB", 1.into())];
            Sample::new(name, inputs, [own, others].concat())
        };
        vec![
            sample("sigmoid", "Sigmoid", vec![("alpha", 0.5.into())]),
            sample("a leak", "LeakyRelu", vec![("activation_alpha", 0.75.into())]),
            sample("softplus", "Softplus", vec![]),
            sample("softsign", "Softsign", vec![]),
            sample("elu", "Elu", vec![("activation_alpha", 0.75.into())]),
            sample("selu", "Selu", vec![("activation_alpha", 1.5.into()), ("activation_gamma", 1.25.into())]),
            sample("a threshold", "ThresholdedRelu", vec![("activation_alpha", 0.25.into())]),
        ]
    },
};

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let own = fused_activations::attributes_before(&node.node);
    let own: Vec<(&str, Attribute)> = own.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let inputs = node.node.inputs.clone();
    let y = node.graph.add_with("Gemm", &inputs, &own, 1)?[0];
    Ok(vec![fused_activations::named(node, y)?])
}
