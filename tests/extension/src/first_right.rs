//! A way to make one model of several.

use millstream::compiler::fused::Combination;
use millstream::schemas::PredictionTargets;
use millstream::schemas::choice::Options;
use millstream::training::TrainingError;
use millstream::training::ensembles::{self, EnsembleFunction, EnsembleKind, Fitted, Fitting, Worked};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const FIRST_RIGHT: EnsembleKind = EnsembleKind {
    name: "first_right",
    summary: "Weights by how often a member is right.",
    documentation: "The share of rows whose class has the highest score, over the sum of the members' shares.",
    samples: &[Worked {
        options: "{}",
        columns: 2,
        members: &[&[1.0, 0.0, 0.0, 1.0], &[1.0, 0.0, 1.0, 0.0], &[1.0, 0.0, 1.0, 0.0]],
        classes: &[0, 1],
        wanted: r#"{"combination": {"by": "probabilities", "weights": [0.5, 0.25, 0.25]}}"#,
    }],
    build: ensembles::Build::of::<FirstRight>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FirstRight {}

impl Options for FirstRight {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl EnsembleFunction for FirstRight {
    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        let PredictionTargets::Classes(classes) = fitting.members.targets() else {
            return Err(TrainingError::Ensemble { message: "first_right is for classes".into() });
        };
        let columns = fitting.members.columns();
        let right = |scores: &[f32]| {
            let is_right =
                |(scores, class): &(&[f32], &u32)| scores.iter().all(|score| *score <= scores[**class as usize]);
            scores.chunks(columns).zip(classes).filter(is_right).count() as f64
        };
        let right: Vec<f64> = fitting.members.all_scores().into_iter().map(right).collect();
        let sum: f64 = right.iter().sum::<f64>().max(1.0);
        Ok(Combination::Probabilities { weights: right.into_iter().map(|right| right / sum).collect() }.into())
    }
}
