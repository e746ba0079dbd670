//! Where the axes of a value are behind nodes that hand its numbers on, on other axes or in another order of the axes.

use super::score_effects::{ScoreEffect, score_effect};
use crate::graph::{Length, Node};

/// For each axis of what a node reads first, of lengths `from`, where it is in what the node makes, of lengths `to`; nothing for one that
/// is no axis of that any more. None of a node that does more than hand the numbers on.
pub(super) fn moved_axes(node: &Node, from: &[Length], to: &[Length]) -> Option<Vec<Option<usize>>> {
    match score_effect(node)? {
        ScoreEffect::Keeps => Some((0..from.len()).map(Some).collect()),
        ScoreEffect::Transposes => Some(transposed_axes(node, from.len())),
        ScoreEffect::Reshapes => Some(reshaped_axes(from, to)),
        _ => None,
    }
}

/// Where each of so many axes is behind a `Transpose`.
pub(super) fn transposed_axes(node: &Node, rank: usize) -> Vec<Option<usize>> {
    let turned: Vec<i64> = (0..rank as i64).rev().collect();
    let mut found = vec![None; rank];
    for (made, read) in node.ints("perm").unwrap_or(&turned).iter().enumerate() {
        let from_front = if *read < 0 { *read + rank as i64 } else { *read };
        let read = usize::try_from(from_front).unwrap_or(usize::MAX);
        if let Some(place) = found.get_mut(read) {
            *place = Some(made);
        }
    }
    found
}

/// Where each axis is in what is read as another shape: an axis stays one where it is as long, and as many elements lie in front of it
/// or behind it. Of several the outermost, for the others are of length 1.
pub(super) fn reshaped_axes(from: &[Length], to: &[Length]) -> Vec<Option<usize>> {
    let before = |shape: &[Length], axis: usize| shape[..axis].iter().product::<Length>();
    let behind = |shape: &[Length], axis: usize| shape[axis + 1..].iter().product::<Length>();
    let of = |axis: usize| {
        let (outer, inner) = (before(from, axis), behind(from, axis));
        let is_same = |own: &usize| to[*own] == from[axis] && (before(to, *own) == outer || behind(to, *own) == inner);
        (0..to.len()).find(is_same)
    };
    (0..from.len()).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(fixed: &[usize]) -> Vec<Length> {
        fixed.iter().map(|length| Length::from(*length)).collect()
    }

    #[test]
    fn an_axis_is_found_in_another_shape_by_its_length_and_what_lies_beside_it() {
        // lengths of the axes, as what they are read, and where each is then
        type Row<'a> = (&'a [usize], &'a [usize], &'a [Option<usize>]);
        let rows: [Row<'_>; 6] = [
            (&[2, 6, 4, 5], &[2, 6, 20], &[Some(0), Some(1), None, None]),
            (&[2, 20, 6], &[2, 4, 5, 6], &[Some(0), None, Some(3)]),
            (&[2, 6, 1, 1], &[2, 6], &[Some(0), Some(1), None, None]),
            (&[2, 6], &[2, 6, 1, 1], &[Some(0), Some(1)]),
            // as long, and not the same
            (&[2, 6, 3], &[6, 2, 3], &[None, None, Some(2)]),
            (&[4, 4], &[16], &[None, None]),
        ];
        for (from, to, wanted) in rows {
            assert_eq!(reshaped_axes(&lengths(from), &lengths(to)), wanted, "{from:?} as {to:?}");
        }
        let (batch, places) = (Length::named("batch"), Length::named("places"));
        // lengths on one side alone are compared where those of the other are open under other names
        let from = [batch.clone(), places, 6.into()];
        let to = [batch, Length::named("height"), Length::named("width"), 6.into()];
        assert_eq!(reshaped_axes(&from, &to), [Some(0), None, Some(3)]);
    }
}
