use super::{Gradient, Operator, Sample, broadcast_of_two, varied, varied_in};
use crate::graph::ElementType;

/// `PRelu`: y = x where x > 0, else s · x; the slope s broadcasts to x.
/// dx = dy where x > 0, else s · dy; ds = 0 where x > 0, else x · dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "PRelu",
    opsets: 13..=25,
    weights: &[1],
    types: broadcast_of_two,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, slope, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
        let [zero, one] = [0.0, 1.0].map(|value| b.graph.scalar(value));
        let above = b.graph.add("Greater", &[x, zero], &[])?;
        let gate = b.graph.cast(above, ElementType::F32)?;
        let below = b.graph.minus(one, gate)?;
        let negative = b.graph.times(dy, below)?;
        if b.wants(0) {
            let (kept, scaled) = (b.graph.times(dy, gate)?, b.graph.times(negative, slope)?);
            let dx = b.graph.plus(kept, scaled)?;
            b.give(0, dx)?;
        }
        if b.wants(1) {
            let ds = b.graph.times(negative, x)?;
            b.give(1, ds)?;
        }
        Ok(())
    }),
    samples: || {
        vec![
            Sample::new("a slope a channel", vec![varied(&[2, 3, 4]), varied_in(&[3, 1], 0.1, 0.5)], vec![]),
            Sample::new("one slope", vec![varied(&[2, 5]), varied_in(&[1], 0.1, 0.5)], vec![]),
        ]
    },
};
