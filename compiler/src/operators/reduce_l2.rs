use super::{Gradient, Operator, Sample, fixed_integers, reductions, varied};
use crate::graph::ElementType;

/// `ReduceL2`: y = √Σx² over axes. dx = dy · x / y; where y is 0 the norm has no slope, and dx is 0 there.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ReduceL2",
    opsets: 13..=25,
    weights: &[],
    types: reductions::types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let reduction = reductions::Reduction::of(b)?;
        if reduction.axes.is_empty() {
            return Err(b.no_gradient("it reduces no axis")); // runtimes differ: the numbers, or their absolute values
        }
        let (x, y, dy) = (b.input(0)?, b.output(0)?, b.dy()?);
        let zero = b.graph.scalar(0.0);
        let is_zero = b.graph.add("Equal", &[y, zero], &[])?;
        let one_for_zero = b.graph.cast(is_zero, ElementType::F32)?;
        let divisor = b.graph.plus(y, one_for_zero)?;
        let ratio = b.graph.divided_by(dy, divisor)?;
        let spread = reduction.spread(b.graph, ratio)?;
        let dx = b.graph.times(x, spread)?;
        b.give(0, dx)
    }),
    samples: || {
        let flat = || vec![("keepdims", 0.into())];
        let named = || vec![("axes", vec![1].into()), ("keepdims", 0.into())];
        vec![
            Sample::new("all axes", vec![varied(&[2, 3])], flat()),
            Sample::new("named axes", vec![varied(&[2, 3, 4]), fixed_integers(&[0, -1])], vec![]).since(18),
            Sample::new("without kept axes", vec![varied(&[2, 3, 4]), fixed_integers(&[1])], flat()).since(18),
            Sample::new("axes as attribute", vec![varied(&[2, 3, 4])], vec![("axes", vec![0, -1].into())]).until(17),
            Sample::new("without kept axes", vec![varied(&[2, 3, 4])], named()).until(17),
        ]
    },
};
