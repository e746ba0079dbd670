use millstream_schemas::choice::between;

use super::course::Course;
use super::quantiles::at_least_one;
use super::stopping_function::Decision;
use crate::{History, Trial, TrialState};

/// Rungs: numbers of steps at which trials are held against each other, each `factor` times the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rungs {
    /// The steps of the first rung.
    pub(super) first: u64,
    pub(super) factor: u64,
}

impl Rungs {
    /// The steps of a rung; the largest number where there are more.
    pub(super) fn steps(&self, rung: u32) -> u64 {
        self.first.saturating_mul(self.factor.saturating_pow(rung))
    }

    /// The last rung at or below a step.
    pub(super) fn at(&self, step: u64) -> Option<u32> {
        (0..u64::BITS).take_while(|rung| self.steps(*rung) <= step && self.steps(*rung) < u64::MAX).last()
    }

    /// The rungs that the last report has reached and the one before had not.
    pub(super) fn reached(&self, course: &Course<'_>) -> std::ops::Range<u32> {
        let next = |step: Option<u64>| step.and_then(|step| self.at(step)).map_or(0, |rung| rung + 1);
        next(course.step_before())..next(course.trial.last_step())
    }

    /// A trial's loss at a rung: that of the first report at or behind it, if it is a number.
    pub(super) fn loss(&self, history: &History<'_>, trial: &Trial, rung: u32) -> Option<f64> {
        let (_, value) = trial.reports.range(self.steps(rung)..).next()?;
        Some(history.loss(*value)).filter(|loss| !loss.is_nan())
    }

    /// Decides as successive halving without pauses does: whoever is not among the best of those that have reached the rung so
    /// far, one in `factor` and at least the best, is stopped. Fewer than `least` are too few to let one through.
    pub(super) fn decide(&self, course: &Course<'_>, least: usize, competes: impl Fn(&Trial) -> bool) -> Decision {
        for rung in self.reached(course) {
            let own = course.loss();
            if own.is_nan() {
                return Decision::Stop;
            }
            let others = course.others().filter(|trial| competes(trial));
            let others: Vec<f64> = others.filter_map(|trial| self.loss(&course.history, trial, rung)).collect();
            let count = others.len() + 1;
            let through = (count / self.factor as usize).max(1);
            let better = others.iter().filter(|loss| **loss < own).count();
            if count <= least || better >= through {
                return Decision::Stop;
            }
        }
        Decision::Continue
    }
}

/// The last step of the trial that was complete first: what a run is taken to be long, where nobody said it.
pub(super) fn first_length(history: &History<'_>) -> Option<u64> {
    history.in_order().find(|trial| trial.state == TrialState::Complete && trial.last_step().is_some())?.last_step()
}

pub(super) fn validate(factor: u64, min_steps: Option<u64>, max_steps: Option<u64>) -> Result<(), String> {
    between("reduction_factor", factor, 2, 1000)?;
    at_least_one("min_steps", min_steps.unwrap_or(1))?;
    match max_steps {
        Some(most) if most < min_steps.unwrap_or(1) => Err(format!("max_steps is min_steps or more, got {most}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_grow_by_the_factor_and_end_before_they_overflow() {
        let rungs = Rungs { first: 2, factor: 3 };
        assert_eq!([0, 1, 2, 3].map(|rung| rungs.steps(rung)), [2, 6, 18, 54]);
        assert_eq!(
            [1, 2, 5, 6, 53, 54].map(|step| rungs.at(step)),
            [None, Some(0), Some(0), Some(1), Some(2), Some(3)]
        );
        assert!(rungs.at(u64::MAX).unwrap() < 64);
    }
}
