use millstream_compiler::fused::Combination;
use millstream_schemas::choice::Options;
use millstream_schemas::{PredictionTargets, ScoresOf, decimal, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use super::given_weights;
use crate::TrainingError;
use crate::calibration::{Outcomes, fit_temperature};

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "logit",
    summary: "The mean of the scores before the softmax or sigmoid, or of numbers.",
    documentation: "Of classes it is the geometric mean of the probabilities: one member that is sure of a class's absence outweighs others. Scores \
        are to be of one scale: `calibrate` divides those of each member by the temperature that fits it best (Guo et al. 2017). `weights` are \
        those of members; they are divided by their sum. Of numbers it is their mean.",
    samples: &[
        Worked {
            options: "{}",
            columns: 2,
            members: &[&[1.0, 0.0], &[0.0, 1.0]],
            classes: &[0],
            wanted: r#"{"combination": {"by": "scores", "weights": [0.5, 0.5]}}"#,
        },
        // right in three of four rows by a distance of 2: temperature 2 / ln 3, of 4: 4 / ln 3
        Worked {
            options: r#"{"weights": [1, 3], "calibrate": true}"#,
            columns: 2,
            members: &[&[2.0, 0.0, 2.0, 0.0, 2.0, 0.0, 2.0, 0.0], &[4.0, 0.0, 4.0, 0.0, 4.0, 0.0, 4.0, 0.0]],
            classes: &[0, 0, 0, 1],
            wanted: r#"{"combination": {"by": "scores", "weights": [0.137326536083514, 0.205989804125271]}}"#,
        },
    ],
    build: Build::of::<Logit>(),
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Logit {
    /// Of each member, 0 or more; equal where none are given.
    weights: Option<Vec<f64>>,
    /// Whether the scores of each member are divided by a temperature that is fitted to it.
    calibrate: bool,
}

impl Options for Logit {
    fn validate(&self) -> Result<(), String> {
        given_weights::check(self.weights.as_deref())
    }
}

impl EnsembleFunction for Logit {
    fn takes(&self) -> &'static [ScoresOf] {
        if self.calibrate {
            &[ScoresOf::Classes, ScoresOf::Labels]
        } else {
            &[ScoresOf::Classes, ScoresOf::Labels, ScoresOf::Numbers]
        }
    }

    fn fits(&self) -> bool {
        self.calibrate
    }

    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        let mut weights = fitting.weights(self.weights.as_deref())?;
        let mut notes = Vec::new();
        if self.calibrate {
            let members = fitting.members;
            for (at, weight) in weights.iter_mut().enumerate() {
                let (columns, scores) = (members.columns(), members.scores(at).to_vec());
                let outcomes = match members.targets() {
                    PredictionTargets::Classes(classes) => Outcomes::of_classes(columns, scores, classes.clone()),
                    PredictionTargets::Numbers(labels) => Outcomes::of_labels(columns, scores, labels.clone()),
                };
                match fit_temperature(&outcomes) {
                    Some(fitted) => {
                        *weight /= f64::from(fitted.temperature);
                        notes.push(format!(
                            "the scores of member `{}` are divided by {}",
                            shown(members.name(at)),
                            decimal(f64::from(fitted.temperature))
                        ));
                    }
                    None => notes.push(format!(
                        "no temperature fits member `{}`, whose scores stay as they are",
                        shown(members.name(at))
                    )),
                }
            }
        }
        Ok(Fitted { notes, ..Combination::Scores { weights }.into() })
    }
}
