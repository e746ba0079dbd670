//! What stands around the optimizer in a step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Slow weights (Zhang et al. 2019): after every so many steps they go a share of the way to the weights, and these start from there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LookaheadRecipe {
    /// Steps between two returns.
    #[schemars(range(min = 1))]
    pub steps: u64,
    /// Share of the way, above 0 and at most 1.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub alpha: f32,
}

impl Default for LookaheadRecipe {
    fn default() -> Self {
        Self { steps: 5, alpha: 0.5 }
    }
}

/// A way uphill in front of each step's gradient: SAM (Foret et al. 2021), or adaptive ASAM (Kwon et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SharpnessAwareRecipe {
    /// The length of the way, above 0; adaptive, about ten times as long as otherwise.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rho: f32,
    /// Whether the way is measured in units of the weights.
    pub adaptive: bool,
}

impl Default for SharpnessAwareRecipe {
    fn default() -> Self {
        Self { rho: 0.05, adaptive: false }
    }
}

/// Normal noise of variance `eta`/(1 + t)^`gamma` on each number of a gradient in the step t, from 0 (Neelakantan et al. 2015).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GradientNoiseRecipe {
    /// The variance in the first step, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub eta: f64,
    /// How fast it falls, 0 or more.
    #[schemars(range(min = 0))]
    pub gamma: f64,
}

impl Default for GradientNoiseRecipe {
    fn default() -> Self {
        Self { eta: 0.01, gamma: 0.55 }
    }
}
