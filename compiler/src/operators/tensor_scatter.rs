use super::{Gradient, Operator, Sample, SampleInput, axis_from_front, fixed_integers, same_as_first, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Length, ValueId};

/// `TensorScatter`: a cache `[batch, …, length, …]` with an update `[batch, …, fewer, …]` written over it along one axis, for each
/// row from a place of its own on, past the end again from the front where `mode` is `circular`. As `ScatterElements`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "TensorScatter",
    opsets: 24..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples,
};

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (cache, update) = (node.input(0)?, node.input(1)?);
    let (whole, written) = (node.input_type(0)?.shape, node.input_type(1)?.shape);
    let axis = axis_from_front(node.node.int("axis").unwrap_or(-2), whole.len());
    let axis = axis.map_err(|message| node.error(message))?;
    if axis == 0 || written.len() != whole.len() {
        return Err(node.error(format!("an update {written:?} along axis {axis} of a cache {whole:?}")));
    }
    let along = |at: usize, length: &Length| -> Vec<Length> {
        (0..whole.len()).map(|axis| if axis == at { length.clone() } else { 1.into() }).collect()
    };
    let places = node.graph.positions(&written[axis])?;
    let mut places = node.graph.reshape(places, &along(axis, &written[axis]))?;
    if let Some(starts) = node.node.input(2) {
        let starts = node.graph.reshape(starts, &along(0, &whole[0]))?;
        places = node.graph.plus(places, starts)?;
    }
    match node.node.string("mode").unwrap_or("linear") {
        "linear" => {}
        "circular" => {
            let length = node.graph.lengths(std::slice::from_ref(&whole[axis]))?;
            places = node.graph.add("Mod", &[places, length], &[])?;
        }
        other => return Err(node.error(format!("mode is `{other}`, wanted `linear` or `circular`"))),
    }
    let places = node.graph.expand(places, &written)?;
    Ok(vec![node.graph.add("ScatterElements", &[cache, places, update], &[("axis", (axis as i64).into())])?])
}

fn samples() -> Vec<Sample> {
    let four = || vec![varied(&[2, 3, 5, 2]), varied(&[2, 3, 2, 2])];
    let with = |inputs: Vec<SampleInput>, starts: &[i64]| -> Vec<SampleInput> {
        inputs.into_iter().chain([fixed_integers(starts)]).collect()
    };
    let three = || vec![varied(&[2, 5, 3]), varied(&[2, 2, 3])];
    let all = vec![
        Sample::new("from places of rows on", with(four(), &[1, 3]), vec![]),
        Sample::new("from the front", four(), vec![]),
        Sample::new("another axis", with(three(), &[0, 2]), vec![("axis", 1.into())]),
        Sample::new("past the end", with(three(), &[4, 1]), vec![("axis", (-2).into()), ("mode", "circular".into())]),
    ];
    all.into_iter().map(|sample| sample.since(24)).collect()
}
