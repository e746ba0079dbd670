use std::path::PathBuf;

use millstream_schemas::count;
use serde::Serialize;

use super::predicted_as::PredictedAs;

/// What is the same for all rows.
#[derive(Clone, Debug, Serialize)]
pub struct PredictedBy {
    /// The model's file.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub model: PathBuf,
    /// What it says of a row.
    pub predicts: PredictedAs,
    /// Names of the classes or labels, in the order of the scores.
    pub classes: Vec<String>,
    /// Where it runs: `cpu` or `cuda:N`.
    pub device: String,
    /// What deserves a look.
    pub warnings: Vec<String>,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct PredictReport {
    /// Rows with an answer.
    pub rows: u64,
    /// Rows that could not be used; each was handed on with its reason.
    pub unusable: u64,
    /// Files in folders that were passed over, as they are neither images nor tables.
    pub passed_over: u64,
    /// Masks beside the images of folders, which were passed over.
    pub masks: u64,
    /// What is to be said of the tables that were read to their ends.
    pub notes: Vec<String>,
    /// How long the rows took.
    pub seconds: f64,
    /// Whether it was asked to stop.
    pub stopped: bool,
}

impl PredictReport {
    /// What was done, in words.
    pub fn in_words(&self) -> String {
        let mut text = format!("{} in {:.1} s", count(self.rows, "row"), self.seconds);
        if self.unusable > 0 {
            text.push_str(&format!("; {} could not be used", count(self.unusable, "row")));
        }
        if self.passed_over > 0 {
            text.push_str(&format!("; {} passed over", count(self.passed_over, "other file")));
        }
        if self.masks > 0 {
            text.push_str(&format!("; {} beside the images passed over", count(self.masks, "mask")));
        }
        if self.stopped {
            text.push_str("; stopped");
        }
        text
    }
}
