use std::collections::BTreeSet;

use millstream_compiler::fused::Combination;
use millstream_schemas::{Choice, Fingerprint, RowId, ScoresOf};
use serde::{Deserialize, Serialize};

use super::ensemble::Ensemble;
use super::ensemble_function::{Fitted, FittedModel, Fitting, Soups};
use super::ensemble_report::EnsembleReport;
use super::member_scores::MemberScores;
use super::row_split::RowSplit;
use crate::TrainingError;
use crate::metrics::MetricSet;

/// A member of an ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleMember {
    /// What it is called in reports.
    pub name: String,
    /// Its file, relative to the ensemble's.
    pub model: String,
    /// The output that its scores lead to, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Of that file.
    pub fingerprint: Fingerprint,
}

/// An ensemble as its file says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedEnsemble {
    /// Version of this format; [`FittedEnsemble::VERSION`].
    pub version: u32,
    /// How it was made, with every default.
    pub method: Choice,
    /// What the scores are of.
    pub scores_of: ScoresOf,
    /// Scores of a row.
    pub columns: usize,
    /// Names of the classes or labels, in the order of the scores.
    pub classes: Vec<String>,
    /// The members, in order.
    pub members: Vec<EnsembleMember>,
    /// What was fitted.
    pub model: FittedModel,
    /// Which rows it was fitted to, and which it was measured on.
    pub split: RowSplit,
    /// The data that these rows are of, with their labels; none where the members' predictions are of several, or from an older build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Fingerprint>,
    /// The files that these rows lie in, by their names among the data; none from an older build.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub files: BTreeSet<String>,
    /// What was measured on the latter.
    pub report: EnsembleReport,
    /// What is worth knowing, in words.
    pub notes: Vec<String>,
}

/// How an ensemble is fitted and measured.
pub struct FitOptions<'a> {
    /// How it is made.
    pub method: &'a Ensemble,
    /// What is measured.
    pub metrics: &'a MetricSet,
    /// The share of rows that is measured on; 0 measures on those that it was fitted to.
    pub holdout: f64,
    /// Of the split and of what is drawn.
    pub seed: u64,
}

impl FittedEnsemble {
    /// Of this build.
    pub const VERSION: u32 = 1;

    /// Fits an ensemble to a part of the rows, and measures it on the rest.
    ///
    /// # Errors
    /// Another number of members than of scores, a split that leaves no rows, or those of the method and the metrics.
    pub fn fit(
        members: Vec<EnsembleMember>,
        scores: &MemberScores,
        options: &FitOptions<'_>,
        soups: &mut dyn Soups,
    ) -> Result<Self, TrainingError> {
        let FitOptions { method, metrics, holdout, seed } = *options;
        if members.len() != scores.members() {
            let message = format!("{} members, and predictions of {}", members.len(), scores.members());
            return Err(TrainingError::Ensemble { message });
        }
        let (split, parts) = RowSplit::draw(scores.rows(), holdout, seed, method.fits())?;
        let fitted_to = if method.fits() { scores.of_rows(&parts.fitted) } else { scores.clone() };
        let fitted = method.fit(&mut Fitting { members: &fitted_to, metrics, seed, soups: &mut *soups })?;
        drop(fitted_to);
        let measured = scores.of_rows(&parts.measured);
        let Fitted { model, mut notes } = fitted;
        if split.is_of_fitted_rows() {
            notes.push("the figures are of the rows that it was fitted to, and better than on others".into());
        }
        let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        let own = Self::scores_of_model(&model, &measured, soups)?;
        let report = EnsembleReport::of(&names, &measured, &own, metrics, seed)?;
        Ok(Self {
            version: Self::VERSION,
            method: method.choice().clone(),
            scores_of: scores.scores_of(),
            columns: scores.columns(),
            classes: scores.classes().to_vec(),
            members,
            model,
            split,
            data: scores.data().cloned(),
            files: scores.rows().iter().map(|row| row.file.to_string()).collect(),
            report,
            notes,
        })
    }

    /// Measures the ensemble and its members on other rows.
    ///
    /// # Errors
    /// The scores are not of its members' classes, or it is a mean of weights that cannot be run.
    pub fn measure(
        &self,
        scores: &MemberScores,
        metrics: &MetricSet,
        seed: u64,
        soups: &mut dyn Soups,
    ) -> Result<EnsembleReport, TrainingError> {
        let is_same = scores.scores_of() == self.scores_of
            && scores.columns() == self.columns
            && scores.classes() == self.classes
            && scores.members() == self.members.len();
        if !is_same {
            let message = "the predictions are not of the members and classes of the ensemble, in their order";
            return Err(TrainingError::Ensemble { message: message.into() });
        }
        let names: Vec<String> = self.members.iter().map(|member| member.name.clone()).collect();
        let own = Self::scores_of_model(&self.model, scores, soups)?;
        EnsembleReport::of(&names, scores, &own, metrics, seed)
    }

    /// How the members are combined; none where it is a mean of weights.
    pub fn combination(&self) -> Option<&Combination> {
        match &self.model {
            FittedModel::Combination(combination) => Some(combination),
            FittedModel::MeanOfWeights(_) => None,
        }
    }

    /// What the ensemble gives for the rows of its members' scores.
    fn scores_of_model(
        model: &FittedModel,
        scores: &MemberScores,
        soups: &mut dyn Soups,
    ) -> Result<Vec<f32>, TrainingError> {
        match model {
            FittedModel::Combination(combination) => combination
                .apply(scores.reads(), scores.columns(), &scores.all_scores())
                .map_err(|error| TrainingError::Ensemble { message: error.to_string() }),
            FittedModel::MeanOfWeights(members) => {
                let rows: Vec<RowId> = scores.rows().to_vec();
                soups.scores(members, &rows).map_err(|source| TrainingError::Soup { source })
            }
        }
    }
}
