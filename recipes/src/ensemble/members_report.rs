//! Members that were trained on parts of the rows, and their figures on the rows that each has not seen.

use std::path::PathBuf;

use millstream_schemas::recipe::ByteSize;
use millstream_schemas::{Fingerprint, count};
use millstream_training::metrics::{Evaluation, FigureKind};
use serde::{Deserialize, Serialize};

use super::member_rows::Sampling;

/// Members that were trained, and what they give for rows that they have not seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MembersReport {
    /// Version of this format; 1.
    pub version: u32,
    /// The folder.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// Which rows each was trained on.
    pub sampling: Sampling,
    /// Rows of the recipe.
    pub rows: u64,
    /// Of these, how many have an answer of a member that was not trained on them.
    pub answered: u64,
    /// The members, in order.
    pub members: Vec<TrainedMember>,
    /// What is known of the figures beside the loss, in order.
    pub figures: Vec<FigureKind>,
    /// Draws for intervals of figures that are no shares of rows; none where an older build has not noted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<u32>,
    /// What was held of all predictions, at most; none likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// What all members together give for the rows that each has not seen.
    pub out_of_fold: Evaluation,
    /// The mean of the members as one model, which these answers stand for.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub model: PathBuf,
    /// The answers, which `ensemble fit` takes with the folder.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub predictions: PathBuf,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainedMember {
    /// What its folder is called.
    pub name: String,
    /// SHA-256 of its model.
    pub model: Fingerprint,
    /// Rows that it has not seen and has an answer for.
    pub rows: u64,
    /// On these.
    pub evaluation: Evaluation,
}

impl MembersReport {
    /// `280 rows, of which 280 have an answer of a member that was not trained on them`.
    pub fn rows_in_words(&self) -> String {
        format!(
            "{}, of which {} have an answer of members that were not trained on them",
            count(self.rows, "training row"),
            self.answered
        )
    }
}
