use super::{Gradient, Operator, Sample, TypeRuleInput, quantized};
use crate::CompilerError;
use crate::graph::{Length, TensorType};

/// `com.microsoft.QLinearConcat`: `Concat` of quantized tensors; the scale and zero point of the output come first.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QLinearConcat",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let parts = |shapes: &[&[usize]]| {
            let parts = shapes.iter().flat_map(|shape| quantized::tensor(shape));
            [quantized::scale(), quantized::zero_point()].into_iter().chain(parts).collect::<Vec<_>>()
        };
        vec![
            Sample::new("rows", parts(&[&[2, 3], &[1, 3]]), vec![("axis", 0.into())]),
            Sample::new("columns", parts(&[&[2, 3], &[2, 1], &[2, 2]]), vec![("axis", 1.into())]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let mut shape = rule.input(2)?.shape.clone();
    let axis = rule.axis(rule.node.int("axis").unwrap_or(0), shape.len())?;
    let mut lengths = Vec::new();
    for part in (2..rule.node.inputs.len()).step_by(3) {
        let part = rule.input(part)?;
        let fits = |at: usize| at == axis || part.shape[at].agrees_with(&shape[at]);
        if part.shape.len() != shape.len() || !(0..shape.len()).all(fits) {
            let open = part.shape.iter().chain(&shape).any(|length| length.as_number().is_none());
            let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
            return Err(rule.error(format!("{part} beside {shape:?} along axis {axis}{advice}")));
        }
        lengths.push(part.shape[axis].clone());
    }
    shape[axis] = lengths.iter().sum::<Length>();
    Ok(vec![TensorType { dtype: quantized::output_dtype(rule, 1), shape }])
}
