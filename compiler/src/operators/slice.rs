use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, folding, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Graph, Known, Length, Node, TensorType, ValueId};

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
#[derive(Clone)]
struct Part {
    start: Length,
    count: Length,
    step: i64,
}

/// The parts that a node takes, for each axis of its input.
fn parts(graph: &Graph, node: &Node, shape: &[Length]) -> Result<Vec<Part>, String> {
    let bound = |index: usize, what: &str| {
        let given = node.input(index).and_then(|given| graph.lengths_of(given));
        given.ok_or_else(|| format!("the {what} are computed from data or missing"))
    };
    let numbers = |index: usize, what: &str| {
        axes::integers_of(graph, node, index).ok_or_else(|| format!("the {what} are computed from data or missing"))
    };
    let (starts, ends) = (bound(1, "starts")?, bound(2, "ends")?);
    let named = if node.input(3).is_some() { numbers(3, "axes")? } else { (0..starts.len() as i64).collect() };
    let steps = if node.input(4).is_some() { numbers(4, "steps")? } else { vec![1; starts.len()] };
    if ends.len() != starts.len() || named.len() != starts.len() || steps.len() != starts.len() {
        return Err("starts, ends, axes and steps differ in length".into());
    }
    axes::all_from_front(&named, shape.len())?;
    let whole = |length: &Length| Part { start: 0.into(), count: length.clone(), step: 1 };
    let mut parts: Vec<Part> = shape.iter().map(whole).collect();
    for (at, axis) in named.iter().enumerate() {
        let axis = axes::from_front(*axis, shape.len())?;
        let numbers = (shape[axis].fixed(), starts[at].as_number(), ends[at].as_number());
        parts[axis] = match numbers {
            (Some(length), Some(start), Some(end)) => part(length, start, end, steps[at])?,
            _ => open_part(&shape[axis], &starts[at], &ends[at], steps[at])
                .ok_or_else(|| obstacle(graph, node, (axis, &shape[axis]), [&starts[at], &ends[at]], steps[at]))?,
        };
    }
    Ok(parts)
}

/// Why the part of an axis cannot be told: a bound of which it is open from where it counts, or else the axis itself.
fn obstacle(graph: &Graph, node: &Node, (axis, length): (usize, &Length), bounds: [&Length; 2], step: i64) -> String {
    let is_forwards = (1..LONGEST).contains(&step);
    let has_sign = |bound: &Length| bound.is_at_least(0) || (Length::number(-1) - bound).is_at_least(0);
    let is_open = |bound: &Length| bound.as_number().is_none() && !(is_forwards && has_sign(bound));
    let advice = "export the model with fixed lengths";
    let Some(at) = bounds.iter().position(|bound| is_open(bound)) else {
        return format!("a part in steps of {step} of axis {axis}, whose length {length} is open: {advice}");
    };
    let made_by = node.input(at + 1).and_then(|given| graph.producer(given)).map_or_else(String::new, |maker| {
        format!(", of node `{}` ({}),", graph.label(maker), maker.qualified_operator())
    });
    let either = if has_sign(bounds[at]) { "" } else { ", and may count from the front or from the end" };
    let (what, bound) = (["start", "end"][at], bounds[at]);
    format!(
        "a part in steps of {step} of axis {axis} of {length}: its {what} {bound}{made_by} is open{either}: {advice}"
    )
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
    Ok(Part { start: (start.max(0) as usize).into(), count: (count as usize).into(), step })
}

/// The same over names: forwards, or all of it backwards.
fn open_part(length: &Length, start: &Length, end: &Length, step: i64) -> Option<Part> {
    if step == -1 && start.as_number() == Some(-1) && end.as_number().is_some_and(|end| end < -LONGEST) {
        return Some(Part { start: length - 1, count: length.clone(), step });
    }
    let step = usize::try_from(step).ok().filter(|step| (1..LONGEST as usize).contains(step))?;
    // what is sliced has an entry, also where its length is the rest of a division
    let cut = |bound: Length| if bound.as_number() == Some(1) { bound } else { bound.minimum(length) };
    let counted = |bound: &Length| match bound.as_number() {
        Some(number) if number < 0 => Some(length - cut(Length::number(number.checked_neg()?))),
        Some(_) => Some(cut(bound.clone())),
        None if bound.is_at_least(0) => Some(bound.minimum(length)),
        // counted from the end when it is negative whatever the names stand for
        None if (Length::number(-1) - bound).is_at_least(0) => {
            Some(length - (Length::number(0) - bound).minimum(length))
        }
        None => from_either_end(length, bound),
    };
    let (start, end) = (counted(start)?, counted(end)?);
    let distance = end - &start;
    let all_but_one = length - 1;
    let is_whole = distance.is_at_least(0) || (&distance - &all_but_one).is_at_least(0);
    let count = if is_whole { distance } else { &distance - distance.minimum(&0.into()) };
    Some(Part { start, count: count.quotient_up(step), step: step as i64 })
}

/// Where a bound counts from whose sign depends on what names stand for: from the front, or from the end where it is negative.
fn from_either_end(length: &Length, bound: &Length) -> Option<Length> {
    let (zero, one) = (Length::from(0), Length::from(1));
    let or_none = |value: Length| &value - value.minimum(&zero);
    let is_negative = or_none(&zero - bound).minimum(&one);
    let counted = or_none(bound + is_negative * length).minimum(length);
    (!counted.is_excessive()).then_some(counted)
}

/// No axis is longer.
const LONGEST: i64 = 1 << 40;

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    for index in 1..3 {
        rule.known_lengths(index)?;
    }
    rule.require_known(3..5)?;
    let parts = parts(rule.graph, rule.node, &x.shape).map_err(|message| rule.error(message))?;
    Ok(vec![TensorType { dtype: x.dtype, shape: parts.into_iter().map(|part| part.count).collect() }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let Some(source) = folding::integer_input(rule, 0) else { return Ok(None) };
    for index in 1..3 {
        rule.known_lengths(index)?;
    }
    rule.require_known(3..5)?;
    let parts = parts(rule.graph, rule.node, &source.tensor_type().shape).map_err(|message| rule.error(message))?;
    let steps = folding::steps(&source.shape);
    let numbers = parts.iter().map(|part| Some((part.start.fixed()? as i64, part.count.fixed()?, part.step)));
    let Some(numbers) = numbers.collect::<Option<Vec<_>>>() else { return Ok(None) };
    let shape: Vec<usize> = numbers.iter().map(|(_, count, _)| *count).collect();
    let from = |at: &[usize]| {
        let axes = at.iter().zip(&numbers).zip(&steps);
        axes.map(|((at, (start, _, by)), step)| (start + *at as i64 * by) as usize * step).sum()
    };
    Ok(folding::moved(&source, &shape, from))
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let full = b.input_shape(0)?;
    let mut parts = parts(b.graph, &b.node, &full).map_err(|message| b.error(message))?;
    let mut dx = b.dy()?;
    // what was read backwards is turned first
    for (axis, part) in parts.iter_mut().enumerate().filter(|(_, part)| part.step < 0 && part.count != 0) {
        dx = turned(b, dx, axis, &part.count)?;
        part.start = &part.start - (&part.count - 1) * part.step.unsigned_abs() as usize;
        part.step = -part.step;
    }
    let wide = |part: &Part| part.step > 1 && part.count != 1 && part.count != 0;
    if parts.iter().any(wide) {
        dx = with_gaps(b, dx, &parts)?;
    }
    let (mut before, mut after) = (vec![], vec![]);
    for (axis, part) in parts.iter().enumerate() {
        before.push(part.start.clone());
        after.push(&full[axis] - &part.start - &b.graph.shape(dx)?[axis]);
    }
    let dx = b.graph.pad(dx, &before, &after)?;
    b.give(0, dx)
}

/// An axis the other way round.
fn turned(b: &mut Backward<'_>, value: ValueId, axis: usize, count: &Length) -> Result<ValueId, CompilerError> {
    let Some(count) = count.fixed() else {
        return b.graph.slice(value, &[axis as i64], &[Length::number(-1)], &[Length::number(i64::MIN + 1)], &[-1]);
    };
    b.require_writable(count)?;
    let order: Vec<i64> = (0..count as i64).rev().collect();
    let order = b.graph.integers(&order);
    b.graph.add("Gather", &[value, order], &[("axis", (axis as i64).into())])
}

/// Puts `step − 1` zeros between elements: each axis is split into (count, 1), padded to (count, step) and merged.
fn with_gaps(b: &mut Backward<'_>, value: ValueId, parts: &[Part]) -> Result<ValueId, CompilerError> {
    let step = |part: &Part| if part.count == 1 || part.count == 0 { 1 } else { part.step as usize };
    let split: Vec<Length> = parts.iter().flat_map(|part| [part.count.clone(), 1.into()]).collect();
    let gaps: Vec<usize> = parts.iter().flat_map(|part| [0, step(part) - 1]).collect();
    let merged: Vec<Length> = parts.iter().map(|part| &part.count * step(part)).collect();
    let value = b.graph.reshape(value, &split)?;
    let value = b.graph.pad(value, &vec![0; gaps.len()], &gaps)?;
    let value = b.graph.reshape(value, &merged)?;
    // no gap after the last element, where the input may already have ended
    let axes: Vec<usize> = (0..parts.len()).filter(|axis| step(&parts[*axis]) > 1).collect();
    let names: Vec<i64> = axes.iter().map(|axis| *axis as i64).collect();
    let counts: Vec<Length> = axes.iter().map(|axis| &merged[*axis] - (step(&parts[*axis]) - 1)).collect();
    b.graph.part(value, &names, &vec![0.into(); axes.len()], &counts, &vec![1; axes.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, read, untyped, value, weight, whole};

    #[test]
    fn a_part_that_cannot_be_told_names_the_bound_that_is_open_and_the_node_that_makes_it() {
        let nodes = vec![
            node("Shape", &["x"], &["lengths"]),
            node("Gather", &["lengths", "first"], &["rows"]),
            node("Sub", &["rows", "ten"], &["fewer"]),
            node("Relu", &["table"], &["y"]),
        ];
        let numbers = [("first", 0), ("ten", 10), ("zero", 0), ("axis", 0), ("back", -2)];
        let mut constants = vec![weight("table", &[80, 4])];
        constants.extend(numbers.map(|(name, number)| whole(name, &[1], &[number])));
        let graph = read(graph(nodes, constants, vec![value("x", &[4])], vec![untyped("y"), untyped("fewer")]));
        // start, end, step, the length of the axis, and what is said
        let rows: [(&str, &str, &str, Length, String); 2] = [
            (
                "fewer",
                "zero",
                "back",
                80.into(),
                "axis 0 of 80: its start batch - 10, of node `fewer` (Sub), is open".into(),
            ),
            ("ten", "zero", "back", Length::named("n"), "axis 0, whose length n is open".to_owned()),
        ];
        for (start, end, step, length, wanted) in rows {
            // one element after another where no step is given
            let step = (step == "back").then_some(step);
            let inputs = [Some("table"), Some(start), Some(end), Some("axis"), step];
            let inputs = inputs.map(|name| name.and_then(|name| graph.find(name))).to_vec();
            let slice = Node { operator: "Slice".into(), inputs, ..Node::default() };
            let error = parts(&graph, &slice, &[length, 4.into()]).err().unwrap();
            assert!(error.contains(&wanted), "wanted `{wanted}` in `{error}`");
            assert!(error.ends_with("export the model with fixed lengths"), "{error}");
        }
    }

    #[test]
    fn a_part_of_open_bounds_is_that_of_the_numbers_they_stand_for() {
        let s = Length::named("s");
        let number = Length::number;
        // MPT, DeBERTa, and others whose bounds may count from either end
        let rows: Vec<(Length, Length, Length)> = vec![
            (40.into(), number(40) - &s, number(i64::MAX)),
            (40.into(), number(40) - (&s + 0).minimum(&40.into()), number(i64::MAX)),
            (80.into(), number(40) - &s, &s + 40),
            (s.clone(), number(3) - &s, &s - 2),
            (&s + 5, &s - 4, number(-1)),
            (s.clone(), &s - 20, &s - 3),
            (&s * 2, number(7) - &s * 2, &s + 1),
            (s.quotient_up(2), number(2) - &s, number(i64::MAX)),
        ];
        for (length, start, end) in rows {
            for step in [1, 2, 3] {
                let open = open_part(&length, &start, &end, step).unwrap();
                for at in 1..100 {
                    let value = |open: &Length| open.with(&|_| Some(number(at))).as_number().unwrap();
                    let wanted = part(value(&length) as usize, value(&start), value(&end), step).unwrap();
                    let (got, count) = (value(&open.start), value(&open.count));
                    let told =
                        format!("{start}..{end} in steps of {step} of {length} at {at}: {} {}", open.start, open.count);
                    assert_eq!(Some(count), wanted.count.as_number(), "{told}");
                    assert!(count == 0 || Some(got) == wanted.start.as_number(), "{told}");
                }
            }
        }
    }

    #[test]
    fn the_last_entries_of_a_table_as_long_as_an_open_axis_fit_beside_it() {
        let s = Length::named("s");
        for (start, end, wanted) in [
            (Length::number(40) - &s, Length::number(i64::MAX), s.clone()),
            (Length::number(40) - s.minimum(&40.into()), Length::number(i64::MAX), s.clone()),
        ] {
            let count = open_part(&40.into(), &start, &end, 1).unwrap().count;
            assert!(count.agrees_with(&wanted) && wanted.agrees_with(&count), "{count}");
        }
        let both = open_part(&80.into(), &(Length::number(40) - &s), &(&s + 40), 1).unwrap().count;
        assert!(both.agrees_with(&(&s * 2)), "{both}");
    }
}
