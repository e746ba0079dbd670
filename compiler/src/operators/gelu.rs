use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};

use super::{Gradient, Operator, Sample, same_as_first, varied_in};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::ValueId;

/// `Gelu`: y = x · Φ(x) with the normal distribution Φ, or its approximation by tanh. dx = dy · (Φ(x) + x · Φ′(x)).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Gelu",
    opsets: 20..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let slope = match b.node.string("approximate").unwrap_or("none") {
            "none" => exact_slope(b)?,
            "tanh" => tanh_slope(b)?,
            _ => return Err(b.no_gradient("an approximation that is not known here")),
        };
        let dy = b.dy()?;
        let dx = b.graph.times(dy, slope)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("exact", vec![varied_in(&[3, 7], -3.0, 3.0)], vec![]),
            Sample::new("tanh", vec![varied_in(&[3, 7], -3.0, 3.0)], vec![("approximate", "tanh".into())]),
        ]
    },
};

/// Φ(x) + x · e^(−x²/2) / √(2π).
fn exact_slope(b: &mut Backward<'_>) -> Result<ValueId, CompilerError> {
    let x = b.input(0)?;
    let [half, root, minus_half, height] =
        [0.5, FRAC_1_SQRT_2, -0.5, FRAC_2_SQRT_PI / SQRT_2 / 2.0].map(|value| b.graph.scalar(value));
    let scaled = b.graph.times(x, root)?;
    let error = b.graph.add("Erf", &[scaled], &[])?;
    let centred = b.graph.times(error, half)?;
    let share = b.graph.plus(centred, half)?;
    let square = b.graph.times(x, x)?;
    let exponent = b.graph.times(square, minus_half)?;
    let bell = b.graph.add("Exp", &[exponent], &[])?;
    let density = b.graph.times(bell, height)?;
    let moved = b.graph.times(x, density)?;
    b.graph.plus(share, moved)
}

/// With u = √(2/π) · (x + 0.044715 x³) and t = tanh u: (1 + t)/2 + x/2 · (1 − t²) · √(2/π) · (1 + 3 · 0.044715 x²).
fn tanh_slope(b: &mut Backward<'_>) -> Result<ValueId, CompilerError> {
    const CUBIC: f32 = 0.044_715;
    let x = b.input(0)?;
    let [half, one, scale, cubic, slope_cubic] =
        [0.5, 1.0, FRAC_2_SQRT_PI / SQRT_2, CUBIC, 3.0 * CUBIC].map(|value| b.graph.scalar(value));
    let square = b.graph.times(x, x)?;
    let inner = b.graph.times(square, cubic)?;
    let inner = b.graph.plus(inner, one)?;
    let inner = b.graph.times(inner, x)?;
    let inner = b.graph.times(inner, scale)?;
    let tanh = b.graph.add("Tanh", &[inner], &[])?;
    let share = b.graph.plus(tanh, one)?;
    let share = b.graph.times(share, half)?;
    let squared_tanh = b.graph.times(tanh, tanh)?;
    let rest = b.graph.minus(one, squared_tanh)?;
    let inner_slope = b.graph.times(square, slope_cubic)?;
    let inner_slope = b.graph.plus(inner_slope, one)?;
    let inner_slope = b.graph.times(inner_slope, scale)?;
    let moved = b.graph.times(x, half)?;
    let moved = b.graph.times(moved, rest)?;
    let moved = b.graph.times(moved, inner_slope)?;
    b.graph.plus(share, moved)
}
