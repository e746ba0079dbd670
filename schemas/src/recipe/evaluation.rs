use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Patterns;

/// When a run goes through its evaluation rows, through how many, and through which others beside `data.evaluate`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationRecipe {
    /// After every so many epochs or steps; at the run's end always. What `best` and `early_stopping` are about are these
    /// evaluations.
    pub every: EvaluationInterval,
    /// Evaluate so many rows of each set, the same each time, drawn by `seed`; whole batches are taken. `millstream evaluate`
    /// takes all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rows: Option<u64>,
    /// Other sets to evaluate on, by names of your own, each as `data.evaluate`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, Patterns>,
    /// Which of `sets` decides which state is the best and when the run gets no better; `data.evaluate` unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_on: Option<String>,
}

impl EvaluationRecipe {
    /// The name under which the rows of `data.evaluate` stand among `sets`.
    pub const MAIN: &'static str = "evaluate";

    /// Whether nothing is said.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EvaluationInterval {
    /// After every so many epochs.
    Epochs(#[schemars(range(min = 1))] u64),
    /// After every so many steps.
    Steps(#[schemars(range(min = 1))] u64),
}

impl Default for EvaluationInterval {
    fn default() -> Self {
        Self::Epochs(1)
    }
}
