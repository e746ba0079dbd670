use super::{Gradient, Operator, Sample, fused_mat_mul, varied};
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

/// The activations that have no more than these attributes.
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

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let y = fused_mat_mul::expand(node)?;
    let name = node.node.string("activation").unwrap_or_default().to_owned();
    let Some((name, attributes)) = ACTIVATIONS.into_iter().find(|(known, _)| *known == name) else {
        return Err(node.no_gradient(format!("its activation {} is not known", millstream_schemas::shown(&name))));
    };
    let given = |attribute: &&'static str| {
        Some((*attribute, node.node.attributes.get(&format!("activation_{attribute}"))?.clone()))
    };
    let attributes: Vec<(&str, Attribute)> = attributes.iter().filter_map(given).collect();
    Ok(vec![node.graph.add(name, &y, &attributes)?])
}
