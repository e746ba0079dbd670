use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use millstream_schemas::Fingerprint;

use super::file_names::{
    BEST, EXPORTED, HISTORY, LARGEST_MANIFEST, LAST, MANIFEST, MANIFEST_HASH, STATE, WEIGHTS, kept_name,
};
use super::tensors::Elements;
use super::{CheckpointFault, CheckpointManifest, SavedFile, folder, state_name, step_folder, tensors};
use crate::TrainingError;
use crate::kept_states::{Finals, SharedParameters};
use crate::session::OptimizerState;
use millstream_schemas::files;

/// What is saved. `manifest.files` is filled in here.
pub(crate) struct Snapshot {
    pub(crate) manifest: CheckpointManifest,
    pub(crate) contents: Contents,
    /// The best parameters, where they are not those of the contents.
    pub(crate) best: Option<SharedParameters>,
    /// States that will be averaged, in the order of the manifest.
    pub(crate) kept: Vec<SharedParameters>,
    /// What is exported, and the last state, with running statistics that were computed anew.
    pub(crate) finals: Finals,
}

/// Parameters and state.
pub(crate) enum Contents {
    New {
        parameters: Vec<Vec<f32>>,
        state: OptimizerState,
    },
    /// Those of the checkpoint of the same step that this one replaces, which has these files.
    AsBefore(Vec<SavedFile>),
}

/// Saves a checkpoint as `step-N`; then deletes those of later steps, since a run that went back to an earlier one has no
/// future, and the oldest beyond `keep`. Returns its folder and files.
pub(crate) fn save(
    folder: &Path,
    mut snapshot: Snapshot,
    keep: usize,
) -> Result<(PathBuf, Vec<SavedFile>), TrainingError> {
    files::create_folder(folder).map_err(TrainingError::io("create", folder))?;
    folder::tidy(folder)?;
    let step = snapshot.manifest.step;
    let (place, temporary) = (step_folder(folder, step), folder::temporary(folder, step));
    write(&temporary, &place, &mut snapshot).inspect_err(|_| {
        let _ = fs::remove_dir_all(&temporary);
    })?;

    let replaced = folder::replaced(folder, step);
    if place.exists() {
        fs::rename(&place, &replaced).map_err(TrainingError::io("rename", &place))?;
    }
    fs::rename(&temporary, &place).map_err(TrainingError::io("rename", &temporary))?;
    files::sync_folder(folder).map_err(TrainingError::io("sync", folder))?;

    // From here on the new one is durable, whatever happens.
    if replaced.exists() {
        fs::remove_dir_all(&replaced).map_err(TrainingError::io("delete", &replaced))?;
    }
    let (later, earlier): (Vec<_>, Vec<_>) =
        folder::list(folder)?.into_iter().filter(|(other, _)| *other != step).partition(|(other, _)| *other > step);
    for (other, old) in later.into_iter().chain(earlier.into_iter().skip(keep.max(1) - 1)) {
        folder::delete(folder, other, &old)?;
    }
    Ok((place, snapshot.manifest.files))
}

/// Files that are open at a time until they are on the disk.
const MOST_OPEN: usize = 64;

/// Files that are written, and may not be on the disk yet. They are synced together: a file system that keeps a journal writes it once then,
/// and not once for each of them.
#[derive(Default)]
struct Unsynced(Vec<(PathBuf, fs::File)>);

impl Unsynced {
    /// Adds one; when so many are open that others would find none left, they are synced and closed.
    fn add(&mut self, path: PathBuf, file: fs::File) -> Result<(), TrainingError> {
        self.0.push((path, file));
        if self.0.len() < MOST_OPEN { Ok(()) } else { self.sync() }
    }

    fn sync(&mut self) -> Result<(), TrainingError> {
        for (path, file) in self.0.drain(..) {
            file.sync_all().map_err(TrainingError::io("write", path))?;
        }
        Ok(())
    }
}

/// Writes the files one by one: a file's bytes are built, written and dropped before the next one's. `before` is the
/// checkpoint that this one replaces; what that holds already is not written again. With those of other steps nothing is
/// shared: where one is damaged, another one is whole.
fn write(folder: &Path, before: &Path, snapshot: &mut Snapshot) -> Result<(), TrainingError> {
    fs::create_dir(folder).map_err(TrainingError::io("create", folder))?;
    let mut unsynced = Unsynced::default();
    let mut write_file = |name: &str, bytes: &[u8]| -> Result<(), TrainingError> {
        let path = folder.join(name);
        let mut file = fs::File::create(&path).map_err(TrainingError::io("write", &path))?;
        file.write_all(bytes).map_err(TrainingError::io("write", &path))?;
        unsynced.add(path, file)
    };
    let failed = |fault| TrainingError::Checkpoint { path: folder.to_owned(), fault };
    let mut saved = Vec::new();
    let there: &[SavedFile] = match &snapshot.contents {
        Contents::AsBefore(files) => files,
        Contents::New { .. } => &[],
    };
    let mut write_listed = |name: &str, bytes: &[u8]| -> Result<(), TrainingError> {
        let sha256 = Fingerprint::of_bytes(bytes).0;
        match there.iter().find(|file| file.sha256 == sha256) {
            Some(file) => link(&before.join(&file.name), &folder.join(name))?,
            None => write_file(name, bytes)?,
        }
        saved.push(SavedFile { name: name.to_owned(), bytes: bytes.len() as u64, sha256 });
        Ok(())
    };
    let history = serde_json::to_vec(&snapshot.manifest.history).expect("our own types have string keys");
    write_listed(HISTORY, &history)?;
    drop(history);
    let mut write_tensors = |name: &str, tensors: &[tensors::Named<'_>]| -> Result<(), TrainingError> {
        let bytes = tensors::write(tensors)
            .map_err(|fault| failed(CheckpointFault::Tensors { file: name.to_owned(), fault }))?;
        write_listed(name, &bytes)
    };
    let (manifest, contents) = (&snapshot.manifest, &snapshot.contents);
    let parameters = match contents {
        Contents::New { parameters, state } => {
            write_tensors(WEIGHTS, &of_parameters(manifest, parameters))?;
            write_tensors(STATE, &of_state(manifest, state))?;
            Some(parameters)
        }
        Contents::AsBefore(_) => None,
    };
    if let Some(best) = snapshot.best.as_ref().filter(|best| Some(&***best) != parameters) {
        write_tensors(BEST, &of_parameters(manifest, best))?;
    }
    for (index, parameters) in snapshot.kept.iter().enumerate() {
        write_tensors(&kept_name(index), &of_parameters(manifest, parameters))?;
    }
    for (name, parameters) in [(EXPORTED, &snapshot.finals.exported), (LAST, &snapshot.finals.last)] {
        if let Some(parameters) = parameters {
            write_tensors(name, &of_parameters(manifest, parameters))?;
        }
    }
    if let Contents::AsBefore(files) = contents {
        for file in files.iter().filter(|file| [WEIGHTS, STATE].contains(&file.name.as_str())) {
            link(&before.join(&file.name), &folder.join(&file.name))?;
            saved.push(file.clone());
        }
    }
    snapshot.manifest.files = saved;
    let text = serde_json::to_vec(&snapshot.manifest).expect("our own types have string keys");
    if text.len() > LARGEST_MANIFEST {
        return Err(failed(CheckpointFault::WouldBeTooLong { bytes: text.len() }));
    }
    write_file(MANIFEST_HASH, Fingerprint::of_bytes(&text).0.as_bytes())?;
    write_file(MANIFEST, &text)?;
    unsynced.sync()?;
    files::sync_folder(folder).map_err(TrainingError::io("sync", folder))
}

/// Makes a file the same as another one.
fn link(from: &Path, to: &Path) -> Result<(), TrainingError> {
    // Not every file system has links.
    fs::hard_link(from, to)
        .or_else(|_| fs::copy(from, to).and_then(|_| fs::File::open(to)?.sync_all()))
        .map_err(TrainingError::io("write", to))
}

fn of_parameters<'a>(manifest: &'a CheckpointManifest, values: &'a [Vec<f32>]) -> Vec<tensors::Named<'a>> {
    let named = manifest.parameters.iter().zip(values);
    named.map(|(parameter, values)| (parameter.name.clone(), &parameter.shape[..], Elements::F32(values))).collect()
}

fn of_state<'a>(manifest: &'a CheckpointManifest, state: &'a OptimizerState) -> Vec<tensors::Named<'a>> {
    let named = manifest.parameters.iter().zip(&state.tensors).flat_map(|(parameter, tensors)| {
        let of_parameter = parameter.state.iter().zip(tensors);
        of_parameter.map(|(state, values)| (state_name(&parameter.name, &state.name), &state.shape[..], values.into()))
    });
    named.collect()
}

#[cfg(test)]
impl Snapshot {
    /// Of a run that has made so many steps with no parameters.
    pub(super) fn of_step(step: u64) -> Self {
        let resume = millstream_schemas::ResumePoint {
            version: millstream_schemas::ResumePoint::VERSION,
            seed: 0,
            epoch: 0,
            position: 0,
            dataset: Fingerprint::default(),
            recipe: Fingerprint::default(),
        };
        let manifest = CheckpointManifest {
            version: CheckpointManifest::VERSION,
            step,
            resume,
            settings: Vec::new(),
            updates: step,
            cohorts: Vec::new(),
            averaged: None,
            evaluation_due: false,
            parameters: Vec::new(),
            kept: Vec::new(),
            files: Vec::new(),
            history: crate::record::History::default(),
        };
        let contents = Contents::New { parameters: Vec::new(), state: OptimizerState::default() };
        Self { manifest, contents, best: None, kept: Vec::new(), finals: Finals::default() }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use super::super::SavedParameter;
    use super::*;
    use crate::metrics::{Evaluation, Table};
    use crate::record::History;

    /// Of a run that has made three steps.
    fn manifest(settings: Vec<(String, String)>, history: History) -> CheckpointManifest {
        CheckpointManifest { settings, history, ..Snapshot::of_step(3).manifest }
    }

    fn saved(folder: &Path, manifest: CheckpointManifest) -> Result<(PathBuf, Vec<SavedFile>), TrainingError> {
        save(folder, Snapshot { manifest, ..Snapshot::of_step(3) }, 2)
    }

    #[test]
    fn a_checkpoint_of_more_files_than_a_process_may_open_has_few_of_them_open_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (mut unsynced, mut most) = (Unsynced::default(), 0);
        for index in 0..1100 {
            let path = folder.path().join(kept_name(index));
            let file = fs::File::create(&path).unwrap();
            unsynced.add(path, file).unwrap();
            most = most.max(unsynced.0.len());
        }
        assert!(most > 1 && most < MOST_OPEN, "{most}");
        unsynced.sync().unwrap();
        assert!(unsynced.0.is_empty());
    }

    #[test]
    fn a_run_with_tables_of_many_classes_goes_on_since_no_manifest_holds_them() {
        let folder = tempfile::tempdir().unwrap();
        // as long as several sets of 2000 classes have it, in fewer numbers
        let counts = vec![vec![u64::MAX; 1850]; 1850];
        let evaluation = Evaluation {
            rows: 3,
            not_finite: 0,
            loss: 2.0 / 3.0,
            figures: [("accuracy", Some(1.0 / 3.0))].into_iter().collect(),
            tables: vec![("confusion_matrix".to_owned(), Table::Matrix(counts))],
            majority: None,
            confidence: 0.95,
            intervals: Vec::new(),
            slices: Vec::new(),
            mistakes: Vec::new(),
            mistaken_pictures: Vec::new(),
            mistaken_masks: Vec::new(),
        };
        let history = History { best_evaluation: Some(evaluation), ..History::default() };
        let (place, files) = saved(folder.path(), manifest(Vec::new(), history.clone())).unwrap();
        let of_history = files.iter().find(|file| file.name == HISTORY).unwrap();
        assert!(of_history.bytes > LARGEST_MANIFEST as u64, "{of_history:?}");
        let loaded = crate::checkpoint::load(&place).unwrap();
        assert!(loaded.manifest.history == history);
        assert!(fs::metadata(place.join(MANIFEST)).unwrap().len() < 4096);
    }

    #[cfg(unix)]
    #[test]
    fn what_the_checkpoint_that_is_replaced_holds_is_not_written_again() {
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().unwrap();
        let save = |contents, best: f32, kept: &[f32]| {
            let mut snapshot = Snapshot { contents, ..Snapshot::of_step(3) };
            let parameter = SavedParameter { name: "w".into(), shape: vec![2], state: Vec::new() };
            snapshot.manifest.parameters = vec![parameter];
            let shared = |value: f32| SharedParameters::new(vec![vec![value; 2]]);
            (snapshot.best, snapshot.kept) = (Some(shared(best)), kept.iter().map(|value| shared(*value)).collect());
            save(folder.path(), snapshot, 2).unwrap()
        };
        let state = OptimizerState { tensors: vec![Vec::new()], ..OptimizerState::default() };
        let first = Contents::New { parameters: vec![vec![1.0; 2]], state };
        let (place, files) = save(first, 2.0, &[3.0]);
        let files_at = |names: [&str; 4]| names.map(|name| fs::metadata(place.join(name)).unwrap().ino());
        let (kept, next) = (kept_name(0), kept_name(1));
        let before = files_at([WEIGHTS, STATE, BEST, &kept]);
        // the state that was kept has become the second of two
        let (_, files) = save(Contents::AsBefore(files), 2.0, &[4.0, 3.0]);
        assert_eq!(files_at([WEIGHTS, STATE, BEST, &next]), before);
        assert_ne!(files_at([WEIGHTS, STATE, BEST, &kept])[3], before[3]);
        // and there is a better one
        save(Contents::AsBefore(files), 5.0, &[]);
        let now = files_at([WEIGHTS, STATE, BEST, HISTORY]);
        assert_eq!(now[..2], before[..2]);
        assert_ne!(now[2], before[2]);
        let loaded = crate::checkpoint::load(&place).unwrap();
        assert_eq!((loaded.parameters, loaded.best), (vec![vec![1.0; 2]], Some(vec![vec![5.0; 2]])));
    }

    #[test]
    fn a_manifest_that_could_not_be_read_back_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let save = |settings| saved(folder.path(), manifest(settings, History::default()));
        save(Vec::new()).unwrap();
        let huge = vec![("classes".to_owned(), "x".repeat(LARGEST_MANIFEST))];
        let message = save(huge).unwrap_err().to_string();
        assert!(message.contains("manifest.json would have 67"), "{message}");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["step-3"]);
        crate::checkpoint::load(&folder.path().join("step-3")).unwrap();
    }
}
