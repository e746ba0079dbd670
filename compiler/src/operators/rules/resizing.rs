//! What `Resize` does to each axis.

use super::{axes, shape_floats};
use crate::graph::{Graph, Length, Node};

/// An axis of an output of `Resize`.
pub(crate) struct ResizedAxis {
    /// Its length.
    pub(crate) output: Length,
    /// What that was computed from.
    pub(crate) target: Target,
    /// The part of the input that is resized, in shares of its length; for `tf_crop_and_resize`.
    pub(crate) region: (f32, f32),
}

/// How an axis gets its length.
#[derive(Clone, PartialEq)]
pub(crate) enum Target {
    /// It keeps it.
    Same,
    /// By a factor.
    Scale(f32),
    /// It is said; the factor is the ratio of the lengths.
    Size,
}

/// A denominator up to which a factor is taken as a fraction, exactly.
const LARGEST_DENOMINATOR: usize = 1 << 10;
/// Longer axes cannot be real.
const LONGEST: f32 = (1u64 << 40) as f32;

/// The axes of the output, in order. A factor or size that is not known before the run is an error.
pub(crate) fn resized_axes(graph: &Graph, node: &Node, x: &[Length]) -> Result<Vec<ResizedAxis>, String> {
    let named = match node.ints("axes") {
        Some(given) => {
            axes::all_from_front(given, x.len())?;
            given.iter().map(|axis| axes::from_front(*axis, x.len())).collect::<Result<Vec<usize>, String>>()?
        }
        None => (0..x.len()).collect(),
    };
    let floats = |index: usize, what: &str| match given(graph, node, index) {
        false => Ok(None),
        true => {
            let constant = |id| match graph.constant_of(id) {
                Some(constant) => constant.to_f32(),
                // as the exporter wrote it, with constants that it did not fold
                None => shape_floats::of_constants(graph, id),
            };
            node.input(index).and_then(constant).map(Some).ok_or_else(|| format!("the {what} are computed from data"))
        }
    };
    let wanted = |count: usize, what: &str| {
        if count == named.len() { Ok(()) } else { Err(format!("{count} {what} for {} axes", named.len())) }
    };
    let whole = |length: &Length| ResizedAxis { output: length.clone(), target: Target::Same, region: (0.0, 1.0) };
    let mut resized: Vec<ResizedAxis> = x.iter().map(whole).collect();
    if node.string("coordinate_transformation_mode") == Some("tf_crop_and_resize") {
        let regions = floats(1, "regions")?.ok_or("mode tf_crop_and_resize without regions")?;
        wanted(regions.len() / 2, "regions")?;
        for (at, axis) in named.iter().enumerate() {
            resized[*axis].region = (regions[at], regions[at + named.len()]);
        }
    }
    match (floats(2, "scales")?, given(graph, node, 3)) {
        (Some(scales), false) => {
            wanted(scales.len(), "scales")?;
            for (scale, axis) in scales.iter().zip(&named) {
                resized[*axis].output = scaled(&x[*axis], *scale, *axis)?;
                resized[*axis].target = if *scale == 1.0 { Target::Same } else { Target::Scale(*scale) };
            }
        }
        (None, true) => {
            let sizes = node.input(3).and_then(|sizes| graph.lengths_of(sizes));
            let sizes = axes::lengths(sizes.ok_or("the sizes are computed from data")?)?;
            wanted(sizes.len(), "sizes")?;
            for (size, axis) in sizes.into_iter().zip(&named) {
                resized[*axis].target = if size == x[*axis] { Target::Same } else { Target::Size };
                resized[*axis].output = size;
            }
            keep_aspect_ratio(node, x, &named, &mut resized)?;
        }
        (Some(_), true) => return Err("both scales and sizes".into()),
        (None, false) => return Err("neither scales nor sizes".into()),
    }
    Ok(resized)
}

/// Whether an input is there; exporters write an empty tensor for one that is left out.
fn given(graph: &Graph, node: &Node, index: usize) -> bool {
    let known = node.input(index).map(|id| graph.tensor_type(id));
    known.is_some_and(|known| known.is_none_or(|known| known.shape.first().is_none_or(|length| *length != 0)))
}

fn scaled(length: &Length, scale: f32, axis: usize) -> Result<Length, String> {
    if !(scale > 0.0 && scale < LONGEST) {
        return Err(format!("a scale of {scale}"));
    }
    if let Some(length) = length.fixed() {
        return Ok(((length as f32 * scale) as usize).into());
    }
    let denominators = (0..).map(|power| 1usize << power).take_while(|by| *by <= LARGEST_DENOMINATOR);
    let fraction = denominators.map(|by| (scale * by as f32, by)).find(|(numerator, _)| numerator.fract() == 0.0);
    match fraction {
        Some((numerator, by)) => Ok((length * numerator as usize).quotient(&by.into())),
        None => Err(format!(
            "axis {axis} of open length {length} by {scale}, which rounds: export the model with fixed lengths"
        )),
    }
}

/// With a policy, all named axes are scaled alike: by the smallest or largest of the ratios.
fn keep_aspect_ratio(node: &Node, x: &[Length], named: &[usize], resized: &mut [ResizedAxis]) -> Result<(), String> {
    let choose: fn(f32, f32) -> f32 = match node.string("keep_aspect_ratio_policy").unwrap_or("stretch") {
        "stretch" => return Ok(()),
        "not_larger" => f32::min,
        "not_smaller" => f32::max,
        other => return Err(format!("keep_aspect_ratio_policy `{}`", millstream_schemas::shown(other))),
    };
    let mut ratios = Vec::with_capacity(named.len());
    for axis in named {
        let (Some(size), Some(length)) = (resized[*axis].output.fixed(), x[*axis].fixed()) else {
            return Err(format!(
                "an aspect ratio is kept over axis {axis} of open length: export the model with fixed lengths"
            ));
        };
        ratios.push((size as f32 / length as f32, length));
    }
    let Some(scale) = ratios.iter().map(|(ratio, _)| *ratio).reduce(choose) else { return Ok(()) };
    if !(scale > 0.0 && scale < LONGEST) {
        return Err(format!("a scale of {scale}"));
    }
    for ((_, length), axis) in ratios.iter().zip(named) {
        resized[*axis].output = ((*length as f32 * scale).round() as usize).into();
        resized[*axis].target = if scale == 1.0 { Target::Same } else { Target::Scale(scale) };
    }
    Ok(())
}
