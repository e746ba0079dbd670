use super::sampling::{self, Along, Outside, Tap};
use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_floats, fixed_integers, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, ElementType, Graph, Length, TensorType, ValueId};

/// `RoiAlign`: the mean of samples in each bin of regions `[R, 4]` of x `[N, C, H, W]`: `[R, C, bins down, bins across]`. By the
/// entries around each sample, where its gradient is needed; it takes a stated number of samples.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "RoiAlign",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let regions = || fixed_floats(&[3, 4], &[0.5, 1.0, 3.5, 2.5, 0.0, 0.0, 4.5, 4.0, -1.0, 2.0, 2.0, 6.0]);
        let inputs = || vec![varied(&[2, 3, 4, 5]), regions(), fixed_integers(&[1, 0, 1])];
        let sizes = |samples: i64| {
            vec![
                ("output_height", Attribute::Int(2)),
                ("output_width", 3.into()),
                ("sampling_ratio", samples.into()),
                ("spatial_scale", 0.75.into()),
            ]
        };
        let older = [sizes(2), vec![("coordinate_transformation_mode", "output_half_pixel".into())]].concat();
        vec![
            // version 22 is not in ONNX Runtime 1.31
            Sample::new("two samples an axis", inputs(), sizes(2)).since(16).until(21),
            Sample::new("one sample", inputs(), sizes(1)).since(16).until(21),
            Sample::new("without the half pixel", inputs(), older).since(16).until(21),
        ]
    },
};

fn length(rule: &TypeRuleInput<'_>, name: &str) -> Result<Length, CompilerError> {
    let given = rule.node.int(name).unwrap_or(1);
    match usize::try_from(given) {
        Ok(length) if (1..1 << 16).contains(&length) => Ok(length.into()),
        _ => Err(rule.error(format!("{name} is {given}"))),
    }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, regions) = (rule.input(0)?, rule.input(1)?);
    let ([_, channels, _, _], [count, four]) = (x.shape.as_slice(), regions.shape.as_slice()) else {
        return Err(rule.error(format!("regions {regions} of {x}")));
    };
    if *four != 4 {
        return Err(rule.error(format!("regions {regions} of four numbers each")));
    }
    let shape = vec![count.clone(), channels.clone(), length(rule, "output_height")?, length(rule, "output_width")?];
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

/// What the bins of regions are made by.
struct Bins {
    samples: usize,
    scale: f32,
    offset: f32,
    /// Whether a region is at least one entry large.
    at_least_one: bool,
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    const MOST_SAMPLES: i64 = 64;
    let (x, regions, of) = (node.input(0)?, node.input(1)?, node.input(2)?);
    if node.node.string("mode").unwrap_or("avg") != "avg" {
        return Err(node.no_gradient("it takes the largest of samples, not their mean"));
    }
    let samples = node.node.int("sampling_ratio").unwrap_or(0);
    if !(1..=MOST_SAMPLES).contains(&samples) {
        let reason =
            "how many samples it takes depends on the size of a region; export it with a sampling_ratio of 1 to 64";
        return Err(node.no_gradient(reason));
    }
    let usual = if node.graph.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let is_older = node.node.string("coordinate_transformation_mode").unwrap_or(usual) == "output_half_pixel";
    let bins = Bins {
        samples: usize::try_from(samples).unwrap_or(1),
        scale: node.node.float("spatial_scale").unwrap_or(1.0),
        offset: if is_older { 0.0 } else { 0.5 },
        at_least_one: is_older,
    };
    let shape = node.input_type(0)?.shape;
    let count = node.input_type(1)?.shape[0].clone();
    let each = |name: &str| usize::try_from(node.node.int(name).unwrap_or(1)).unwrap_or(1);
    let outputs = [each("output_height"), each("output_width")];
    let graph = &mut *node.graph;
    let strides = sampling::strides(graph, &shape[2..])?;
    let mut axes = Vec::new();
    for (axis, output) in outputs.iter().enumerate() {
        let at = bins.places(graph, regions, 1 - axis, *output)?;
        let mut taps = taps(graph, at, &shape[2 + axis])?;
        // samples `[R, down, 1]` and `[R, 1, across]`
        for tap in &mut taps {
            tap.reshape(
                graph,
                &match axis {
                    0 => [count.clone(), (output * bins.samples).into(), 1.into()],
                    _ => [count.clone(), 1.into(), (output * bins.samples).into()],
                },
            )?;
        }
        axes.push(Along { taps, stride: strides[axis] });
    }
    let entries = sampling::entries(graph, x)?;
    let area = graph.lengths(&[&shape[2] * &shape[3]])?;
    let of = graph.cast(of, ElementType::I64)?;
    let base = graph.times(of, area)?;
    let base = graph.reshape(base, &[&count, &1.into(), &1.into()])?;
    let sampled = sampling::sampled(graph, entries, Some(base), &axes)?;
    let [down, across] = outputs.map(Length::from);
    let each = Length::from(bins.samples);
    let apart = graph.reshape(sampled, &[&count, &down, &each, &across, &each, &shape[1]])?;
    let mean = graph.reduce_mean(apart, &[2, 4])?;
    let mean = graph.reshape(mean, &[&count, &down, &across, &shape[1]])?;
    Ok(vec![graph.transpose(mean, &[0, 3, 1, 2])?])
}

impl Bins {
    /// Where samples lie along an axis: `[R, bins · samples]`. A region is two corners, each first across and then down.
    fn places(
        &self,
        graph: &mut Graph,
        regions: ValueId,
        corner: usize,
        bins: usize,
    ) -> Result<ValueId, CompilerError> {
        let [scale, offset] = [self.scale, self.offset].map(|value| graph.scalar(value));
        let [first, last] = [corner, corner + 2].map(|at| -> Result<ValueId, CompilerError> {
            let corner = graph.part(regions, &[1], &[at], &[1], &[1])?;
            let scaled = graph.times(corner, scale)?;
            graph.minus(scaled, offset)
        });
        let first = first?;
        let mut size = graph.minus(last?, first)?;
        if self.at_least_one {
            let one = graph.scalar(1.0);
            size = graph.add("Max", &[size, one], &[])?;
        }
        let count = bins * self.samples;
        let shares: Vec<f32> = (0..count).map(|at| (at as f32 + 0.5) / count as f32).collect();
        let shares = graph.constant("shares", crate::graph::Constant::f32([1, count], &shares));
        let along = graph.times(size, shares)?;
        graph.plus(first, along)
    }
}

/// The two entries around samples: none where a sample lies more than one entry outside, and the one at the end where it lies
/// less.
fn taps(graph: &mut Graph, at: ValueId, length: &Length) -> Result<Vec<Tap>, CompilerError> {
    let minus_one = graph.scalar(-1.0);
    let count = graph.length_as_float(length)?;
    let above = graph.add("GreaterOrEqual", &[at, minus_one], &[])?;
    let below = graph.add("LessOrEqual", &[at, count], &[])?;
    let is_near = graph.add("And", &[above, below], &[])?;
    let counts = graph.cast(is_near, ElementType::F32)?;
    let inside = sampling::inside(graph, at, length, Outside::Border)?;
    let mut taps = sampling::linear(graph, inside, length, Outside::Border)?;
    for tap in &mut taps {
        tap.weigh(graph, counts)?;
    }
    Ok(taps)
}
