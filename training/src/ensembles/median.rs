use millstream_compiler::fused::Combination;
use millstream_schemas::ScoresOf;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use crate::TrainingError;

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "median",
    summary: "The median of what the members give, number by number.",
    documentation: "As `numpy.median`: of an odd number of members the value in the middle, of an even number the mean of the two \
        there. Nothing is fitted. One member that is far off moves it little. Of classes it is the median of the logarithms of the \
        probabilities, of labels that of the scores.",
    samples: &[Worked {
        options: "{}",
        columns: 2,
        members: &[&[1.0, 0.0], &[0.0, 1.0], &[9.0, 0.0]],
        classes: &[0],
        wanted: r#"{"combination": {"by": "median"}}"#,
    }],
    build: Build::of::<Median>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Median {}

impl Options for Median {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl EnsembleFunction for Median {
    fn takes(&self) -> &'static [ScoresOf] {
        &[ScoresOf::Classes, ScoresOf::Labels, ScoresOf::Numbers]
    }

    fn fits(&self) -> bool {
        false
    }

    fn fit(&self, _: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        Ok(Combination::Median {}.into())
    }
}
