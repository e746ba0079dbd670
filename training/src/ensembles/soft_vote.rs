use millstream_compiler::fused::Combination;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use super::given_weights;
use crate::TrainingError;

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "soft_vote",
    summary: "The mean of the probabilities, each member with a weight that is given.",
    documentation: "scikit-learn's `VotingClassifier(voting=\"soft\")`. Without `weights` it is `probability`; they are divided by their sum.",
    samples: &[
        Worked {
            options: "{}",
            columns: 2,
            members: &[&[1.0, 0.0], &[0.0, 1.0]],
            classes: &[0],
            wanted: r#"{"combination": {"by": "probabilities", "weights": [0.5, 0.5]}}"#,
        },
        Worked {
            options: r#"{"weights": [3, 1]}"#,
            columns: 2,
            members: &[&[1.0, 0.0], &[0.0, 1.0]],
            classes: &[0],
            wanted: r#"{"combination": {"by": "probabilities", "weights": [0.75, 0.25]}}"#,
        },
    ],
    build: Build::of::<SoftVote>(),
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SoftVote {
    /// Of each member, 0 or more; equal where none are given.
    weights: Option<Vec<f64>>,
}

impl Options for SoftVote {
    fn validate(&self) -> Result<(), String> {
        given_weights::check(self.weights.as_deref())
    }
}

impl EnsembleFunction for SoftVote {
    fn fits(&self) -> bool {
        false
    }

    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        Ok(Combination::Probabilities { weights: fitting.weights(self.weights.as_deref())? }.into())
    }
}
