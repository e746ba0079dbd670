use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_floats, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, Graph, Length, TensorType, ValueId};

/// `MaxRoiPool`: the largest element of each bin of regions `[R, 5]` (their example and two corners) of x `[N, C, H, W]`; 0 of a bin
/// without elements. By the largest along each axis among what lies in a bin, where its gradient is needed.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "MaxRoiPool",
    opsets: 13..=21,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let regions = || fixed_floats(&[2, 5], &[0.0, 0.0, 0.0, 3.0, 3.0, 1.0, 1.0, 2.0, 4.0, 3.0]);
        let outside =
            fixed_floats(&[3, 5], &[1.0, -2.6, 0.5, 1.5, 9.0, 0.0, 4.0, 3.0, 2.0, 1.0, 0.0, 8.0, 0.0, 12.0, 2.0]);
        let pooled = || vec![("pooled_shape", Attribute::Ints(vec![2, 3]))];
        let scaled = [pooled(), vec![("spatial_scale", 0.75.into())]].concat();
        // below, the images that regions are of have no gradient: they are picked by Gather
        vec![
            Sample::new("two regions", vec![varied(&[2, 3, 4, 5]), regions()], pooled()).since(16),
            Sample::new("partly outside, scaled", vec![varied(&[2, 3, 4, 5]), outside], scaled).since(16),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, regions) = (rule.input(0)?, rule.input(1)?);
    let ([_, channels, _, _], [count, five]) = (x.shape.as_slice(), regions.shape.as_slice()) else {
        return Err(rule.error(format!("regions {regions} of {x}")));
    };
    let pooled = rule.node.ints("pooled_shape").unwrap_or_default();
    if *five != 5 || pooled.len() != 2 || pooled.iter().any(|length| !(1..1 << 16).contains(length)) {
        return Err(rule.error(format!("regions {regions} of five numbers each, pooled to {pooled:?}")));
    }
    let shape = [count.clone(), channels.clone(), Length::number(pooled[0]), Length::number(pooled[1])];
    Ok(vec![TensorType::new(x.dtype, shape)])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (x, regions) = (node.input(0)?, node.input(1)?);
    let scale = node.node.float("spatial_scale").unwrap_or(1.0);
    let pooled: Vec<usize> =
        node.node.ints("pooled_shape").unwrap_or_default().iter().map(|bins| *bins as usize).collect();
    let [_, channels, height, width] = <[Length; 4]>::try_from(node.input_type(0)?.shape)
        .map_err(|_| node.error("its input has not the four axes of images"))?;
    let count = node.input_type(1)?.shape[0].clone();
    let one = || Length::from(1);
    let graph = &mut *node.graph;
    let of = graph.part(regions, &[1], &[0], &[1], &[1])?;
    let of = graph.reshape(of, std::slice::from_ref(&count))?;
    let of = graph.cast(of, ElementType::I64)?;
    let images = graph.add("Gather", &[x, of], &[("axis", 0.into())])?;
    let [down, across] = [(0, &height), (1, &width)].map(|(axis, length)| {
        let bins = Bins { bins: pooled[axis], scale, corner: 2 - axis };
        bins.holds(graph, regions, length)
    });
    let (down, across) = (down?, across?);
    let [rows, columns] = [pooled[0], pooled[1]].map(Length::from);
    let least = graph.scalar(f32::MIN);
    let wide = graph.reshape(images, &[count.clone(), channels.clone(), height.clone(), one(), width.clone()])?;
    let mask = graph.reshape(across, &[count.clone(), one(), one(), columns.clone(), width])?;
    let seen = graph.add("Where", &[mask, wide, least], &[])?;
    let largest = graph.reduce_max(seen, &[4], false)?;
    let tall = graph.reshape(largest, &[count.clone(), channels.clone(), one(), height.clone(), columns])?;
    let mask = graph.reshape(down, &[count, one(), rows, height, one()])?;
    let seen = graph.add("Where", &[mask, tall, least], &[])?;
    let largest = graph.reduce_max(seen, &[3], false)?;
    let is_empty = graph.add("Equal", &[largest, least], &[])?;
    let zero = graph.scalar(0.0);
    Ok(vec![graph.add("Where", &[is_empty, zero, largest], &[])?])
}

/// The bins along one axis.
struct Bins {
    bins: usize,
    scale: f32,
    /// Where the lower corner of a region stands; the upper one is two further.
    corner: usize,
}

impl Bins {
    /// Which places along the axis lie in which bin of which region: `[R, bins, length]`.
    fn holds(&self, graph: &mut Graph, regions: ValueId, length: &Length) -> Result<ValueId, CompilerError> {
        let first = self.whole(graph, regions, self.corner)?;
        let last = self.whole(graph, regions, self.corner + 2)?;
        let one = graph.scalar(1.0);
        let size = graph.minus(last, first)?;
        let size = graph.plus(size, one)?;
        let size = graph.add("Max", &[size, one], &[])?;
        let bins = graph.scalar(self.bins as f32);
        let size = graph.divided_by(size, bins)?;
        let number = |from: usize| (from..from + self.bins).map(|bin| bin as f32).collect::<Vec<f32>>();
        let ends = [(0, "Floor"), (1, "Ceil")].map(|(from, rounded)| -> Result<ValueId, CompilerError> {
            let numbers = graph.constant("bins", Constant::f32([1, self.bins, 1], &number(from)));
            let end = graph.times(size, numbers)?;
            let end = graph.add(rounded, &[end], &[])?;
            graph.plus(end, first)
        });
        let [from, to] = ends;
        let places = graph.positions(length)?;
        let places = graph.cast(places, ElementType::F32)?;
        let places = graph.reshape(places, &[1.into(), 1.into(), length.clone()])?;
        let is_behind = graph.add("GreaterOrEqual", &[places, from?], &[])?;
        let is_before = graph.add("Less", &[places, to?], &[])?;
        graph.add("And", &[is_behind, is_before], &[])
    }

    /// A coordinate of each region, scaled, to the nearest whole number, halves away from zero: `[R, 1, 1]`.
    fn whole(&self, graph: &mut Graph, regions: ValueId, at: usize) -> Result<ValueId, CompilerError> {
        let [scale, half] = [self.scale, 0.5].map(|value| graph.scalar(value));
        let corner = graph.part(regions, &[1], &[at], &[1], &[1])?;
        let scaled = graph.times(corner, scale)?;
        let size = graph.add("Abs", &[scaled], &[])?;
        let size = graph.plus(size, half)?;
        let size = graph.add("Floor", &[size], &[])?;
        let sign = graph.add("Sign", &[scaled], &[])?;
        let whole = graph.times(size, sign)?;
        let count = graph.shape(regions)?[0].clone();
        graph.reshape(whole, &[count, 1.into(), 1.into()])
    }
}
