use super::{Gradient, Operator, Sample, fixed_integers, reductions};
use crate::graph::ElementType;

/// `ReduceProd`: the product over axes. dx = dy · (product of the others): with zeros taken as ones, dy · product / x where no
/// other element is zero, else 0.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ReduceProd",
    opsets: 13..=25,
    weights: &[],
    types: reductions::types,
    fold: Some(|rule| reductions::fold(rule, |a, b| Some(a * b))),
    gradient: Gradient::Defined(|b| {
        let reduction = reductions::Reduction::of(b)?;
        let (x, dy) = (b.input(0)?, b.dy()?);
        if reduction.axes.is_empty() {
            return b.give(0, dy);
        }
        let dy = b.graph.reshape(dy, &reduction.kept)?;
        let none = b.graph.scalar(0.0);
        let is_zero = b.graph.add("Equal", &[x, none], &[])?;
        let is_zero = b.graph.cast(is_zero, ElementType::F32)?;
        let zeros = b.graph.reduce_sum(is_zero, &reduction.axes, true)?;
        let others = b.graph.minus(zeros, is_zero)?;
        let alone = b.graph.add("Equal", &[others, none], &[])?;
        let alone = b.graph.cast(alone, ElementType::F32)?;
        let factors = b.graph.plus(x, is_zero)?;
        let product = reductions::product(b.graph, factors, &reduction.axes)?;
        let product = b.graph.times(dy, product)?;
        let share = b.graph.divided_by(product, factors)?;
        let dx = b.graph.times(share, alone)?;
        b.give(0, dx)
    }),
    samples: || {
        let mut samples = reductions::samples_in(-2.0, 2.0);
        let integers = vec![fixed_integers(&[2, 3, -4])];
        samples.push(Sample::new("integers", integers, vec![("keepdims", 0.into())]));
        samples
    },
};
