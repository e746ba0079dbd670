use millstream_schemas::Fingerprint;
use millstream_transforms::{ImageDrawing, TextDrawing};
use serde::{Deserialize, Serialize};

/// What to show.
#[derive(Clone, Copy, Debug)]
pub struct PreviewOptions {
    /// How many rows of the training data.
    pub rows: usize,
    /// How many draws of each; draw k is what epoch k would see, from 0.
    pub draws: usize,
    /// Seed of the draws and of the choice of rows; the recipe's when not given.
    pub seed: Option<u64>,
}

/// The drawn steps of a preview: enough to render exactly the same pictures again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnPreview {
    /// Version of this format; 1.
    pub version: u32,
    /// Seed of the draws.
    pub seed: u64,
    /// Of the dataset's files.
    pub dataset: Fingerprint,
    /// One entry a row.
    pub rows: Vec<DrawnRow>,
}

/// The draws of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnRow {
    /// Its file within the dataset.
    pub file: String,
    /// Row group within the file, from 0.
    pub row_group: u32,
    /// Row within the row group, from 0.
    pub row: u32,
    /// Name of its class, where it has one.
    pub label: Option<String>,
    /// What happens to it, once for each draw.
    pub draws: Vec<Drawing>,
}

/// One draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Drawing {
    /// Of an image.
    Image(ImageDrawing),
    /// Of a text.
    Text(TextDrawing),
}
