use std::fmt;

use millstream_compiler::fused::Combination;
use millstream_schemas::{RowId, ScoresOf};

use super::member_scores::MemberScores;
use crate::metrics::MetricSet;
use crate::{BoxError, TrainingError};

/// A way to make one model of several: what a row of options means.
pub trait EnsembleFunction: fmt::Debug + Send + Sync {
    /// What members' scores it takes.
    fn takes(&self) -> &'static [ScoresOf] {
        &[ScoresOf::Classes, ScoresOf::Labels]
    }

    /// Whether something is fitted to rows: then it is to be measured on others.
    fn fits(&self) -> bool {
        true
    }

    /// Whether it makes a mean of weights, for which members are tuned from one model, and not one of answers.
    fn averages_weights(&self) -> bool {
        false
    }

    /// Fits it.
    ///
    /// # Errors
    /// It makes no sense for these members, or the mean of weights cannot be run.
    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError>;
}

/// What an ensemble is fitted to.
pub struct Fitting<'a> {
    /// What the members gave for the rows that it may be fitted to; of all rows where it fits nothing.
    pub members: &'a MemberScores,
    /// What is measured; by the figure that decides members are ordered.
    pub metrics: &'a MetricSet,
    /// Of what is drawn.
    pub seed: u64,
    /// Runs means of weights.
    pub soups: &'a mut dyn Soups,
}

/// Runs the mean of the weights of some members.
pub trait Soups {
    /// What it gives for rows, row-major `[rows, columns]`.
    ///
    /// # Errors
    /// The weights are not of one model, or the mean cannot be run.
    fn scores(&mut self, members: &[usize], rows: &[RowId]) -> Result<Vec<f32>, BoxError>;
}

/// Where there is nothing to run a mean of weights with.
#[derive(Clone, Copy, Debug)]
pub struct NoSoups;

impl Soups for NoSoups {
    fn scores(&mut self, _: &[usize], _: &[RowId]) -> Result<Vec<f32>, BoxError> {
        Err("a mean of weights has to be run on the rows, which takes a recipe".into())
    }
}

/// What was fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The ensemble.
    pub model: FittedModel,
    /// What is worth knowing, in words.
    pub notes: Vec<String>,
}

/// What an ensemble consists of.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FittedModel {
    /// What the members give, combined.
    Combination(Combination),
    /// The mean of the weights of these members, by their numbers.
    MeanOfWeights(Vec<usize>),
}

impl From<Combination> for Fitted {
    fn from(combination: Combination) -> Self {
        Self { model: FittedModel::Combination(combination), notes: Vec::new() }
    }
}

impl Fitting<'_> {
    /// What is wrong with these members, in words.
    pub(super) fn refused<T>(&self, message: impl Into<String>) -> Result<T, TrainingError> {
        Err(TrainingError::Ensemble { message: message.into() })
    }

    /// The weights that were given, which sum to 1 then, or equal ones.
    ///
    /// # Errors
    /// They are not one for each member.
    pub(super) fn weights(&self, given: Option<&[f64]>) -> Result<Vec<f64>, TrainingError> {
        let members = self.members.members();
        let Some(given) = given else { return Ok(vec![1.0 / members as f64; members]) };
        if given.len() != members {
            return self.refused(format!("{} weights for {members} members; give one for each", given.len()));
        }
        let sum: f64 = given.iter().sum();
        Ok(given.iter().map(|weight| weight / sum).collect())
    }

    /// The figure that decides, of some scores of the rows.
    ///
    /// # Errors
    /// Those of [`MemberScores::measure`].
    pub(super) fn deciding_figure(&self, scores: &[f32]) -> Result<Option<f64>, TrainingError> {
        Ok(self.members.measure(scores, self.metrics)?.figure(&self.metrics.decides().name))
    }
}
