use super::{Gradient, Operator, Sample, fixed_truths, folding, truth_of_two};

/// `Xor`: one of both and not the other, broadcast.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Xor",
    opsets: 13..=25,
    weights: &[],
    types: truth_of_two,
    fold: Some(|rule| folding::comparison(rule, |a, b| Some(folding::truth(a)? != folding::truth(b)?))),
    gradient: Gradient::Zero("a truth value has no derivative"),
    samples: || {
        let inputs = vec![fixed_truths(&[2, 2], &[false, true, true, false]), fixed_truths(&[2], &[true, false])];
        vec![Sample::new("broadcast", inputs, vec![])]
    },
};
