use super::{Gradient, Operator, Sample, average_pool, quantized};
use crate::graph::{Attribute, TensorType};

/// `com.microsoft.NhwcMaxPool`: `MaxPool` of bytes `[N, …, C]`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "NhwcMaxPool",
    opsets: 1..=1,
    weights: &[],
    types: |rule| {
        let shape = average_pool::pooled_shape(rule, true)?;
        Ok(vec![TensorType { dtype: rule.input(0)?.dtype, shape }])
    },
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let pool = |name, pads: &[i64]| {
            let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
            let attributes = vec![("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2])), ("pads", ints(pads))];
            Sample::new(name, vec![quantized::bytes(&[1, 4, 6, 3])], attributes)
        };
        vec![pool("disjoint windows", &[0, 0, 0, 0]), pool("padded", &[1, 1, 1, 1])]
    },
};
