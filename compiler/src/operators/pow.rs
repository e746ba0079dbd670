use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, fixed_floats, shape_floats, varied, varied_in};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Constant, TensorType};

/// `Pow`: y = xᵉ, broadcast. dx = dy · e · xᵉ⁻¹; de = dy · y · ln x, 0 where x is 0 and e is not below 0.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Pow",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(|rule| shape_floats::binary(rule, power, |_, _| None)),
    gradient: Gradient::Defined(gradient),
    samples: || {
        let exponent = |value: f32| SampleInput::Fixed(Constant::f32([], &[value]));
        let whole = SampleInput::Fixed(Constant::i64([1], &[3]));
        let several = SampleInput::Fixed(Constant::f32([3], &[1.0, 2.0, -0.5]));
        vec![
            Sample::new("square", vec![varied(&[2, 3]), exponent(2.0)], vec![]),
            Sample::new("cube", vec![varied(&[2, 3]), exponent(3.0)], vec![]),
            Sample::new("root", vec![varied_in(&[2, 3], 0.5, 3.0), exponent(0.5)], vec![]),
            Sample::new("whole exponent", vec![varied(&[2, 3]), whole], vec![]),
            Sample::new("a power of two", vec![SampleInput::Fixed(Constant::f32([], &[2.0])), varied(&[2, 3])], vec![]),
            Sample::new("both change", vec![varied_in(&[2, 3], 0.5, 3.0), varied_in(&[3], -1.5, 2.5)], vec![]),
            Sample::new("powers of zero", vec![fixed_floats(&[2], &[0.0, 3.0]), varied_in(&[2], 0.5, 1.5)], vec![]),
            Sample::new("an exponent a column", vec![varied_in(&[2, 3], 0.5, 3.0), several], vec![]),
        ]
    },
};

/// As the C library: exact for squares and cubes, rounded once for others.
fn power(x: f32, exponent: f32) -> f32 {
    match exponent {
        2.0 => x * x,
        3.0 => x * x * x,
        _ => f64::from(x).powf(f64::from(exponent)) as f32,
    }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, exponent) = (rule.input(0)?, rule.input(1)?);
    Ok(vec![TensorType { dtype: x.dtype, shape: rule.broadcast(&x.shape, &exponent.shape)? }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (x, exponent, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
    if b.wants(1) {
        let [zero, one] = [0.0, 1.0].map(|value| b.graph.scalar(value));
        let is_zero = b.graph.add("Equal", &[x, zero], &[])?;
        let size = b.graph.add("Where", &[is_zero, one, x], &[])?;
        let logarithm = b.graph.add("Log", &[size], &[])?;
        let slope = b.graph.times(b.output(0)?, logarithm)?;
        let gradient = b.graph.times(dy, slope)?;
        b.give(1, gradient)?;
    }
    if !b.wants(0) {
        return Ok(());
    }
    let exponent = if b.input_type(1)?.dtype == b.input_type(0)?.dtype {
        exponent
    } else {
        let dtype = b.input_type(0)?.dtype;
        b.graph.cast(exponent, dtype)?
    };
    let known = b.graph.constant_of(exponent).and_then(Constant::to_f32);
    let power = if known.as_deref() == Some(&[2.0]) {
        x
    } else {
        let one = b.graph.scalar(1.0);
        let less = b.graph.minus(exponent, one)?;
        b.graph.add("Pow", &[x, less], &[])?
    };
    let mut slope = b.graph.times(power, exponent)?;
    if known.is_none_or(|known| known.contains(&0.0)) {
        // the power below 0 is infinite where x is 0, and 0 times that is no number
        let zero = b.graph.scalar(0.0);
        let is_zero = b.graph.add("Equal", &[exponent, zero], &[])?;
        slope = b.graph.add("Where", &[is_zero, zero, slope], &[])?;
    }
    let dx = b.graph.times(dy, slope)?;
    b.give(0, dx)
}
