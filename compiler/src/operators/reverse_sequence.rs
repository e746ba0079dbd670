use super::{Gradient, Operator, Sample, TypeRuleInput, axes, element_types, fixed_integers, varied};
use crate::CompilerError;
use crate::graph::TensorType;

/// `ReverseSequence`: the first steps of each batch entry in reverse, as many as its length says. dx: dy so reversed.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ReverseSequence",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (lengths, dy) = (b.input(1)?, b.dy()?);
        let [time, batch] =
            [("time_axis", 0), ("batch_axis", 1)].map(|(name, usual)| (name, b.node.int(name).unwrap_or(usual).into()));
        let dx = b.graph.add("ReverseSequence", &[dy, lengths], &[time, batch])?;
        b.give(0, dx)
    }),
    samples: || {
        let batch_first = vec![("time_axis", 1.into()), ("batch_axis", 0.into())];
        vec![
            Sample::new("time first", vec![varied(&[4, 3, 2]), fixed_integers(&[1, 4, 3])], vec![]),
            Sample::new("batch first", vec![varied(&[2, 4]), fixed_integers(&[2, 4])], batch_first),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, lengths) = (rule.input(0)?, element_types::positions(rule, 1)?);
    let axis = |name: &str, usual: i64| rule.node.int(name).unwrap_or(usual);
    let both = axes::all_from_front(&[axis("time_axis", 0), axis("batch_axis", 1)], x.shape.len());
    if both.map_err(|message| rule.error(message))? != [0, 1] {
        return Err(rule.error("the first two axes are time and batch"));
    }
    let batch = &x.shape[rule.axis(axis("batch_axis", 1), x.shape.len())?];
    match lengths.shape.as_slice() {
        [one] if one.agrees_with(batch) => Ok(vec![x.clone()]),
        other => {
            let open = [other, std::slice::from_ref(batch)].concat().iter().any(|length| length.as_number().is_none());
            let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
            Err(rule.error(format!("lengths {other:?} for a batch of {batch}{advice}")))
        }
    }
}
