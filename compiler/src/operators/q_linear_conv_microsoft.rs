use super::{Gradient, Operator, Sample, conv, q_linear_conv, quantized};
use crate::graph::TensorType;

/// `com.microsoft.QLinearConv`, as ONNX Runtime's optimizer writes it: the standard operator, on request with channels last.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    opsets: 1..=1,
    types: |rule| {
        let is_last = rule.node.int("channels_last").unwrap_or(0) != 0;
        let (x, kernel) = (&rule.input(0)?.shape, &rule.input(3)?.shape);
        let shape_of = if is_last { conv::shape_with_channels_last } else { conv::shape_of };
        let shape = shape_of(rule.node, x, kernel).map_err(|message| rule.error(message))?;
        Ok(vec![TensorType { dtype: quantized::output_dtype(rule, 7), shape }])
    },
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let operands = quantized::tensors(&[&[1, 4, 5, 2], &[3, 2, 3, 3]]);
        let mut samples = (q_linear_conv::OPERATOR.samples)();
        samples.push(Sample::new("channels last", operands, vec![("channels_last", 1.into())]));
        samples
    },
    ..q_linear_conv::OPERATOR
};
