//! The JSON Schema of recipes beside a recipe, and the line by which editors find it there.

use std::path::Path;

use anyhow::Context;
use millstream::recipes::Catalogs;
use millstream::schemas::{files, shown_path};

/// The file beside a recipe.
const FILE: &str = "recipe.schema.json";

/// A recipe with the line by which editors find its schema. It is a comment: all versions of the YAML language server read it, those of
/// JetBrains too, and it means nothing to anything else.
pub(crate) fn with_line(recipe: &str) -> String {
    format!("# yaml-language-server: $schema={FILE}\n{recipe}")
}

/// Writes the schema beside a recipe, where no file of this name is.
pub(crate) fn write_beside(recipe: &Path) -> anyhow::Result<()> {
    let path = recipe.with_file_name(FILE);
    if path.exists() { Ok(()) } else { write(&path) }
}

/// Writes the schema into a file.
pub(crate) fn write(path: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_vec_pretty(&Catalogs::default().recipe_schema()).context("a schema is JSON")?;
    files::replace_file(path, &text).with_context(|| format!("cannot write {}", shown_path(path)))
}
