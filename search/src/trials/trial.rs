use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::confidence_interval::ConfidenceInterval;
use crate::Assignment;

/// How far a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// Somebody works on it.
    Running,
    /// It is to be gone on with, since who worked on it was lost, or it was asked for and nobody has begun it.
    Waiting,
    /// A stopping rule set it aside, and may take it up again.
    Paused,
    /// It came to its end.
    Complete,
    /// A stopping rule ended it.
    Stopped,
    /// It cannot be carried out, or its figure is no number.
    Failed,
}

impl TrialState {
    /// Whether nothing more will come of it.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Complete | Self::Stopped | Self::Failed)
    }
}

/// One try: settings, and what came of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number, from 0.
    pub number: u64,
    /// Its settings.
    pub assignment: Assignment,
    /// What its proposer noted for later proposals; null where that is nothing.
    pub note: Value,
    /// How far it is.
    pub state: TrialState,
    /// The figures at its end, in the order of the objectives; empty before it.
    pub values: Vec<f64>,
    /// By how much it breaks constraints: a constraint holds at 0 and below.
    pub constraints: Vec<f64>,
    /// Where the first figure lies in 95 of 100 cases, as who worked on it said at its end.
    pub interval: ConfidenceInterval,
    /// What was reported of the first objective's figure on the way, by step.
    pub reports: BTreeMap<u64, f64>,
    /// Why it failed, if it did.
    pub reason: Option<String>,
    /// Who works on it, or did last.
    pub worker: Option<String>,
    /// How often who worked on it was lost since it last reported a new step.
    pub losses: u32,
    /// Whether it failed for that: who worked on it was lost oftener than `retries` says, with no new step in between.
    pub is_given_up: bool,
    /// Whether who worked on it last was lost.
    pub(crate) was_lost: bool,
    /// When it began, in seconds since 1970; `None` where nobody has begun it.
    pub began: Option<f64>,
    /// When it ended, in seconds since 1970.
    pub ended: Option<f64>,
    /// When who works on it took it.
    pub(crate) taken: Option<f64>,
    /// Seconds in which somebody worked on it, of those who do no more.
    pub(crate) worked: f64,
}

impl Trial {
    /// A trial that nobody has begun.
    pub fn waiting(number: u64, assignment: Assignment) -> Self {
        Self {
            number,
            assignment,
            note: Value::Null,
            state: TrialState::Waiting,
            values: Vec::new(),
            constraints: Vec::new(),
            interval: ConfidenceInterval::NotNoted,
            reports: BTreeMap::new(),
            reason: None,
            worker: None,
            losses: 0,
            is_given_up: false,
            was_lost: false,
            began: None,
            ended: None,
            taken: None,
            worked: 0.0,
        }
    }

    /// Nobody works on it from this time on.
    pub(crate) fn rest(&mut self, time: f64) {
        self.worked += self.taken.take().map_or(0.0, |taken| (time - taken).max(0.0));
    }

    /// Seconds in which somebody worked on it, up to when it was given back, set aside, ended or lost last; those of who works on it
    /// now are not in it. `None` where nobody has begun it.
    pub fn worked_seconds(&self) -> Option<f64> {
        self.began.map(|_| self.worked)
    }

    /// The last step that was reported.
    pub fn last_step(&self) -> Option<u64> {
        self.reports.last_key_value().map(|(step, _)| *step)
    }

    /// By how much it breaks its constraints together; 0 where it breaks none.
    pub fn violation(&self) -> f64 {
        // the sum of no floats is -0.0
        self.constraints.iter().filter(|constraint| **constraint > 0.0).fold(0.0, |sum, constraint| sum + constraint)
    }

    /// Whether it came to its end and breaks no constraint.
    pub fn is_feasible(&self) -> bool {
        self.state == TrialState::Complete && self.violation() == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_without_constraints_breaks_them_by_zero_without_a_sign() {
        for (constraints, wanted) in [(vec![], 0.0_f64), (vec![-1.0], 0.0), (vec![2.0, -1.0, 0.5], 2.5)] {
            let trial = Trial { constraints, ..Trial::waiting(0, Assignment::default()) };
            assert_eq!(trial.violation().to_bits(), wanted.to_bits());
        }
    }
}
