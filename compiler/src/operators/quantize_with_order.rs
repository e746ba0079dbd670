use super::{Gradient, Operator, Sample, fixed_floats, quantized};

/// `com.microsoft.QuantizeWithOrder`, for CUDA: floats by one scale to integers of 8 bits, in an order of cuBLASLt.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QuantizeWithOrder",
    opsets: 1..=1,
    weights: &[],
    types: quantized::signed_as_first,
    fold: None,
    gradient: Gradient::Zero("it rounds to integers: constant between steps"),
    samples: || {
        let x = fixed_floats(&[2, 3], &[0.0, 0.5, -0.5, 1.0, -3.0, 2.0]);
        vec![Sample::new(
            "rows",
            vec![x, quantized::scale()],
            vec![("order_input", 1.into()), ("order_output", 1.into())],
        )]
    },
};
