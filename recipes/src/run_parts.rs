//! The parts of a run that went on with other settings than it had: which may change, from which step on what held.

use std::fs;

use millstream_schemas::{Fingerprint, Recipe};
use millstream_training::checkpoint::CheckpointManifest;
use serde::{Deserialize, Serialize};

use crate::run_folder::RunFolder;
use crate::setting_changes::{SettingChange, SettingChanges, at, put};
use crate::{Opened, RecipeError, moment, origin};

/// A part of a run, from the step on from which other settings hold than before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPart {
    /// Steps that were done before.
    pub after_step: u64,
    /// When it was begun, in UTC.
    pub began: String,
    /// Name and version of the software that began it.
    pub software: String,
    /// Of all settings that held before.
    pub before: Fingerprint,
    /// What became another.
    pub changes: Vec<SettingChange>,
}

/// The parts of a run behind the first: `parts.json` in its folder, where there are any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunParts {
    version: u32,
    parts: Vec<RunPart>,
}

impl RunPart {
    /// In words: `after step 20 other settings held: …`.
    pub(crate) fn told(&self) -> String {
        let leaves = self.changes.iter().flat_map(SettingChange::leaves);
        let told: Vec<String> = leaves.map(|(place, then, now)| format!("`{place}` {now} ({then} before)")).collect();
        format!("after step {} the run went on with other settings: {}", self.after_step, told.join(", "))
    }
}

impl RunParts {
    const VERSION: u32 = 1;

    /// Those of the run in a folder.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub(crate) fn of_run(folder: &RunFolder) -> Result<Self, RecipeError> {
        let file = folder.parts();
        if !file.exists() {
            return Ok(Self::default());
        }
        let text = fs::read(&file).map_err(RecipeError::io("read", &file))?;
        let read = serde_json::from_slice(&text).ok().filter(|parts: &Self| parts.version == Self::VERSION);
        let wanted = "it does not say from which steps on which settings held";
        read.ok_or(RecipeError::BeginningDamaged { path: file, wanted })
    }

    pub(crate) fn parts(&self) -> &[RunPart] {
        &self.parts
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What is told of each part.
    pub(crate) fn told(&self) -> Vec<String> {
        self.parts.iter().map(RunPart::told).collect()
    }

    /// With a part that begins behind so many steps. Parts that were to begin there, or later, are one with it: what was done in
    /// them is lost, or nothing was.
    pub(crate) fn going_on(
        mut self,
        changed: &SettingChanges,
        after_step: u64,
        checkpoint: &CheckpointManifest,
    ) -> Self {
        // what was noted last and never begun, since the recipe was not noted with it
        if let Some(last) = self.parts.last_mut() {
            for change in &mut last.changes {
                change.now = at(&changed.then, &change.setting).clone();
            }
            last.changes.retain(|change| change.then != change.now);
            if last.changes.is_empty() {
                self.parts.pop();
            }
        }
        let behind = self.parts.iter().position(|part| part.after_step >= after_step).unwrap_or(self.parts.len());
        let joined = self.parts.split_off(behind);
        let noted = joined.first().map(|part| part.before.clone());
        let mut changes: Vec<SettingChange> = Vec::new();
        for change in joined.iter().flat_map(|part| &part.changes).chain(&changed.changes) {
            match changes.iter_mut().find(|known| known.setting == change.setting) {
                Some(known) => known.now = change.now.clone(),
                None => changes.push(change.clone()),
            }
        }
        changes.retain(|change| change.then != change.now);
        if !changes.is_empty() {
            let saved = checkpoint.settings.iter().find(|(name, _)| name == "the recipe");
            let saved = saved.map(|(_, fingerprint)| Fingerprint(fingerprint.clone()));
            let before = noted.or(saved).unwrap_or_else(|| Fingerprint::of(&changed.then));
            let (began, software) = match joined.last().filter(|_| changed.changes.is_empty()) {
                Some(last) => (last.began.clone(), last.software.clone()),
                None => (moment::now(), origin::software()),
            };
            self.parts.push(RunPart { after_step, began, software, before, changes });
        }
        self
    }

    /// Fingerprints of the settings that held before.
    pub(crate) fn earlier(&self) -> Vec<Fingerprint> {
        self.parts.iter().map(|part| part.before.clone()).collect()
    }

    /// The recipe of each part but the last, and the step that it ends with.
    ///
    /// # Errors
    /// What was noted is no recipe.
    pub(crate) fn recipes_before(&self, folder: &RunFolder, last: &Recipe) -> Result<Vec<(Recipe, u64)>, RecipeError> {
        let damaged = || RecipeError::BeginningDamaged { path: folder.parts(), wanted: "no recipe can be made of it" };
        let mut value = serde_json::to_value(last).map_err(|_| damaged())?;
        let mut recipes = Vec::new();
        for part in self.parts.iter().rev() {
            for change in &part.changes {
                put(&mut value, &change.setting, change.then.clone());
            }
            let recipe: Recipe = serde_json::from_value(value.clone()).map_err(|_| damaged())?;
            recipes.push((recipe, part.after_step));
        }
        recipes.reverse();
        Ok(recipes)
    }

    /// Writes them, or leaves no file where there are none.
    pub(crate) fn write(&self, folder: &RunFolder) -> Result<(), RecipeError> {
        let file = folder.parts();
        if self.is_empty() {
            return match file.exists() {
                true => fs::remove_file(&file).map_err(RecipeError::io("delete", &file)),
                false => Ok(()),
            };
        }
        let noted = Self { version: Self::VERSION, parts: self.parts.clone() };
        folder.write(&file, &serde_json::to_vec_pretty(&noted).expect("our own types have string keys"))
    }
}

/// Refuses settings that do not fit what is done already.
pub(crate) fn require_ahead(opened: &Opened, checkpoint: &CheckpointManifest) -> Result<(), RecipeError> {
    let (training, resume) = (&opened.recipe.training, &checkpoint.resume);
    if (resume.epoch, resume.position) > (training.epochs, 0) {
        let done = match resume.position {
            0 => format!("{} are done", resume.epoch),
            _ => format!("the run is within its epoch {}", resume.epoch + 1),
        };
        let message = format!("{} are fewer than what is done already: {done}; give it more", training.epochs);
        return Err(RecipeError::mismatch("training.epochs", message));
    }
    if let Some(most) = training.max_steps.filter(|most| *most < checkpoint.step) {
        let message = format!("{most} are fewer than the {} that are done already; give it more", checkpoint.step);
        return Err(RecipeError::mismatch("training.max_steps", message));
    }
    let (then, now) = (&checkpoint.history.decides.name, &opened.metrics.decides().name);
    if then != now {
        let message = format!(
            "the best state so far was chosen by `{then}`, and `{now}` would choose from now on: which was best by that is not \
             kept; say `training.best={then}` and measure it, or begin anew"
        );
        return Err(RecipeError::mismatch("training.metrics", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use millstream_schemas::ResumePoint;
    use millstream_training::History;

    use super::*;
    use crate::setting_changes::tests::recipe;

    fn checkpoint(step: u64) -> CheckpointManifest {
        let dataset = Fingerprint::default();
        let resume =
            ResumePoint { version: 1, seed: 0, epoch: 0, position: 0, dataset: dataset.clone(), recipe: dataset };
        CheckpointManifest {
            version: CheckpointManifest::VERSION,
            step,
            resume,
            settings: vec![("the recipe".into(), format!("of step {step}"))],
            updates: step,
            cohorts: Vec::new(),
            averaged: None,
            evaluation_due: false,
            parameters: Vec::new(),
            kept: Vec::new(),
            files: Vec::new(),
            history: History::default(),
        }
    }

    /// Parts as (step, changes of `epochs`), which are what is told of them.
    fn told(parts: &RunParts) -> Vec<(u64, String)> {
        let of = |part: &RunPart| {
            let change = &part.changes[0];
            (part.after_step, format!("{}→{}", change.then, change.now))
        };
        parts.parts.iter().map(of).collect()
    }

    #[test]
    fn parts_follow_each_other_and_those_that_never_were_are_forgotten() {
        let of = |epochs: u64| recipe(&[&format!("training.epochs={epochs}")]);
        let go_on = |parts: RunParts, then: u64, now: u64, step: u64| {
            parts.going_on(&SettingChanges::between(&of(then), &of(now)).unwrap(), step, &checkpoint(step))
        };
        let one = go_on(RunParts::default(), 2, 3, 20);
        assert_eq!((told(&one), &one.parts[0].before.0), (vec![(20, "2→3".into())], &"of step 20".into()));
        assert!(
            one.parts[0]
                .told()
                .contains("after step 20 the run went on with other settings: `training.epochs` 3 (2 before)")
        );
        // resumed as it was, at once and later
        assert_eq!(go_on(one.clone(), 3, 3, 20), one);
        assert_eq!(go_on(one.clone(), 3, 3, 25), one);
        let two = go_on(one.clone(), 3, 5, 30);
        assert_eq!(told(&two), [(20, "2→3".into()), (30, "3→5".into())]);
        // nothing was done in between; or taken back
        assert_eq!(told(&go_on(one.clone(), 3, 4, 20)), [(20, "2→4".into())]);
        assert!(go_on(one.clone(), 3, 2, 20).is_empty());
        // the newest checkpoint was lost
        let lost = go_on(two.clone(), 5, 5, 10);
        assert_eq!((told(&lost), &lost.parts[0].before.0), (vec![(10, "2→5".into())], &"of step 20".into()));
        // killed between the note and the recipe
        assert_eq!(told(&go_on(two.clone(), 3, 3, 30)), [(20, "2→3".into())]);
        assert_eq!(told(&go_on(go_on(one.clone(), 3, 4, 20), 3, 3, 20)), [(20, "2→3".into())]);
        // the recipes of before
        let folder = RunFolder("/run".into());
        let recipes = two.recipes_before(&folder, &of(5)).unwrap();
        let recipes: Vec<(u64, u64)> = recipes.iter().map(|(recipe, step)| (recipe.training.epochs, *step)).collect();
        assert_eq!(recipes, [(2, 20), (3, 30)]);
    }

    #[test]
    fn a_recipe_of_before_is_the_one_that_was() {
        let changes = [
            "training.schedule={cosine: {warmup: 0.1}}",
            "training.gradient_clip_norm=0.7",
            "evaluation.every={steps: 3}",
        ];
        let (then, now) = (recipe(&[]), recipe(&changes));
        for (then, now) in [(&then, &now), (&now, &then)] {
            let parts = RunParts::default().going_on(&SettingChanges::between(then, now).unwrap(), 4, &checkpoint(4));
            let folder = RunFolder("/run".into());
            assert_eq!(parts.recipes_before(&folder, now).unwrap(), [(then.clone(), 4)]);
        }
    }
}
