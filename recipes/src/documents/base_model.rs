//! The base model of a run and its rows: as they lie at their places, or as the run has noted them where others lie there now, or none.

use millstream_compiler::Model;
use millstream_pipeline::PipelineError;
use millstream_schemas::{Fingerprint, Recipe};

use super::missing_rows::missing_rows;
use super::model_facts::ModelFacts;
use crate::data_facts::NotedData;
use crate::made_of::MadeOf;
use crate::replaced_model::replaced_model;
use crate::run_folder::RunFolder;
use crate::{Catalogs, Opened, RecipeError};

/// The base model of a run, and its rows as they lie there now.
pub(super) struct BaseModel {
    /// What the run began with.
    pub(super) facts: ModelFacts,
    /// The rows, with a model that takes them: the base model, or where that is another file now, what the run has exported. None where
    /// files of rows are not there any more.
    pub(super) opened: Option<Opened>,
    /// Why the rows could not be opened, where their files are not there any more.
    pub(super) gone: Option<String>,
    /// That another file lies there now, or none; nothing where it is the one that the run began with.
    pub(super) changed: Option<String>,
}

impl BaseModel {
    /// Of the run in a folder with this recipe.
    ///
    /// # Errors
    /// What the run has noted cannot be read, or its rows are there and cannot be opened.
    pub(super) fn of(folder: &RunFolder, recipe: &Recipe, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        let path = recipe.require_model("training")?.path.clone();
        let Some((noted, said)) = replaced_model(folder, &path)? else {
            let (opened, gone) = rows_of(folder, recipe, catalogs)?;
            let facts = match &opened {
                Some(opened) => ModelFacts::of(&opened.model, &path)?,
                None => ModelFacts::of(&Model::read(&path).map_err(RecipeError::at("model.path"))?, &path)?,
            };
            return Ok(Self { facts, opened, gone, changed: None });
        };
        // the exported model takes the same rows
        let exported = folder.model();
        let mut recipe = recipe.clone();
        if let Some(model) = recipe.model.as_mut().filter(|_| exported.exists()) {
            model.path = exported;
        }
        let (opened, gone) = rows_of(folder, &recipe, catalogs).map_err(|error| {
            RecipeError::mismatch("model.path", format!("{said}, and the rows cannot be opened without it: {error}"))
        })?;
        let changed = format!(
            "`model.path` is not what the run began with: {said}; the base model is told as the run has noted it, and which layers were \
             trained, which only that model tells, is left out"
        );
        Ok(Self { facts: ModelFacts::noted(&path, &noted), opened, gone, changed: Some(changed) })
    }

    /// What the run would be made of now; a base model that is another is told apart and passes here.
    pub(super) fn with_noted_model(&self, now: MadeOf) -> MadeOf {
        match self.changed {
            Some(_) => MadeOf { model: Fingerprint(self.facts.sha256.clone()), ..now },
            None => now,
        }
    }
}

/// Opens rows and model; where files of the rows are not there, why.
fn rows_of(
    folder: &RunFolder,
    recipe: &Recipe,
    catalogs: &Catalogs,
) -> Result<(Option<Opened>, Option<String>), RecipeError> {
    let error = match Opened::open(recipe, catalogs) {
        Ok(opened) => return Ok((Some(opened), None)),
        Err(error) => error,
    };
    // of the files themselves: the same error may be of a file of the tokenizer
    let missing = match is_of_missing_rows(&error) {
        true => Some(error.to_string()),
        false => missing_rows(recipe, NotedData::read(folder)?.as_ref()),
    };
    match missing {
        Some(reason) => Ok((None, Some(reason))),
        None => Err(error),
    }
}

/// Whether an error can only be of rows that are not where they were.
fn is_of_missing_rows(error: &RecipeError) -> bool {
    match error {
        RecipeError::Pipeline(PipelineError::NoFiles { .. } | PipelineError::MissingShards { .. }) => true,
        RecipeError::At { source, .. } => is_of_missing_rows(source),
        _ => false,
    }
}
