use std::path::PathBuf;

use millstream_compiler::CompilerError;
use millstream_pipeline::PipelineError;
use millstream_schemas::{SchemaError, shown_path};
use millstream_training::TrainingError;
use millstream_transforms::TransformError;

/// Why a recipe could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// The recipe itself, or a dataset's columns.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The transforms.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// The data.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The model.
    #[error(transparent)]
    Compiler(#[from] CompilerError),
    /// ONNX Runtime, the training itself, its checkpoints.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// Two parts of the recipe, or the recipe and what it names, do not fit together.
    #[error("{place}: {message}")]
    Mismatch {
        /// Dotted path in the recipe.
        place: String,
        /// What does not fit what, and what to do.
        message: String,
    },
    /// The output folder holds a run already.
    #[error("{} holds a run already ({found}); go on with it by `--resume`, replace it by `--overwrite`, or choose \
         another `output.folder`", shown_path(.folder))]
    OutputInUse {
        /// The folder.
        folder: PathBuf,
        /// A file of that run.
        found: String,
    },
    /// Another process writes in the output folder.
    #[error(
        "{} is in use: a run, {}, is writing there; wait until it ends, or choose another `output.folder`",
        shown_path(.folder), process_number(.process)
    )]
    FolderBusy {
        /// The folder.
        folder: PathBuf,
        /// The process, where it is known.
        process: Option<u32>,
    },
    /// The output folder cannot be made or written.
    #[error("results cannot be written to {}; choose another `output.folder`, or make it writable", shown_path(.folder))]
    OutputFolder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The training is done, but its results could not be written.
    #[error(
        "the training is done{}, but its results could not be written; `--resume` writes them, without training again",
        saved_in(.checkpoint)
    )]
    Results {
        /// The last checkpoint.
        checkpoint: Option<PathBuf>,
        /// What went wrong.
        source: Box<RecipeError>,
    },
    /// There is no run to go on with.
    #[error("{} holds no whole checkpoint to resume from: {reason}", shown_path(.folder))]
    NothingToResume {
        /// The folder.
        folder: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The recipe or the data is not what the interrupted run used.
    #[error("cannot resume {}: `{what}` changed since that run began (then {then}, now {now}); resume it \
         as it was, or begin anew by `--overwrite`", shown_path(.folder))]
    ResumeChanged {
        /// The run's folder.
        folder: PathBuf,
        /// Dotted path of what differs.
        what: String,
        /// Its value then.
        then: String,
        /// Its value now.
        now: String,
    },
    /// A file could not be read or written.
    #[error("cannot {doing} {}", shown_path(.path))]
    Io {
        /// `read`, `write`, …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of ours that does not parse.
    #[error("{}: {message}", shown_path(.path))]
    File {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        message: String,
    },
    /// Drawn steps that do not fit the dataset they are replayed on.
    #[error("cannot replay: {0}")]
    Replay(String),
}

fn process_number(process: &Option<u32>) -> String {
    process.map_or_else(|| "of another process".to_owned(), |process| format!("process {process}"))
}

fn saved_in(checkpoint: &Option<PathBuf>) -> String {
    checkpoint.as_ref().map_or_else(String::new, |path| format!(" and saved in {}", shown_path(path)))
}

impl RecipeError {
    pub(crate) fn mismatch(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Mismatch { place: place.into(), message: message.into() }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
