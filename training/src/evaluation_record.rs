use serde::{Deserialize, Serialize};

use crate::epoch_evaluation::EpochEvaluation;
use crate::metrics::Evaluation;

/// What was found on the evaluation rows at one point of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// Steps done.
    pub step: u64,
    /// Number of the epoch that was under way or ended there, from 0.
    pub epoch: u64,
    /// Passes over the training rows by then: 1.5 in the middle of the second.
    pub passes: f64,
    /// Whether it is at the end of the epoch.
    pub ends_epoch: bool,
    /// On the set that decides.
    pub figures: EpochEvaluation,
    /// On the other sets, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<(String, EpochEvaluation)>,
    /// Rows that running statistics were computed anew from for it, where they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics_rows: Option<u64>,
}

/// All that was found on one of several evaluation sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetEvaluation {
    /// Name of the set.
    pub name: String,
    /// What was found.
    pub evaluation: Evaluation,
}

/// What was found of the mean of several states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AveragedRecord {
    /// The steps after which the states were.
    pub steps: Vec<u64>,
    /// On the set that decides.
    pub evaluation: Evaluation,
    /// On the other sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<SetEvaluation>,
}

/// What is exported has running statistics that were computed anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReestimatedRecord {
    /// Rows that they were computed from.
    pub rows: u64,
    /// On the set that decides, where it was measured with other statistics before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// On the other sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<SetEvaluation>,
}

/// Updates that were left out because their loss or gradients were no numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkippedUpdates {
    /// In the whole run.
    pub total: u64,
    /// One after the other, up to the last update that was asked for.
    pub in_a_row: u64,
}

impl SkippedUpdates {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
