use super::reductions::{Reduction, to_extremes};
use super::{Gradient, Operator, Sample, global_average_pool, varied};

/// `GlobalMaxPool`: the largest over the spatial axes of `[N, C, …]`. dy goes to the largest, in equal parts.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "GlobalMaxPool",
    opsets: 13..=25,
    weights: &[],
    types: global_average_pool::types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, y, dy) = (b.input(0)?, b.output(0)?, b.dy()?);
        let (full, kept) = (b.input_shape(0)?, b.output_shape(0)?);
        let axes = (2..full.len() as i64).collect();
        let dx = to_extremes(b.graph, &Reduction { full, kept, axes }, x, y, dy)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("images", vec![varied(&[2, 3, 4, 5])], vec![]),
            Sample::new("a sequence", vec![varied(&[2, 3, 4])], vec![]),
        ]
    },
};
