use super::{Gradient, Operator, Sample, TypeRuleInput, element_types, fixed_integer, fixed_integers, folding, varied};
use crate::CompilerError;
use crate::graph::{Known, Length, TensorType};

/// `CumSum`: sums of all elements before each on an axis, and itself unless `exclusive`; with `reverse` of those behind.
/// dx: the same sums of dy, in the other direction.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "CumSum",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(|b| {
        let (axis, dy) = (b.input(1)?, b.dy()?);
        let flag = |name: &str| i64::from(b.node.int(name).unwrap_or(0) != 0);
        let attributes = [("exclusive", flag("exclusive").into()), ("reverse", (1 - flag("reverse")).into())];
        let dx = b.graph.add("CumSum", &[dy, axis], &attributes)?;
        b.give(0, dx)
    }),
    samples: || {
        let sample =
            |name, axis: i64, attributes| Sample::new(name, vec![varied(&[2, 3, 4]), fixed_integer(axis)], attributes);
        let both = vec![("exclusive", 1.into()), ("reverse", 1.into())];
        let integers = || vec![fixed_integers(&[1, 2, 3]), fixed_integers(&[0])];
        vec![
            sample("middle axis", 1, vec![]),
            sample("negative axis", -1, vec![("reverse", 1.into())]),
            sample("without the element", 0, vec![("exclusive", 1.into())]),
            sample("backwards without the element", 1, both.clone()),
            Sample::new("integers", integers(), vec![]),
            Sample::new("integers backwards", integers(), both),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    element_types::positions(rule, 1)?;
    let x = element_types::numbers(rule, 0)?;
    if let Some([axis]) = rule.integers(1).as_deref() {
        rule.axis(*axis, x.shape.len())?;
    }
    Ok(vec![x.clone()])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let axis = rule.integers(1).and_then(|axes| <[i64; 1]>::try_from(&*axes).ok());
    let (Some(source), Some([axis])) = (folding::integer_input(rule, 0), axis) else { return Ok(None) };
    let axis = rule.axis(axis, source.shape.len())?;
    let flag = |name: &str| rule.node.int(name).unwrap_or(0) != 0;
    let (exclusive, reverse) = (flag("exclusive"), flag("reverse"));
    let (step, length) = (folding::steps(&source.shape)[axis], source.shape[axis]);
    let mut elements = source.elements.clone();
    for first in (0..elements.len()).filter(|at| at / step % length == 0) {
        let mut sum = Length::from(0);
        for turn in 0..length {
            let place = if reverse { length - 1 - turn } else { turn };
            let at = first + place * step;
            let with = &sum + &source.elements[at];
            elements[at] = if exclusive { sum } else { with.clone() };
            sum = with;
        }
    }
    Ok(folding::from_elements(source.dtype, &source.shape, elements))
}
