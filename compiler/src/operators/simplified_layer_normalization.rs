use super::{Gradient, Operator, Sample, normalizations, varied};

/// `SimplifiedLayerNormalization`, which ONNX Runtime's optimizer writes into the standard domain: y = scale · x · r with
/// r = 1/√(mean(x²) + ε), over the axes from `axis` on. Its gradient is that of `RMSNormalization`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "SimplifiedLayerNormalization",
    opsets: 13..=25,
    weights: &[1],
    types: |rule| normalizations::types_from_axis(rule, 1..2, 1),
    fold: None,
    gradient: Gradient::Defined(normalizations::root_mean_square_gradient),
    samples: || {
        let inputs = || vec![varied(&[2, 3, 6]), varied(&[6])];
        vec![
            Sample::new("last axis", inputs(), vec![("axis", (-1).into()), ("epsilon", 0.1.into())]),
            Sample::new("with statistics", inputs(), vec![]).with_outputs(2),
        ]
    },
};
