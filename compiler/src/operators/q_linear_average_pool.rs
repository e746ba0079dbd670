use super::{Gradient, Operator, Sample, average_pool, quantized};
use crate::graph::{Attribute, TensorType};

/// `com.microsoft.QLinearAveragePool`: `AveragePool` of a quantized tensor, whose channels lie behind its spatial axes on request.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QLinearAveragePool",
    opsets: 1..=1,
    weights: &[],
    types: |rule| {
        let is_last = rule.node.int("channels_last").unwrap_or(0) != 0;
        let shape = average_pool::pooled_shape(rule, is_last)?;
        Ok(vec![TensorType { dtype: quantized::output_dtype(rule, 4), shape }])
    },
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let pool = |name, shape: &[usize], is_last: i64| {
            let kernel = Attribute::Ints(vec![2, 3]);
            let attributes = vec![("kernel_shape", kernel), ("channels_last", is_last.into())];
            Sample::new(name, quantized::tensors(&[shape]), attributes)
        };
        vec![pool("channels first", &[1, 2, 4, 5], 0), pool("channels last", &[1, 4, 5, 2], 1)]
    },
};
