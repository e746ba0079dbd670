use millstream_compiler::fused::{Combination, RankTable};
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use super::given_weights;
use crate::TrainingError;

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "rank",
    summary: "The mean of the ranks that members give a row among known ones, class by class.",
    documentation: "A member's probability of a class becomes the share of the rows it was fitted to that have less of it (the mid-rank), so that \
        what counts is the order of rows and not how sure a member is: for figures of order (`roc_auc`, `average_precision`) of members with \
        unlike scales. The known scores, 256 for each member and class at most, go into the model: a row's rank depends on no other row of \
        its batch.",
    samples: &[Worked {
        options: "{}",
        columns: 1,
        members: &[&[0.5, -1.0, 0.5, 2.0], &[0.0, 1.0, 2.0, 3.0]],
        classes: &[0, 0, 0, 0],
        // a softmax over one class is always 1
        wanted: r#"{"combination": {"by": "ranks", "weights": [0.5, 0.5],
            "tables": [[{"places": [0.0], "ranks": [0.5]}], [{"places": [0.0], "ranks": [0.5]}]]}}"#,
    }],
    build: Build::of::<Rank>(),
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Rank {
    /// Of each member, 0 or more; equal where none are given.
    weights: Option<Vec<f64>>,
}

impl Options for Rank {
    fn validate(&self) -> Result<(), String> {
        given_weights::check(self.weights.as_deref())
    }
}

impl EnsembleFunction for Rank {
    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        let weights = fitting.weights(self.weights.as_deref())?;
        let (reads, columns) = (fitting.members.reads(), fitting.members.columns());
        let tables = fitting.members.all_scores().into_iter().map(|scores| {
            let ranked = Combination::ranked(reads, columns, scores);
            let of_column = |column: usize| {
                let own: Vec<f32> = ranked.iter().skip(column).step_by(columns).copied().collect();
                RankTable::of(&own).ok_or_else(|| TrainingError::Ensemble {
                    message: "scores that are no numbers have no ranks".into(),
                })
            };
            (0..columns).map(of_column).collect::<Result<Vec<RankTable>, _>>()
        });
        let tables = tables.collect::<Result<_, _>>()?;
        Ok(Combination::Ranks { weights, tables }.into())
    }
}
