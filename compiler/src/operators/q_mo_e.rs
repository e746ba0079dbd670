use super::{Gradient, Operator, Sample, SampleInput, fixed_floats, quantized, same_as_first, varied};

/// `com.microsoft.QMoE`: `MoE` whose experts' weights are integers of 4 or 8 bits. It has no gradient.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QMoE",
    opsets: 1..=1,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Refused(
        "the weights of its experts are packed integers; take the file as it was before it was quantized",
    ),
    samples: || {
        let layer = || [quantized::bytes(&[3, 8, 8]), fixed_floats(&[3, 8], &[0.01; 24]), SampleInput::Absent];
        let inputs = [varied(&[2, 8]), varied(&[2, 3])].into_iter().chain(layer()).chain(layer()).collect();
        let attributes = vec![("k", 1.into()), ("activation_type", "relu".into()), ("expert_weight_bits", 8.into())];
        vec![Sample::new("bytes", inputs, attributes)]
    },
};
