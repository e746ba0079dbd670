use super::{Gradient, Operator, Sample, same_as_first, shape_floats, varied_in};

/// `Sqrt`: y = √x. dx = dy / 2y.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Sqrt",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: Some(|rule| shape_floats::unary(rule, f32::sqrt, |_| None)),
    gradient: Gradient::Defined(|b| {
        let (y, dy) = (b.output(0)?, b.dy()?);
        let twice = b.graph.plus(y, y)?;
        let dx = b.graph.divided_by(dy, twice)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range 0.5 to 3.0", vec![varied_in(&[3, 5], 0.5, 3.0)], vec![])],
};
