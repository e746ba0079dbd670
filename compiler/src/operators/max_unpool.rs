use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, fixed_integers_of, varied, windows};
use crate::CompilerError;
use crate::graph::{Attribute, Length, TensorType};

/// `MaxUnpool`: zeros with each element at the place that `MaxPool` took it from, `[N, C, …]`. dx: dy at these places.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "MaxUnpool",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (places, shape, dy) = (b.input(1)?, b.input_shape(0)?, b.dy()?);
        let count = b.graph.known_type(dy)?.elements();
        let dy = b.graph.reshape(dy, &[count])?;
        let dx = b.graph.add("Gather", &[dy, places], &[])?;
        let dx = b.graph.reshape(dx, &shape)?;
        b.give(0, dx)
    }),
    samples: || {
        let places = || fixed_integers_of(&[1, 2, 2, 2], &[0, 3, 12, 10, 17, 18, 24, 31]);
        let pool = || vec![("kernel_shape", Attribute::Ints(vec![2, 2])), ("strides", Attribute::Ints(vec![2, 2]))];
        let larger = vec![varied(&[1, 2, 2, 2]), places(), fixed_integers(&[1, 2, 5, 4])];
        let padded = [pool(), vec![("pads", Attribute::Ints(vec![1, 0, 0, 0]))]].concat();
        let of_padded = fixed_integers_of(&[1, 2, 2, 2], &[0, 3, 4, 10, 12, 15, 16, 23]);
        vec![
            Sample::new("windows of two", vec![varied(&[1, 2, 2, 2]), places()], pool()),
            Sample::new("a stated shape", larger, pool()),
            Sample::new("pads", vec![varied(&[1, 2, 2, 2]), of_padded], padded),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, places) = (rule.input(0)?, rule.input(1)?);
    if x.shape.len() < 3 || x.shape != places.shape {
        return Err(rule.error(format!("places {places} for {x}")));
    }
    if rule.node.input(2).is_some() {
        let shape = axes::lengths(rule.known_lengths(2)?).map_err(|message| rule.error(message))?;
        return match shape.len() == x.shape.len() {
            true => Ok(vec![TensorType { dtype: x.dtype, shape }]),
            false => Err(rule.error(format!("a shape {shape:?} for {x}"))),
        };
    }
    let rank = x.shape.len() - 2;
    let numbers = |name: &str, count: usize, least: i64, usual: usize| {
        windows::lengths(rule.node, name, count, least, usual).map_err(|message| rule.error(message))
    };
    if rule.node.ints("kernel_shape").is_none() {
        return Err(rule.error("no attribute `kernel_shape`"));
    }
    let (kernel, strides) = (numbers("kernel_shape", rank, 1, 1)?, numbers("strides", rank, 1, 1)?);
    let pads = numbers("pads", 2 * rank, 0, 0)?;
    let mut shape = x.shape[..2].to_vec();
    for (axis, length) in x.shape[2..].iter().enumerate() {
        let whole: Length = (length - 1) * strides[axis] + kernel[axis];
        let padding = Length::from(pads[axis] + pads[axis + rank]);
        if whole.fixed().is_some_and(|whole| whole <= pads[axis] + pads[axis + rank]) {
            return Err(rule.error(format!("pads {pads:?} leave nothing of {whole}")));
        }
        shape.push(whole - padding);
    }
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}
