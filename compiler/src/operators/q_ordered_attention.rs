use super::{Gradient, Operator, Sample, fixed_floats, quantized};
use crate::graph::{ElementType, TensorType};

/// `com.microsoft.QOrderedAttention`, for CUDA: attention of integers of 8 bits in orders of cuBLASLt, with a matrix for
/// queries, one for keys and one for values.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QOrderedAttention",
    opsets: 1..=1,
    weights: &[],
    types: |rule| {
        let (x, values) = (rule.input(0)?, rule.input(7)?);
        match (x.shape.as_slice(), values.shape.as_slice()) {
            ([batch, length, _], [_, hidden]) => Ok(vec![TensorType::new(ElementType::I8, [batch, length, hidden])]),
            _ => Err(rule.error(format!("{x} with weights {values}, wanted three axes and two"))),
        }
    },
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let scales = |count: usize| std::iter::repeat_with(quantized::scale).take(count).collect::<Vec<_>>();
        let three =
            |shape: &[usize]| std::iter::repeat_with(|| quantized::signed_bytes(shape)).take(3).collect::<Vec<_>>();
        let bias = || fixed_floats(&[4], &[0.5, -0.5, 0.25, 0.0]);
        let inputs = [
            vec![quantized::signed_bytes(&[2, 3, 4])],
            scales(4),
            three(&[4, 4]),
            scales(3),
            vec![bias(), bias(), bias()],
            scales(3),
        ];
        let orders = vec![
            ("num_heads", 2.into()),
            ("order_input", 1.into()),
            ("order_weight", 0.into()),
            ("order_output", 1.into()),
        ];
        vec![Sample::new("two heads", inputs.concat(), orders)]
    },
};
