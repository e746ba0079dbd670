use super::{Gradient, Operator, Sample, TypeRuleInput, axes, element_types, fixed_floats, fixed_integer};
use crate::CompilerError;
use crate::graph::{ElementType, Length, TensorType};

/// `MelWeightMatrix`: weights `[dft_length / 2 + 1, num_mel_bins]` that turn a spectrum into one on the mel scale.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "MelWeightMatrix",
    opsets: 17..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("its inputs are settings"),
    samples: || {
        let edges = [fixed_floats(&[], &[0.0]), fixed_floats(&[], &[4000.0])];
        let whole = [8, 16, 8192].map(fixed_integer);
        vec![Sample::new("eight bins", whole.into_iter().chain(edges).collect(), vec![])]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let one = |index: usize| -> Result<Length, CompilerError> {
        element_types::positions(rule, index)?;
        let lengths = axes::lengths(rule.known_lengths(index)?).map_err(|message| rule.error(message))?;
        lengths.into_iter().next().ok_or_else(|| rule.error(format!("input {index} is empty")))
    };
    let (bins, length) = (one(0)?, one(1)?);
    let dtype = element_types::named_by(rule, "output_datatype", ElementType::F32)?;
    Ok(vec![TensorType { dtype, shape: vec![length.quotient(&2.into()) + 1, bins] }])
}
