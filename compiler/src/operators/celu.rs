use super::{Gradient, Operator, Sample, floats_as_first, varied};

/// `Celu`: y = x where x > 0, else α · (e^(x / α) − 1). dx = dy where x > 0, else dy · (y / α + 1).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Celu",
    opsets: 13..=25,
    weights: &[],
    types: floats_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, y, dy) = (b.input(0)?, b.output(0)?, b.dy()?);
        let alpha = b.node.float("alpha").unwrap_or(1.0);
        let [zero, one, share] = [0.0, 1.0, 1.0 / alpha].map(|value| b.graph.scalar(value));
        let is_above = b.graph.add("Greater", &[x, zero], &[])?;
        let part = b.graph.times(y, share)?;
        let below = b.graph.plus(part, one)?;
        let slope = b.graph.add("Where", &[is_above, one, below], &[])?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("default", vec![varied(&[3, 5])], vec![]),
            Sample::new("alpha 0.5", vec![varied(&[3, 5])], vec![("alpha", 0.5.into())]),
            Sample::new("alpha 2", vec![varied(&[3, 5])], vec![("alpha", 2.0.into())]),
        ]
    },
};
