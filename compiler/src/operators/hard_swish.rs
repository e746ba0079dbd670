use super::{Gradient, Operator, Sample, same_as_first, varied_in};
use crate::graph::ElementType;

/// `HardSwish`: y = x · h with h = HardSigmoid(x; 1/6, 1/2). dx = dy · (h + x/6 where −3 < x < 3).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "HardSwish",
    opsets: 14..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let hard = b.graph.add("HardSigmoid", &[x], &[("alpha", (1.0f32 / 6.0).into()), ("beta", 0.5.into())])?;
        let [low, high, sixth] = [-3.0, 3.0, 1.0 / 6.0].map(|value| b.graph.scalar(value));
        let above = b.graph.add("Greater", &[x, low], &[])?;
        let below = b.graph.add("Less", &[x, high], &[])?;
        let inside = b.graph.add("And", &[above, below], &[])?;
        let gate = b.graph.cast(inside, ElementType::F32)?;
        let part = b.graph.times(x, sixth)?;
        let part = b.graph.times(part, gate)?;
        let slope = b.graph.plus(hard, part)?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("all three parts", vec![varied_in(&[4, 9], -6.0, 6.0)], vec![])],
};
