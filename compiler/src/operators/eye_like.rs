use super::{Gradient, Operator, Sample, TypeRuleInput, element_types, fixed_integers_of, folding, varied};
use crate::CompilerError;
use crate::graph::{ElementType, Known, Length, TensorType};

/// `EyeLike`: a matrix of the input's shape with ones on the diagonal `k` and zeros elsewhere.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "EyeLike",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Zero("it depends on nothing but a shape"),
    samples: || {
        let to = |dtype: ElementType| ("dtype", i64::from(dtype.to_onnx()).into());
        vec![
            Sample::new("floats", vec![varied(&[3, 4])], vec![]),
            Sample::new("above the diagonal", vec![varied(&[3, 3])], vec![("k", 1.into()), to(ElementType::I64)]),
            Sample::new(
                "below the diagonal",
                vec![fixed_integers_of(&[2, 2], &[1, 2, 3, 4])],
                vec![("k", (-1).into())],
            ),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    if x.shape.len() != 2 {
        return Err(rule.error(format!("{x} is no matrix")));
    }
    Ok(vec![TensorType { dtype: element_types::named_by(rule, "dtype", x.dtype)?, shape: x.shape.clone() }])
}

/// Floats are left to the runtime: they are no shape arithmetic.
fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let output = types(rule)?.remove(0);
    let shape = folding::small_shape(&output.shape).filter(|_| !output.dtype.is_float());
    let Some(shape) = shape else { return Ok(None) };
    let diagonal = rule.node.int("k").unwrap_or(0);
    let is_on = |row: usize, column: usize| column as i64 == (row as i64).saturating_add(diagonal);
    let row = |row: usize| (0..shape[1]).map(move |column| Length::from(usize::from(is_on(row, column))));
    Ok(folding::from_elements(output.dtype, &shape, (0..shape[0]).flat_map(row).collect()))
}
