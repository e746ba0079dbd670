use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_schemas::recipe::AdaptersOutput;
use millstream_schemas::{files, shown_path};
use millstream_training::checkpoint::{self, Checkpoint};
use serde::{Deserialize, Serialize};

use super::files::EnsembleFolder;
use super::members::read_recipe;
use crate::preprocessing::Preprocessing;
use crate::run_folder::RunFolder;
use crate::run_start::made_of;
use crate::{Catalogs, Opened, RecipeError, labels_file};

/// The file that says which run's states lie in a folder.
const STATES: &str = "snapshots.json";

/// A state of a run that was written as a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// The folder of the run, in the file from that of the states.
    pub(crate) run: PathBuf,
    /// The step after which it was so.
    pub(crate) step: u64,
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
}

/// The states in a folder, by the names of their files.
fn noted(folder: &Path) -> Result<BTreeMap<String, Snapshot>, RecipeError> {
    let file = folder.join(STATES);
    if !file.exists() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read(&file).map_err(RecipeError::io("read", &file))?;
    let damaged = |_| RecipeError::ensemble(&file, "it is damaged: it does not say of which run these states are");
    serde_json::from_slice(&text).map_err(damaged)
}

/// Writes states of one run as models, to be members of an ensemble: those that `training.average` has kept (`last` or `best` so many), or else
/// those of its checkpoints. They are called after their steps, and nothing is run.
///
/// # Errors
/// There is no run, its model or data are not those that it began with, it has fewer than two states, or nothing can be written.
pub fn snapshots(run: &Path, to: &Path, catalogs: &Catalogs) -> Result<Vec<PathBuf>, RecipeError> {
    let folder = RunFolder(run.to_owned());
    if !folder.recipe().exists() {
        return Err(RecipeError::NoRunToResume { folder: run.to_owned(), found: folder.holds()? });
    }
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
    let program = compiled.program();
    let classes = opened.train.classes();
    let of_run = Preprocessing::of(&opened.recipe, &opened.train, &opened.spec, opened.loss.reads()).metadata();
    let (mut written, mut noted) = (Vec::with_capacity(states.len()), noted(to)?);
    let own = PathBuf::from(EnsembleFolder(to.to_owned()).relative(run));
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
        noted.insert(name, Snapshot { run: own.clone(), step });
        written.push(path);
    }
    let file = to.join(STATES);
    let text = serde_json::to_vec_pretty(&noted).expect("our own types have string keys");
    files::replace_file(&file, &text).map_err(RecipeError::io("write", &file))?;
    Ok(written)
}

/// Parameters, and the step after which they were so.
type State = (u64, Vec<Vec<f32>>);

/// By step.
fn states(folder: &RunFolder) -> Result<Vec<State>, RecipeError> {
    let newest = checkpoint::load_newest(&folder.checkpoints())?;
    let Some(Checkpoint { kept, manifest, .. }) = newest.checkpoint else {
        let message = format!("there is no whole checkpoint in {}", shown_path(folder.checkpoints()));
        return Err(RecipeError::ensemble(&folder.0, message));
    };
    if !kept.is_empty() {
        return Ok(manifest.kept.iter().map(|record| record.step).zip(kept).collect());
    }
    let mut found = Vec::new();
    for (step, path) in checkpoint::list(&folder.checkpoints())? {
        found.push((step, checkpoint::load(&path)?.parameters));
    }
    found.sort_by_key(|(step, _)| *step);
    Ok(found)
}
