use super::sampling::{self, Along, Outside};
use super::{Gradient, Operator, Sample, TypeRuleInput, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Length, TensorType, ValueId};

/// `GridSample`: samples of x `[N, C, …]` at the places of a grid `[N, …, axes]`, which names the last axis of x first and goes
/// from −1 to 1: by the entries around each place, where the gradient of x and of the grid is needed.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "GridSample",
    opsets: 16..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let sample = |name, x: &[usize], grid: &[usize], texts: &[(&'static str, &str)], is_aligned: i64| {
            let mut attributes: Vec<_> = texts.iter().map(|(name, text)| (*name, Attribute::from(*text))).collect();
            attributes.push(("align_corners", is_aligned.into()));
            Sample::new(name, vec![varied(x), super::varied_in(grid, -1.5, 1.5)], attributes)
        };
        let (image, grid) = (&[2, 3, 4, 8], &[2, 3, 2, 2]);
        let places: Vec<f32> = (0..24).map(|at| (at * 7 % 24) as f32 / 8.0 - 1.4).collect();
        let still = super::fixed_floats(grid, &places);
        let padded = |padding: &'static str| [("mode", "linear"), ("padding_mode", padding)];
        let cubic = |padding: &'static str| [("mode", "cubic"), ("padding_mode", padding)];
        vec![
            sample("two entries an axis", image, grid, &[], 0),
            sample("named bilinear", image, grid, &[("mode", "bilinear")], 1).until(19),
            sample("named bicubic", &[1, 2, 4, 4], &[1, 3, 2, 2], &[("mode", "bicubic")], 0).until(19),
            sample("the entries at the ends", image, grid, &padded("border"), 0).since(20),
            sample("mirrored", image, grid, &padded("reflection"), 0).since(20),
            sample("mirrored at the middle", &[1, 2, 5, 9], &[1, 3, 2, 2], &padded("reflection"), 1).since(20),
            Sample::new("the nearest entry", vec![varied(image), still], vec![("mode", "nearest".into())]),
            sample("four entries an axis", image, grid, &cubic("zeros"), 0).since(20),
            sample("four entries, mirrored", image, grid, &cubic("reflection"), 0).since(20),
            sample("volumes", &[1, 2, 2, 4, 4], &[1, 2, 1, 3, 3], &[("mode", "linear")], 0).since(20),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, grid) = (rule.input(0)?, rule.input(1)?);
    let rank = x.shape.len();
    let fits = rank >= 3
        && grid.shape.len() == rank
        && grid.shape[rank - 1] == rank - 2
        && grid.shape[0].agrees_with(&x.shape[0]);
    if !fits {
        let open = x.shape.iter().chain(&grid.shape).any(|length| length.as_number().is_none());
        let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
        return Err(rule.error(format!("places {grid} in {x}{advice}")));
    }
    let shape = [&x.shape[..2], &grid.shape[1..rank - 1]].concat();
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (x, grid) = (node.input(0)?, node.input(1)?);
    let (shape, places) = (node.input_type(0)?.shape, node.input_type(1)?.shape);
    let is_aligned = node.node.int("align_corners").unwrap_or(0) != 0;
    let outside = match node.node.string("padding_mode").unwrap_or("zeros") {
        "zeros" => Outside::Zero,
        "border" => Outside::Border,
        "reflection" => Outside::Reflected { at_middle: is_aligned },
        other => return Err(node.error(format!("padding_mode `{}`", millstream_schemas::shown(other)))),
    };
    let mode = node.node.string("mode").unwrap_or("linear").to_owned();
    let spatial = &shape[2..];
    let count: Length = places[1..=spatial.len()].iter().product();
    let graph = &mut *node.graph;
    let grid = graph.reshape(grid, &[&shape[0], &count, &spatial.len().into()])?;
    let strides = sampling::strides(graph, spatial)?;
    let mut axes = Vec::new();
    for (axis, length) in spatial.iter().enumerate() {
        let named = Length::from(spatial.len() - 1 - axis);
        let at = graph.part(grid, &[2], &[&named], &[&1.into()], &[1])?;
        let at = graph.reshape(at, &[&shape[0], &count])?;
        let at = in_entries(graph, at, length, is_aligned)?;
        let taps = match mode.as_str() {
            "linear" | "bilinear" => sampling::linear(graph, at, length, outside)?,
            "nearest" => sampling::nearest(graph, at, length, outside)?,
            "cubic" | "bicubic" => sampling::cubic(graph, at, length, outside)?,
            other => {
                let message = format!("mode `{}`", millstream_schemas::shown(other));
                return Err(node.error(message));
            }
        };
        axes.push(Along { taps, stride: strides[axis] });
    }
    let entries = sampling::entries(graph, x)?;
    let base = sampling::beginnings(graph, &shape[0], spatial, 1)?;
    let sampled = sampling::sampled(graph, entries, Some(base), &axes)?;
    let turned = graph.transpose(sampled, &[0, 2, 1])?;
    let made = [&shape[..2], &places[1..=spatial.len()]].concat();
    Ok(vec![graph.reshape(turned, &made)?])
}

/// Places from −1 to 1 as places among the entries of an axis.
fn in_entries(
    graph: &mut crate::graph::Graph,
    at: ValueId,
    length: &Length,
    is_aligned: bool,
) -> Result<ValueId, CompilerError> {
    let [one, half] = [1.0, 0.5].map(|value| graph.scalar(value));
    let length = graph.length_as_float(length)?;
    let from_first = graph.plus(at, one)?;
    if is_aligned {
        let last = graph.minus(length, one)?;
        let scaled = graph.times(from_first, last)?;
        return graph.times(scaled, half);
    }
    let scaled = graph.times(from_first, length)?;
    let shifted = graph.minus(scaled, one)?;
    graph.times(shifted, half)
}
