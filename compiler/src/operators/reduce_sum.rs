use super::{Gradient, Operator, Sample, fixed_integers, reductions, varied};

/// `ReduceSum`: the sum over axes. dx: dy repeated over them.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ReduceSum",
    opsets: 13..=25,
    weights: &[],
    types: reductions::types,
    fold: Some(|rule| reductions::fold(rule, |a, b| Some(a + b))),
    gradient: Gradient::Defined(|b| {
        let reduction = reductions::Reduction::of(b)?;
        let dy = b.dy()?;
        let dx = reduction.spread(b.graph, dy)?;
        b.give(0, dx)
    }),
    samples: || {
        let flat = || vec![("keepdims", 0.into())];
        vec![
            Sample::new("all axes", vec![varied(&[2, 3])], flat()),
            Sample::new(
                "nothing reduced",
                vec![varied(&[2, 3]), fixed_integers(&[])],
                vec![("noop_with_empty_axes", 1.into())],
            )
            .since(13),
            Sample::new("integers", vec![fixed_integers(&[2, 3, -4]), fixed_integers(&[0])], flat()),
            Sample::new("named axes", vec![varied(&[2, 3, 4]), fixed_integers(&[0, -1])], vec![]).since(13),
            Sample::new("without kept axes", vec![varied(&[2, 3, 4]), fixed_integers(&[1])], flat()).since(13),
        ]
    },
};
