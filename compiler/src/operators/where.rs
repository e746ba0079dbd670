use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_integers, fixed_truths, folding, varied};
use crate::CompilerError;
use crate::graph::{ElementType, Known, Length, TensorType};

/// `Where`: a where the condition holds, else b, broadcast. da = dy · c, db = dy · (1 − c).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Where",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(|b| {
        let (condition, dy) = (b.input(0)?, b.dy()?);
        if b.wants(1) {
            let gate = b.graph.cast(condition, ElementType::F32)?;
            let gradient = b.graph.times(dy, gate)?;
            b.give(1, gradient)?;
        }
        if b.wants(2) {
            let otherwise = b.graph.add("Not", &[condition], &[])?;
            let gate = b.graph.cast(otherwise, ElementType::F32)?;
            let gradient = b.graph.times(dy, gate)?;
            b.give(2, gradient)?;
        }
        Ok(())
    }),
    samples: || {
        let condition = || fixed_truths(&[2, 3], &[true, false, true, false, false, true]);
        let integers =
            vec![fixed_truths(&[3], &[true, false, true]), fixed_integers(&[1, 2, 3]), fixed_integers(&[-1])];
        vec![
            Sample::new("same shape", vec![condition(), varied(&[2, 3]), varied(&[2, 3])], vec![]),
            Sample::new("broadcast", vec![condition(), varied(&[4, 1, 3]), varied(&[])], vec![]),
            Sample::new(
                "condition repeats",
                vec![fixed_truths(&[3], &[true, false, true]), varied(&[2, 3]), varied(&[2, 1])],
                vec![],
            ),
            Sample::new("integers", integers, vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (condition, a, b) = (rule.input(0)?, rule.input(1)?, rule.input(2)?);
    if condition.dtype != ElementType::Bool {
        return Err(rule.error(format!("a condition of type {}", condition.dtype.name())));
    }
    if a.dtype != b.dtype {
        return Err(rule.types_differ(a, b));
    }
    let shape = rule.broadcast(&a.shape, &b.shape)?;
    Ok(vec![TensorType { dtype: a.dtype, shape: rule.broadcast(&shape, &condition.shape)? }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let inputs = [0, 1, 2].map(|index| folding::integer_input(rule, index));
    let [Some(condition), Some(a), Some(b)] = inputs else { return Ok(None) };
    let output = types(rule)?.remove(0);
    let Some(shape) = folding::small_shape(&output.shape) else { return Ok(None) };
    let [condition, a, b] = [condition, a, b].map(|input| folding::expanded(&input, &shape));
    let choose = |at: usize| folding::truth(&condition[at]).map(|holds| if holds { &a[at] } else { &b[at] }.clone());
    let chosen = (0..condition.len()).map(choose).collect::<Option<Vec<Length>>>();
    Ok(chosen.and_then(|chosen| folding::from_elements(output.dtype, &shape, chosen)))
}
