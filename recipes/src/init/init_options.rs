use std::path::{Path, PathBuf};

use millstream_schemas::shown_path;

use crate::{Catalogs, RecipeError};

/// What a recipe is wanted for.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Files, folders or patterns of Parquet, as they are to stand in the recipe.
    pub data: Vec<String>,
    /// Rows to evaluate on; without it those of another split of the same folders.
    pub evaluate: Vec<String>,
    /// The pretrained model; without one the recipe says what is known of the data alone, and where the model is to stand.
    pub model: Option<PathBuf>,
    /// The column that is to be told; found by name and type when not named.
    pub label: Option<String>,
    /// Where the recipe will lie: relative paths start there.
    pub folder: PathBuf,
    /// The folder of the results.
    pub output: PathBuf,
    /// What encodings and transforms are taken from.
    pub catalogs: Catalogs,
}

impl InitOptions {
    /// A path as the recipe names it: relative where it lies below its folder, so that both can be moved.
    pub(super) fn named(&self, path: &Path) -> Result<String, RecipeError> {
        let named = path.strip_prefix(&self.folder).unwrap_or(path);
        let text = named.to_str().ok_or_else(|| {
            RecipeError::mismatch(shown_path(path), "the name is no UTF-8, and cannot stand in a recipe")
        })?;
        Ok(text.to_owned())
    }
}
