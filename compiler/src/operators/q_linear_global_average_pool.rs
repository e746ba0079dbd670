use super::{Gradient, Operator, Sample, quantized};

/// `com.microsoft.QLinearGlobalAveragePool`: `GlobalAveragePool` of a quantized tensor, whose channels lie behind its spatial axes on request.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QLinearGlobalAveragePool",
    opsets: 1..=1,
    weights: &[],
    types: |rule| {
        let mut made = quantized::as_first(rule, 4)?;
        let rank = made[0].shape.len();
        if rank < 3 {
            return Err(rule.error(format!("{} has no spatial axes", made[0])));
        }
        let is_last = rule.node.int("channels_last").unwrap_or(0) != 0;
        let spatial = if is_last { 1..rank - 1 } else { 2..rank };
        made[0].shape[spatial].fill(1.into());
        Ok(made)
    },
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let pool = |name, shape: &[usize], is_last: i64| {
            Sample::new(name, quantized::tensors(&[shape]), vec![("channels_last", is_last.into())])
        };
        vec![pool("channels first", &[1, 2, 4, 5], 0), pool("channels last", &[1, 4, 5, 2], 1)]
    },
};
