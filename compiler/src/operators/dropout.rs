use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, fixed_truths, varied};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, TensorType};

/// `Dropout` in inference form: y = x. dx = dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Dropout",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        if b.node.input(2).is_some() && b.known_integers(2).ok().is_none_or(|mode| mode.first() != Some(&0)) {
            return Err(b.no_gradient("it drops values at random (training_mode is on)"));
        }
        let dy = b.dy()?;
        b.give(0, dy)
    }),
    samples: || {
        let half = || SampleInput::Fixed(Constant::f32([], &[0.5]));
        vec![
            Sample::new("no ratio", vec![varied(&[2, 3])], vec![]),
            Sample::new("inference", vec![varied(&[2, 3]), half(), fixed_truths(&[], &[false])], vec![]),
            Sample::new("with mask", vec![varied(&[2, 3]), half()], vec![]).with_outputs(2),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?.clone();
    let mask = TensorType { dtype: ElementType::Bool, shape: x.shape.clone() };
    Ok(vec![x, mask])
}
