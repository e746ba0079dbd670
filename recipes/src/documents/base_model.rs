//! The base model of a run: as it lies at its place, or as the run has noted it where another file lies there now.

use millstream_schemas::{Fingerprint, Recipe};

use super::model_facts::ModelFacts;
use crate::made_of::MadeOf;
use crate::replaced_model::replaced_model;
use crate::run_folder::RunFolder;
use crate::{Catalogs, Opened, RecipeError};

/// The base model of a run, and its rows as they lie there now.
pub(super) struct BaseModel {
    /// What the run began with.
    pub(super) facts: ModelFacts,
    /// The rows, with a model that takes them: the base model, or where that is another file now, what the run has exported.
    pub(super) opened: Opened,
    /// That another file lies there now, or none; nothing where it is the one that the run began with.
    pub(super) changed: Option<String>,
}

impl BaseModel {
    /// Of the run in a folder with this recipe.
    ///
    /// # Errors
    /// What the run has noted cannot be read, or its rows cannot be opened.
    pub(super) fn of(folder: &RunFolder, recipe: &Recipe, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        let path = recipe.require_model("training")?.path.clone();
        let Some((noted, said)) = replaced_model(folder, &path)? else {
            let opened = Opened::open(recipe, catalogs)?;
            return Ok(Self { facts: ModelFacts::of(&opened.model, &path)?, opened, changed: None });
        };
        // the exported model takes the same rows
        let exported = folder.model();
        let mut recipe = recipe.clone();
        if let Some(model) = recipe.model.as_mut().filter(|_| exported.exists()) {
            model.path = exported;
        }
        let opened = Opened::open(&recipe, catalogs).map_err(|error| {
            RecipeError::mismatch("model.path", format!("{said}, and the rows cannot be opened without it: {error}"))
        })?;
        let changed = format!(
            "`model.path` is not what the run began with: {said}; the base model is told as the run has noted it, and which layers were \
             trained, which only that model tells, is left out"
        );
        Ok(Self { facts: ModelFacts::noted(&path, &noted), opened, changed: Some(changed) })
    }

    /// What the run would be made of now; a base model that is another is told apart and passes here.
    pub(super) fn with_noted_model(&self, now: MadeOf) -> MadeOf {
        match self.changed {
            Some(_) => MadeOf { model: Fingerprint(self.facts.sha256.clone()), ..now },
            None => now,
        }
    }
}
