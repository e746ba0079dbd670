use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_schemas::recipe::AdaptersOutput;
use millstream_schemas::{Fingerprint, ParameterEntry, files, shown_path};
use millstream_training::StepSettings;
use millstream_training::checkpoint::{self, Checkpoint};
use serde::{Deserialize, Serialize};

use super::files::EnsembleFolder;
use super::members::read_recipe;
use super::members_folder::require_one_run;
use crate::origin::Origin;
use crate::preprocessing::Preprocessing;
use crate::run_folder::RunFolder;
use crate::run_start::{made_of, trainer_settings};
use crate::{Catalogs, Opened, RecipeError, labels_file};

/// The file that says which run's states lie in a folder.
const STATES: &str = "snapshots.json";

/// A state of a run that was written as a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// The folder of the run, in the file from that of the states.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub(crate) run: PathBuf,
    /// The step after which it was so.
    pub(crate) step: u64,
    /// What tells that run from another one that takes its folder later; none in files of older builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<Fingerprint>,
}

impl Snapshot {
    /// Which state of which run a model is; none where that was not noted.
    ///
    /// # Errors
    /// What was noted cannot be read, or is damaged.
    pub(crate) fn of(model: &Path) -> Result<Option<Self>, RecipeError> {
        let (Some(folder), Some(name)) = (model.parent(), model.file_name()) else { return Ok(None) };
        let noted = noted(folder)?.remove(&*name.to_string_lossy());
        Ok(noted.map(|noted| Self { run: folder.join(noted.run), ..noted }))
    }

    /// Whether the run in its folder is the one that it is a state of, as far as that was noted.
    ///
    /// # Errors
    /// What the run has noted of its beginning cannot be read, or is damaged.
    pub(crate) fn is_of_run_now(&self) -> Result<bool, RecipeError> {
        Ok(self.began.is_none() || beginning(&RunFolder(self.run.clone()))? == self.began)
    }
}

/// What tells a run from others that may take its folder, and stays when it goes on; none where nothing has begun.
fn beginning(run: &RunFolder) -> Result<Option<Fingerprint>, RecipeError> {
    let began = Origin::of_run(run)?.map(|origin| origin.began);
    Ok(run.made_of()?.map(|made_of| Fingerprint::of(&(began, made_of.model, made_of.train, made_of.adapters))))
}

/// The states in a folder, by the names of their files.
fn noted(folder: &Path) -> Result<BTreeMap<String, Snapshot>, RecipeError> {
    let file = folder.join(STATES);
    if !file.exists() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read(&file).map_err(RecipeError::io("read", &file))?;
    let damaged = |_| {
        let message = "it is damaged, or of another program: it does not say of which run the states here are; delete it and write them anew by \
                       `millstream ensemble snapshots`, or move it away";
        RecipeError::ensemble(&file, message)
    };
    serde_json::from_slice(&text).map_err(damaged)
}

/// Writes states of one run as models, to be members of an ensemble: those that `training.average` has kept (`last` or `best` so
/// many), or else those of its checkpoints as the run evaluates them, the average where it keeps one of all steps. They are called
/// after their steps, and nothing is run.
///
/// # Errors
/// There is no run, its model or data are not those that it began with, it has fewer than two states, or nothing can be written.
pub fn snapshots(run: &Path, to: &Path, catalogs: &Catalogs) -> Result<Vec<PathBuf>, RecipeError> {
    let folder = RunFolder(run.to_owned());
    if !folder.recipe().exists() {
        return Err(RecipeError::NoRunToResume { folder: run.to_owned(), found: folder.holds()? });
    }
    require_one_run(run)?;
    let mut recipe = read_recipe(&folder.recipe(), catalogs)?;
    recipe.output.folder = run.to_owned();
    let opened = Opened::open(&recipe, catalogs)?;
    folder.require_same(&opened.recipe, &made_of(&opened)?, &opened.catalogs)?;
    let states = states(&folder)?;
    if states.len() < 2 {
        let message = "it has fewer than two states; `training.average: {last: 5}` keeps some, and so does `output.checkpoint: {keep: 5}`";
        return Err(RecipeError::ensemble(run, message));
    }
    let compiled = opened.compile()?;
    let (program, settings) = (compiled.program(), trainer_settings(&compiled, &folder)?.step);
    let of_state = |(step, state): (u64, State)| Ok((step, state.evaluated(&settings, &program.manifest.parameters)?));
    let states = states.into_iter().map(of_state).collect::<Result<Vec<_>, RecipeError>>()?;
    let classes = opened.train.classes();
    let of_run = Preprocessing::of(&opened.recipe, &opened.train, &opened.spec, opened.loss.reads()).metadata();
    let (mut written, mut noted) = (Vec::with_capacity(states.len()), noted(to)?);
    let (own, began) = (PathBuf::from(EnsembleFolder(to.to_owned()).relative(run)), beginning(&folder)?);
    for (step, parameters) in states {
        let mut metadata = vec![of_run.clone(), ("millstream.steps".to_owned(), step.to_string())];
        if !classes.is_empty() {
            let names = serde_json::to_string(classes).expect("lists of strings always serialize");
            metadata.push((labels_file::KEY.to_owned(), names));
        }
        let model = program.export_with(&parameters, AdaptersOutput::Merged, &metadata)?;
        let name = format!("step-{step}.onnx");
        let path = to.join(&name);
        files::replace_file_by(&path, |out| model.write_to(out)).map_err(RecipeError::io("write", &path))?;
        noted.insert(name, Snapshot { run: own.clone(), step, began: began.clone() });
        written.push(path);
    }
    let file = to.join(STATES);
    let text = serde_json::to_vec_pretty(&noted).expect("our own types have string keys");
    files::replace_file(&file, &text).map_err(RecipeError::io("write", &file))?;
    Ok(written)
}

/// A state of a run.
enum State {
    /// Parameters as they were evaluated.
    Kept(Vec<Vec<f32>>),
    /// A checkpoint's folder.
    Saved(PathBuf),
}

impl State {
    /// What of it the run evaluates and exports.
    fn evaluated(self, settings: &StepSettings, entries: &[ParameterEntry]) -> Result<Vec<Vec<f32>>, RecipeError> {
        match self {
            Self::Kept(parameters) => Ok(parameters),
            Self::Saved(path) => {
                let Checkpoint { parameters, state, .. } = checkpoint::load(&path)?;
                Ok(settings.evaluated(entries, parameters, &state))
            }
        }
    }
}

/// With the steps after which they were so, in order.
fn states(folder: &RunFolder) -> Result<Vec<(u64, State)>, RecipeError> {
    let newest = checkpoint::load_newest(&folder.checkpoints())?;
    let Some(Checkpoint { kept, manifest, .. }) = newest.checkpoint else {
        let message = format!("there is no whole checkpoint in {}", shown_path(folder.checkpoints()));
        return Err(RecipeError::ensemble(&folder.0, message));
    };
    if !kept.is_empty() {
        let steps = manifest.kept.iter().map(|record| record.step);
        return Ok(steps.zip(kept.into_iter().map(State::Kept)).collect());
    }
    let saved = checkpoint::list(&folder.checkpoints())?.into_iter();
    let mut found: Vec<(u64, State)> = saved.map(|(step, path)| (step, State::Saved(path))).collect();
    found.sort_by_key(|(step, _)| *step);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_is_not_one_of_a_run_that_took_the_folder_later_and_stays_one_of_a_run_that_goes_on() {
        let place = tempfile::tempdir().unwrap();
        let run = RunFolder(place.path().join("run"));
        let write = |began: &str, evaluate: &str| {
            let print = |text: &str| Fingerprint::of_bytes(text.as_bytes());
            let made_of = json!({"model.path": print("m"), "data.train": print("t"), "data.evaluate": print(evaluate)})
                .to_string();
            run.write(&run.fingerprints(), made_of.as_bytes()).unwrap();
            Origin::without_base(began.to_owned(), None).write(&run).unwrap();
        };
        std::fs::create_dir_all(&run.0).unwrap();
        write("2026-11-27T03:11:00Z", "e");
        let snapshot = Snapshot { run: run.0.clone(), step: 3, began: beginning(&run).unwrap() };
        assert!(snapshot.began.is_some() && snapshot.is_of_run_now().unwrap());
        write("2026-11-27T03:11:00Z", "other rows to evaluate on");
        assert!(snapshot.is_of_run_now().unwrap(), "it went on");
        write("2026-11-27T04:00:00Z", "e");
        assert!(!snapshot.is_of_run_now().unwrap(), "another run is there");
        let older: Snapshot = serde_json::from_value(json!({"run": run.0, "step": 3})).unwrap();
        assert!(older.is_of_run_now().unwrap(), "of a build that has not noted it");
    }
}
