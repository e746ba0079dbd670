//! Samples at places between the entries of a tensor: each by the entries around it.

use crate::CompilerError;
use crate::graph::{ElementType, Graph, Length, ValueId};

type Emitted = Result<ValueId, CompilerError>;

/// What a place outside of an axis stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    /// Zero.
    Zero,
    /// The entry at the end.
    Border,
    /// The place mirrored at the ends: at the middle of the entries there, or half an entry beyond.
    Reflected { at_middle: bool },
}

/// An entry of an axis, by whole numbers, with what it counts; all of it where that is left out.
pub(crate) struct Tap {
    index: ValueId,
    weight: Option<ValueId>,
}

impl Tap {
    /// Lets it count by a factor as well.
    pub(crate) fn weigh(&mut self, graph: &mut Graph, factor: ValueId) -> Result<(), CompilerError> {
        self.weight = Some(match self.weight {
            Some(weight) => graph.times(weight, factor)?,
            None => factor,
        });
        Ok(())
    }

    /// Gives it another shape.
    pub(crate) fn reshape(&mut self, graph: &mut Graph, shape: &[Length]) -> Result<(), CompilerError> {
        self.index = graph.reshape(self.index, shape)?;
        self.weight = self.weight.map(|weight| graph.reshape(weight, shape)).transpose()?;
        Ok(())
    }
}

/// Entries along one axis of samples, whose shapes broadcast with those of other axes, and how far apart entries lie in a list
/// of all.
pub(crate) struct Along {
    /// The entries around each place.
    pub(crate) taps: Vec<Tap>,
    /// Int64.
    pub(crate) stride: Option<ValueId>,
}

/// The two entries around places, by their distance.
pub(crate) fn linear(
    graph: &mut Graph,
    places: ValueId,
    length: &Length,
    outside: Outside,
) -> Result<Vec<Tap>, CompilerError> {
    let lower = graph.add("Floor", &[places], &[])?;
    let above = graph.minus(places, lower)?;
    let one = graph.scalar(1.0);
    let below = graph.minus(one, above)?;
    let upper = graph.plus(lower, one)?;
    Ok(vec![tap(graph, lower, Some(below), length, outside)?, tap(graph, upper, Some(above), length, outside)?])
}

/// The entry nearest to places, the even one of two.
pub(crate) fn nearest(
    graph: &mut Graph,
    places: ValueId,
    length: &Length,
    outside: Outside,
) -> Result<Vec<Tap>, CompilerError> {
    let whole = graph.add("Round", &[places], &[])?;
    Ok(vec![tap(graph, whole, None, length, outside)?])
}

/// The four entries around places, by Keys' cubic convolution with a = −0.75.
pub(crate) fn cubic(
    graph: &mut Graph,
    places: ValueId,
    length: &Length,
    outside: Outside,
) -> Result<Vec<Tap>, CompilerError> {
    const A: f32 = -0.75;
    let lower = graph.add("Floor", &[places], &[])?;
    let above = graph.minus(places, lower)?;
    let mut taps = Vec::with_capacity(4);
    for offset in [-1.0, 0.0, 1.0, 2.0] {
        let [shift, zero] = [offset, 0.0].map(|value| graph.scalar(value));
        // the distance of the entry, and a polynomial of it
        let distance = if offset <= 0.0 { graph.minus(above, shift)? } else { graph.minus(shift, above)? };
        let is_far = !(0.0..=1.0).contains(&offset);
        let factors = if is_far { [A, -5.0 * A, 8.0 * A, -4.0 * A] } else { [A + 2.0, -(A + 3.0), 0.0, 1.0] };
        let mut weight = zero;
        for factor in factors {
            let scaled = graph.times(weight, distance)?;
            let factor = graph.scalar(factor);
            weight = graph.plus(scaled, factor)?;
        }
        let entry = graph.plus(lower, shift)?;
        taps.push(tap(graph, entry, Some(weight), length, outside)?);
    }
    Ok(taps)
}

/// The entry at a whole number, which may lie outside.
fn tap(
    graph: &mut Graph,
    entry: ValueId,
    weight: Option<ValueId>,
    length: &Length,
    outside: Outside,
) -> Result<Tap, CompilerError> {
    let [zero, one] = [0.0, 1.0].map(|value| graph.scalar(value));
    let length_as_float = graph.length_as_float(length)?;
    let last = graph.minus(length_as_float, one)?;
    let entry = match outside {
        Outside::Reflected { .. } => inside(graph, entry, length, outside)?,
        _ => entry,
    };
    let clipped = graph.add("Clip", &[entry, zero, last], &[])?;
    let index = graph.cast(clipped, ElementType::I64)?;
    if outside != Outside::Zero {
        return Ok(Tap { index, weight });
    }
    let is_inside = graph.add("Equal", &[clipped, entry], &[])?;
    let mut counts = graph.cast(is_inside, ElementType::F32)?;
    if let Some(weight) = weight {
        counts = graph.times(weight, counts)?;
    }
    Ok(Tap { index, weight: Some(counts) })
}

/// Places moved inside of their axis, where those outside stand for others; as they are where they stand for zero.
pub(crate) fn inside(graph: &mut Graph, places: ValueId, length: &Length, outside: Outside) -> Emitted {
    let at_middle = match outside {
        Outside::Zero => return Ok(places),
        Outside::Border => {
            let [zero, one] = [0.0, 1.0].map(|value| graph.scalar(value));
            let length = graph.length_as_float(length)?;
            let last = graph.minus(length, one)?;
            return graph.add("Clip", &[places, zero, last], &[]);
        }
        Outside::Reflected { at_middle } => at_middle,
    };
    // a wave of this length that goes up and down again; an axis of one entry has none
    let length = graph.length_as_float(length)?;
    let [least, first] = [1e-6, if at_middle { 0.0 } else { -0.5 }].map(|value| graph.scalar(value));
    let range = if at_middle {
        let one = graph.scalar(1.0);
        let range = graph.minus(length, one)?;
        graph.add("Max", &[range, least], &[])?
    } else {
        length
    };
    let from_first = graph.minus(places, first)?;
    let distance = graph.add("Abs", &[from_first], &[])?;
    let period = graph.plus(range, range)?;
    let periods = graph.divided_by(distance, period)?;
    let whole = graph.add("Floor", &[periods], &[])?;
    let passed = graph.times(whole, period)?;
    let rest = graph.minus(distance, passed)?;
    let from_turn = graph.minus(rest, range)?;
    let from_turn = graph.add("Abs", &[from_turn], &[])?;
    let from_first = graph.minus(range, from_turn)?;
    graph.plus(from_first, first)
}

/// Samples `[…, C]` of a list of entries `[entries, C]`, by the products of what the taps of each axis count. `base`: where each
/// sample's axes begin in the list.
pub(crate) fn sampled(graph: &mut Graph, entries: ValueId, base: Option<ValueId>, axes: &[Along]) -> Emitted {
    let mut corners: Vec<(Option<ValueId>, Option<ValueId>)> = vec![(base, None)];
    for along in axes {
        let mut next = Vec::with_capacity(corners.len() * along.taps.len());
        for tap in &along.taps {
            let step = match along.stride {
                Some(stride) => graph.times(tap.index, stride)?,
                None => tap.index,
            };
            for (index, weight) in &corners {
                let index = index.map_or(Ok(step), |index| graph.plus(index, step))?;
                let weight = match (*weight, tap.weight) {
                    (Some(a), Some(b)) => Some(graph.times(a, b)?),
                    (a, b) => a.or(b),
                };
                next.push((Some(index), weight));
            }
        }
        corners = next;
    }
    let mut sum: Option<ValueId> = None;
    for (index, weight) in corners {
        let Some(index) = index else { continue };
        let mut part = graph.add("Gather", &[entries, index], &[])?;
        if let Some(weight) = weight {
            let last = graph.integers(&[-1]);
            let weight = graph.add("Unsqueeze", &[weight, last], &[])?;
            part = graph.times(part, weight)?;
        }
        sum = Some(sum.map_or(Ok(part), |sum| graph.plus(sum, part))?);
    }
    sum.ok_or_else(|| CompilerError::unsupported("samples of no axis", "name a spatial axis"))
}

/// `[N, C, …]` as a list of entries `[N · …, C]`.
pub(crate) fn entries(graph: &mut Graph, x: ValueId) -> Emitted {
    let shape = graph.shape(x)?.to_vec();
    let rank = shape.len() as i64;
    let order: Vec<i64> = std::iter::once(0).chain(2..rank).chain([1]).collect();
    let turned = graph.transpose(x, &order)?;
    let count = &shape[0] * shape[2..].iter().product::<Length>();
    graph.reshape(turned, &[&count, &shape[1]])
}

/// Strides of the spatial axes in that list, int64; none for the last, which is 1.
pub(crate) fn strides(graph: &mut Graph, spatial: &[Length]) -> Result<Vec<Option<ValueId>>, CompilerError> {
    let stride = |axis: usize| spatial[axis + 1..].iter().product::<Length>();
    let all = (0..spatial.len()).map(|axis| match stride(axis) {
        one if one == 1 => Ok(None),
        stride => graph.lengths(&[stride]).map(Some),
    });
    all.collect()
}

/// Where each of `count` examples begins in that list, `[count]` and as many axes of one behind it as told.
pub(crate) fn beginnings(graph: &mut Graph, count: &Length, spatial: &[Length], behind: usize) -> Emitted {
    let examples = graph.positions(count)?;
    let each = graph.lengths(&[spatial.iter().product()])?;
    let begin = graph.times(examples, each)?;
    let shape: Vec<Length> = std::iter::once(count.clone()).chain(vec![1.into(); behind]).collect();
    graph.reshape(begin, &shape)
}
