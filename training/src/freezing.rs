//! When which parameters are frozen.

use serde::Serialize;

/// A point of a run, counted from 0: the beginning of an epoch, or of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Of an epoch.
    Epoch(u64),
    /// Of a step.
    Step(u64),
}

impl Moment {
    /// Whether it has come at the step `step` of the run, which is one of the epoch `epoch`.
    pub fn has_come(self, epoch: u64, step: u64) -> bool {
        match self {
            Self::Epoch(first) => epoch >= first,
            Self::Step(first) => step >= first,
        }
    }

    /// The step that it begins with, where each epoch has so many.
    pub fn step(self, steps_per_epoch: u64) -> u64 {
        match self {
            Self::Epoch(epoch) => epoch.saturating_mul(steps_per_epoch),
            Self::Step(step) => step,
        }
    }
}

/// When the parameters of a cohort are frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freezing {
    /// They are frozen before this, whatever else is said.
    pub held_until: Option<Moment>,
    /// Whether they are frozen before the first change.
    pub starts_frozen: bool,
    /// From when on they are frozen (`true`) or trained, in order.
    pub changes: Vec<(Moment, bool)>,
}

impl Freezing {
    /// Whether they are frozen in the step `step` of the run, which is one of the epoch `epoch`.
    pub fn is_frozen_at(&self, epoch: u64, step: u64) -> bool {
        if self.held_until.is_some_and(|end| !end.has_come(epoch, step)) {
            return true;
        }
        let last = self.changes.iter().rev().find(|(at, _)| at.has_come(epoch, step));
        last.map_or(self.starts_frozen, |(_, frozen)| *frozen)
    }
}

/// When which parameters are frozen. A frozen parameter stays as it is to the bit: it has no update, no decay, and what the
/// optimizer remembers of it stays too; its gradient counts in no norm. It goes on from there when it is trained again, and its
/// first update is a first one, for the bias corrections of Adam for example. The default freezes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FreezePlan {
    cohorts: Vec<Freezing>,
    of: Vec<usize>,
}

impl FreezePlan {
    /// Of each parameter in manifest order; those with equal times are one cohort.
    pub fn new(parameters: Vec<Freezing>) -> Self {
        if parameters.iter().all(|freezing| *freezing == Freezing::default()) {
            return Self::default();
        }
        let mut plan = Self::default();
        for freezing in parameters {
            let known = plan.cohorts.iter().position(|cohort| *cohort == freezing);
            plan.of.push(known.unwrap_or(plan.cohorts.len()));
            if known.is_none() {
                plan.cohorts.push(freezing);
            }
        }
        plan
    }

    /// Whether nothing is ever frozen.
    pub fn is_empty(&self) -> bool {
        self.cohorts.is_empty()
    }

    /// The cohorts.
    pub fn cohorts(&self) -> &[Freezing] {
        &self.cohorts
    }

    /// The cohort of each parameter; empty where nothing is ever frozen.
    pub fn of(&self) -> &[usize] {
        &self.of
    }

    /// Which cohorts are frozen in the step `step` of the run, which is one of the epoch `epoch`.
    pub fn frozen_at(&self, epoch: u64, step: u64) -> Vec<bool> {
        self.cohorts.iter().map(|cohort| cohort.is_frozen_at(epoch, step)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_that_has_come_decides() {
        let freezing = Freezing {
            held_until: Some(Moment::Step(2)),
            starts_frozen: false,
            changes: vec![(Moment::Epoch(1), true), (Moment::Step(9), false)],
        };
        let frozen: Vec<bool> = (0..11).map(|step| freezing.is_frozen_at(step / 5, step)).collect();
        let wanted = [true, true, false, false, false, true, true, true, true, false, false];
        assert_eq!(frozen, wanted);
    }

    #[test]
    fn parameters_of_equal_times_are_one_cohort_and_a_plan_that_freezes_nothing_is_empty() {
        let late = || Freezing { starts_frozen: true, changes: vec![(Moment::Epoch(1), false)], ..Freezing::default() };
        let plan = FreezePlan::new(vec![late(), Freezing::default(), late()]);
        assert_eq!((plan.of(), plan.cohorts().len()), ([0, 1, 0].as_slice(), 2));
        assert_eq!((plan.frozen_at(0, 3), plan.frozen_at(1, 5)), (vec![true, false], vec![false, false]));
        assert!(FreezePlan::new(vec![Freezing::default(); 3]).is_empty());
    }
}
