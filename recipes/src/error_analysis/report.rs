use std::path::PathBuf;

use serde::Serialize;

/// What a model errs by.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorReport {
    /// Version of this format; 1.
    pub version: u32,
    /// The run.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub run: PathBuf,
    /// When a row counts as erring, in words.
    pub erring: String,
    /// The rows as they are evaluated, and, where that was asked for, as training draws them.
    pub parts: Vec<ErrorPart>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// Rows seen in one way, and everything that tells them apart.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorPart {
    /// How they were seen.
    pub seen: Seen,
    /// Draws of each row; 1 of rows as they are.
    pub draws: u64,
    /// Answers: rows times draws.
    pub answers: u64,
    /// Answers that err.
    pub errors: u64,
    /// The share that errs, with its interval.
    pub rate: Rate,
    /// What tells them apart, the surest first.
    pub factors: Vec<FactorReport>,
}

/// How rows were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// As they are evaluated: by columns of the data and what is known of images and texts.
    AsTheyAre,
    /// As training draws them: by what was drawn.
    AsDrawn,
}

/// A share, and Wilson's interval of 95 % around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Erring ones.
    pub errors: u64,
    /// All.
    pub of: u64,
    /// The share; none of none.
    pub share: Option<f64>,
    /// From so much to so much.
    pub interval: Option<[f64; 2]>,
}

/// Something that tells answers apart.
#[derive(Clone, Debug, Serialize)]
pub struct FactorReport {
    /// What it is called.
    pub name: String,
    /// What it is of.
    pub of: FactorOf,
    /// Parts of its values, with the share that errs in each.
    pub bins: Vec<Bin>,
    /// The division that tells errors apart best, where there is one.
    pub split: Option<Split>,
}

/// What a factor is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorOf {
    /// A column of the data.
    Column,
    /// An image or text itself.
    Input,
    /// What a transform drew.
    Draw,
}

/// A part of a factor's values.
#[derive(Clone, Debug, Serialize)]
pub struct Bin {
    /// In words: `12 to 25`, a name, `no value`.
    pub label: String,
    /// The smallest and largest value, of numbers.
    pub range: Option<[f64; 2]>,
    /// The share that errs.
    pub rate: Rate,
}

/// Answers divided in two: found on one half of the rows, tested on the other.
#[derive(Clone, Debug, Serialize)]
pub struct Split {
    /// Where more err, in words: `above 25`, `is tulips`, `without a value`.
    pub rule: String,
    /// There and elsewhere, on the half that it was found on.
    pub found: [Rate; 2],
    /// There and elsewhere, on the other half.
    pub tested: [Rate; 2],
    /// On the other half, two-sided: Fisher's exact test, or, of several draws of each row, Mantel and Haenszel's within rows.
    pub p: f64,
    /// The same after Holm, over all factors of the part.
    pub p_adjusted: f64,
    /// Whether that is below 0.05, and more err there on the other half, too.
    pub confirmed: bool,
}

impl Rate {
    /// Of so many.
    pub(super) fn of(errors: u64, of: u64) -> Self {
        let share = (of > 0).then(|| errors as f64 / of as f64);
        Self { errors, of, share, interval: millstream_training::metrics::wilson(errors, of, 0.95) }
    }
}
