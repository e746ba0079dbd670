use super::average_pool::{self, ones, pool_window};
use super::{Gradient, Operator, Sample, TypeRuleInput, power_sums, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, TensorType};

/// `LpPool`: y = (Σ |x|ᵖ)^(1/p) of each window over the spatial axes of `[N, C, …]`. dx: dy · y^(1−p), 0 where y is, added up over
/// the windows, times sign(x) · |x|^(p−1).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "LpPool",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let pool = |name, x: &[usize], p: i64, ints: &[(&'static str, &[i64])]| {
            let lists = ints.iter().map(|(name, values)| (*name, Attribute::Ints(values.to_vec())));
            Sample::new(name, vec![varied(x)], lists.chain([("p", p.into())]).collect())
        };
        let padded: &[(&'static str, &[i64])] =
            &[("kernel_shape", &[3, 3]), ("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])];
        let dilated: &[(&'static str, &[i64])] = &[("kernel_shape", &[2, 2]), ("dilations", &[2, 2])];
        vec![
            pool("disjoint windows", &[2, 3, 4, 6], 2, &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])]),
            pool("overlap, absolute values", &[1, 2, 5, 4], 1, &[("kernel_shape", &[3, 2])]),
            pool("padded", &[2, 2, 6, 7], 2, padded),
            pool("cubes", &[1, 2, 4, 4], 3, &[("kernel_shape", &[2, 2])]),
            pool("dilated", &[1, 2, 5, 5], 2, dilated).since(18),
            pool("a sequence", &[2, 2, 7], 2, &[("kernel_shape", &[3]), ("strides", &[3])]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    power_sums::power(rule.node).map_err(|message| rule.error(message))?;
    average_pool::types(rule)
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (x, y, dy, shape) = (b.input(0)?, b.output(0)?, b.dy()?, b.input_shape(0)?);
    let p = power_sums::power(&b.node).map_err(|message| b.error(message))?;
    let window = pool_window(&b.node, &shape).map_err(|message| b.error(message))?;
    if let Some(reason) = window.open_reason() {
        return Err(b.no_gradient(reason));
    }
    b.require_writable(window.kernel.iter().fold(1, |product: usize, length| product.saturating_mul(*length)))?;
    let share = power_sums::share(b.graph, y, dy, p)?;
    // all channels of all images as images of one channel
    let images = &shape[0] * &shape[1];
    let share = b.graph.reshape(share, &[&[images, 1.into()], window.output.as_slice()].concat())?;
    let ones = ones(b.graph, &window);
    let sums = window.scatter(b.graph, share, ones, 1)?;
    let sums = b.graph.reshape(sums, &shape)?;
    let slope = power_sums::slope(b.graph, x, p)?;
    let dx = b.graph.times(slope, sums)?;
    b.give(0, dx)
}
