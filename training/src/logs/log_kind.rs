use std::sync::Arc;

use millstream_schemas::choice::{self, FromOptions, Row};
use serde_json::Value;

use super::log_format::LogFormat;

/// A row: a log that a recipe can choose.
#[derive(Clone, Copy, Debug)]
pub struct LogKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it writes, in one line.
    pub summary: &'static str,
    /// Markdown: files, names and units, and whose format it is.
    pub documentation: &'static str,
    /// The files and folders that it makes in the folder `logs` of a run, which are deleted when the run is replaced.
    pub files: &'static [&'static str],
    /// Options in JSON that make sense and cover the log.
    pub samples: &'static [&'static str],
    /// Its options, and the log that is made of them.
    pub build: Build,
}

impl Row for LogKind {
    const KIND: &'static str = "log";

    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> &str {
        self.summary
    }

    fn schema(&self) -> Value {
        self.build.schema()
    }

    fn accepts(&self, options: &Value) -> bool {
        self.build.accepts(options)
    }
}

/// The options of a row, and how its log is made of them.
pub type Build = choice::Build<dyn LogFormat>;

impl<T: LogFormat + 'static> FromOptions<T> for dyn LogFormat {
    fn from_options(options: T) -> Arc<Self> {
        Arc::new(options)
    }
}
