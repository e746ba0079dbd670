use super::{
    Gradient, Operator, Sample, TypeRuleInput, broadcast_of_two, element_types, fixed_floats, fixed_integers, folding,
    varied, varied_in,
};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Known, Length, TensorType};

/// `Mod`: what a division leaves, broadcast; with the divisor's sign, or with `fmod`, which floats need, the dividend's:
/// y = a − b · trunc(a / b). da = dy, db = −dy · trunc(a / b).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Mod",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(gradient),
    samples: || {
        let fmod = || vec![("fmod", 1.into())];
        let (signs, divisor) = (|| fixed_integers(&[-7, 7, -6, 5]), || fixed_integers(&[3, -3, 3, 4]));
        vec![
            Sample::new("floats", vec![varied_in(&[2, 3], 2.0, 2.6), varied_in(&[3], 0.9, 0.99)], fmod()),
            Sample::new("both signs", vec![varied(&[3, 5]), fixed_floats(&[], &[-0.25])], fmod()),
            Sample::new("integers", vec![signs(), divisor()], vec![]),
            Sample::new("integers with the dividend's sign", vec![signs(), divisor()], fmod()),
        ]
    },
};

fn takes_dividend_sign(rule: &TypeRuleInput<'_>) -> bool {
    rule.node.int("fmod").unwrap_or(0) != 0
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    if element_types::numbers(rule, 0)?.dtype.is_float() && !takes_dividend_sign(rule) {
        return Err(rule.error("floats are divided with the attribute `fmod` alone"));
    }
    broadcast_of_two(rule)
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let dividend_sign = takes_dividend_sign(rule);
    folding::binary(rule, |a, b| match (a.as_number(), b.as_number()) {
        (Some(a), Some(b)) => {
            let rest = a.checked_rem(b)?;
            let turned = !dividend_sign && rest != 0 && (rest < 0) != (b < 0);
            Some(Length::number(if turned { rest + b } else { rest }))
        }
        _ => (a.is_at_least(0) && b.is_at_least(1)).then(|| a - a.quotient(b) * b),
    })
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let dy = b.dy()?;
    b.give(0, dy)?;
    if b.wants(1) {
        let (dividend, divisor, y) = (b.input(0)?, b.input(1)?, b.output(0)?);
        let less = b.graph.minus(y, dividend)?;
        let ratio = b.graph.divided_by(less, divisor)?;
        // whole but for rounding
        let slope = b.graph.add("Round", &[ratio], &[])?;
        let gradient = b.graph.times(dy, slope)?;
        b.give(1, gradient)?;
    }
    Ok(())
}
