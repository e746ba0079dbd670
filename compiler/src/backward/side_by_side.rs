use crate::CompilerError;
use crate::graph::{Graph, Length, TensorType, ValueId};

/// A gradient that is zero but for a part of an axis.
struct Margined {
    part: ValueId,
    axis: usize,
    /// Where the part begins and ends.
    from: usize,
    to: usize,
    whole: TensorType,
}

/// Gradients whose sum is that of `gradients`: those of parts of an axis that do not overlap, each with zeros around it, are
/// put side by side instead of being added up, whole tensors with zeros.
pub(super) fn side_by_side(graph: &mut Graph, gradients: &[ValueId]) -> Result<Vec<ValueId>, CompilerError> {
    if gradients.len() < 2 {
        return Ok(gradients.to_vec());
    }
    let mut found: Vec<Margined> = Vec::new();
    let mut others = Vec::new();
    for gradient in gradients {
        match margined(graph, *gradient) {
            Some(one) if found.first().is_none_or(|first| first.axis == one.axis) => found.push(one),
            _ => others.push(*gradient),
        }
    }
    found.sort_by_key(|one| one.from);
    let overlap = found.windows(2).any(|pair| pair[1].from < pair[0].to);
    if found.len() < 2 || overlap {
        return Ok(gradients.to_vec());
    }
    let (axis, whole) = (found[0].axis, found[0].whole.clone());
    let mut pieces = Vec::new();
    let mut end = 0;
    for one in &found {
        pieces.extend(zeros(graph, &whole, axis, Length::from(one.from) - end)?);
        pieces.push(one.part);
        end = one.to;
    }
    pieces.extend(zeros(graph, &whole, axis, &whole.shape[axis] - end)?);
    others.push(graph.concat(&pieces, axis as i64)?);
    Ok(others)
}

/// What a gradient is made of, where it is a part with zeros before and behind it on one axis.
fn margined(graph: &Graph, gradient: ValueId) -> Option<Margined> {
    let node = graph.producer(gradient).filter(|node| node.is("Pad"))?;
    let is_plain =
        node.inputs.iter().skip(2).all(Option::is_none) && node.string("mode").unwrap_or("constant") == "constant";
    let (part, pads) = (node.input(0)?, node.input(1)?);
    let pads = graph.lengths_of(pads).filter(|_| is_plain)?;
    let (before, after) = pads.split_at(pads.len() / 2);
    let mut padded = (0..before.len()).filter(|axis| before[*axis] != 0 || after[*axis] != 0);
    let (axis, None) = (padded.next()?, padded.next()) else { return None };
    let from = before[axis].fixed()?;
    let length = graph.shape(part).ok()?.get(axis)?.fixed()?;
    // a negative margin cuts
    let is_around = after[axis].as_number().is_none_or(|after| after >= 0);
    let whole = graph.known_type(gradient).ok()?.clone();
    is_around.then_some(Margined { part, axis, from, to: from + length, whole })
}

/// Zeros of this length on an axis, where it is any.
fn zeros(graph: &mut Graph, whole: &TensorType, axis: usize, length: Length) -> Result<Option<ValueId>, CompilerError> {
    if length == 0 {
        return Ok(None);
    }
    let mut shape = whole.shape.clone();
    shape[axis] = length;
    graph.zeros(&shape).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::OperatorCatalog;

    fn operators(parts: &[(usize, usize)], length: usize) -> (Vec<String>, Vec<ValueId>) {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let mut gradients = Vec::new();
        for (index, (from, count)) in parts.iter().enumerate() {
            let part = graph.input(&format!("part.{index}"), TensorType::f32([*count, 2]));
            gradients.push(graph.pad(part, &[*from, 0], &[length - from - count, 0]).unwrap());
        }
        let before = graph.nodes().len();
        let found = side_by_side(&mut graph, &gradients).unwrap();
        for value in &found {
            assert_eq!(graph.known_type(*value).unwrap(), &TensorType::f32([length, 2]));
        }
        (graph.nodes()[before..].iter().map(|node| node.operator.clone()).collect(), found)
    }

    #[test]
    fn parts_that_do_not_overlap_are_joined_and_gaps_are_zeros() {
        let of = |parts: &[(usize, usize)], length| {
            let (operators, found) = operators(parts, length);
            (operators.join(" "), found.len())
        };
        assert_eq!(of(&[(2, 1), (0, 1), (1, 1)], 3), ("Concat".to_owned(), 1));
        assert_eq!(of(&[(1, 2), (4, 1)], 7), ("ConstantOfShape ConstantOfShape ConstantOfShape Concat".to_owned(), 1));
        assert_eq!(of(&[(0, 2), (1, 2)], 3), (String::new(), 2));
        assert_eq!(of(&[(1, 2)], 3), (String::new(), 1));
    }
}
