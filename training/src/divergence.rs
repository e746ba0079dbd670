//! When a run has diverged, and when an evaluation is no better than where the run began. The rules stand here, nowhere
//! else.
//!
//! **The training loss has diverged** when it is above its limit for long. The limit is [`FAR`] times the larger of two
//! losses that both belong to a model that has learned nothing yet: the loss of the first step, which the given weights
//! have, and that of a guess among all classes, ln(classes). The first of them alone would be too little for a model
//! that begins nearly perfect, the second alone for one that begins badly. Four times is far beyond what batches differ
//! by: the class in question is then given a probability of less than 1 / classes⁴ in the mean. "For long" is a tenth of
//! the run, at least [`FEWEST`] and at most [`MOST`] steps: a single step above the limit counts one, one that is not
//! above takes one off. A few steps of an optimizer that overshoots and comes back are no divergence.
//!
//! Where numbers are predicted no loss is that of a guess, and one batch may well be harder than another: the limit is then
//! [`BEYOND`] times the loss of the first step. A loss that begins at 0 or below, as a log-likelihood may, has no multiple that
//! is far above it, and where no guess has one either nothing is watched.
//!
//! **An evaluation is better than the start**, which is the evaluation of the given weights before the first step, when its
//! loss is a number and the figure that decides, the accuracy unless a recipe says otherwise, is better, or equal with a
//! lower loss. If its loss is *higher* than at the start, a share must also lie above the start's by more than two standard
//! errors, and an accuracy as far above the share of the most frequent class, since what is near either is what luck or one
//! constant answer brings. A loss above [`BEYOND`] times the larger of the start's and ln(classes) is no better at any
//! accuracy: its model has scores without measure. (A model that fits its training rows too well is sure of its errors and
//! has a high loss too, which is why this bound is the wider one. Where the larger of the two is 0 or below there is none.)
//!
//! **Best** is never an evaluation whose loss is no number. An epoch that is better than the start is preferred to one that
//! is not; then the figure that decides counts, then the lower loss.

use serde::{Deserialize, Serialize};

use crate::epoch_evaluation::EpochEvaluation;
use crate::metrics::{Better, Evaluation, FigureKind, Majority, Unit};
use crate::number_or_null;

/// How many times the loss of a model that knows nothing is far above it.
pub const FAR: f64 = 4.0;
/// How many times that loss an evaluation's may be, whatever its accuracy is.
pub const BEYOND: f64 = 10.0;
/// The fewest steps above the limit that are called a divergence.
pub const FEWEST: u64 = 3;
/// Steps above the limit that are a divergence however long the run is.
pub const MOST: u64 = 50;
/// The share of a run that it must be above the limit, as a divisor.
const PART: u64 = 10;
/// Standard errors that a difference of shares must have to be more than luck.
const ERRORS: f64 = 2.0;

/// What is known of a run's training loss; a part of its history, so that a resumed run goes on with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossWatch {
    /// Loss of the first step.
    start: Option<f64>,
    /// Steps above the limit less those that were not, never below zero.
    high: u64,
    /// The first step of those that `high` counts.
    since: u64,
    /// The divergence that was found.
    found: Option<Divergence>,
}

/// A training loss that was far above its start for long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Divergence {
    /// The step from which on it was, from 1.
    pub since: u64,
    /// The step at which it had been so for long.
    pub step: u64,
    /// The loss of that step.
    #[serde(with = "number_or_null")]
    pub loss: f64,
    /// The loss of the first step.
    pub start: f64,
    /// What it was above all the time.
    pub limit: f64,
}

impl LossWatch {
    /// Takes the loss of a step (from 1) of a run of so many steps; whether that makes it a divergence, told once. `first`
    /// is the loss of the run's first step.
    pub(crate) fn add(&mut self, step: u64, loss: f64, first: f64, classes: usize, total_steps: u64) -> bool {
        let start = *self.start.get_or_insert(first);
        let limit = if classes == 0 { times(BEYOND, start) } else { times(FAR, start.max((classes as f64).ln())) };
        let Some(limit) = limit else { return false };
        if loss > limit {
            if self.high == 0 {
                self.since = step;
            }
            self.high += 1;
        } else {
            self.high = self.high.saturating_sub(1);
        }
        let diverged = self.found.is_none() && self.high >= (total_steps / PART).clamp(FEWEST, MOST);
        if diverged {
            self.found = Some(Divergence { since: self.since, step, loss, start, limit });
        }
        diverged
    }

    /// The divergence, if there was one.
    pub fn found(&self) -> Option<&Divergence> {
        self.found.as_ref()
    }

    /// Whether the loss has come back below the limit since, for as long as it was above.
    pub fn came_back(&self) -> bool {
        self.found.is_some() && self.high == 0
    }
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { since, step, loss, start, limit } = self;
        write!(
            f,
            "the training has diverged: from step {since} on the loss is above {}, several times that of the first step ({}) \
             or of a guess; at step {step} it is {}. A smaller learning rate, a warm-up or `gradient_clip_norm` may help",
            figure(*limit),
            figure(*start),
            figure(*loss)
        )
    }
}

/// So many times a loss, which is far above it; none of one that is 0 or below.
fn times(factor: f64, loss: f64) -> Option<f64> {
    (loss > 0.0).then_some(factor * loss)
}

/// `1.0986`, `6.80e9`.
pub(crate) fn figure(value: f64) -> String {
    if value.abs() < 1e5 { format!("{value:.4}") } else { format!("{value:.2e}") }
}

/// Whether an evaluation can be compared with others at all.
pub(crate) fn is_finite(evaluation: &Evaluation) -> bool {
    evaluation.loss.is_finite() && evaluation.not_finite == 0
}

/// Whether an evaluation is better than that of the weights before the first step, by the rule above.
pub fn is_better_than_start(evaluation: &Evaluation, start: &EpochEvaluation, decides: &FigureKind) -> bool {
    if !is_finite(evaluation) {
        return false;
    }
    if !start.loss.is_finite() {
        return true;
    }
    let (now, then) = (evaluation.figure(&decides.name), start.figure(&decides.name));
    let (better, loss) = (decides.is_better(now, then), evaluation.loss);
    if !better || loss <= start.loss {
        return better || !decides.is_better(then, now) && loss < start.loss;
    }
    let majority = evaluation.majority.as_ref();
    let of_guess = majority.map_or(0.0, |majority| majority.classes as f64).ln();
    if times(BEYOND, start.loss.max(of_guess)).is_some_and(|bound| loss > bound) {
        return false;
    }
    let (Some(now), Unit::Share, Better::Higher) = (now, decides.unit, decides.better) else { return true };
    let constant = majority.filter(|_| decides.of_constant_answer).map_or(0.0, Majority::share);
    let by_luck = then.unwrap_or(0.0).max(constant);
    now > by_luck + ERRORS * (by_luck * (1.0 - by_luck) / evaluation.rows.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds losses to a run of so many steps and three classes; the step at which it diverged, and whether it came back.
    fn watched(losses: impl Iterator<Item = f64>, total: u64) -> (Option<u64>, bool) {
        let mut watch = LossWatch::default();
        let mut told = None;
        for (step, loss) in (1..).zip(losses) {
            if watch.add(step, loss, 1.1, 3, total) {
                assert_eq!(told.replace(step), None, "told twice");
            }
        }
        (told, watch.came_back())
    }

    #[test]
    fn a_loss_far_above_its_start_for_long_is_a_divergence_and_a_spike_is_none() {
        let falls = |step: u64| 1.1 / (1.0 + step as f64);
        // Limit 4.4, patience 10 of 100 steps, 3 of 20.
        for (name, loss, total, wanted) in [
            ("it learns", &falls as &dyn Fn(u64) -> f64, 100, (None, false)),
            ("it stays at chance", &|_| 1.1, 100, (None, false)),
            ("it wavers below the limit", &|_| 4.3, 100, (None, false)),
            ("a spike of nine steps", &|step| if (20..29).contains(&step) { 1e9 } else { 1.0 }, 100, (None, false)),
            ("it blows up", &|step| if step < 5 { 1.1 } else { 6.8e9 }, 100, (Some(14), false)),
            ("a short run", &|step| if step < 5 { 1.1 } else { 6.8e9 }, 20, (Some(7), false)),
            ("a long run", &|step| if step < 5 { 1.1 } else { 6.8e9 }, 100_000, (Some(54), false)),
            ("it comes back", &|step| if (20..40).contains(&step) { 50.0 } else { 1.0 }, 100, (Some(29), true)),
            ("two of three steps", &|step| if step % 3 == 0 { 1.0 } else { 50.0 }, 60, (Some(14), false)),
        ] {
            assert_eq!(watched((1..=total.min(100)).map(loss), total), wanted, "{name}");
        }
    }

    #[test]
    fn a_run_that_is_resumed_diverges_at_the_same_step() {
        let mut watch = LossWatch::default();
        for step in 1..=4 {
            watch.add(step, 50.0, 1.1, 3, 60);
        }
        let mut resumed: LossWatch = serde_json::from_str(&serde_json::to_string(&watch).unwrap()).unwrap();
        assert!(!resumed.add(5, 50.0, 1.1, 3, 60) && resumed.add(6, 50.0, 1.1, 3, 60));
        assert_eq!(resumed.found().unwrap().since, 1);
    }

    #[test]
    fn an_evaluation_is_held_against_the_start_and_against_one_constant_answer() {
        let evaluation = |accuracy: f64, loss: f64| Evaluation {
            rows: 200,
            not_finite: 0,
            loss,
            figures: [("accuracy", Some(accuracy))].into_iter().collect(),
            tables: Vec::new(),
            majority: Some(Majority { class: "x".into(), of_class: 160, targets: 200, classes: 2, present: 2 }),
            confidence: 0.95,
            intervals: Vec::new(),
            slices: Vec::new(),
            mistakes: Vec::new(),
            mistaken_pictures: Vec::new(),
            mistaken_masks: Vec::new(),
        };
        let decides = &FigureKind::of_older_builds()[0];
        let start = |accuracy, loss| EpochEvaluation::from(&evaluation(accuracy, loss));
        for (accuracy, loss, start, wanted) in [
            (0.9, 0.3, start(0.5, 0.7), true),
            (0.5, 0.6, start(0.5, 0.7), true),
            (0.5, 0.7, start(0.5, 0.7), false),
            // Praised by accuracy alone: one constant answer, with a loss beyond all measure.
            (0.8, 6.8e9, start(0.5, 0.7), false),
            (0.82, 6.8e9, start(0.5, 0.7), false),
            // Sure of itself, and right more often than luck allows.
            (0.9, 2.0, start(0.5, 0.7), true),
            (0.95, 7.1, start(0.5, 0.7), false),
            (0.45, 0.1, start(0.5, 0.7), false),
            (0.99, f64::NAN, start(0.5, 0.7), false),
            (0.99, f64::INFINITY, start(0.5, 0.7), false),
            (0.3, 0.7, start(0.2, f64::NAN), true),
        ] {
            assert_eq!(
                is_better_than_start(&evaluation(accuracy, loss), &start, decides),
                wanted,
                "{accuracy}, {loss}"
            );
        }
    }

    #[test]
    fn numbers_are_held_against_the_start_by_the_figure_that_decides() {
        let evaluation = |r2: f64, loss: f64| Evaluation {
            rows: 200,
            not_finite: 0,
            loss,
            figures: [("r2", Some(r2))].into_iter().collect(),
            tables: Vec::new(),
            majority: None,
            confidence: 0.95,
            intervals: Vec::new(),
            slices: Vec::new(),
            mistakes: Vec::new(),
            mistaken_pictures: Vec::new(),
            mistaken_masks: Vec::new(),
        };
        let r2 =
            FigureKind { name: "r2".into(), better: Better::Higher, unit: Unit::Number, of_constant_answer: false };
        let start = EpochEvaluation::from(&evaluation(0.5, 0.7));
        for (value, loss, by_loss, by_r2) in [
            (0.6, 0.5, true, true),
            (0.6, 0.8, false, true),
            (0.4, 0.5, true, false),
            (0.5, 0.5, true, true),
            (0.5, 0.7, false, false),
            (0.6, 7.1, false, false),
            (f64::NAN, 0.5, true, false),
            (0.9, f64::NAN, false, false),
        ] {
            let evaluation = evaluation(value, loss);
            let found = [FigureKind::loss(), r2.clone()].map(|kind| is_better_than_start(&evaluation, &start, &kind));
            assert_eq!(found, [by_loss, by_r2], "{value}, {loss}");
        }
        // Ten times the loss of the first step, for three steps.
        let mut watch = LossWatch::default();
        let told: Vec<bool> = [0.01, 0.09, 0.11, 0.11, 0.11].map(|loss| watch.add(1, loss, 0.01, 0, 30)).to_vec();
        assert_eq!(told, [false, false, false, false, true]);
    }

    #[test]
    fn a_loss_that_begins_at_0_or_below_is_no_divergence_for_being_above_its_start() {
        let told = |losses: &[f64], classes| {
            let mut watch = LossWatch::default();
            let count =
                (1..).zip(losses).filter(|(step, loss)| watch.add(*step, **loss, losses[0], classes, 30)).count();
            (count, watch.found().copied())
        };
        // a first batch without a pair that is too near, then usual ones; a log-likelihood that wavers
        let rows: [&[f64]; 3] = [
            &[0.0, 0.2, 0.3, 0.2, 0.1, 0.2, 0.1],
            &[-0.5, -0.4, -0.6, -0.45, -0.3, -0.2, -0.1],
            &[-0.5, 0.1, 0.4, 0.2, 0.3, 0.2, 0.1],
        ];
        for losses in rows {
            for classes in [0, 1] {
                assert_eq!(told(losses, classes), (0, None), "{losses:?}, {classes} classes");
            }
        }
        // a guess among classes has a loss, whatever the first one is
        let (count, found) = told(&[0.0, 50.0, 60.0, 50.0, 60.0], 3);
        assert_eq!((count, found.map(|found| found.since)), (1, Some(2)));

        let evaluation = |loss: f64| Evaluation {
            rows: 200,
            not_finite: 0,
            loss,
            figures: [("r2", Some(0.9))].into_iter().collect(),
            tables: Vec::new(),
            majority: None,
            confidence: 0.95,
            intervals: Vec::new(),
            slices: Vec::new(),
            mistakes: Vec::new(),
            mistaken_pictures: Vec::new(),
            mistaken_masks: Vec::new(),
        };
        let r2 =
            FigureKind { name: "r2".into(), better: Better::Higher, unit: Unit::Number, of_constant_answer: false };
        for (start, loss) in [(0.0, 0.1), (-0.5, -0.4), (-0.5, 0.1)] {
            let figures = [("r2", Some(0.5))].into_iter().collect();
            let start = EpochEvaluation { rows: 200, not_finite: 0, loss: start, figures };
            assert!(is_better_than_start(&evaluation(loss), &start, &r2), "{start:?}, then {loss}");
        }
    }

    #[test]
    fn figures_beyond_measure_stay_short() {
        assert_eq!((figure(1.09861), figure(6.8e9)), ("1.0986".to_owned(), "6.80e9".to_owned()));
    }
}
