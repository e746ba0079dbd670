use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, axes, fixed_integers, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Constant, Graph, Length, Node, TensorType, ValueId};

/// `Pad`: a margin around some axes; a negative one cuts. In mode `constant`, dx is dy without the margin; in the others, what
/// the margins repeat has theirs added.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Pad",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let mode = |mode: &str| vec![("mode", mode.into())];
        let value = SampleInput::Fixed(Constant::f32([], &[0.5]));
        let two_axes =
            vec![varied(&[2, 3, 4]), fixed_integers(&[1, 0, 2, 1]), SampleInput::Absent, fixed_integers(&[-1, 1])];
        vec![
            Sample::new("zeros", vec![varied(&[2, 3]), fixed_integers(&[0, 1, 2, 0])], vec![]),
            Sample::new("a value", vec![varied(&[2, 3]), fixed_integers(&[1, 1, 1, 1]), value], vec![]),
            Sample::new("cut", vec![varied(&[4, 5]), fixed_integers(&[-1, 1, 0, -2])], vec![]),
            Sample::new("named axes", two_axes, vec![]).since(18),
            Sample::new("reflected", vec![varied(&[3, 4]), fixed_integers(&[0, 2, 2, 3])], mode("reflect")),
            Sample::new("the edges repeated", vec![varied(&[3, 4]), fixed_integers(&[1, 2, 0, 5])], mode("edge")),
            Sample::new("round and round", vec![varied(&[3, 4]), fixed_integers(&[0, 2, 3, 4])], mode("wrap"))
                .since(19),
        ]
    },
};

/// Elements added before and after each axis.
fn margins(graph: &Graph, node: &Node, rank: usize) -> Result<(Vec<Length>, Vec<Length>), String> {
    let pads = node.input(1).and_then(|pads| graph.lengths_of(pads));
    let pads = pads.ok_or("the pads are computed from data or missing")?;
    let named = if graph.opset >= 18 && node.input(3).is_some() {
        axes::integers_of(graph, node, 3).ok_or("the axes are computed from data")?
    } else {
        (0..rank as i64).collect()
    };
    axes::all_from_front(&named, rank)?;
    if pads.len() != 2 * named.len() {
        return Err(format!("{} pads for {} axes", pads.len(), named.len()));
    }
    let (mut before, mut after) = (vec![Length::from(0); rank], vec![Length::from(0); rank]);
    for (at, axis) in named.iter().enumerate() {
        let axis = axes::from_front(*axis, rank)?;
        (before[axis], after[axis]) = (pads[at].clone(), pads[at + named.len()].clone());
    }
    Ok((before, after))
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    rule.known_lengths(1)?;
    rule.require_known(3..4)?;
    let (before, after) = margins(rule.graph, rule.node, x.shape.len()).map_err(|message| rule.error(message))?;
    let padded = |axis: usize| -> Option<Length> {
        let length = &x.shape[axis] + &before[axis] + &after[axis];
        // where a name is left open, ONNX Runtime refuses to cut more than there is
        let fits = length.as_number().is_none_or(|length| length >= 0);
        (fits && !length.is_excessive()).then_some(length)
    };
    let shape = (0..x.shape.len()).map(padded).collect::<Option<Vec<Length>>>();
    let shape = shape.ok_or_else(|| rule.error(format!("pads {before:?} and {after:?} around {:?}", x.shape)))?;
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

/// Cuts off what was added, or more where it was cut.
fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let mode = b.node.string("mode").unwrap_or("constant").to_owned();
    let (shape, dy) = (b.input_shape(0)?, b.dy()?);
    let (before, after) = margins(b.graph, &b.node, shape.len()).map_err(|message| b.error(message))?;
    if mode != "constant" {
        let mut dx = dy;
        for axis in (0..shape.len()).filter(|axis| before[*axis] != 0 || after[*axis] != 0) {
            let numbers = [&before[axis], &after[axis]].map(|pad| pad.as_number().filter(|pad| *pad >= 0));
            let [Some(before), Some(after)] = numbers else {
                return Err(
                    b.no_gradient(format!("mode `{mode}` with margins that are cut, or that no number is known of"))
                );
            };
            dx = unrepeated(b, &mode, dx, axis, [before, after])?;
        }
        return b.give(0, dx);
    }
    let sign = |pad: &Length| match pad.as_number() {
        Some(number) => Some(number.signum()),
        None if pad.is_at_least(0) => Some(1),
        None => (Length::number(0) - pad).is_at_least(0).then_some(-1),
    };
    if let Some(pad) = before.iter().chain(&after).find(|pad| sign(pad).is_none()) {
        return Err(b.no_gradient(format!("a pad of {pad} may add or cut: export the model with fixed lengths")));
    }
    let added = |pad: &Length| if sign(pad) == Some(1) { pad.clone() } else { 0.into() };
    let cut = |pad: &Length| if sign(pad) == Some(-1) { Length::number(0) - pad } else { 0.into() };
    let (mut axes, mut starts, mut counts) = (vec![], vec![], vec![]);
    for axis in 0..shape.len() {
        let (start, end) = (added(&before[axis]), added(&after[axis]));
        if start != 0 || end != 0 {
            axes.push(axis as i64);
            counts.push(&b.output_shape(0)?[axis] - &start - end);
            starts.push(start);
        }
    }
    let dx = if axes.is_empty() { dy } else { b.graph.part(dy, &axes, &starts, &counts, &vec![1; axes.len()])? };
    let back = |pads: &[Length]| pads.iter().map(cut).collect::<Vec<Length>>();
    let dx = b.graph.pad(dx, &back(&before), &back(&after))?;
    b.give(0, dx)
}

/// dy without the margins of an axis, each added to the elements that it repeats.
fn unrepeated(
    b: &mut Backward<'_>,
    mode: &str,
    dy: ValueId,
    axis: usize,
    [before, after]: [i64; 2],
) -> Result<ValueId, CompilerError> {
    let padded = b.graph.shape(dy)?.to_vec();
    let number = Length::number;
    let length = &padded[axis] - number(before) - number(after);
    let part =
        |b: &mut Backward<'_>, start: Length, count: Length| b.graph.part(dy, &[axis as i64], &[start], &[count], &[1]);
    let mut dx = part(b, number(before), length.clone())?;
    for (start, margin, is_before) in [(number(0), before, true), (&length + number(before), after, false)] {
        if margin == 0 {
            continue;
        }
        let repeated = part(b, start, number(margin))?;
        // where the margin came from, and how long it is there
        let (repeated, count, from) = match (mode, is_before) {
            ("edge", _) => {
                let sum = b.graph.reduce_sum(repeated, &[axis as i64], true)?;
                (sum, 1, if is_before { number(0) } else { &length - 1 })
            }
            ("reflect", _) => {
                let turned = b.graph.slice(repeated, &[axis as i64], &[number(-1)], &[number(-margin - 1)], &[-1])?;
                (turned, margin, if is_before { number(1) } else { &length - 1 - number(margin) })
            }
            ("wrap", _) => (repeated, margin, if is_before { &length - number(margin) } else { number(0) }),
            _ => return Err(b.no_gradient(format!("mode `{mode}` has none"))),
        };
        let rest = &length - &from - number(count);
        if !from.is_at_least(0) || !rest.is_at_least(0) {
            return Err(b.no_gradient(format!(
                "a margin of {margin} that is not shorter than the axis of {length}; export the model with fixed lengths for what is open"
            )));
        }
        let (mut lead, mut tail) = (vec![number(0); padded.len()], vec![number(0); padded.len()]);
        (lead[axis], tail[axis]) = (from, rest);
        let placed = b.graph.pad(repeated, &lead, &tail)?;
        dx = b.graph.plus(dx, placed)?;
    }
    Ok(dx)
}
