use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, folding};
use crate::CompilerError;
use crate::graph::{Constant, TensorType};

/// `Range`: numbers from `start` to `limit` (not included) in steps of `delta`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Range",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Zero("its length and values are fixed before the run"),
    samples: || {
        let whole = |values: [i64; 3]| values.map(|value| SampleInput::Fixed(Constant::i64([], &[value]))).to_vec();
        let float = |values: [f32; 3]| values.map(|value| SampleInput::Fixed(Constant::f32([], &[value]))).to_vec();
        vec![
            Sample::new("upwards", whole([2, 9, 3]), vec![]),
            Sample::new("downwards", whole([5, -1, -2]), vec![]),
            Sample::new("empty", whole([5, 5, 1]), vec![]),
            Sample::new("floats", float([0.0, 1.0, 0.25]), vec![]),
        ]
    },
};

fn numbers(rule: &TypeRuleInput<'_>) -> Result<[i64; 3], CompilerError> {
    let mut numbers = [0; 3];
    for (index, number) in numbers.iter_mut().enumerate() {
        let given = rule.known_integers(index)?;
        *number = *given.first().ok_or_else(|| rule.error(format!("input {index} is empty")))?;
    }
    Ok(numbers)
}

fn count(rule: &TypeRuleInput<'_>) -> Result<usize, CompilerError> {
    let floats: Option<Vec<f32>> =
        (0..3).map(|index| rule.constant(index).and_then(Constant::to_f32)?.first().copied()).collect();
    let count = if let Some(floats) = floats {
        f64::from(floats[1] - floats[0]) / f64::from(floats[2])
    } else {
        let [start, limit, delta] = numbers(rule)?;
        (i128::from(limit) - i128::from(start)) as f64 / delta as f64
    };
    if !count.is_finite() || count > (1u64 << 32) as f64 {
        return Err(rule.error("a range without end"));
    }
    Ok(count.ceil().max(0.0) as usize)
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    Ok(vec![TensorType { dtype: rule.input(0)?.dtype, shape: vec![count(rule)?] }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Constant>, CompilerError> {
    let output = types(rule)?.remove(0);
    if !folding::is_small(&output.shape) || (0..3).any(|index| folding::integer_input(rule, index).is_none()) {
        return Ok(None);
    }
    let [start, _, delta] = numbers(rule)?;
    let value = |at: usize| i64::try_from(at).ok()?.checked_mul(delta)?.checked_add(start);
    let values = (0..output.shape[0]).map(value).collect::<Option<Vec<i64>>>();
    Ok(values.and_then(|values| folding::from_integers(output.dtype, &output.shape, &values)))
}
