use super::{Gradient, Operator, Sample, fixed_integers, folding, same_as_first, varied};

/// `Identity`: y = x. dx = dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Identity",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: Some(|rule| {
        Ok(folding::integer_input(rule, 0)
            .and_then(|source| folding::from_elements(source.dtype, &source.shape, source.elements)))
    }),
    gradient: Gradient::Defined(|b| {
        let dy = b.dy()?;
        b.give(0, dy)
    }),
    samples: || {
        vec![
            Sample::new("floats", vec![varied(&[2, 3])], vec![]),
            Sample::new("integers", vec![fixed_integers(&[1, 2])], vec![]),
        ]
    },
};
