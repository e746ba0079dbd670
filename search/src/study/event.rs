use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::settings::StudySettings;
use crate::real;
use crate::trials::ConfidenceInterval;
use crate::{Assignment, Decision};

/// What happens in a study, as a line of its journal says it. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// It began: the first event.
    Study {
        /// Version of the journal's format.
        format: u32,
        /// What the study is.
        settings: Box<StudySettings>,
        /// What whoever runs the trials wants to know of the beginning later; null where that is nothing.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        note: Value,
        /// When.
        time: f64,
    },
    /// Somebody wants these settings tried.
    Enqueued {
        /// The number that the trial gets.
        trial: u64,
        /// Its settings.
        assignment: Assignment,
        /// When.
        time: f64,
    },
    /// Settings were proposed, and a worker began on them.
    Proposed {
        /// The number of the new trial.
        trial: u64,
        /// Its settings.
        assignment: Assignment,
        /// What the proposer wants to know of it later.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        note: Value,
        /// Who works on it.
        worker: String,
        /// When.
        time: f64,
    },
    /// A worker took a trial that waited or was paused.
    Taken {
        /// The trial.
        trial: u64,
        /// Who works on it.
        worker: String,
        /// When.
        time: f64,
    },
    /// A figure on the way, and what became of the trial.
    Reported {
        /// The trial.
        trial: u64,
        /// The step.
        step: u64,
        /// The first objective's figure.
        #[serde(with = "real::one")]
        value: f64,
        /// What the stopping rules said.
        #[serde(default, skip_serializing_if = "is_continue")]
        decision: Decision,
        /// Who reported it.
        worker: String,
        /// When.
        time: f64,
    },
    /// A trial was set aside, and what it has learned is saved.
    Paused {
        /// The trial.
        trial: u64,
        /// Who worked on it.
        worker: String,
        /// When.
        time: f64,
    },
    /// A worker gives a trial back: what it has learned is saved, and whoever asks next goes on with it.
    Released {
        /// The trial.
        trial: u64,
        /// Who worked on it.
        worker: String,
        /// When.
        time: f64,
    },
    /// A trial ended.
    Finished {
        /// The trial.
        trial: u64,
        /// What came of it.
        #[serde(flatten)]
        outcome: Outcome,
        /// Who worked on it.
        worker: String,
        /// When.
        time: f64,
    },
    /// Somebody wants a trial that has failed tried again.
    Requeued {
        /// The trial.
        trial: u64,
        /// When.
        time: f64,
    },
    /// A worker lives, and has nothing else to say.
    Alive {
        /// Who.
        worker: String,
        /// When.
        time: f64,
    },
    /// Nothing was heard for too long of who worked on a trial.
    Lost {
        /// The trial.
        trial: u64,
        /// When that was found.
        time: f64,
    },
}

fn is_continue(decision: &Decision) -> bool {
    *decision == Decision::Continue
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// It came to its end.
    Complete {
        /// The figures, in the order of the objectives.
        #[serde(with = "real::list")]
        values: Vec<f64>,
        /// By how much it breaks constraints: a constraint holds at 0 and below.
        #[serde(default, with = "real::list", skip_serializing_if = "Vec::is_empty")]
        constraints: Vec<f64>,
        /// Where the first figure lies in 95 of 100 cases.
        #[serde(default, skip_serializing_if = "ConfidenceInterval::is_not_noted")]
        interval: ConfidenceInterval,
    },
    /// It ended early, as a stopping rule said.
    Stopped,
    /// It cannot be carried out.
    Failed {
        /// Why not.
        reason: String,
    },
}

impl Outcome {
    /// It came to its end, with one figure.
    pub fn complete(value: f64) -> Self {
        Self::with(vec![value], Vec::new())
    }

    /// It came to its end, with these figures, in the order of the objectives, and by how much it breaks constraints.
    pub fn with(values: Vec<f64>, constraints: Vec<f64>) -> Self {
        Self::Complete { values, constraints, interval: ConfidenceInterval::NotNoted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines_that_are_read_again() {
        let assignment: Assignment = [("lr".to_owned(), 0.1), ("layers".to_owned(), 3.0)].into_iter().collect();
        let (worker, time) = ("w".to_owned(), 1.5);
        let rows = [
            (
                Event::Proposed {
                    trial: 3,
                    assignment: assignment.clone(),
                    note: Value::Null,
                    worker: worker.clone(),
                    time,
                },
                r#"{"event":"proposed","trial":3,"assignment":{"layers":3,"lr":0.1},"worker":"w","time":1.5}"#,
            ),
            (
                Event::Reported {
                    trial: 3,
                    step: 2,
                    value: f64::INFINITY,
                    decision: Decision::Continue,
                    worker: worker.clone(),
                    time,
                },
                r#"{"event":"reported","trial":3,"step":2,"value":"infinity","worker":"w","time":1.5}"#,
            ),
            (
                Event::Finished { trial: 3, outcome: Outcome::complete(0.25), worker: worker.clone(), time },
                r#"{"event":"finished","trial":3,"state":"complete","values":[0.25],"worker":"w","time":1.5}"#,
            ),
            (
                Event::Finished {
                    trial: 3,
                    outcome: Outcome::Complete {
                        values: vec![0.25],
                        constraints: vec![],
                        interval: ConfidenceInterval::noted(Some([0.125, 0.5])),
                    },
                    worker: worker.clone(),
                    time,
                },
                r#"{"event":"finished","trial":3,"state":"complete","values":[0.25],"interval":[0.125,0.5],"worker":"w","time":1.5}"#,
            ),
            (
                Event::Finished {
                    trial: 3,
                    outcome: Outcome::Complete {
                        values: vec![0.25],
                        constraints: vec![],
                        interval: ConfidenceInterval::noted(None),
                    },
                    worker: worker.clone(),
                    time,
                },
                r#"{"event":"finished","trial":3,"state":"complete","values":[0.25],"interval":[],"worker":"w","time":1.5}"#,
            ),
            (
                Event::Finished { trial: 3, outcome: Outcome::Stopped, worker, time },
                r#"{"event":"finished","trial":3,"state":"stopped","worker":"w","time":1.5}"#,
            ),
            (
                Event::Released { trial: 3, worker: "w".to_owned(), time },
                r#"{"event":"released","trial":3,"worker":"w","time":1.5}"#,
            ),
            (Event::Lost { trial: 3, time }, r#"{"event":"lost","trial":3,"time":1.5}"#),
            (Event::Requeued { trial: 3, time }, r#"{"event":"requeued","trial":3,"time":1.5}"#),
        ];
        for (event, line) in rows {
            assert_eq!(serde_json::to_string(&event).unwrap(), line);
            assert_eq!(serde_json::from_str::<Event>(line).unwrap(), event);
        }
    }
}
