use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_integers, folding, shape_floats, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Integers, Known, Length, TensorType};

/// `Concat`: the inputs one after another along an axis. Each input's gradient is its part of dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Concat",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(gradient),
    samples: || {
        let axis = |axis: i64| vec![("axis", axis.into())];
        vec![
            Sample::new("middle axis", vec![varied(&[2, 1, 3]), varied(&[2, 4, 3]), varied(&[2, 2, 3])], axis(1)),
            Sample::new("negative axis", vec![varied(&[2, 3]), varied(&[2, 1])], axis(-1)),
            Sample::new("integers", vec![fixed_integers(&[1, 2]), fixed_integers(&[]), fixed_integers(&[3])], axis(0)),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let first = rule.input(0)?;
    let axis = rule.node.int("axis").ok_or_else(|| rule.error("no attribute `axis`"))?;
    let axis = rule.axis(axis, first.shape.len())?;
    let mut shape = first.shape.clone();
    for index in 1..rule.node.inputs.len() {
        let other = rule.input(index)?;
        if other.dtype != first.dtype {
            return Err(rule.types_differ(first, other));
        }
        let fits = other.shape.len() == shape.len()
            && (0..shape.len()).all(|at| at == axis || other.shape[at].agrees_with(&shape[at]));
        if !fits {
            return Err(
                rule.error(format!("input {index} is {other}, which does not continue {first} along axis {axis}"))
            );
        }
        shape[axis] = &shape[axis] + &other.shape[axis];
    }
    Ok(vec![TensorType { dtype: first.dtype, shape }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let output = types(rule)?.remove(0);
    if let (Some(inputs), Some(shape), 1) =
        (shape_floats::inputs(rule, 0..rule.node.inputs.len()), folding::small_shape(&output.shape), output.shape.len())
    {
        let elements: Vec<_> = inputs.into_iter().flat_map(|input| input.elements).collect();
        return Ok(shape_floats::from_elements(&shape, &elements));
    }
    let inputs: Option<Vec<Integers>> =
        (0..rule.node.inputs.len()).map(|index| folding::integer_input(rule, index)).collect();
    let (Some(inputs), Some(shape), 1) = (inputs, folding::small_shape(&output.shape), output.shape.len()) else {
        return Ok(None);
    };
    let elements = inputs.into_iter().flat_map(|input| input.elements).collect();
    Ok(folding::from_elements(output.dtype, &shape, elements))
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let dy = b.dy()?;
    let rank = b.output_shape(0)?.len() as i64;
    let axis = b.node.int("axis").unwrap_or(0).rem_euclid(rank.max(1));
    let mut start = Length::from(0);
    for index in 0..b.node.inputs.len() {
        let count = b.input_shape(index)?[axis as usize].clone();
        if b.wants(index) {
            let part = b.graph.part(dy, &[axis], &[&start], &[&count], &[1])?;
            b.give(index, part)?;
        }
        start = start + count;
    }
    Ok(())
}
