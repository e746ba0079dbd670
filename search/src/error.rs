use std::path::PathBuf;

use millstream_schemas::{ChoiceError, shown_path};

/// What can be wrong with a space, a study or its journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// What is left open in a recipe makes no sense.
    #[error("{place}: {message}")]
    Space {
        /// Where, as a path from the top of the value: `training.optimizer.adam.beta`.
        place: String,
        /// Wanted and got.
        message: String,
    },
    /// Settings that the space does not hold.
    #[error("parameter `{parameter}`: {message}")]
    Assignment {
        /// The parameter's name.
        parameter: String,
        /// Wanted and got.
        message: String,
    },
    /// A proposer or a stopping rule that there is not, or options of it that make no sense.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// Settings of a study that do not go together.
    #[error("study `{study}`: {message}")]
    Study {
        /// The study's name.
        study: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A part of what a search is told that the others do not go with.
    #[error("{place}: {message}")]
    Setting {
        /// Where, as a recipe says it: `search.proposer`.
        place: &'static str,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A trial that is not in the state that was asked for.
    #[error("trial {number}: {message}")]
    Trial {
        /// The trial's number.
        number: u64,
        /// Wanted and got.
        message: String,
    },
    /// A trial that another process works on by now: this one was taken for lost.
    #[error(
        "trial {number} was taken for lost, since nothing was heard of `{worker}` for too long, and is worked on by {}; \
         give it up here, and beat more often or wait longer",
        .by.as_ref().map_or_else(|| "nobody yet".into(), |by| format!("`{by}`"))
    )]
    Taken {
        /// The trial's number.
        number: u64,
        /// Who told of it.
        worker: String,
        /// Whose it is, if it is somebody's.
        by: Option<String>,
    },
    /// A line of a journal that is no event, or one that cannot follow those before it.
    #[error("{}:{line}: {message}", shown_path(.path))]
    Journal {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// A journal of another study.
    #[error("{}: {message}; take another file, or the settings that it was begun with", shown_path(.path))]
    OtherStudy {
        /// The file.
        path: PathBuf,
        /// What differs.
        message: String,
    },
    /// A journal that one process has for itself, because the file system cannot lock files.
    #[error("{} is held by {}, and its file system has no locks that could share it: {reason}", shown_path(.path),
        .by.map_or_else(|| "another process".into(), |by| format!("process {by}")))]
    Held {
        /// The file.
        path: PathBuf,
        /// The process, where it is known.
        by: Option<u32>,
        /// What the system said of its locks.
        reason: String,
    },
    /// A file that cannot be read or written.
    #[error("{}", shown_path(.path))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SearchError {
    pub(crate) fn space(place: &str, message: impl Into<String>) -> Self {
        Self::Space { place: place.into(), message: message.into() }
    }

    pub(crate) fn assignment(parameter: &str, message: impl Into<String>) -> Self {
        Self::Assignment { parameter: parameter.into(), message: message.into() }
    }

    pub(crate) fn trial(number: u64, message: impl Into<String>) -> Self {
        Self::Trial { number, message: message.into() }
    }
}
