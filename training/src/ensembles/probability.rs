use millstream_compiler::fused::Combination;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use crate::TrainingError;

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "probability",
    summary: "The mean of the probabilities of all members.",
    documentation: "softmax over classes, sigmoid of each label; all members count alike, and nothing is fitted. The safe choice where members are \
        about equally good.",
    samples: &[Worked {
        options: "{}",
        columns: 2,
        members: &[&[1.0, 0.0], &[0.0, 1.0]],
        classes: &[0],
        wanted: r#"{"combination": {"by": "probabilities", "weights": [0.5, 0.5]}}"#,
    }],
    build: Build::of::<Probability>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Probability {}

impl Options for Probability {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl EnsembleFunction for Probability {
    fn fits(&self) -> bool {
        false
    }

    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        Ok(Combination::Probabilities { weights: fitting.weights(None)? }.into())
    }
}
