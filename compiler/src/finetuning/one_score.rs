//! One score for each place, as a sigmoid reads it, where the places are of two classes.

use crate::CompilerError;
use crate::graph::{Constant, Graph, Length, ValueId};
use crate::losses::PredictionKind;

/// Where scores of one for each place have the axis of that score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScoreAxis {
    /// There, with the length 1.
    At(usize),
    /// Nowhere: `[batch, height, width]`.
    Missing,
}

/// Whether scores of these lengths are one for each place, `[batch, 1, height, width]`, `[batch, height, width, 1]` or `[batch, height,
/// width]`, where each place is of one of two classes: the score of the second class against the first. `axes`: how many a prediction of
/// all classes has, where it is known.
pub(crate) fn is_one_score(
    reads: PredictionKind,
    classes: Option<usize>,
    axes: Option<usize>,
    shape: &[Length],
) -> bool {
    score_axis(reads, classes, axes, shape).is_some()
}

/// The axis of the one score of each place; none where the scores are others, as of [`is_one_score`].
pub(super) fn score_axis(
    reads: PredictionKind,
    classes: Option<usize>,
    axes: Option<usize>,
    shape: &[Length],
) -> Option<ScoreAxis> {
    if reads != PredictionKind::ClassScores || classes != Some(2) || shape.len() < 3 {
        return None;
    }
    // of a prediction with an axis more, that is the one of the classes, whatever lengths the places have
    if axes == Some(shape.len() + 1) {
        return Some(ScoreAxis::Missing);
    }
    let is = |axis: usize, length: usize| shape[axis].fixed() == Some(length);
    let last = shape.len() - 1;
    let is_one_place = (1..=last).all(|axis| is(axis, 1));
    if is_one_place || axes.is_some_and(|axes| axes != shape.len()) {
        return None;
    }
    // the channels of a map are second; a last axis of two is its width
    if axes.is_some_and(|axes| axes > 3) && is(1, 1) {
        return Some(ScoreAxis::At(1));
    }
    if is(1, 2) || is(last, 2) {
        return None;
    }
    // without a count of axes, an open last length may be that of the classes
    let is_map = axes.is_none() && last == 2 && (1..=last).all(|axis| shape[axis].fixed().is_some());
    let own = [1, last].into_iter().find(|axis| is(*axis, 1)).map(ScoreAxis::At);
    own.or_else(|| is_map.then_some(ScoreAxis::Missing))
}

/// One score for each place, its axis second where it has one, as scores of two classes, `[batch, 2, …]`: 0 for the first class, so that
/// the chance of the second, by their softmax, is the sigmoid of the score, and their cross-entropy is its binary cross-entropy.
///
/// # Errors
/// The rule of an operator is missing in the graph's table, or refuses the scores.
pub(super) fn of_two_classes(
    graph: &mut Graph,
    mut scores: ValueId,
    axis: ScoreAxis,
) -> Result<ValueId, CompilerError> {
    let mut axes = graph.tensor_type(scores).map_or(0, |known| known.shape.len());
    if axis == ScoreAxis::Missing {
        let second = graph.named_constant("axis_of_classes", Constant::i64([1], &[1]));
        scores = graph.append("Unsqueeze", &[scores, second], &[], "score_of_place")?;
        axes += 1;
    }
    let mut margins = vec![0; 2 * axes];
    margins[1] = 1;
    let margins = graph.named_constant("first_class", Constant::i64([margins.len()], &margins));
    graph.append("Pad", &[scores, margins], &[], "scores_of_classes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of an output; 0 stands for an open one.
    fn shape(lengths: &[usize]) -> Vec<Length> {
        let open = ["batch", "a", "b", "c"];
        let length = |(at, length): (usize, &usize)| match length {
            0 => Length::named(open[at]),
            fixed => (*fixed).into(),
        };
        lengths.iter().enumerate().map(length).collect()
    }

    #[test]
    fn classes_of_tokens_whose_number_stays_open_are_not_read_as_one_score_a_pixel() {
        use ScoreAxis::{At, Missing};
        // lengths, axes of the prediction, where the one score is
        type Row = (&'static [usize], Option<usize>, Option<ScoreAxis>);
        let rows: [Row; 12] = [
            (&[0, 0, 0], None, None),
            (&[0, 7, 0], None, None),
            (&[0, 0, 0], Some(3), None),
            (&[0, 0, 0], Some(4), Some(Missing)),
            (&[0, 6, 5], None, Some(Missing)),
            (&[0, 6, 5], Some(2), None),
            (&[0, 0, 2], None, None),
            (&[0, 0, 1], Some(3), Some(At(2))),
            (&[0, 1, 0, 0], None, Some(At(1))),
            (&[0, 0, 0, 1], Some(4), Some(At(3))),
            (&[0, 0, 0, 0], Some(4), None),
            (&[0, 2, 6, 5], Some(4), None),
        ];
        for (lengths, axes, wanted) in rows {
            let found = score_axis(PredictionKind::ClassScores, Some(2), axes, &shape(lengths));
            assert_eq!(found, wanted, "{lengths:?} {axes:?}");
        }
        let found = |reads, classes| score_axis(reads, classes, Some(4), &shape(&[0, 1, 6, 5]));
        assert_eq!(found(PredictionKind::ClassScores, Some(2)), Some(At(1)));
        assert_eq!(found(PredictionKind::ClassScores, Some(3)), None);
        assert_eq!(found(PredictionKind::LabelScores, Some(2)), None);
    }

    #[test]
    fn maps_of_one_score_that_are_one_pixel_high_or_two_wide_keep_their_axes() {
        use ScoreAxis::{At, Missing};
        type Row = (&'static [usize], Option<ScoreAxis>);
        let rows: [Row; 6] = [
            (&[0, 1, 128], Some(Missing)),
            (&[0, 128, 1], Some(Missing)),
            (&[0, 128, 2], Some(Missing)),
            (&[0, 1, 128, 2], Some(At(1))),
            (&[0, 128, 2, 1], Some(At(3))),
            (&[0, 128, 7, 2], None),
        ];
        for (lengths, wanted) in rows {
            let found = score_axis(PredictionKind::ClassScores, Some(2), Some(4), &shape(lengths));
            assert_eq!(found, wanted, "{lengths:?}");
        }
    }
}
