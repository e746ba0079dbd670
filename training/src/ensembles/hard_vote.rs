use millstream_compiler::fused::Combination;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use super::given_weights;
use crate::TrainingError;

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "hard_vote",
    summary: "The share of members that vote for each class, or for a label.",
    documentation: "scikit-learn's `VotingClassifier(voting=\"hard\")`: a member votes for its most likely class, or for a label whose probability is \
        above ½; of classes with as many votes the first is taken. The ensemble's probabilities are shares of votes, so that its loss says \
        little. `weights` are those of members; they are divided by their sum.",
    samples: &[
        Worked {
            options: "{}",
            columns: 2,
            members: &[&[1.0, 0.0], &[0.0, 1.0]],
            classes: &[0],
            wanted: r#"{"combination": {"by": "votes", "weights": [0.5, 0.5]}}"#,
        },
        Worked {
            options: r#"{"weights": [1, 3]}"#,
            columns: 2,
            members: &[&[1.0, 0.0], &[0.0, 1.0]],
            classes: &[0],
            wanted: r#"{"combination": {"by": "votes", "weights": [0.25, 0.75]}}"#,
        },
    ],
    build: Build::of::<HardVote>(),
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct HardVote {
    /// Of each member, 0 or more; equal where none are given.
    weights: Option<Vec<f64>>,
}

impl Options for HardVote {
    fn validate(&self) -> Result<(), String> {
        given_weights::check(self.weights.as_deref())
    }
}

impl EnsembleFunction for HardVote {
    fn fits(&self) -> bool {
        false
    }

    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        Ok(Combination::Votes { weights: fitting.weights(self.weights.as_deref())? }.into())
    }
}
