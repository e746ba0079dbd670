//! Which of the numbers that a layer makes are queries, keys or values, where it makes several of them.

use std::collections::{BTreeSet, HashMap};

use super::flow::Flow;
use super::linear::Linear;
use crate::graph::{Length, Node, ValueId};

/// Longest axes that are taken apart.
const LONGEST: usize = 1 << 20;

/// What a value holds of the numbers that a layer makes for a token.
#[derive(Clone)]
struct Held {
    /// Whether it holds each of them.
    columns: Vec<bool>,
    /// Where they lie, as long as that is known: else a part of the value may hold any of them.
    layout: Option<Layout>,
}

/// Where numbers lie: the one at a place is `first` and the sum of what each axis adds.
#[derive(Clone, PartialEq)]
struct Layout {
    first: usize,
    /// Of an axis that does not count them: nothing.
    axes: Vec<Option<Vec<usize>>>,
}

impl Layout {
    fn columns(&self, of: usize) -> Vec<bool> {
        // indices may come several times: a set never holds more than there are
        let mut held = BTreeSet::from([self.first]);
        for axis in self.axes.iter().flatten() {
            let steps: BTreeSet<usize> = axis.iter().copied().collect();
            held =
                held.iter().flat_map(|sum| steps.iter().map(move |step| sum + step)).filter(|sum| *sum < of).collect();
        }
        let mut columns = vec![false; of];
        held.into_iter().for_each(|column| columns[column] = true);
        columns
    }
}

/// For each of these values, the numbers of a layer that it is made of, ascending.
pub(super) fn columns(flow: &Flow<'_>, linear: &Linear, values: &[ValueId]) -> Vec<Vec<usize>> {
    let graph = flow.graph();
    let mut held: HashMap<ValueId, Held> = HashMap::new();
    let all: Vec<usize> = (0..linear.outputs).collect();
    for made in [linear.product, linear.result] {
        let layout = graph.tensor_type(made).map(|known| {
            let mut axes = vec![None; known.shape.len()];
            let is_convolution = graph.nodes()[linear.node].is("Conv");
            let at = if is_convolution { 1 } else { known.shape.len() - 1 };
            axes[at] = Some(all.clone());
            Layout { first: 0, axes }
        });
        held.insert(made, Held { columns: vec![true; linear.outputs], layout });
    }
    for node in graph.nodes().iter().skip(linear.node + 1) {
        let of: Vec<&Held> = flow.data(node).iter().filter_map(|value| held.get(value)).collect();
        let (Some(first), false) = (of.first(), flow.is_linear(node) || flow.is_product(node)) else { continue };
        let outputs: Vec<ValueId> = node.outputs.iter().flatten().copied().collect();
        let kept = outputs.iter().map(|output| {
            if held.contains_key(output) {
                return None;
            }
            let moved = if of.len() == 1 { first.layout.as_ref() } else { None };
            let layout = moved.and_then(|layout| moved_by(flow, node, *output, layout));
            let columns = match &layout {
                Some(layout) => layout.columns(linear.outputs),
                None => (0..linear.outputs).map(|at| of.iter().any(|held| held.columns[at])).collect(),
            };
            Some((*output, Held { columns, layout }))
        });
        let kept: Vec<(ValueId, Held)> = kept.flatten().collect();
        held.extend(kept);
    }
    let of = |value: &ValueId| match held.get(value) {
        Some(held) => all.iter().copied().filter(|column| held.columns[*column]).collect(),
        None => Vec::new(),
    };
    values.iter().map(of).collect()
}

/// Where numbers lie behind a node that moves them; nothing where that is not known.
fn moved_by(flow: &Flow<'_>, node: &Node, output: ValueId, layout: &Layout) -> Option<Layout> {
    let graph = flow.graph();
    let input = flow.data(node).into_iter().next()?;
    let (from, to) = (&graph.tensor_type(input)?.shape, &graph.tensor_type(output)?.shape);
    let axis = |at: i64| usize::try_from(if at < 0 { at + from.len() as i64 } else { at }).ok();
    let numbers = |at: usize| graph.constant_of(node.input(at)?)?.to_i64();
    let first = layout.first;
    match node.operator.as_str() {
        "Transpose" => {
            let turned: Vec<i64> = (0..from.len() as i64).rev().collect();
            let order = node.ints("perm").unwrap_or(&turned);
            let axes = order.iter().map(|at| layout.axes.get(axis(*at)?).cloned()).collect::<Option<Vec<_>>>()?;
            Some(Layout { first, axes })
        }
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => reshaped(layout, from, to),
        "Split" => {
            let at = axis(node.int("axis").unwrap_or(0))?;
            let place = node.outputs.iter().position(|made| *made == Some(output))?;
            let length = |made: &Option<ValueId>| graph.tensor_type((*made)?)?.shape.get(at)?.fixed();
            let lengths = node.outputs.iter().map(length).collect::<Option<Vec<usize>>>();
            let Some(steps) = &layout.axes[at] else { return Some(layout.clone()) };
            let lengths = lengths?;
            let start: usize = lengths[..place].iter().sum();
            with_axis(layout, at, steps.get(start..start + lengths[place])?.to_vec())
        }
        "Slice" => {
            let (starts, ends) = (numbers(1)?, numbers(2)?);
            let axes = if node.input(3).is_some() { numbers(3)? } else { (0..starts.len() as i64).collect() };
            let steps = if node.input(4).is_some() { numbers(4)? } else { vec![1; starts.len()] };
            let mut sliced = layout.clone();
            for (at, ((start, end), step)) in axes.iter().zip(starts.iter().zip(&ends).zip(&steps)) {
                let at = axis(*at)?;
                let Some(held) = sliced.axes.get(at)?.clone() else { continue };
                let length = held.len() as i64;
                let place = |at: i64| (if at < 0 { at + length } else { at }).clamp(0, length) as usize;
                let part = held.get(place(*start)..place(*end))?;
                let part = part.iter().copied().step_by(usize::try_from(*step).ok().filter(|step| *step > 0)?);
                sliced = with_axis(&sliced, at, part.collect())?;
            }
            Some(sliced)
        }
        "Gather" => {
            let at = axis(node.int("axis").unwrap_or(0))?;
            let indices = graph.constant_of(node.input(1)?)?;
            let mut gathered = layout.clone();
            if let Some(steps) = &layout.axes[at] {
                let place = |index: &i64| {
                    steps.get(usize::try_from(if *index < 0 { index + steps.len() as i64 } else { *index }).ok()?)
                };
                let taken: Vec<usize> =
                    indices.to_i64()?.iter().map(|index| place(index).copied()).collect::<Option<_>>()?;
                gathered = with_axis(layout, at, taken)?;
            }
            match indices.shape.len() {
                0 => without_axis(&gathered, at),
                1 => Some(gathered),
                _ => None,
            }
        }
        "ReduceMax" | "ReduceMean" | "ReduceSum" => {
            let axes = match node.ints("axes") {
                Some(axes) => axes.to_vec(),
                None => numbers(1)?,
            };
            let axes: BTreeSet<usize> = axes.into_iter().map(axis).collect::<Option<_>>()?;
            let over_tokens = |at: &usize| layout.axes.get(*at).is_some_and(Option::is_none);
            if !axes.iter().all(over_tokens) {
                return None;
            }
            let is_kept = node.int("keepdims").unwrap_or(1) != 0;
            let kept = layout.axes.iter().enumerate().filter(|(at, _)| is_kept || !axes.contains(at));
            Some(Layout { first, axes: kept.map(|(_, axis)| axis.clone()).collect() })
        }
        // one number for one, in the same place
        _ if from == to => Some(layout.clone()),
        _ => None,
    }
}

fn with_axis(layout: &Layout, at: usize, steps: Vec<usize>) -> Option<Layout> {
    let mut changed = layout.clone();
    *changed.axes.get_mut(at)? = Some(steps);
    Some(changed)
}

/// Without an axis of length 1.
fn without_axis(layout: &Layout, at: usize) -> Option<Layout> {
    let mut changed = layout.clone();
    match changed.axes.remove(at).as_deref() {
        None => {}
        Some([step]) => changed.first += step,
        Some(_) => return None,
    }
    Some(changed)
}

/// As `from` is read in the order of its elements as `to`: groups of axes of the same product, from the last on.
fn reshaped(layout: &Layout, from: &[Length], to: &[Length]) -> Option<Layout> {
    let (mut i, mut j) = (from.len(), to.len());
    let mut made = Layout { first: layout.first, axes: vec![None; to.len()] };
    while layout.axes[..i].iter().any(Option::is_some) {
        if i > 0 && j > 0 && from[i - 1] == to[j - 1] {
            (i, j) = (i - 1, j - 1);
            made.axes[j] = layout.axes[i].clone();
            continue;
        }
        let (last_from, last_to) = (i, j);
        let (mut a, mut b) = (1, 1);
        loop {
            if a <= b && i > 0 {
                i -= 1;
                a *= from[i].fixed()?;
            } else if j > 0 {
                j -= 1;
                b *= to[j].fixed()?;
            } else {
                return None;
            }
            if a > LONGEST || b > LONGEST {
                return None;
            }
            if a == b {
                break;
            }
        }
        // what each place of the group adds
        let mut steps = vec![0];
        for (axis, length) in layout.axes[i..last_from].iter().zip(&from[i..last_from]) {
            let zeros = vec![0; length.fixed()?];
            let axis = axis.as_ref().unwrap_or(&zeros);
            steps = steps.iter().flat_map(|sum| axis.iter().map(move |step| sum + step)).collect();
        }
        let base = *steps.first()?;
        made.first += base;
        let mut stride = steps.len();
        let mut sums = vec![base];
        for (made, length) in made.axes[j..last_to].iter_mut().zip(&to[j..last_to]) {
            let length = length.fixed()?;
            stride /= length.max(1);
            let axis: Vec<usize> =
                (0..length).map(|place| steps[place * stride].checked_sub(base)).collect::<Option<_>>()?;
            sums = sums.iter().flat_map(|sum| axis.iter().map(move |step| sum + step)).collect();
            *made = axis.iter().any(|step| *step > 0).then_some(axis);
        }
        if sums != steps {
            return None;
        }
    }
    Some(made)
}
