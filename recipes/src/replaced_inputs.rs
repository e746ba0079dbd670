//! What is read is not replaced by what is written.

use std::path::{Path, PathBuf};

use millstream_pipeline::Dataset;
use millstream_schemas::recipe::Patterns;
use millstream_schemas::{Recipe, shown_path};

use crate::RecipeError;
use crate::folder_files::{extension, is_image};
use crate::import::archive_stem;
use crate::run_folder::adapter_sources;
use crate::table_records::TableFormat;

/// Refuses to write a file over one that is read: `inputs` are files, and folders of which all files that may be data are read. However
/// they are named, links are followed.
///
/// # Errors
/// The file is one of them.
pub fn require_no_input<'a>(output: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<(), RecipeError> {
    // what is not there replaces nothing
    let Ok(place) = output.canonicalize() else { return Ok(()) };
    let is_read = |input: &&Path| match input.canonicalize() {
        Ok(input) if input.is_dir() => place == input || (place.starts_with(&input) && may_be_data(&place)),
        Ok(input) => place == input,
        Err(_) => false,
    };
    match inputs.into_iter().find(is_read) {
        Some(input) => Err(replaced(output, input)),
        None => Ok(()),
    }
}

/// As [`require_no_input`], of what a recipe is made from: its model, its adapters and its rows.
///
/// # Errors
/// The file is one of them.
pub fn require_no_source(output: &Path, recipe: &Recipe) -> Result<(), RecipeError> {
    let model = recipe.model.iter().map(|model| model.path.as_path());
    let adapters = adapter_sources(recipe);
    require_no_input(output, model.chain(adapters.iter().map(PathBuf::as_path)))?;
    let train = std::iter::once(&recipe.data.train);
    let mut named = train.chain(&recipe.data.evaluate).chain(recipe.evaluation.sets.values());
    named.try_for_each(|patterns| require_no_row(output, patterns))
}

/// As [`require_no_input`], of rows that are named so, by absolute paths and patterns.
///
/// # Errors
/// The file is one of them.
pub(crate) fn require_no_row(output: &Path, patterns: &Patterns) -> Result<(), RecipeError> {
    let named = || patterns.iter().map(Path::new);
    require_no_input(output, named())?;
    let is_pattern = || named().any(|path| !path.exists());
    if output.exists() && extension(output) == "parquet" && is_pattern() {
        // what matches nothing is told by whoever reads it
        if let Ok(files) = Dataset::files_of(patterns, Path::new("/")) {
            require_no_input(output, files.iter().map(PathBuf::as_path))?;
        }
    }
    Ok(())
}

fn may_be_data(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    is_image(&name) || archive_stem(&name).is_some() || TableFormat::of(path).is_some() || extension(path) == "parquet"
}

fn replaced(output: &Path, input: &Path) -> RecipeError {
    let what = match input.is_dir() && output.canonicalize().ok() != input.canonicalize().ok() {
        true => format!("it lies in {}, which is read, and would be replaced", shown_path(input)),
        false => "it is read, and would be replaced".to_owned(),
    };
    RecipeError::mismatch(shown_path(output), format!("{what}; choose another file"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_read_is_not_written_over_however_it_is_named() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("rows/deep")).unwrap();
        for name in ["a.csv", "rows/b.csv", "rows/deep/c.png", "rows/page.html", "other.csv"] {
            fs::write(at(name), "x").unwrap();
        }
        let inputs = [at("a.csv"), at("rows"), at("gone.csv")];
        let refused = |output: &str| require_no_input(&at(output), inputs.iter().map(PathBuf::as_path)).is_err();
        for output in ["a.csv", "rows/../a.csv", "rows/b.csv", "rows/deep/c.png", "rows"] {
            assert!(refused(output), "{output}");
        }
        for output in ["other.csv", "new.csv", "rows/new.csv", "rows/page.html", "gone.csv"] {
            assert!(!refused(output), "{output}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("a.csv"), at("link.csv")).unwrap();
            assert!(refused("link.csv"));
        }
        let told = require_no_input(&at("a.csv"), [at("a.csv").as_path()]).unwrap_err().to_string();
        assert!(told.contains("a.csv: it is read, and would be replaced"), "{told}");
    }

    #[test]
    fn rows_that_a_pattern_means_are_not_written_over_though_one_of_them_is_damaged() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["rows-1.parquet", "rows-2.parquet", "answers.parquet"] {
            fs::write(at(name), "x").unwrap();
        }
        let patterns = Patterns::from(at("rows-*.parquet").to_str().unwrap().to_owned());
        for (output, is_free) in
            [("rows-1.parquet", false), ("rows-2.parquet", false), ("answers.parquet", true), ("rows-3.parquet", true)]
        {
            assert_eq!(require_no_row(&at(output), &patterns).is_ok(), is_free, "{output}");
        }
    }

    #[test]
    fn what_a_recipe_is_made_from_is_not_written_over() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir(at("photos")).unwrap();
        for name in ["m.onnx", "photos/a.png", "test.csv", "free.svg"] {
            fs::write(at(name), "x").unwrap();
        }
        let text =
            "version: 1\nmodel: {path: m.onnx}\ndata: {train: photos, evaluate: test.csv}\noutput: {folder: run}";
        let recipe = Recipe::from_text(text, Path::new("r.yaml"), place.path(), &[]).unwrap();
        for (output, is_free) in [
            ("m.onnx", false),
            ("photos/a.png", false),
            ("test.csv", false),
            ("free.svg", true),
            ("photos/b.png", true),
        ] {
            assert_eq!(require_no_source(&at(output), &recipe).is_ok(), is_free, "{output}");
        }
    }
}
