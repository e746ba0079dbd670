use std::path::PathBuf;

use millstream_compiler::CompilerError;
use millstream_pipeline::PipelineError;
use millstream_runtime::RuntimeError;
use millstream_schemas::recipe::{Fault, MOST_THREADS};
use millstream_schemas::{ChoiceError, SchemaError, shell_path, shown_path, shown_sentences};
use millstream_search::SearchError;
use millstream_training::TrainingError;
use millstream_transforms::TransformError;

use crate::run_files::RECIPE_FILE;

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
    /// What is chosen by name.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// The data.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The model.
    #[error(transparent)]
    Compiler(#[from] CompilerError),
    /// The ONNX Runtime library, or the device.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The training itself, its checkpoints.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// What is left open in the recipe, the study, or its journal.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The folder of a new study holds one already.
    #[error("{} holds a study already; go on with it by `millstream search resume {}`, or choose another `output.folder`",
        shown_path(.folder), shell_path(.folder))]
    StudyInTheWay {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no study in a folder.
    #[error("{} holds no study ({} is missing); `millstream search run RECIPE` begins one", shown_path(.folder),
        shown_path(.missing))]
    NoStudy {
        /// The folder.
        folder: PathBuf,
        /// The file that a study would have.
        missing: PathBuf,
    },
    /// What a study noted of its beginning is damaged.
    #[error("{}: it does not say how the study began; put a whole copy back, or begin a study in another folder",
        shown_path(.path))]
    StudyDamaged {
        /// The file.
        path: PathBuf,
    },
    /// What the trials of a study have in common is not what it was when the study began.
    #[error("trial {trial} of the study in {0} would not be of what the runs before it are of: `{what}` holds something else now than \
        when the study began (then {then}, now {now}), so that its figures could not be held against theirs; put back what lay \
        there and `millstream search resume {1}` goes on, or begin a study of what lies there now by `millstream search run {1} -o FOLDER`",
        shown_path(.folder), shell_path(.folder))]
    StudyChanged {
        /// The study.
        folder: PathBuf,
        /// The trial that is not begun.
        trial: u64,
        /// Dotted path of what differs.
        what: String,
        /// Its fingerprint then.
        then: String,
        /// Its fingerprint now, or why it has none.
        now: String,
    },
    /// The recipe of a study is not the one that it began with.
    #[error("the recipe of the study in {0} is not the one that it began with: `{what}` was {then} and is {now}, and trials of one cannot \
        be held against those of the other; put back what was in {1} (and in study.json, if it came by `--set`), or begin a study of \
        what it says now by `millstream search run {2} -o FOLDER`",
        shown_path(.folder), shown_path(.folder.join(RECIPE_FILE)), shell_path(.folder))]
    StudyRecipeChanged {
        /// The study.
        folder: PathBuf,
        /// Dotted path of what differs.
        what: String,
        /// Its value then.
        then: String,
        /// Its value now.
        now: String,
    },
    /// The folder of a trial holds a run of something else.
    #[error("{} holds {} of the study{}; move it away, and `millstream search resume {}` goes on: {}", shown_path(.folder),
        run_of_no_trial(*.is_finished, *.trial), if *.is_finished { ", so that its figures would be taken for the trial's" } else { "" },
        shell_path(.study), differing(.reason))]
    ForeignRun {
        /// The folder.
        folder: PathBuf,
        /// The study.
        study: PathBuf,
        /// The trial.
        trial: u64,
        /// Whether the run is at its end.
        is_finished: bool,
        /// What differs.
        reason: Box<RecipeError>,
    },
    /// The run of the best recipe on all rows is of another trial, or of other rows.
    #[error("{0} holds a run of something else than trial {trial}, the best one now, on all rows: `{what}` is {then} there and would be \
        {now}; move it away, and `millstream search best {1} --refit` trains the best one", shown_path(.folder), shell_path(.study))]
    RefitOfOther {
        /// The folder of that run.
        folder: PathBuf,
        /// The study.
        study: PathBuf,
        /// The best trial.
        trial: u64,
        /// Dotted path of what differs.
        what: String,
        /// Its value there.
        then: String,
        /// Its value now.
        now: String,
    },
    /// One of the alternatives that a recipe leaves open cannot be trained.
    #[error("with {values}: {}", with_causes(.error))]
    OpenValues {
        /// Which, in words.
        values: String,
        /// Why not.
        error: Box<RecipeError>,
    },
    /// A study of which nothing can come.
    #[error("all {trials} trials so far have failed for the same reason, so the study stops; once that is mended, `millstream search retry {0}` \
        queues them again and `millstream search resume {0}` goes on: {1}", shell_path(.folder), shown_sentences(.reason))]
    StudyFails {
        /// The study.
        folder: PathBuf,
        /// How many.
        trials: usize,
        /// The reason of the first.
        reason: String,
    },
    /// A study without a winner.
    #[error("no trial of the study in {} is complete{}; there is no best one yet", shown_path(.folder),
        if *.constrained { " and within the constraints" } else { "" })]
    NoBestTrial {
        /// The study's folder.
        folder: PathBuf,
        /// Whether it has constraints.
        constrained: bool,
    },
    /// It was asked to stop before anything was begun; nothing was written.
    #[error("stopped before anything was begun; nothing was written")]
    Stopped,
    /// Two parts of the recipe, or the recipe and what it names, do not fit together.
    #[error("{place}: {message}")]
    Mismatch {
        /// Dotted path in the recipe.
        place: String,
        /// What does not fit what, and what to do.
        message: String,
    },
    /// Runs that are open at a time would hold far more memory than the machine has, each of which has room.
    #[error("training.memory_check: {message}")]
    NoRoomTogether {
        /// How much, and how many fit.
        message: String,
    },
    /// What a place of the recipe names cannot be used.
    #[error("{source}")]
    At {
        /// Dotted path in the recipe.
        place: String,
        /// Why not.
        source: Box<RecipeError>,
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
    #[error("{} holds no whole checkpoint to resume from: {}", shown_path(.folder), no_run(.found))]
    NoRunToResume {
        /// The folder.
        folder: PathBuf,
        /// A file of a run that has lost its recipe.
        found: Option<String>,
    },
    /// A run is at its end, and nothing of it is left to go on with.
    #[error(
        "{} is at its end and has no checkpoint any more, so it cannot go on; train its model further in another folder by `--set \
         model.path={}`, or begin anew by `--overwrite`",
        shown_path(.folder), shown_path(.folder.join("model.onnx"))
    )]
    CheckpointsGone {
        /// The folder.
        folder: PathBuf,
    },
    /// None of a run's checkpoints is whole.
    #[error(
        "{} holds no whole checkpoint to resume from: {}: {reason}; begin anew by `--overwrite`",
        shown_path(.folder), shown_path(.newest)
    )]
    NoWholeCheckpoint {
        /// The folder.
        folder: PathBuf,
        /// The newest checkpoint.
        newest: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A recipe was to be run with data and model that were opened for another one.
    #[error("`{place}` is not what the data and the model were opened for (then {then}, now {now}); open them again")]
    OpenedOtherwise {
        /// Dotted path of what differs.
        place: String,
        /// Its value then.
        then: String,
        /// Its value now.
        now: String,
    },
    /// More threads are to be shared than a recipe may ask for.
    #[error("{asked} threads of ONNX Runtime cannot be shared; at most {MOST_THREADS} can")]
    TooManyThreads {
        /// Threads that were asked for.
        asked: usize,
    },
    /// A run that an error has ended.
    #[error("the run in {} has failed and cannot be advanced; resume it from its newest checkpoint", shown_path(.folder))]
    RunHasFailed {
        /// The folder.
        folder: PathBuf,
    },
    /// The recipe or the data is not what the interrupted run used.
    #[error("cannot resume {}: `{what}` changed since that run began (then {then}, now {now}), and what was done so far depends on \
         it; resume it as it was, begin anew by `--overwrite`, or train a finished run's model further in another folder by `--set \
         model.path={}`", shown_path(.folder), shell_path(.folder.join("model.onnx")))]
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
    /// What a run is made of is another now, so it cannot be repeated.
    #[error("{} cannot be repeated: `{what}` is not what that run began with (then {then}, now {now}); put it back, or say \
         where it lies by `--set`", shown_path(.folder))]
    NotReproducible {
        /// The run's folder.
        folder: PathBuf,
        /// Dotted path of what differs.
        what: String,
        /// Its value then.
        then: String,
        /// Its value now.
        now: String,
    },
    /// The folder for a compiled training step holds something else.
    #[error("{} is not empty ({}); choose another folder for the compiled training step", shown_path(.folder),
        shown_path(.found.strip_prefix(.folder).unwrap_or(.found)))]
    FolderOfOthers {
        /// The folder.
        folder: PathBuf,
        /// Something in it.
        found: PathBuf,
    },
    /// The folder for a compiled training step holds one.
    #[error("{} holds a compiled training step already; replace it by `--overwrite`, or choose another folder",
        shown_path(.folder))]
    ProgramInTheWay {
        /// The folder.
        folder: PathBuf,
    },
    /// The model can be compiled for a number of rows only.
    #[error("the training step cannot be compiled for any number of rows; `--batch {rows}` compiles it for {rows}")]
    NeedsRows {
        /// The recipe's batch.
        rows: usize,
        /// What stands in the way.
        source: Box<RecipeError>,
    },
    /// Models or files cannot be those of an ensemble.
    #[error("{}: {message}", shown_path(.path))]
    Ensemble {
        /// The model, the predictions or the ensemble.
        path: PathBuf,
        /// Why not, and what to do.
        message: String,
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
    /// A file under the name of a result, in a folder where no run has been.
    #[error(
        "{}: it has the name of a result, and nothing of a run stands beside it; move it away, or choose another \
         `output.folder`", shown_path(.path)
    )]
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// A folder under the name of a result.
    #[error(
        "{}: it is a folder under the name of a file of a run, which `--overwrite` does not delete; move it away, or \
         choose another `output.folder`", shown_path(.path)
    )]
    FolderInTheWay {
        /// The folder.
        path: PathBuf,
    },
    /// What a run has noted of its beginning cannot be read.
    #[error("{}: it cannot be read ({reason}). {BEGINNING}", shown_path(.path))]
    BeginningUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// What a run has noted of its beginning is damaged.
    #[error("{}: it is damaged: {wanted}. {BEGINNING}", shown_path(.path))]
    BeginningDamaged {
        /// The file.
        path: PathBuf,
        /// What is not in it.
        wanted: &'static str,
    },
    /// The record of a run is damaged.
    #[error(
        "{}: it is damaged: it holds no record of a run; `train --resume` writes it anew, without training again",
        shown_path(.path)
    )]
    RecordDamaged {
        /// The file.
        path: PathBuf,
    },
    /// The file of what people state of a run does not parse.
    #[error("{} cannot be read: {reason}; mend it, or delete it and have a new one made", shown_path(.path))]
    Statements {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The record of a run is of another version.
    #[error("{}: it has version {got}, this build reads {wanted}", shown_path(.path))]
    RecordVersion {
        /// The file.
        path: PathBuf,
        /// Of this build.
        wanted: u32,
        /// Of the file.
        got: u32,
    },
    /// Drawn steps of another version.
    #[error("cannot replay: version {got} of drawn steps; this build reads {wanted}")]
    ReplayVersion {
        /// Of this build.
        wanted: u32,
        /// Of the steps.
        got: u32,
    },
    /// Drawn steps of other data.
    #[error("cannot replay: the steps were drawn for other data than the recipe names")]
    ReplayData,
    /// Drawn steps of another kind than the data.
    #[error("cannot replay: the steps were drawn for {drawn}, the data holds {data}")]
    ReplayKind {
        /// What the steps are for.
        drawn: &'static str,
        /// What the data holds.
        data: &'static str,
    },
}

/// What to do when nobody knows any more how a run began.
const BEGINNING: &str = "It says how the run began, so this run cannot be resumed; put a whole copy back, or begin anew by \
                         `--overwrite`";

fn no_run(found: &Option<String>) -> String {
    let begun = |found: &String| {
        format!("there is {found}, but no {RECIPE_FILE} that says how it began; replace it by `--overwrite`")
    };
    found.as_ref().map_or_else(|| "no run has begun there; start one without `--resume`".to_owned(), begun)
}

/// A run in the folder of a trial, and why it is none of the trial.
fn run_of_no_trial(is_finished: bool, trial: u64) -> String {
    match is_finished {
        true => format!("a finished run that is not of trial {trial}"),
        false => format!("an unfinished run that cannot be gone on with as trial {trial}"),
    }
}

/// What of a run is another, without what a run that is resumed is told to do.
fn differing(reason: &RecipeError) -> String {
    match reason {
        RecipeError::ResumeChanged { what, then, now, .. } => {
            format!("`{what}` is {then} there and {now} in the trial")
        }
        RecipeError::BeginningUnreadable { path, reason } => {
            format!("{}, which says how it began, cannot be read ({reason})", shown_path(path))
        }
        RecipeError::BeginningDamaged { path, wanted } => {
            format!("{}, which says how it began, is damaged: {wanted}", shown_path(path))
        }
        RecipeError::NoRunToResume { .. } => "nothing says how it began".to_owned(),
        other => with_causes(other),
    }
}

fn process_number(process: &Option<u32>) -> String {
    process.map_or_else(|| "of another process".to_owned(), |process| format!("process {process}"))
}

fn saved_in(checkpoint: &Option<PathBuf>) -> String {
    checkpoint.as_ref().map_or_else(String::new, |path| format!(" and saved in {}", shown_path(path)))
}

impl RecipeError {
    /// What is wrong at which places of the recipe, as far as it is about places of the recipe.
    pub fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Schema(SchemaError::Recipe { faults, .. }) => {
                faults.iter().map(|placed| placed.fault.clone()).collect()
            }
            Self::Schema(SchemaError::Value { place, message }) | Self::Mismatch { place, message } => {
                vec![Fault::value(place, message)]
            }
            Self::Transform(error) => {
                let help = error.help().map(Into::into);
                let fault = |place: String| {
                    Fault { message: error.to_string(), at_key: error.is_of_key(), ..Fault::value(place, "") }
                        .with_help(help)
                };
                error.place().map(fault).into_iter().collect()
            }
            Self::Choice(error) | Self::Search(SearchError::Choice(error)) => vec![error.clone().into()],
            Self::Search(SearchError::Space { place, message }) => vec![Fault::value(place, message)],
            Self::Search(SearchError::Setting { place, message }) => vec![Fault::value(*place, message)],
            Self::Compiler(CompilerError::Setting { place, .. }) => {
                vec![Fault { message: self.to_string(), ..Fault::value(place, "") }]
            }
            Self::At { place, source } => match source.faults() {
                faults if faults.is_empty() => vec![Fault { message: source.to_string(), ..Fault::value(place, "") }],
                faults => faults,
            },
            Self::OutputInUse { .. } => vec![Fault { message: self.to_string(), ..Fault::value("output.folder", "") }],
            Self::ResumeChanged { what, .. } => vec![Fault { message: self.to_string(), ..Fault::value(what, "") }],
            _ => Vec::new(),
        }
    }

    /// For errors of what a place of the recipe names.
    pub(crate) fn at<E: Into<Self>>(place: impl Into<String>) -> impl FnOnce(E) -> Self {
        let place = place.into();
        move |error| Self::At { place, source: Box::new(error.into()) }
    }

    pub(crate) fn ensemble(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Ensemble { path: path.into(), message: message.into() }
    }

    pub(crate) fn mismatch(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Mismatch { place: place.into(), message: message.into() }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// An error and its causes in one line, each said once: an error may say what its cause says.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read model.onnx")]
    struct Outer(#[source] RecipeError);

    #[test]
    fn a_cause_that_an_error_says_already_is_not_said_twice() {
        let inner = || RecipeError::io("read", "model.onnx")(std::io::Error::other("no such file"));
        assert_eq!(with_causes(&inner()), "cannot read model.onnx: no such file");
        assert_eq!(with_causes(&Outer(inner())), "cannot read model.onnx: no such file");
    }
}
