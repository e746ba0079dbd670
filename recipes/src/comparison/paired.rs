//! Two models on the same rows, by what was kept of their answers.

use millstream_schemas::{GOLDEN, PredictionTargets, mix};
use millstream_training::ensembles::MemberScores;
use millstream_training::metrics::{Better, FigureKind, MetricSet, Unit, percentiles};

use super::report::{PairedComparison, PairedFigure, RightOrWrong};
use crate::right_answers::is_right;
use crate::significance::mcnemar;
use crate::{RecipeError, Stop};

/// What is drawn, and how sure intervals are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    pub(super) resamples: u32,
    pub(super) seed: u64,
    pub(super) confidence: f64,
}

/// Of two models with the metrics of each, which differ in thresholds alone. `scores` has both, in this order.
///
/// None when it was asked to stop.
///
/// # Errors
/// A metric makes no sense for these rows.
pub(super) fn compare(
    (first, second): (usize, usize),
    scores: &MemberScores,
    metrics: [&MetricSet; 2],
    left_out: u64,
    draws: Draws,
    stop: &Stop,
) -> Result<Option<PairedComparison>, RecipeError> {
    let Some(figures) = figures(scores, metrics, draws, stop)? else { return Ok(None) };
    Ok(Some(PairedComparison {
        first,
        second,
        rows: scores.rows().len() as u64,
        left_out,
        right: right_or_wrong(scores, metrics),
        figures,
    }))
}

fn right_or_wrong(scores: &MemberScores, metrics: [&MetricSet; 2]) -> Option<RightOrWrong> {
    let of = |member: usize| is_right(scores, member, metrics[member].thresholds());
    let (first, second) = (of(0)?, of(1)?);
    let mut counts = [0_u64; 4];
    for (first, second) in first.iter().zip(&second) {
        counts[usize::from(*first) + 2 * usize::from(*second)] += 1;
    }
    let [neither, first_only, second_only, both] = counts;
    let p = mcnemar(first_only, second_only);
    Some(RightOrWrong { both, first_only, second_only, neither, p, p_adjusted: p })
}

/// What the loss of predictions is: −ln of the probability of what is true, or the squared distance.
fn loss_kind(scores: &MemberScores) -> FigureKind {
    let name = match (scores.targets(), scores.classes().is_empty()) {
        (PredictionTargets::Classes(_), _) | (_, false) => "cross_entropy",
        _ => "squared_error",
    };
    FigureKind { name: name.into(), better: Better::Lower, unit: Unit::Number, of_constant_answer: false }
}

/// The figures of both, and over rows that are drawn again, the same for both, where their difference lies (Efron and Tibshirani, "An
/// introduction to the bootstrap", 1993, chapters 13 and 16).
fn figures(
    scores: &MemberScores,
    metrics: [&MetricSet; 2],
    draws: Draws,
    stop: &Stop,
) -> Result<Option<Vec<PairedFigure>>, RecipeError> {
    let mut kinds = metrics[0].figures();
    kinds.push(loss_kind(scores));
    let losses = [0, 1].map(|member| scores.row_losses(member));
    let both = |rows: &[usize]| -> Result<[Vec<Option<f64>>; 2], RecipeError> {
        let mut found = [Vec::new(), Vec::new()];
        for (member, found) in found.iter_mut().enumerate() {
            let measured = scores.measure_drawn(member, rows, &losses[member], metrics[member])?;
            found.extend(metrics[member].figures().iter().map(|kind| measured.figure(&kind.name)));
            found.push(Some(measured.loss));
        }
        Ok(found)
    };
    let rows = scores.rows().len();
    let mut of_draw: Vec<usize> = (0..rows).collect();
    let [first, second] = both(&of_draw)?;
    let mut drawn: Vec<Vec<f64>> = vec![Vec::new(); kinds.len()];
    for draw in 0..u64::from(draws.resamples) {
        if stop.is_requested() {
            return Ok(None);
        }
        let mut state = mix(mix(draws.seed ^ GOLDEN).wrapping_add(draw));
        for row in &mut of_draw {
            state = state.wrapping_add(GOLDEN);
            *row = ((u128::from(mix(state)) * rows as u128) >> 64) as usize;
        }
        let [first, second] = both(&of_draw)?;
        for (drawn, (first, second)) in drawn.iter_mut().zip(first.into_iter().zip(second)) {
            drawn.extend(first.zip(second).map(|(first, second)| second - first).filter(|value| value.is_finite()));
        }
    }
    let values = first.into_iter().zip(second);
    let all = kinds.into_iter().zip(values).zip(drawn).map(|((kind, (first, second)), drawn)| PairedFigure {
        difference: first.zip(second).map(|(first, second)| second - first),
        p: other_side(&drawn),
        interval: percentiles(drawn, draws.confidence),
        kind,
        first,
        second,
    });
    // a figure that does not apply to these rows is none
    Ok(Some(all.filter(|figure| figure.first.is_some() || figure.second.is_some()).collect()))
}

/// Twice the smaller share of draws on a side of 0, those on it counted to both; one more draw on each side than there are, so that
/// it is never 0 by too few of them.
fn other_side(differences: &[f64]) -> Option<f64> {
    if differences.is_empty() {
        return None;
    }
    let share = |side: fn(&f64) -> bool| {
        (differences.iter().filter(|value| side(value)).count() + 1) as f64 / (differences.len() + 1) as f64
    };
    Some((2.0 * share(|value| *value <= 0.0).min(share(|value| *value >= 0.0))).min(1.0))
}

#[cfg(test)]
mod tests {
    use millstream_compiler::losses::PredictionKind;
    use millstream_schemas::{Fingerprint, Predictions, PredictionsHeader, RowId, ScoresOf};

    use super::*;

    /// Of two classes: the class of each row is 1, and a model is right where its score is.
    fn of_answers(members: [&[bool]; 2]) -> MemberScores {
        let predictions = |right: &[bool]| {
            let header = PredictionsHeader {
                version: PredictionsHeader::VERSION,
                scores_of: ScoresOf::Classes,
                columns: 2,
                classes: vec!["a".into(), "b".into()],
                model: Fingerprint::default(),
                data: Fingerprint::default(),
            };
            let rows = (0..right.len() as u32).map(|row| RowId { file: "a".into(), row_group: 0, row }).collect();
            let scores = right.iter().flat_map(|right| if *right { [0.0, 1.0] } else { [1.0, 0.0] }).collect();
            Predictions { header, rows, scores, targets: PredictionTargets::Classes(vec![1; right.len()]) }
        };
        MemberScores::align(vec![("a".into(), predictions(members[0])), ("b".into(), predictions(members[1]))]).unwrap()
    }

    #[test]
    fn a_difference_has_the_interval_of_its_draws_and_none_where_there_is_none() {
        // 60 rows both right, 30 the second alone, 5 the first alone, 5 neither
        let answers: Vec<(bool, bool)> =
            [((true, true), 60), ((false, true), 30), ((true, false), 5), ((false, false), 5)]
                .iter()
                .flat_map(|(answer, count)| vec![*answer; *count])
                .collect();
        let (first, second): (Vec<bool>, Vec<bool>) = answers.into_iter().unzip();
        let metrics = MetricSet::usual(PredictionKind::ClassScores);
        let draws = Draws { resamples: 4000, seed: 3, confidence: 0.95 };
        let compare = |members: [&[bool]; 2], stop: &Stop| {
            compare((0, 1), &of_answers(members), [&metrics, &metrics], 0, draws, stop).unwrap()
        };
        let found = compare([&first, &second], &Stop::default()).unwrap();
        let right = found.right.unwrap();
        assert_eq!((right.both, right.first_only, right.second_only, right.neither), (60, 5, 30, 5));
        assert_eq!(right.p, mcnemar(5, 30));
        let accuracy = &found.figures[0];
        assert_eq!((accuracy.first, accuracy.second), (Some(0.65), Some(0.9)));
        let [low, high] = accuracy.interval.unwrap();
        // the differences of rows are −1, 0, 1: their mean has a standard error of √((0.35 − 0.25²) / 100) = 0.0536
        assert!(
            (low - (0.25 - 1.96 * 0.0536)).abs() < 0.015 && (high - (0.25 + 1.96 * 0.0536)).abs() < 0.015,
            "{low} {high}"
        );
        assert!(accuracy.p.unwrap() < 0.001);
        // the same draws give the same numbers
        let again = compare([&first, &second], &Stop::default()).unwrap();
        assert_eq!(again.figures[0].interval, accuracy.interval);
        let alike = compare([&first, &first], &Stop::default()).unwrap();
        assert_eq!((alike.figures[0].interval, alike.figures[0].p), (Some([0.0, 0.0]), Some(1.0)));
        assert_eq!(alike.right.unwrap().p, 1.0);
        let stop = Stop::default();
        stop.request();
        assert!(compare([&first, &second], &stop).is_none());
    }
}
