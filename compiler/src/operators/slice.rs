use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, folding, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Constant, Graph, Node, TensorType};

/// `Slice`: every `step`-th element from `start` to `end` (not included) of some axes. dx: dy, with zeros for the rest.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Slice",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(gradient),
    samples: || {
        let slice = |name, shape: &[usize], starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]| {
            let bounds = [starts, ends, axes, steps].map(fixed_integers);
            Sample::new(name, [varied(shape)].into_iter().chain(bounds).collect(), vec![])
        };
        let leading = vec![varied(&[4, 5]), fixed_integers(&[1, 0]), fixed_integers(&[3, -1])];
        let numbers = vec![fixed_integers(&[1, 2, 3, 4, 5]), fixed_integers(&[-1]), fixed_integers(&[i64::MIN + 1])];
        let backwards = numbers.into_iter().chain([fixed_integers(&[0]), fixed_integers(&[-2])]).collect();
        vec![
            slice("one axis", &[2, 6], &[1], &[4], &[1], &[1]),
            slice("two axes, every second", &[2, 3, 8, 7], &[0, 0], &[i64::MAX, i64::MAX], &[2, 3], &[2, 2]),
            slice("every third from the second", &[2, 9], &[1], &[9], &[1], &[3]),
            slice("negative bounds and axis", &[2, 6], &[-4], &[-1], &[-1], &[1]),
            slice("backwards", &[2, 6], &[-1], &[i64::MIN + 1], &[1], &[-1]),
            slice("backwards, every second", &[7, 2], &[5], &[0], &[0], &[-2]),
            Sample::new("no axes and steps", leading, vec![]),
            Sample::new("integers", backwards, vec![]),
        ]
    },
};

/// What is taken of one axis.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    count: usize,
    step: i64,
}

/// The parts that a node takes, for each axis of its input.
fn parts(graph: &Graph, node: &Node, shape: &[usize]) -> Result<Vec<Part>, String> {
    let bound = |index: usize, what: &str| {
        axes::integers_of(graph, node, index).ok_or_else(|| format!("the {what} are computed from data or missing"))
    };
    let (starts, ends) = (bound(1, "starts")?, bound(2, "ends")?);
    let named = if node.input(3).is_some() { bound(3, "axes")? } else { (0..starts.len() as i64).collect() };
    let steps = if node.input(4).is_some() { bound(4, "steps")? } else { vec![1; starts.len()] };
    if ends.len() != starts.len() || named.len() != starts.len() || steps.len() != starts.len() {
        return Err("starts, ends, axes and steps differ in length".into());
    }
    axes::all_from_front(&named, shape.len())?;
    let mut parts: Vec<Part> = shape.iter().map(|length| Part { start: 0, count: *length, step: 1 }).collect();
    for (at, axis) in named.iter().enumerate() {
        let axis = axes::from_front(*axis, shape.len())?;
        parts[axis] = part(shape[axis], starts[at], ends[at], steps[at])?;
    }
    Ok(parts)
}

fn part(length: usize, start: i64, end: i64, step: i64) -> Result<Part, String> {
    let whole = length as i128;
    // a longer step than the axis takes one element as well
    let step = step.clamp(-(length as i64) - 1, length as i64 + 1);
    let counted = |bound: i64| if bound < 0 { i128::from(bound) + whole } else { i128::from(bound) };
    let (start, end) = (counted(start), counted(end));
    let (start, distance) = match step {
        0 => return Err("a step of 0".into()),
        1.. => {
            let (start, end) = (start.clamp(0, whole), end.clamp(0, whole));
            (start, end - start)
        }
        _ => {
            let (start, end) = (start.clamp(-1, whole - 1), end.clamp(-1, whole - 1));
            (start, start - end)
        }
    };
    let size = i128::from(step.abs());
    let count =
        if length == 0 { 0 } else { distance.max(0).div_euclid(size) + i128::from(distance.max(0) % size != 0) };
    Ok(Part { start: start.max(0) as usize, count: count as usize, step })
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    rule.require_known(1..5)?;
    let parts = parts(rule.graph, rule.node, &x.shape).map_err(|message| rule.error(message))?;
    Ok(vec![TensorType { dtype: x.dtype, shape: parts.iter().map(|part| part.count).collect() }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Constant>, CompilerError> {
    let Some(source) = folding::integer_input(rule, 0) else { return Ok(None) };
    rule.require_known(1..5)?;
    let parts = parts(rule.graph, rule.node, &source.shape).map_err(|message| rule.error(message))?;
    let steps = folding::steps(&source.shape);
    let shape: Vec<usize> = parts.iter().map(|part| part.count).collect();
    let from = |at: &[usize]| {
        let axes = at.iter().zip(&parts).zip(&steps);
        axes.map(|((at, part), step)| (part.start as i64 + *at as i64 * part.step) as usize * step).sum()
    };
    Ok(Some(folding::moved(source, &shape, from)))
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let full = b.input_shape(0)?;
    let mut parts = parts(b.graph, &b.node, &full).map_err(|message| b.error(message))?;
    let mut dx = b.dy()?;
    // what was read backwards is turned first
    for (axis, part) in parts.iter_mut().enumerate().filter(|(_, part)| part.step < 0 && part.count > 0) {
        b.require_writable(part.count)?;
        let order: Vec<i64> = (0..part.count as i64).rev().collect();
        let order = b.graph.integers(&order);
        dx = b.graph.add("Gather", &[dx, order], &[("axis", (axis as i64).into())])?;
        part.start -= (part.count - 1) * part.step.unsigned_abs() as usize;
        part.step = -part.step;
    }
    let wide = |part: &Part| part.step > 1 && part.count > 1;
    if parts.iter().any(wide) {
        dx = with_gaps(b, dx, &parts)?;
    }
    let (mut before, mut after) = (vec![], vec![]);
    for (axis, part) in parts.iter().enumerate() {
        before.push(part.start as i64);
        after.push((full[axis] - part.start - b.graph.shape(dx)?[axis]) as i64);
    }
    let dx = b.graph.pad(dx, &before, &after)?;
    b.give(0, dx)
}

/// Puts `step − 1` zeros between elements: each axis is split into (count, 1), padded to (count, step) and merged.
fn with_gaps(
    b: &mut Backward<'_>,
    value: crate::graph::ValueId,
    parts: &[Part],
) -> Result<crate::graph::ValueId, CompilerError> {
    let step = |part: &Part| if part.count > 1 { part.step as usize } else { 1 };
    let split: Vec<usize> = parts.iter().flat_map(|part| [part.count, 1]).collect();
    let gaps: Vec<i64> = parts.iter().flat_map(|part| [0, step(part) as i64 - 1]).collect();
    let merged: Vec<usize> = parts.iter().map(|part| part.count * step(part)).collect();
    let value = b.graph.reshape(value, &split)?;
    let value = b.graph.pad(value, &vec![0; gaps.len()], &gaps)?;
    let value = b.graph.reshape(value, &merged)?;
    // no gap after the last element, where the input may already have ended
    let axes: Vec<usize> = (0..parts.len()).filter(|axis| step(&parts[*axis]) > 1).collect();
    let names: Vec<i64> = axes.iter().map(|axis| *axis as i64).collect();
    let ends: Vec<i64> = axes.iter().map(|axis| (merged[*axis] - step(&parts[*axis]) + 1) as i64).collect();
    b.graph.slice(value, &names, &vec![0; axes.len()], &ends, &vec![1; axes.len()])
}
