use super::{Gradient, Operator, Sample, floats_as_first, varied};

/// `Selu`: y = γ · x where x > 0, else γ · α · (eˣ − 1). dx = dy · γ where x > 0, else dy · (y + γ · α).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Selu",
    opsets: 13..=25,
    weights: &[],
    types: floats_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, y, dy) = (b.input(0)?, b.output(0)?, b.dy()?);
        let alpha = b.node.float("alpha").unwrap_or(1.673_263_2);
        let gamma = b.node.float("gamma").unwrap_or(1.050_701);
        let [zero, gamma, curve] = [0.0, gamma, gamma * alpha].map(|value| b.graph.scalar(value));
        let is_above = b.graph.add("Greater", &[x, zero], &[])?;
        let below = b.graph.plus(y, curve)?;
        let slope = b.graph.add("Where", &[is_above, gamma, below], &[])?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("default", vec![varied(&[3, 5])], vec![]),
            Sample::new("alpha 0.5", vec![varied(&[3, 5])], vec![("alpha", 0.5.into())]),
            Sample::new("gamma 2", vec![varied(&[3, 5])], vec![("gamma", 2.0.into())]),
        ]
    },
};
