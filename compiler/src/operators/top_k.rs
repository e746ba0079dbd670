use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{ElementType, Length, TensorType};

/// `TopK`: the `k` largest elements on an axis, or with `largest` 0 the smallest, and their indices. dx: dy at the indices.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "TopK",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let sample = |name, shape: &[usize], k: i64, attributes| {
            Sample::new(name, vec![varied(shape), fixed_integers(&[k])], attributes).with_outputs(2)
        };
        vec![
            sample("largest", &[3, 5], 2, vec![]),
            sample("smallest of a middle axis", &[2, 4, 3], 3, vec![("largest", 0.into()), ("axis", 1.into())]),
            sample("in any order", &[2, 6], 3, vec![("sorted", 0.into())]),
            sample("all", &[2, 3], 3, vec![("axis", (-1).into())]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let axis = rule.axis(rule.node.int("axis").unwrap_or(-1), x.shape.len())?;
    let counts = axes::lengths(rule.known_lengths(1)?).map_err(|message| rule.error(message))?;
    let [count] = <[Length; 1]>::try_from(counts).map_err(|counts| rule.error(format!("{} counts", counts.len())))?;
    if x.shape[axis].fixed().zip(count.fixed()).is_some_and(|(length, count)| count > length) {
        return Err(rule.error(format!("{count} of the {} elements of axis {axis}", x.shape[axis])));
    }
    let mut shape = x.shape.clone();
    shape[axis] = count;
    Ok(vec![TensorType { dtype: x.dtype, shape: shape.clone() }, TensorType { dtype: ElementType::I64, shape }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (shape, dy, axis) = (b.input_shape(0)?, b.dy()?, b.node.int("axis").unwrap_or(-1));
    let indices = b.graph.add_output(b.output(0)?, 1)?;
    let zeros = b.graph.zeros(&shape)?;
    let dx = b.graph.add("ScatterElements", &[zeros, indices, dy], &[("axis", axis.into())])?;
    b.give(0, dx)
}
