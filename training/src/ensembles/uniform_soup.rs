use millstream_schemas::ScoresOf;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, FittedModel, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use crate::TrainingError;

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "uniform_soup",
    summary: "One model: the mean of the weights of all members.",
    documentation: "Wortsman et al., \"Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing \
        inference time\" (2022). As large and as fast as one member. It makes sense of members that were tuned from one pretrained model; the \
        heads, which start anew, are alike where they start from one seed. Weights are averaged in doubles, where adapters were merged into \
        them.",
    samples: &[Worked {
        options: "{}",
        columns: 2,
        members: &[&[1.0, 0.0], &[0.0, 1.0], &[2.0, 0.0]],
        classes: &[0],
        wanted: r#"{"mean_of_weights": [0, 1, 2]}"#,
    }],
    build: Build::of::<UniformSoup>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UniformSoup {}

impl Options for UniformSoup {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl EnsembleFunction for UniformSoup {
    fn takes(&self) -> &'static [ScoresOf] {
        &[ScoresOf::Classes, ScoresOf::Labels, ScoresOf::Numbers]
    }

    fn fits(&self) -> bool {
        false
    }

    fn averages_weights(&self) -> bool {
        true
    }

    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        let all = (0..fitting.members.members()).collect();
        Ok(Fitted { model: FittedModel::MeanOfWeights(all), notes: Vec::new() })
    }
}
