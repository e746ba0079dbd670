use std::path::PathBuf;

use millstream_compiler::ModelDifferences;
use serde::Serialize;

/// A run that was made again, held against the one that it repeats.
#[derive(Clone, Debug, Serialize)]
pub struct ReproductionReport {
    /// Version of this format; 1.
    pub version: u32,
    /// The run that was repeated.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub run: PathBuf,
    /// Where it was made again.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// Whether all files, losses and figures are the same, bit by bit.
    pub same: bool,
    /// What is not as it was: software, library, device, machine.
    pub surroundings: Vec<Surrounding>,
    /// Whether data, base model and recipe are those that the run began with; it is checked before the first step, so it is true.
    pub inputs_same: bool,
    /// The first step whose loss is another.
    pub course: Option<CourseDifference>,
    /// The files of the result, and whether they are the same.
    pub files: Vec<ComparedFile>,
    /// In what the exported models differ.
    pub model: ModelDifferences,
    /// Every figure of the exported model, the loss among them.
    pub figures: Vec<FigureDifference>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// A part of what a run ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Surrounding {
    /// `millstream`, `ONNX Runtime`, `device`, `processor`, `threads`.
    pub what: String,
    /// Then; none where the run has not noted it.
    pub then: Option<String>,
    /// Now.
    pub now: Option<String>,
}

/// Where two courses part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CourseDifference {
    /// The step, or the last of those that one point of the record covers.
    pub step: u64,
    /// The loss then; none where that run made no such step.
    pub then: Option<f64>,
    /// And now.
    pub now: Option<f64>,
    /// Steps that a point of the record covers.
    pub steps_per_point: u64,
}

/// A file that both runs have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedFile {
    /// Its name.
    pub name: String,
    /// SHA-256 then; none where it was not there.
    pub then: Option<String>,
    /// SHA-256 now.
    pub now: Option<String>,
}

impl ComparedFile {
    /// Whether both are there and the same.
    pub fn is_same(&self) -> bool {
        self.then == self.now
    }
}

/// A figure of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FigureDifference {
    /// Its name.
    pub name: String,
    /// Then.
    pub then: Option<f64>,
    /// Now.
    pub now: Option<f64>,
    /// Now less then.
    pub difference: Option<f64>,
}
