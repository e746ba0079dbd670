use serde::{Deserialize, Serialize};

use crate::{Fingerprint, RowId};

/// What a model's scores of a row are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ScoresOf {
    /// Classes, one of which is right: before any softmax.
    Classes,
    /// Labels that may hold together: before any sigmoid.
    Labels,
    /// Numbers, as they are.
    Numbers,
}

/// What a file of predictions says of all its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictionsHeader {
    /// Version of this format; [`PredictionsHeader::VERSION`].
    pub version: u32,
    /// What the scores are of.
    pub scores_of: ScoresOf,
    /// Scores of a row.
    pub columns: usize,
    /// Names of the classes or labels, in the order of the scores; none of numbers.
    pub classes: Vec<String>,
    /// The model's file.
    pub model: Fingerprint,
    /// The data with their labels.
    pub data: Fingerprint,
}

impl PredictionsHeader {
    /// Of this build.
    pub const VERSION: u32 = 1;
}

/// What is true of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum PredictionTargets {
    /// The class of each row.
    Classes(Vec<u32>),
    /// Of each row as many as there are scores: for labels from 0, it does not hold, to 1, it holds.
    Numbers(Vec<f32>),
}

/// What a model gave for rows with targets, and what is true of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// What is known of all rows.
    pub header: PredictionsHeader,
    /// Which rows they are.
    pub rows: Vec<RowId>,
    /// Row-major `[rows, columns]`.
    pub scores: Vec<f32>,
    /// What is true of each.
    pub targets: PredictionTargets,
}

impl Predictions {
    /// Of no row so far.
    pub fn new(header: PredictionsHeader) -> Self {
        let targets = match header.scores_of {
            ScoresOf::Classes => PredictionTargets::Classes(Vec::new()),
            ScoresOf::Labels | ScoresOf::Numbers => PredictionTargets::Numbers(Vec::new()),
        };
        Self { header, rows: Vec::new(), scores: Vec::new(), targets }
    }

    /// Bytes of what is held.
    pub fn bytes(&self) -> u64 {
        let targets = match &self.targets {
            PredictionTargets::Classes(classes) => classes.len(),
            PredictionTargets::Numbers(numbers) => numbers.len(),
        };
        (size_of::<RowId>() * self.rows.len() + 4 * (self.scores.len() + targets)) as u64
    }
}
