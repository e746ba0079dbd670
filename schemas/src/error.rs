use std::path::PathBuf;

use crate::recipe::PlacedFault;
use crate::shown_path;

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
    /// A file that is no recipe at all.
    #[error("{}: {message}", shown_path(.path))]
    NoRecipe {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        message: String,
    },
    /// Everything that is wrong with one recipe: its YAML, keys, types, units, ranges, paths.
    #[error("{}", told(.faults))]
    Recipe {
        /// The file.
        path: PathBuf,
        /// At least one, in the order of the file.
        faults: Vec<PlacedFault>,
    },
    /// Something that a recipe lacks or that cannot be used.
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

fn told(faults: &[PlacedFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

pub(crate) fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
