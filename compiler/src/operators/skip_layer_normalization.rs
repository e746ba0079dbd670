use super::{Gradient, Operator, Sample, SampleInput, normalizations, varied};

/// `com.microsoft.SkipLayerNormalization`: `LayerNormalization` over the last axis of x + skip + bias, the bias a vector
/// that may be left out. The sum is its fourth output.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "SkipLayerNormalization",
    opsets: 1..=1,
    weights: &[2, 3, 4],
    types: |rule| normalizations::types_of_a_sum(rule, 2..5),
    fold: None,
    gradient: Gradient::Expand(|node| {
        let sum = normalizations::sum_with_skip(node, node.node.input(4))?;
        let mut inputs = vec![Some(sum), Some(node.input(2)?)];
        // ONNX Runtime 1.31 ends when it fuses a node whose third input is named and empty
        inputs.extend(node.node.input(3).map(Some));
        normalizations::of_a_sum(node, "LayerNormalization", sum, &inputs)
    }),
    samples: || {
        let two = || vec![varied(&[2, 3, 6]), varied(&[2, 3, 6]), varied(&[6])];
        let biased = two().into_iter().chain([varied(&[6]), varied(&[6])]).collect();
        let plain = two().into_iter().chain([SampleInput::Absent]).collect();
        vec![
            Sample::new("with a bias", biased, vec![("epsilon", 0.1.into())]),
            Sample::new("without biases", plain, vec![]),
            Sample::new(
                "a skip for all rows",
                vec![varied(&[2, 3, 4]), varied(&[3, 4]), varied(&[4]), varied(&[4])],
                vec![],
            ),
        ]
    },
};
