use super::{Gradient, Operator, Sample, normalizations, varied};

/// `com.microsoft.SkipSimplifiedLayerNormalization`: `SimplifiedLayerNormalization` over the last axis of x + skip + bias,
/// the bias a vector that may be left out. The sum is its fourth output.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "SkipSimplifiedLayerNormalization",
    opsets: 1..=1,
    weights: &[2, 3],
    types: |rule| normalizations::types_of_a_sum(rule, 2..4),
    fold: None,
    gradient: Gradient::Expand(|node| {
        let sum = normalizations::sum_with_skip(node, node.node.input(3))?;
        let inputs = [Some(sum), Some(node.input(2)?)];
        normalizations::of_a_sum(node, "SimplifiedLayerNormalization", sum, &inputs)
    }),
    samples: || {
        let two = || vec![varied(&[2, 3, 6]), varied(&[2, 3, 6]), varied(&[6])];
        let biased = two().into_iter().chain([varied(&[6])]).collect();
        vec![
            Sample::new("with a bias", biased, vec![("epsilon", 0.1.into())]),
            Sample::new("without one", two(), vec![("epsilon", 0.1.into())]),
        ]
    },
};
