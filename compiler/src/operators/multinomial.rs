use super::{Gradient, Operator, Sample, TypeRuleInput, axes, element_types, fixed_floats};
use crate::CompilerError;
use crate::graph::{ElementType, Length, TensorType};

/// `Multinomial`: `sample_size` classes of each row, drawn by the logarithms of their probabilities `[rows, classes]`.
/// Opset 22 adds element types alone, and ONNX Runtime has no kernels for it.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Multinomial",
    opsets: 13..=21,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("a class has no derivative"),
    samples: || {
        let draws = vec![("sample_size", 4.into()), ("seed", 7.0.into())];
        vec![Sample::new("seeded", vec![fixed_floats(&[2, 3], &[0.0, -1.0, -2.0, 0.5, 0.0, -0.5])], draws)]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = element_types::floats(rule, 0)?;
    let [rows, _] = x.shape.as_slice() else { return Err(rule.error(format!("{x}, wanted rows and classes"))) };
    let draws = axes::length(rule.node.int("sample_size").unwrap_or(1)).map_err(|message| rule.error(message))?;
    let dtype = element_types::named_by(rule, "dtype", ElementType::I32)?;
    Ok(vec![TensorType { dtype, shape: vec![rows.clone(), Length::from(draws)] }])
}
