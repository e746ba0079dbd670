//! Whether the run in a folder is the one that a recipe would go on with.

use std::fs;
use std::path::Path;

use millstream_schemas::Recipe;
use millstream_schemas::recipe::RecipeText;

use crate::made_of::MadeOf;
use crate::run_folder::RunFolder;
use crate::setting_changes::{SettingChange, SettingChanges};
use crate::{Catalogs, RecipeError};

const NO_RECIPE: &str = "no recipe can be made of it";

impl RunFolder {
    /// Refuses a model, data or a recipe other than those that the run in this folder has.
    pub(crate) fn require_same(
        &self,
        recipe: &Recipe,
        made_of: &MadeOf,
        catalogs: &Catalogs,
    ) -> Result<SettingChanges, RecipeError> {
        let same = self.require_same_run(recipe, made_of, catalogs)?;
        match same.changes.iter().flat_map(SettingChange::leaves).next() {
            None => Ok(same),
            Some((what, then, now)) => Err(RecipeError::ResumeChanged { folder: self.0.clone(), what, then, now }),
        }
    }

    /// Refuses a model, data or a recipe of another run than the one in this folder; what may be another while it goes on, and is.
    pub(crate) fn require_same_run(
        &self,
        recipe: &Recipe,
        made_of: &MadeOf,
        catalogs: &Catalogs,
    ) -> Result<SettingChanges, RecipeError> {
        let file = self.recipe();
        if !file.exists() {
            return Err(RecipeError::NoRunToResume { folder: self.0.clone(), found: self.holds()? });
        }
        let read = |path: &Path| {
            fs::read(path).map_err(|reason| RecipeError::BeginningUnreadable { path: path.to_owned(), reason })
        };
        let damaged = |path: &Path, wanted| RecipeError::BeginningDamaged { path: path.to_owned(), wanted };
        // An error of the parser would speak of the recipe at hand, which is another file.
        let text = String::from_utf8(read(&file)?).map_err(|_| damaged(&file, NO_RECIPE))?;
        let base = std::path::absolute(&self.0).map_err(RecipeError::io("find", &self.0))?;
        // Where things lay then does not matter, and an older build wrote paths that read otherwise today.
        let mut elsewhere = ["model.path=x", "data.train=x", "data.evaluate=null", "output.folder=x"].to_vec();
        if text.lines().any(|line| line.trim_start().starts_with("quarantine:")) {
            elsewhere.push("data.damaged.quarantine=x");
        }
        let elsewhere: Vec<String> = elsewhere.into_iter().map(str::to_owned).collect();
        let text = RecipeText::new(&text, &file, &base, &elsewhere).map_err(|_| damaged(&file, NO_RECIPE))?;
        let definitions = catalogs.definitions();
        let then = match text.examine(&definitions) {
            (Some(then), faults) if faults.is_empty() => then,
            _ => return Err(damaged(&file, NO_RECIPE)),
        };
        let file = self.fingerprints();
        let made_then: MadeOf =
            serde_json::from_slice(&read(&file)?).map_err(|_| damaged(&file, "it holds no fingerprints"))?;
        // What files hold that options name is compared where it is read: as the model's graph, or as what encodings have learned.
        let changed = SettingChanges::between(&then.without_paths(&definitions), &recipe.without_paths(&definitions))
            .and_then(|changed| MadeOf::first_difference(&made_then, made_of).map_or(Ok(changed), Err));
        changed.map_err(|(what, then, now)| RecipeError::ResumeChanged { folder: self.0.clone(), what, then, now })
    }
}
