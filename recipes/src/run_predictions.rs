//! What a run's model gave for its evaluation rows, as it lies in the run's folder.

use std::path::Path;

use millstream_pipeline::read_predictions;
use millstream_schemas::files::sha256_of_file;
use millstream_schemas::recipe::ByteSize;
use millstream_schemas::{Predictions, Recipe, shell_path, shown_path};

use crate::evaluate::{EvaluateOptions, evaluate};
use crate::run_folder::RunFolder;
use crate::{Catalogs, Events, RecipeError, Stop};

/// Those that lie there, or why there are none that are the model's, and what to do.
///
/// # Errors
/// The file or the model cannot be read, or it is too large.
pub(crate) fn kept(folder: &RunFolder, most: ByteSize) -> Result<Result<Predictions, String>, RecipeError> {
    let (file, model) = (folder.predictions(), folder.model());
    let how = format!(
        "`millstream evaluate {} --model {} --predictions {}` writes them",
        shell_path(folder.recipe()),
        shell_path(&model),
        shell_path(&file)
    );
    if !model.exists() {
        return Ok(Err(format!("{} has exported no model", shown_path(&folder.0))));
    }
    if !file.exists() {
        return Ok(Err(format!("{} has kept no predictions; {how}", shown_path(&folder.0))));
    }
    let found = read_predictions(&file, most.0)?;
    if found.header.model.0 != sha256_of_file(&model).map_err(RecipeError::io("read", &model))? {
        return Ok(Err(format!("{} is of another model than the one beside it; {how}", shown_path(&file))));
    }
    Ok(Ok(found))
}

/// Writes them where there are none that are the model's. False when it was asked to stop.
///
/// # Errors
/// There are no rows, the model or the rows cannot be opened, or the file cannot be written.
pub(crate) fn keep(
    folder: &RunFolder,
    recipe: &Recipe,
    (catalogs, library): (&Catalogs, Option<&Path>),
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<bool, RecipeError> {
    if recipe.data.evaluate.is_none() {
        let message = format!(
            "its recipe names no rows to evaluate on, so there are no answers to keep; `millstream evaluate {} --model {} --data FILES \
             --predictions {}` keeps those for other rows",
            shell_path(folder.recipe()),
            shell_path(folder.model()),
            shell_path(folder.predictions())
        );
        return Err(RecipeError::mismatch(shown_path(&folder.0), message));
    }
    let options = EvaluateOptions {
        model: Some(folder.model()),
        predictions: Some(folder.predictions()),
        catalogs: catalogs.clone(),
        library: library.map(Path::to_owned),
        ..EvaluateOptions::default()
    };
    Ok(evaluate(recipe, &options, events, stop)?.is_some())
}
