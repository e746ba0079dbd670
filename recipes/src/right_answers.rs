//! Whether kept answers are right.

use millstream_schemas::{PredictionTargets, ScoresOf};
use millstream_training::ensembles::MemberScores;

/// Of each row whether a model is right: the class with the highest score, the first of equals, is the true one; of labels all are said
/// that hold and no other. `thresholds` are log-odds as the model's file notes them, 0 where it notes none. None of numbers.
pub(crate) fn is_right(scores: &MemberScores, member: usize, thresholds: &[f64]) -> Option<Vec<bool>> {
    let columns = scores.columns();
    let rows = scores.scores(member).chunks(columns);
    match scores.targets() {
        PredictionTargets::Classes(classes) => {
            Some(rows.zip(classes).map(|(scores, class)| said(scores, thresholds) == *class as usize).collect())
        }
        PredictionTargets::Numbers(targets) if scores.scores_of() == ScoresOf::Labels => {
            let threshold = |label: usize| thresholds.get(label).copied().unwrap_or(0.0);
            let is_right = |(scores, targets): (&[f32], &[f32])| {
                let mut labels = scores.iter().zip(targets).enumerate();
                labels.all(|(label, (score, target))| (f64::from(*score) > threshold(label)) == (*target > 0.5))
            };
            Some(rows.zip(targets.chunks(columns)).map(is_right).collect())
        }
        PredictionTargets::Numbers(_) => None,
    }
}

/// The class that scores say.
pub(crate) fn said(scores: &[f32], thresholds: &[f64]) -> usize {
    match (scores, thresholds) {
        ([first, second], [threshold]) => usize::from(f64::from(*second) - f64::from(*first) > *threshold),
        _ => (1..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_scores_is_said_and_thresholds_are_followed() {
        assert_eq!((said(&[1.0, 1.0, 0.5], &[]), said(&[0.0, 2.0], &[]), said(&[0.0, 2.0], &[2.5])), (0, 1, 0));
    }
}
