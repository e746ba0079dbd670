use crate::shown_path;
use std::path::PathBuf;

/// What can be wrong with a recipe, a dataset's schema or a resume point.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A recipe file could not be read.
    #[error("cannot read {}", shown_path(.path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A recipe is not YAML or JSON.
    #[error("{}: {message}", shown_path(.path))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column.
        message: String,
    },
    /// A key that no recipe has.
    #[error("unknown key `{key}` in {place}{}", did_you_mean(.nearest))]
    UnknownKey {
        /// Where, as a dotted path from the top of the recipe.
        place: String,
        /// The key as written.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A value of the wrong type, unit or range.
    #[error("{place}: {message}")]
    Value {
        /// Where, as a dotted path from the top of the recipe.
        place: String,
        /// Wanted and got.
        message: String,
    },
    /// A column that was named is not in the dataset.
    #[error("{}: no column `{column}`{}; it has {}", shown_path(.file), did_you_mean(.nearest), .columns.join(", "))]
    MissingColumn {
        /// The Parquet file.
        file: String,
        /// The column that was asked for.
        column: String,
        /// The column that looks most like it.
        nearest: Option<String>,
        /// What there is.
        columns: Vec<String>,
    },
    /// A column of a type that cannot play the role asked of it.
    #[error("{}: column `{column}` cannot be read as {wanted}: it is {got}", shown_path(.file))]
    ColumnType {
        /// The Parquet file.
        file: String,
        /// The column.
        column: String,
        /// The role, for example `image`.
        wanted: String,
        /// Its Arrow type.
        got: String,
    },
    /// The `huggingface` metadata does not parse.
    #[error("{}: the `huggingface` metadata is damaged: {message}", shown_path(.file))]
    Metadata {
        /// The Parquet file.
        file: String,
        /// What the parser said.
        message: String,
    },
}

pub(crate) fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
