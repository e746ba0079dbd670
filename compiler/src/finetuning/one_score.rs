//! One score for each place, as a sigmoid reads it, where the places are of two classes.

use crate::CompilerError;
use crate::graph::{Constant, Graph, Length, ValueId};
use crate::losses::PredictionKind;

/// Whether scores of these lengths are one for each place, `[batch, 1, height, width]`, `[batch, height, width, 1]` or `[batch, height,
/// width]`, where each place is of one of two classes: the score of the second class against the first. `axes`: how many a prediction of
/// all classes has, where it is known.
pub(crate) fn is_one_score(
    reads: PredictionKind,
    classes: Option<usize>,
    axes: Option<usize>,
    shape: &[Length],
) -> bool {
    let [_, second, .., last] = shape else { return false };
    let is_of_two = [second, last].iter().any(|length| length.fixed() == Some(2));
    if reads != PredictionKind::ClassScores || classes != Some(2) || is_of_two {
        return false;
    }
    let has_axis = one_score_axis(shape).is_some();
    let has_places = shape[1..].iter().any(|length| length.fixed() != Some(1));
    let fits = match axes {
        Some(axes) if axes == shape.len() => has_axis,
        Some(axes) => axes == shape.len() + 1,
        None => has_axis || shape.len() == 3,
    };
    has_places && fits
}

/// The axis that such scores have for the one score of a place: the second or the last, where either has the length 1.
pub(super) fn one_score_axis(shape: &[Length]) -> Option<usize> {
    let last = shape.len().checked_sub(1)?;
    [1, last].into_iter().find(|axis| shape.get(*axis).is_some_and(|length| length.fixed() == Some(1)))
}

/// One score for each place, its axis second where it has one, as scores of two classes, `[batch, 2, …]`: 0 for the first class, so that
/// the chance of the second, by their softmax, is the sigmoid of the score, and their cross-entropy is its binary cross-entropy.
///
/// # Errors
/// The rule of an operator is missing in the graph's table, or refuses the scores.
pub(super) fn of_two_classes(graph: &mut Graph, mut scores: ValueId) -> Result<ValueId, CompilerError> {
    let shape = graph.tensor_type(scores).map_or(&[][..], |known| known.shape.as_slice());
    let (has_axis, mut axes) = (shape.get(1).is_some_and(|length| length.fixed() == Some(1)), shape.len());
    if !has_axis {
        let second = graph.named_constant("axis_of_classes", Constant::i64([1], &[1]));
        scores = graph.append("Unsqueeze", &[scores, second], &[], "score_of_place")?;
        axes += 1;
    }
    let mut margins = vec![0; 2 * axes];
    margins[1] = 1;
    let margins = graph.named_constant("first_class", Constant::i64([margins.len()], &margins));
    graph.append("Pad", &[scores, margins], &[], "scores_of_classes")
}
