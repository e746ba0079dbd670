use std::path::PathBuf;

use millstream_schemas::recipe::EvaluationRecipe;
use millstream_training::Evaluation;
use millstream_training::metrics::FigureKind;
use serde::Serialize;
use serde_json::Value;

/// Runs held against each other.
#[derive(Clone, Debug, Serialize)]
pub struct ComparisonReport {
    /// Version of this format; 1.
    pub version: u32,
    /// The runs, as they were named.
    pub runs: Vec<ComparedRun>,
    /// What the runs do not have in common, and nothing else.
    pub settings: Vec<SettingDifference>,
    /// What is known of the figures that any of them has, the loss last.
    pub figures: Vec<FigureKind>,
    /// The first run with each of the others, row by row.
    pub pairs: Vec<PairedComparison>,
    /// How often intervals hold what they are of; 0.95 for 95 %.
    pub confidence: f64,
    /// Draws of rows behind each interval of a difference.
    pub resamples: u32,
    /// Why a pair could not be compared row by row, and what to do.
    pub notes: Vec<String>,
}

/// A run, and what it was found to be worth.
#[derive(Clone, Debug, Serialize)]
pub struct ComparedRun {
    /// Its name; no two are called alike.
    pub name: String,
    /// Its folder.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// `finished`, `interrupted` or `failed`.
    pub ending: String,
    /// Updates made.
    pub steps: u64,
    /// Seconds, evaluations included.
    pub seconds: f64,
    /// Of the exported model, as the run has measured it.
    pub evaluation: Option<Evaluation>,
    /// The name of the set of rows that this is of: `evaluate`, or that of another; none in a record of an older build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluated_on: Option<String>,
}

impl ComparisonReport {
    /// The set of each run that its figures are of, where any of them is another than `data.evaluate`; nothing otherwise.
    pub fn sets(&self) -> Option<Vec<&str>> {
        let sets = self.runs.iter().map(|run| run.evaluated_on.as_deref().unwrap_or(EvaluationRecipe::MAIN));
        let sets: Vec<&str> = sets.collect();
        sets.iter().any(|set| *set != EvaluationRecipe::MAIN).then_some(sets)
    }
}

/// A place where the runs differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingDifference {
    /// Dotted path in the recipe, or what else is not the same: `base model`, `training rows`, `device`.
    pub place: String,
    /// Of each run; none where it says nothing there.
    pub values: Vec<Option<Value>>,
}

impl SettingDifference {
    /// A value as it is shown: a hash by its first letters.
    pub fn shown(&self, run: usize) -> Option<String> {
        let value = self.values.get(run)?.as_ref()?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let is_hash = self.place.contains("SHA-256") && text.is_ascii();
        Some(if is_hash && text.len() > 16 { format!("{}…", &text[..16]) } else { text })
    }
}

/// Two runs on the same rows.
#[derive(Clone, Debug, Serialize)]
pub struct PairedComparison {
    /// The number of the first, from 0.
    pub first: usize,
    /// The number of the second.
    pub second: usize,
    /// Rows that both have answered.
    pub rows: u64,
    /// Rows that only one of them has answered, for example because they were damaged.
    pub left_out: u64,
    /// Right and wrong, of classes and labels.
    pub right: Option<RightOrWrong>,
    /// Every figure, with its difference.
    pub figures: Vec<PairedFigure>,
}

/// How often two models are right, and whether what they differ by could be chance.
#[derive(Clone, Debug, Serialize)]
pub struct RightOrWrong {
    /// Rows that both have right.
    pub both: u64,
    /// Rows that the first alone has right.
    pub first_only: u64,
    /// Rows that the second alone has right.
    pub second_only: u64,
    /// Rows that both have wrong.
    pub neither: u64,
    /// McNemar's exact two-sided test: how likely a split as uneven is where both are equally good.
    pub p: f64,
    /// The same after Holm, where several runs are compared with the first.
    pub p_adjusted: f64,
}

/// A figure of two models on the same rows.
#[derive(Clone, Debug, Serialize)]
pub struct PairedFigure {
    /// What is known of it.
    pub kind: FigureKind,
    /// Of the first.
    pub first: Option<f64>,
    /// Of the second.
    pub second: Option<f64>,
    /// The second's less the first's.
    pub difference: Option<f64>,
    /// The difference over rows drawn again, the same for both: from so much to so much.
    pub interval: Option<[f64; 2]>,
    /// Twice the smaller share of draws in which the difference is on the other side of 0, or on it.
    pub p: Option<f64>,
}
