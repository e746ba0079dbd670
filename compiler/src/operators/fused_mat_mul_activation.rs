use super::{Gradient, Operator, Sample, fused_activations, fused_mat_mul, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, ValueId};

/// `com.microsoft.FusedMatMulActivation`, as ONNX Runtime's optimizer writes it for DirectML: `FusedMatMul` and an activation, whose
/// attributes are named `activation_alpha` and so on. As those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "FusedMatMulActivation",
    opsets: 1..=1,
    weights: &[0, 1],
    types: fused_mat_mul::types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let sample = |name, activation: &str, others: Vec<(&'static str, Attribute)>| {
            let own = vec![("activation", Attribute::from(activation)), ("transB", 1.into())];
            Sample::new(name, vec![varied(&[2, 3, 4]), varied(&[5, 4])], [own, others].concat())
        };
        vec![
            sample("sigmoid of half the product", "Sigmoid", vec![("alpha", 0.5.into())]),
            sample("a softmax over queries", "Softmax", vec![("activation_axis", 1.into())]),
            sample("softplus", "Softplus", vec![]),
            sample(
                "hard sigmoid",
                "HardSigmoid",
                vec![("activation_alpha", 0.02.into()), ("activation_beta", 0.5.into())],
            ),
        ]
    },
};

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let y = fused_mat_mul::expand(node)?[0];
    Ok(vec![fused_activations::named(node, y)?])
}
