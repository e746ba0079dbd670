use super::{Gradient, Operator, Sample, fixed_integers, reductions, varied};

/// `ReduceMean`: the mean over axes. dx: dy / n repeated over them.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ReduceMean",
    opsets: 13..=25,
    weights: &[],
    types: reductions::types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let reduction = reductions::Reduction::of(b)?;
        let (dy, share) = (b.dy()?, b.graph.one_over(&reduction.count())?);
        let each = b.graph.times(dy, share)?;
        let dx = reduction.spread(b.graph, each)?;
        b.give(0, dx)
    }),
    samples: || {
        let flat = || vec![("keepdims", 0.into())];
        let named = || vec![("axes", vec![1].into()), ("keepdims", 0.into())];
        vec![
            Sample::new("all axes", vec![varied(&[2, 3])], flat()),
            Sample::new(
                "nothing reduced",
                vec![varied(&[2, 3]), fixed_integers(&[])],
                vec![("noop_with_empty_axes", 1.into())],
            )
            .since(18),
            Sample::new("named axes", vec![varied(&[2, 3, 4]), fixed_integers(&[0, -1])], vec![]).since(18),
            Sample::new("without kept axes", vec![varied(&[2, 3, 4]), fixed_integers(&[1])], flat()).since(18),
            Sample::new("axes as attribute", vec![varied(&[2, 3, 4])], vec![("axes", vec![0, -1].into())]).until(17),
            Sample::new("without kept axes", vec![varied(&[2, 3, 4])], named()).until(17),
        ]
    },
};
