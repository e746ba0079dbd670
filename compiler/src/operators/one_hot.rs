use super::{
    Gradient, Operator, Sample, SampleInput, TypeRuleInput, axes, element_types, fixed_floats, fixed_integer,
    fixed_integers, fixed_integers_of, varied, varied_in,
};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, Constant, Length, TensorType};

/// `OneHot`: a new axis of length `depth` with the second of two values at the index and the first elsewhere; negative
/// indices count from the end. The values' gradients: dy summed there and elsewhere; indices have none.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "OneHot",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let indices = || fixed_integers_of(&[2, 3], &[0, 3, -1, 1, 7, -4]);
        let off_on = || fixed_floats(&[2], &[-0.5, 2.0]);
        let axis = |axis: i64| vec![("axis", axis.into())];
        let whole = |values: &[f32], shape: &[usize]| SampleInput::Fixed(Constant::f32(shape, values));
        vec![
            Sample::new("trained values", vec![indices(), fixed_integer(4), varied(&[2])], vec![]),
            Sample::new("first axis", vec![indices(), fixed_integers(&[4]), off_on()], axis(0)),
            Sample::new("middle axis", vec![indices(), fixed_integer(4), off_on()], axis(-2)),
            Sample::new("integers", vec![indices(), fixed_integer(4), fixed_integers(&[0, 1])], axis(2)),
            Sample::new("float indices", vec![varied_in(&[3], 0.0, 3.0), whole(&[3.0], &[1]), varied(&[2])], vec![]),
        ]
    },
};

/// The place of the new axis.
fn place(attribute: Option<i64>, rank: usize) -> Result<usize, String> {
    axes::from_front(attribute.unwrap_or(-1), rank + 1)
}

/// The length of the new axis; exporters write it as a float, too.
fn depth(rule: &TypeRuleInput<'_>) -> Result<Length, CompilerError> {
    let float = rule.constant(1).and_then(Constant::to_f32).and_then(|depth| depth.first().copied());
    let depth = match float {
        Some(depth) if depth.fract() == 0.0 && (0.0..1e9).contains(&depth) => Length::from(depth as usize),
        Some(depth) => return Err(rule.error(format!("a depth of {depth}"))),
        None => rule.known_lengths(1)?.first().cloned().ok_or_else(|| rule.error("no depth"))?,
    };
    let depth = axes::lengths(vec![depth]).map_err(|message| rule.error(message))?;
    Ok(depth.into_iter().next().expect("one went in"))
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (indices, values) = (element_types::numbers(rule, 0)?, rule.input(2)?);
    if values.shape.len() != 1 || values.shape[0] != 2 {
        return Err(rule.error(format!("values {:?}, wanted two: off and on", values.shape)));
    }
    let place = place(rule.node.int("axis"), indices.shape.len()).map_err(|message| rule.error(message))?;
    let mut shape = indices.shape.clone();
    shape.insert(place, depth(rule)?);
    Ok(vec![TensorType { dtype: values.dtype, shape }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    if b.wants(0) {
        // constant between whole numbers
        let shape = b.input_shape(0)?;
        let none = b.graph.zeros(&shape)?;
        b.give(0, none)?;
    }
    if b.wants(2) {
        let (indices, depth, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
        let all: Vec<i64> = (0..b.output_shape(0)?.len() as i64).collect();
        let off_on = b.graph.constant("off_on", Constant::f32([2], &[0.0, 1.0]));
        let axis = [("axis", Attribute::Int(b.node.int("axis").unwrap_or(-1)))];
        let at_index = b.graph.add("OneHot", &[indices, depth, off_on], &axis)?;
        let there = b.graph.times(dy, at_index)?;
        let on = b.graph.reduce_sum(there, &all, false)?;
        let elsewhere = b.graph.minus(dy, there)?;
        let off = b.graph.reduce_sum(elsewhere, &all, false)?;
        let [off, on] = [off, on].map(|sum| b.graph.reshape(sum, &[1usize]));
        let both = b.graph.concat(&[off?, on?], 0)?;
        b.give(2, both)?;
    }
    Ok(())
}
