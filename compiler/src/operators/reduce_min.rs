use super::{Gradient, Operator, Sample, fixed_integers, reductions, varied};

/// `ReduceMin`: the smallest over axes. dy goes to the smallest elements, in equal parts.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ReduceMin",
    opsets: 13..=25,
    weights: &[],
    types: reductions::types,
    fold: Some(|rule| reductions::fold(rule, |a, b| Some(a.minimum(b)))),
    gradient: Gradient::Defined(reductions::extreme_gradient),
    samples: || {
        let flat = || vec![("keepdims", 0.into())];
        let named = || vec![("axes", vec![1].into()), ("keepdims", 0.into())];
        vec![
            Sample::new("all axes", vec![varied(&[2, 3])], flat()),
            Sample::new("integers", vec![fixed_integers(&[2, 3, -4])], flat()),
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
