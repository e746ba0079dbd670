use super::{Gradient, Operator, Sample, TypeRuleInput, fused_conv, nhwc_conv, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, TensorType, ValueId};

/// `com.microsoft.NhwcFusedConv`: `NhwcConv`, to which its fourth input `[N, …, M]` is added, and an activation. As those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "NhwcFusedConv",
    opsets: 1..=1,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let inputs = || vec![varied(&[2, 4, 5, 3]), varied(&[2, 3, 3, 3]), varied(&[2])];
        let own = |activation: &str| {
            vec![("pads", Attribute::Ints(vec![1, 1, 1, 1])), ("activation", Attribute::from(activation))]
        };
        let added = inputs().into_iter().chain([varied(&[2, 4, 5, 2])]).collect();
        vec![
            Sample::new("sigmoid", inputs(), own("Sigmoid")),
            Sample::new("tanh of a sum", added, own("Tanh")),
            Sample::new("none", inputs(), own("")),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    fused_conv::with_added(rule, nhwc_conv::types(rule)?)
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let y = nhwc_conv::convolved(node)?;
    Ok(vec![fused_conv::added_and_activated(node, y)?])
}
