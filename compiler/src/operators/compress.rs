use super::{Gradient, Operator, Sample, TypeRuleInput, element_types, fixed_integers, fixed_truths, folding, varied};
use crate::CompilerError;
use crate::graph::{Known, Length, TensorType};

/// `Compress`: the entries of an axis, or of all elements in a row, for which the condition holds; it may be shorter than the
/// axis. `Gather` of their indices. Where the condition is not known before the run, neither is the length.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Compress",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Expand(|node| {
        let condition = node.node.input(1).and_then(|id| node.graph.lengths_of(id));
        let kept = condition.and_then(|condition| kept(&condition));
        let kept = kept.ok_or_else(|| node.no_gradient("its condition is computed from data"))?;
        let indices = node.graph.integers(&kept);
        let (x, axis) = (node.input(0)?, node.node.int("axis"));
        let (x, axis) = match axis {
            Some(axis) => (x, axis),
            None => {
                let count = node.graph.known_type(x)?.elements();
                (node.graph.reshape(x, &[count])?, 0)
            }
        };
        Ok(vec![node.graph.add("Gather", &[x, indices], &[("axis", axis.into())])?])
    }),
    samples: || {
        let condition = || fixed_truths(&[3], &[true, false, true]);
        let axis = |axis: i64| vec![("axis", axis.into())];
        vec![
            Sample::new("first axis", vec![varied(&[3, 4]), condition()], axis(0)),
            Sample::new("last axis, shorter condition", vec![varied(&[2, 4]), condition()], axis(-1)),
            Sample::new("all elements", vec![varied(&[2, 3]), condition()], vec![]),
            Sample::new("one of all", vec![varied(&[3, 2]), fixed_truths(&[2], &[false, true])], axis(0)),
            Sample::new("integers", vec![fixed_integers(&[5, 6, 7]), condition()], axis(0)),
        ]
    },
};

/// The indices where a condition holds, where it is known.
fn kept(condition: &[Length]) -> Option<Vec<i64>> {
    let truths = condition.iter().map(folding::truth).collect::<Option<Vec<bool>>>()?;
    Some((0..truths.len()).filter(|at| truths[*at]).map(|at| at as i64).collect())
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let condition = element_types::truths(rule, 1)?;
    if condition.shape.len() != 1 {
        return Err(rule.error(format!("a condition {:?}, wanted one axis", condition.shape)));
    }
    let axis = rule.node.int("axis").map(|axis| rule.axis(axis, x.shape.len())).transpose()?;
    let whole = axis.map_or_else(|| x.elements(), |axis| x.shape[axis].clone());
    let kept = kept(&rule.known_lengths(1)?).ok_or_else(|| rule.error("a condition that is open"))?;
    let reach = kept.last().map_or(0, |last| last + 1);
    if !whole.is_at_least(reach) {
        let open = whole.as_number().is_none();
        let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
        return Err(rule.error(format!("a condition on {reach} entries of {whole}{advice}")));
    }
    let count = Length::from(kept.len());
    let shape = match axis {
        Some(axis) => [&x.shape[..axis], &[count], &x.shape[axis + 1..]].concat(),
        None => vec![count],
    };
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

/// Of a vector.
fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let Some(source) = folding::integer_input(rule, 0).filter(|source| source.shape.len() == 1) else {
        return Ok(None);
    };
    let Some(shape) = folding::small_shape(&types(rule)?.remove(0).shape) else { return Ok(None) };
    let Some(kept) = kept(&rule.known_lengths(1)?) else { return Ok(None) };
    Ok(folding::moved(&source, &shape, |at| kept[at[0]] as usize))
}
