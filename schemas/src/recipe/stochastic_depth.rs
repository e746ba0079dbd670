//! How residual branches are left out in training.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "yaml")]
use super::Fault;
use super::defaults;

/// What residual branches add is left out at random in training, and enlarged where it is not (stochastic depth, drop path).
/// Evaluations and the exported model have all of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = defaults::short)]
pub struct StochasticDepthRecipe {
    /// The share of what the last branch adds that is left out, above 0 and below 1.
    #[serde(default = "usual_probability")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub probability: f32,
    /// What is left out together.
    #[serde(default)]
    pub mode: DepthMode,
    /// How the share grows with the depth of a branch.
    #[serde(default)]
    pub schedule: DepthSchedule,
}

fn usual_probability() -> f32 {
    0.1
}

/// What a branch is left out of together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DepthMode {
    /// One row, independently of the others.
    #[default]
    Row,
    /// All rows of a batch.
    Batch,
}

/// The share of each branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DepthSchedule {
    /// From 0 at the first branch, evenly to `probability` at the last.
    #[default]
    Linear,
    /// `probability` at each branch.
    Constant,
}

impl StochasticDepthRecipe {
    #[cfg(feature = "yaml")]
    pub(super) fn check(self, faults: &mut Vec<Fault>) {
        let probability = self.probability;
        if !(probability > 0.0 && probability < 1.0) {
            let message = format!("wanted above 0 and below 1, got {probability}");
            faults.push(Fault::value("model.stochastic_depth.probability", message));
        }
    }
}
