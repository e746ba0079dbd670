use super::{Gradient, Operator, Sample, global_average_pool, power_sums, varied};

/// `GlobalLpPool`: y = (Σ |x|ᵖ)^(1/p) over the spatial axes of `[N, C, …]`. dx = dy · y^(1−p) · sign(x) · |x|^(p−1), 0 where y is.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "GlobalLpPool",
    opsets: 13..=25,
    weights: &[],
    types: |rule| {
        power_sums::power(rule.node).map_err(|message| rule.error(message))?;
        global_average_pool::types(rule)
    },
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (x, y, dy) = (b.input(0)?, b.output(0)?, b.dy()?);
        let p = power_sums::power(&b.node).map_err(|message| b.error(message))?;
        let share = power_sums::share(b.graph, y, dy, p)?;
        let slope = power_sums::slope(b.graph, x, p)?;
        let dx = b.graph.times(slope, share)?;
        b.give(0, dx)
    }),
    samples: || {
        let sample = |name, p: i64| Sample::new(name, vec![varied(&[2, 3, 4, 5])], vec![("p", p.into())]);
        // version 22 is not in ONNX Runtime 1.31
        vec![
            sample("roots of squares", 2).until(21),
            sample("absolute values", 1).until(21),
            sample("cubes", 3).until(21),
        ]
    },
};
