use super::{Gradient, Operator, Sample, same_as_first, varied_in};

/// `Erf`: y = 2/√π ∫₀ˣ e^(−t²) dt. dx = dy · 2/√π · e^(−x²).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Erf",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, dy) = (b.input(0)?, b.dy()?);
        let square = b.graph.times(x, x)?;
        let negative = b.graph.add("Neg", &[square], &[])?;
        let bell = b.graph.add("Exp", &[negative], &[])?;
        let factor = b.graph.scalar(std::f32::consts::FRAC_2_SQRT_PI);
        let slope = b.graph.times(bell, factor)?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || vec![Sample::new("range -2.0 to 2.0", vec![varied_in(&[3, 5], -2.0, 2.0)], vec![])],
};
