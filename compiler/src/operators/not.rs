use super::{Gradient, Operator, Sample, fixed_truths, folding, same_as_first};

/// `Not`: the opposite truth value.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Not",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: Some(|rule| folding::unary(rule, |x| folding::truth(x).map(|truth| usize::from(!truth).into()))),
    gradient: Gradient::Zero("a truth value has no derivative"),
    samples: || vec![Sample::new("both", vec![fixed_truths(&[3], &[false, true, true])], vec![])],
};
