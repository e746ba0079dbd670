use super::{Gradient, Operator, Sample, fixed_truths, quantized};
use crate::graph::TensorType;

/// `com.microsoft.QLinearWhere`: `Where` of quantized tensors.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QLinearWhere",
    opsets: 1..=1,
    weights: &[],
    types: |rule| {
        let shape = rule.broadcast(&rule.input(1)?.shape, &rule.input(4)?.shape)?;
        let shape = rule.broadcast(&shape, &rule.input(0)?.shape)?;
        Ok(vec![TensorType { dtype: quantized::output_dtype(rule, 8), shape }])
    },
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let condition = fixed_truths(&[3], &[true, false, true]);
        let inputs = [vec![condition], quantized::tensors(&[&[2, 3], &[3]])].concat();
        vec![Sample::new("broadcast", inputs, vec![])]
    },
};
