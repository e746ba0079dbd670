use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::{LARGEST_BATCH, MOST_THREADS};
use super::{ByteSize, Patterns, short_forms};
use crate::Choice;

/// Where damaged rows are noted when no file is named.
const QUARANTINE: &str = "quarantine.jsonl";

/// Where the rows come from and how they are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// Parquet to train on: a file, a folder, a pattern (`folder/name-train-*.parquet`), or a list of them. Patterns know
    /// `*`, `?`, `[ab]`, `{a,b}`, and `**` for folders in folders. Of a folder with several splits, told by the names of
    /// its files and folders, the split `train` is taken.
    pub train: Patterns,
    /// Parquet to evaluate on; without it nothing is measured and the last weights are exported. Of a folder with
    /// several splits, `validation` is taken, or else `test`.
    #[serde(default)]
    pub evaluate: Option<Patterns>,
    /// Allow files to be trained on and evaluated on alike; otherwise that is an error.
    #[serde(default)]
    pub allow_overlap: bool,
    /// Column with the model's input; found by type (the only image or text column) when not named.
    #[serde(default)]
    pub input: Option<String>,
    /// Column with the class; `label` when not named, and none when it is empty.
    #[serde(default)]
    pub label: Option<String>,
    /// What the inputs of the model are made of: an encoding of columns for each, by its name. `input` is the short form.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "encodings")]
    pub inputs: BTreeMap<String, Choice>,
    /// What the model's output is held against: an encoding of columns. `label` is the short form of a `class_label`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "encodings")]
    pub targets: BTreeMap<String, Choice>,
    /// Rows a step.
    #[serde(default = "sixteen")]
    #[schemars(range(min = 1, max = LARGEST_BATCH))]
    pub batch: usize,
    /// How strongly the order of the rows is shuffled each epoch. It is the same whatever `memory` is: rows that come
    /// together and do not fit are read in blocks, their pages several times; `millstream check` says how often.
    #[serde(default)]
    pub order: OrderStrength,
    /// Row groups that are shuffled together when `order` is `windowed`.
    #[serde(default = "four")]
    #[schemars(range(min = 1))]
    pub window: usize,
    /// Put rows of like lengths into one batch, so that little of it is padding: of 50 batches that follow each other, the rows
    /// are sorted by their lengths, which are learned by reading all rows once. By itself where rows have lengths of their own
    /// (`token_ids`).
    #[serde(default)]
    pub group_by_length: Option<bool>,
    /// How often rows of each class come in training, where they are not taken as they are: rows of a class that is to come
    /// more often come several times in an epoch, those of others not in each. An epoch has as many rows as without, and any
    /// row comes anywhere, whatever `order` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingRecipe>,
    /// Threads that decode and transform; 0 takes one for each core.
    #[serde(default)]
    #[schemars(range(max = MOST_THREADS))]
    pub workers: usize,
    /// Ceiling on the bytes held by the streams of training and evaluation together: compressed, decoded and batched, for
    /// example `512 MiB`. One image may take a quarter of it, to be decoded and transformed; a larger one is damaged.
    #[serde(default)]
    pub memory: ByteSize,
    /// What to do with a row that cannot be used.
    #[serde(default, deserialize_with = "short_forms::read")]
    pub damaged: DamagedPolicy,
    /// What to do with transparent pixels.
    #[serde(default)]
    pub transparency: TransparencyPolicy,
    /// Leave out the last, incomplete batch of an epoch.
    #[serde(default)]
    pub drop_last: bool,
}

fn encodings(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/Encoding" }, "default": {} })
}

impl DataRecipe {
    /// The column with the class that `label` says or leaves unsaid; empty for none.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or("label")
    }
}

fn four() -> usize {
    4
}
fn sixteen() -> usize {
    16
}

/// How strongly rows are shuffled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStrength {
    /// File order.
    Sequential,
    /// Row groups in random order, rows shuffled within windows of a few row groups.
    #[default]
    Windowed,
    /// Any row anywhere: a permutation of the whole dataset, read in blocks of as many rows as fit into memory.
    Global,
}

/// How often rows of each class come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SamplingRecipe {
    /// Those of each class that has some equally often.
    Balanced,
    /// By a weight for each class, in their order, 0 or more: with `[1, 3]` three of four rows are of the second class.
    Classes(Vec<f64>),
}

/// What to do with a row that cannot be used: an image that does not decode, a missing value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = quarantine_alone)]
pub enum DamagedPolicy {
    /// Stop with an error that names the row.
    #[default]
    Fail,
    /// Leave it out and count it.
    Skip,
    /// Leave it out, count it, and append its identity and the reason, once, to this JSON Lines file;
    /// `quarantine.jsonl` in the output folder when none is named.
    Quarantine(Option<PathBuf>),
}

impl DamagedPolicy {
    /// With the file named, so that nothing is left to the output folder.
    #[must_use]
    pub fn with_file_in(&self, folder: &Path) -> Self {
        match self {
            Self::Quarantine(None) => Self::Quarantine(Some(folder.join(QUARANTINE))),
            other => other.clone(),
        }
    }
}

fn quarantine_alone(schema: &mut schemars::Schema) {
    short_forms::allow(schema, &["quarantine"]);
}

/// What to do with transparent pixels. Images are always handed on as RGB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransparencyPolicy {
    /// Drop the alpha channel and keep the stored colours, as Pillow's `convert("RGB")` does.
    #[default]
    Drop,
    /// Blend onto white.
    White,
    /// Blend onto black.
    Black,
}
