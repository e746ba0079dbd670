//! The folder of a run: which files it holds, and whether it may be used.

use std::fs;
use std::path::{Path, PathBuf};

use millstream_compiler::OnnxFile;
use millstream_compiler::adapter_files::PeftFolder;
use millstream_schemas::recipe::DamagedPolicy;
use millstream_schemas::{FileLock, LockAttempt, files};
use millstream_schemas::{Fingerprint, Recipe, shown_path};
use millstream_training::checkpoint;
use serde_json::Value;

use crate::locked_folder::LockedFolder;
use crate::made_of::MadeOf;
use crate::opened::MOST_METHODS;
use crate::run_files::{FINGERPRINTS_FILE, METRICS_FILE, RECIPE_FILE};
use crate::{Catalogs, Opened, RecipeError, program_files};

/// What a folder is called, where it is written as `.` or a link too.
pub(crate) fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where the files of a run lie.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder(pub(crate) PathBuf);

impl RunFolder {
    pub(crate) fn model(&self) -> PathBuf {
        self.0.join("model.onnx")
    }

    /// The weights of the last step.
    pub(crate) fn last_model(&self) -> PathBuf {
        self.0.join("last.onnx")
    }

    pub(crate) fn labels(&self) -> PathBuf {
        self.0.join("labels.txt")
    }

    /// The folder for what a method has added.
    pub(crate) fn adapter(&self, method: usize) -> PathBuf {
        self.0.join(if method == 0 { "adapter".to_owned() } else { format!("adapter-{}", method + 1) })
    }

    pub(crate) fn onnx_adapter(&self) -> PathBuf {
        self.0.join("adapter.onnx_adapter")
    }

    /// The model that takes it.
    pub(crate) fn base_model(&self) -> PathBuf {
        self.0.join("base.onnx")
    }

    pub(crate) fn metrics(&self) -> PathBuf {
        self.0.join(METRICS_FILE)
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }

    /// What the model gave for the evaluation rows, where `evaluate --predictions` has kept it.
    pub(crate) fn predictions(&self) -> PathBuf {
        self.0.join("predictions.parquet")
    }

    pub(crate) fn recipe(&self) -> PathBuf {
        self.0.join(RECIPE_FILE)
    }

    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    pub(crate) fn graph(&self) -> PathBuf {
        self.0.join("graph")
    }

    /// What is written while the run goes on, for other programs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The compiled training step.
    pub(crate) fn graph_files(&self) -> [PathBuf; 5] {
        program_files::NAMES.map(|name| self.graph().join(name))
    }

    /// What people note of it.
    pub(crate) fn notes(&self) -> PathBuf {
        self.0.join("notes.jsonl")
    }

    /// How it began, beside what it is made of.
    pub(crate) fn origin(&self) -> PathBuf {
        self.0.join("origin.json")
    }

    /// What its rows were, as it noted at its end.
    pub(crate) fn data_facts(&self) -> PathBuf {
        self.0.join("data_facts.json")
    }

    /// From which steps on other settings held.
    pub(crate) fn parts(&self) -> PathBuf {
        self.0.join("parts.json")
    }

    pub(crate) fn fingerprints(&self) -> PathBuf {
        self.0.join(FINGERPRINTS_FILE)
    }

    fn lock_file(&self) -> PathBuf {
        self.0.join(".lock")
    }

    /// What a run leaves behind, apart from what says how it began.
    fn results(&self) -> Vec<PathBuf> {
        let folders = (0..MOST_METHODS).map(|at| self.adapter(at));
        let adapters =
            folders.flat_map(|folder| [PeftFolder::CONFIG, PeftFolder::TENSORS].map(|name| folder.join(name)));
        let models = [self.model(), self.last_model(), self.onnx_adapter(), self.base_model()];
        let files = models.into_iter().chain([
            self.labels(),
            self.metrics(),
            self.report(),
            self.data_facts(),
            self.predictions(),
        ]);
        files.chain(adapters).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        [self.fingerprints(), self.origin(), self.parts(), self.recipe()]
            .into_iter()
            .chain(self.results())
            .chain(self.graph_files())
            .collect()
    }

    /// A file of a run that is in the folder already. `fingerprints.json` alone is none: it is the first file of a run, and
    /// the process was ended before it wrote the second.
    pub(crate) fn holds(&self) -> Result<Option<String>, RecipeError> {
        let checkpoints = checkpoint::list(&self.checkpoints())?.into_iter().map(|(_, path)| path);
        let files = [self.recipe()].into_iter().chain(self.results());
        let found = files.filter(|file| file.exists()).chain(checkpoints).next();
        Ok(found.map(|file| shown_path(file.strip_prefix(&self.0).unwrap_or(&file))))
    }

    /// The process that writes in this folder, if one does; its number, where it is known.
    pub(crate) fn writer(&self) -> Result<Option<Option<u32>>, RecipeError> {
        FileLock::holder(&self.lock_file()).map_err(RecipeError::io("read", self.lock_file()))
    }

    /// Makes the folder, keeps other processes out of it, and clears up what one that died left behind. Before this nothing
    /// in the folder is read or written.
    pub(crate) fn lock(&self) -> Result<LockedFolder, RecipeError> {
        self.require_apart()?;
        let attempt = LockedFolder::attempt(&self.0, &self.lock_file());
        let (mut locked, attempt) =
            attempt.map_err(|source| RecipeError::OutputFolder { folder: self.0.clone(), source })?;
        match attempt {
            LockAttempt::Busy(process) => {
                return Err(RecipeError::FolderBusy { folder: self.0.clone(), process });
            }
            LockAttempt::Taken(lock) => locked.lock = Some(lock),
        }
        files::sweep(&self.files()).map_err(|(path, source)| RecipeError::Io { doing: "delete", path, source })?;
        Ok(locked)
    }

    /// Refuses a place inside a run's folders for checkpoints, graphs and logs, which that run clears without asking.
    fn require_apart(&self) -> Result<(), RecipeError> {
        let place = self.0.ancestors().find_map(|folder| folder.canonicalize().ok()).unwrap_or_else(|| self.0.clone());
        for folder in place.ancestors().chain(self.0.ancestors()) {
            let Some(run) = folder.parent().map(|parent| Self(parent.to_owned())) else { continue };
            let is_part = [run.checkpoints(), run.graph(), run.logs()].iter().any(|part| part == folder);
            if is_part && (run.fingerprints().exists() || run.lock_file().exists()) {
                let message =
                    format!("it lies in {}, which belongs to another run; choose another", shown_path(folder));
                return Err(RecipeError::mismatch("output.folder", message));
            }
        }
        Ok(())
    }

    /// Refuses a place where nothing can be written, without leaving anything there.
    pub(crate) fn require_writable(&self) -> Result<(), RecipeError> {
        let place = self.0.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
        files::require_writable(place).map_err(|source| RecipeError::OutputFolder { folder: self.0.clone(), source })
    }

    /// Refuses to write over what the run is made from: a model or data under the name of a result.
    pub(crate) fn require_outside(&self, opened: &Opened) -> Result<(), RecipeError> {
        let sources = std::iter::once(&opened.train).chain(opened.evaluation_sources());
        let data = sources.flat_map(|source| source.dataset.files()).map(|file| ("data", file.path.as_path()));
        let model = opened.recipe.model.iter().map(|model| ("model.path", model.path.as_path()));
        let adapters = adapter_sources(&opened.recipe);
        let adapters = adapters.iter().map(|path| ("model.methods", path.as_path()));
        let ours: Vec<PathBuf> = self.files().iter().filter_map(|file| file.canonicalize().ok()).collect();
        for (place, path) in data.chain(model).chain(adapters) {
            if path.canonicalize().is_ok_and(|path| ours.contains(&path)) {
                let message = format!(
                    "{} is a name under which results are written, so it would be replaced; choose another \
                     `output.folder`, or move it",
                    shown_path(path)
                );
                return Err(RecipeError::mismatch(place, message));
            }
        }
        Ok(())
    }

    /// Refuses to replace what no run has made: a recipe that nothing else of a run stands beside, a folder under the name
    /// of a file. `logs` are the files of logs that are there.
    pub(crate) fn require_replaceable(&self, logs: &[PathBuf]) -> Result<(), RecipeError> {
        if let Some(path) = self.files().into_iter().find(|file| file.is_dir()) {
            return Err(RecipeError::FolderInTheWay { path });
        }
        match self.not_of_a_run(logs)? {
            Some(path) => Err(RecipeError::ForeignFile { path }),
            None => Ok(()),
        }
    }

    /// A file under the name of one of ours, where no run has noted how it began: somebody else's.
    fn not_of_a_run(&self, logs: &[PathBuf]) -> Result<Option<PathBuf>, RecipeError> {
        let begun = self.fingerprints().exists() || !checkpoint::list(&self.checkpoints())?.is_empty();
        let is_run = begun || (self.recipe().exists() && self.metrics().exists());
        Ok(self.files().into_iter().chain(logs.iter().cloned()).find(|file| !is_run && file.exists()))
    }

    /// Refuses a folder that holds a run, or files that a run would write over, `logs` among them.
    pub(crate) fn require_free(&self, logs: &[PathBuf]) -> Result<(), RecipeError> {
        if let Some(path) = self.not_of_a_run(logs)? {
            return Err(RecipeError::ForeignFile { path });
        }
        match self.holds()? {
            Some(found) => Err(RecipeError::OutputInUse { folder: self.0.clone(), found }),
            None => Ok(()),
        }
    }

    /// Deletes what an earlier run has left, these files and folders of its logs included. Other things may lie there. What says that
    /// others are whole goes first. What says how it began stays until [`note`] replaces it, so that a process that is ended in between
    /// leaves a run that has no checkpoint yet.
    ///
    /// [`note`]: Self::note
    pub(crate) fn clear(&self, logs: &[PathBuf]) -> Result<(), RecipeError> {
        self.forget_record()?;
        checkpoint::clear(&self.checkpoints())?;
        // what is said of steps goes with them, and so does when and where it began: what begins now writes that last
        let graph = self.graph_files().into_iter().rev();
        let written = self.results().into_iter().chain(graph).chain([self.parts(), self.origin()]);
        for file in written.filter(|file| file.exists()) {
            fs::remove_file(&file).map_err(RecipeError::io("delete", &file))?;
        }
        for log in logs {
            let deleted = if log.is_dir() { fs::remove_dir_all(log) } else { fs::remove_file(log) };
            deleted.map_err(RecipeError::io("delete", log))?;
        }
        // One that holds something else stays.
        let _ = fs::remove_dir(self.logs());
        Ok(())
    }

    /// Deletes the record of the run as it was, when it goes on with other settings: until it ends again it is under way.
    pub(crate) fn forget_record(&self) -> Result<(), RecipeError> {
        match fs::remove_file(self.metrics()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(RecipeError::io("delete", self.metrics())(error))
            }
            _ => Ok(()),
        }
    }

    /// Deletes all that a run has written that could not begin.
    pub(crate) fn forget(&self, logs: &[PathBuf]) -> Result<(), RecipeError> {
        self.clear(logs)?;
        for file in [self.recipe(), self.origin(), self.fingerprints()].into_iter().filter(|file| file.exists()) {
            fs::remove_file(&file).map_err(RecipeError::io("delete", &file))?;
        }
        // Folders that hold something else stay.
        let _ = fs::remove_dir(self.graph());
        let _ = fs::remove_dir(self.checkpoints());
        Ok(())
    }

    /// Notes what a run is made of. The recipe comes last: with it the folder holds a run.
    pub(crate) fn note(&self, recipe: &Recipe, made_of: &MadeOf, catalogs: &Catalogs) -> Result<(), RecipeError> {
        self.write_fingerprints(made_of)?;
        let folder = std::path::absolute(&self.0).map_err(RecipeError::io("find", &self.0))?;
        self.write(&self.recipe(), recipe.to_yaml_in(&folder, &catalogs.definitions()).as_bytes())
    }

    fn write_fingerprints(&self, made_of: &MadeOf) -> Result<(), RecipeError> {
        let fingerprints = serde_json::to_vec_pretty(made_of).expect("our own types have string keys");
        self.write(&self.fingerprints(), &fingerprints)
    }

    /// What tells the run from others that may take the folder, in one fingerprint; none where nothing has begun. The second is what
    /// older builds took, by which a run that goes on with another recipe is another.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn beginning(&self) -> Result<[Option<Fingerprint>; 2], RecipeError> {
        let of = |files: [PathBuf; 2]| -> Result<Option<Fingerprint>, RecipeError> {
            let mut bytes = Vec::new();
            for file in files.into_iter().filter(|file| file.exists()) {
                bytes.extend(fs::read(&file).map_err(RecipeError::io("read", &file))?);
            }
            Ok((!bytes.is_empty()).then(|| Fingerprint::of_bytes(&bytes)))
        };
        let by_recipe = of([self.recipe(), self.fingerprints()])?;
        let by_origin = if self.origin().exists() { of([self.origin(), self.fingerprints()])? } else { None };
        Ok([by_origin.or_else(|| by_recipe.clone()), by_recipe])
    }

    /// Whether a run has noted what it is made of.
    pub(crate) fn has_begun(&self) -> bool {
        self.fingerprints().exists()
    }

    /// Whether a run lies here, at its end or not: such a folder is none of members or of a search, whatever files lie beside it.
    pub(crate) fn holds_run(&self) -> bool {
        self.metrics().exists() || self.has_begun()
    }

    /// All that is exported at the end, whether it is there or not.
    pub(crate) fn exported(&self) -> Vec<PathBuf> {
        let apart = [self.metrics(), self.report(), self.predictions()];
        self.results().into_iter().filter(|file| !apart.contains(file)).collect()
    }

    /// What the run began with, where it has noted that.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub(crate) fn made_of(&self) -> Result<Option<MadeOf>, RecipeError> {
        let file = self.fingerprints();
        if !file.exists() {
            return Ok(None);
        }
        let text = fs::read(&file).map_err(RecipeError::io("read", &file))?;
        let damaged = |_| RecipeError::BeginningDamaged { path: file, wanted: "it holds no fingerprints" };
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    pub(crate) fn write_model(&self, file: &Path, model: &OnnxFile) -> Result<(), RecipeError> {
        files::replace_file_by(file, |out| model.write_to(out)).map_err(RecipeError::io("write", file))
    }

    pub(crate) fn write(&self, file: &Path, bytes: &[u8]) -> Result<(), RecipeError> {
        files::replace_file(file, bytes).map_err(RecipeError::io("write", file))
    }
}

/// Files of the adapters that a recipe starts from.
pub(crate) fn adapter_sources(recipe: &Recipe) -> Vec<PathBuf> {
    let methods = recipe.model.iter().flat_map(|model| &model.methods).filter(|method| method.name == "peft");
    let paths = methods.filter_map(|method| method.options.get("folder").and_then(Value::as_str)).map(PathBuf::from);
    let files = paths.flat_map(|path| match path.is_dir() {
        true => [PeftFolder::CONFIG, PeftFolder::TENSORS].map(|name| path.join(name)).to_vec(),
        false => vec![path],
    });
    files.collect()
}

/// The folder of a quarantine file that the recipe leaves to the output folder.
pub(crate) fn make_place_for(recipe: &Recipe) -> Result<(), RecipeError> {
    let folder = &recipe.output.folder;
    match recipe.data.damaged {
        DamagedPolicy::Quarantine(None) => fs::create_dir_all(folder).map_err(RecipeError::io("make", folder)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::made_of::tests::recipe;

    #[test]
    #[cfg(unix)]
    fn a_folder_that_is_a_link_or_written_with_detours_has_its_own_name() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("runs/one")).unwrap();
        std::os::unix::fs::symlink(place.path().join("runs/one"), place.path().join("last")).unwrap();
        for written in ["runs/one", "runs/one/.", "runs/../runs/one/../one", "last"] {
            assert_eq!(folder_name(&place.path().join(written)), "one", "{written}");
        }
        assert_eq!(folder_name(&place.path().join("gone/two")), "two");
    }

    #[test]
    fn a_used_folder_is_refused_and_overwriting_spares_what_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder(folder.path().join("run"));
        run.require_free(&[]).unwrap();
        let _lock = run.lock().unwrap();
        fs::write(run.metrics(), "{}").unwrap();
        fs::write(run.0.join("notes.txt"), "mine").unwrap();
        let message = run.require_free(&[]).unwrap_err().to_string();
        assert!(message.contains("metrics.json: it has the name of a result"), "{message}");
        fs::write(run.fingerprints(), "{}").unwrap();
        let message = run.require_free(&[]).unwrap_err().to_string();
        assert!(message.contains("metrics.json") && message.contains("--resume"), "{message}");
        run.clear(&[]).unwrap();
        assert!(!run.metrics().exists() && run.0.join("notes.txt").exists());
    }

    /// A folder under the name of a file cannot be deleted as one: what comes before it is gone then, as if the process had been ended.
    #[test]
    fn a_run_that_is_replaced_and_killed_in_between_leaves_nothing_that_says_it_is_whole() {
        for stuck in 0..3 {
            let folder = tempfile::tempdir().unwrap();
            let run = RunFolder(folder.path().join("run"));
            fs::create_dir_all(run.graph()).unwrap();
            for file in run.files() {
                if file.parent().is_some_and(Path::exists) {
                    fs::write(&file, "{}").unwrap();
                }
            }
            // the model, the frozen weights of the graph, the last but one of its files
            let stuck = [run.model(), run.graph_files()[0].clone(), run.graph_files()[3].clone()][stuck].clone();
            fs::remove_file(&stuck).unwrap();
            fs::create_dir(&stuck).unwrap();
            let message = run.clear(&[]).unwrap_err().to_string();
            assert!(message.contains("cannot delete"), "{message}");
            assert!(!run.metrics().exists(), "the record says that the run is finished: {}", stuck.display());
            let manifest = run.graph_files()[4].clone();
            assert!(stuck == run.model() || !manifest.exists(), "with the manifest the graph is whole");
        }
    }

    /// Writes what a run writes, in order; after each write the folder is what a process that was ended there leaves.
    #[test]
    fn a_start_that_is_cut_anywhere_can_be_started_again_or_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder(folder.path().join("run"));
        let recipe = recipe(&[]);
        let made = |model: &str| MadeOf {
            model: Fingerprint::of_bytes(model.as_bytes()),
            train: Fingerprint::of_bytes(b"train"),
            evaluate: None,
            adapters: None,
            sets: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        let made_of = made("model");
        // A process number that no process has.
        let temporary = |name: &str| run.0.join(format!(".{name}.tmp-4294967295"));
        type Write<'a> = (&'a str, Box<dyn Fn() + 'a>);
        let writes: [Write<'_>; 7] = [
            ("nothing", Box::new(|| {})),
            ("the folder", Box::new(|| fs::create_dir_all(&run.0).unwrap())),
            ("a lock of a process that died", Box::new(|| fs::write(run.lock_file(), "4294967295\n").unwrap())),
            ("a part of the fingerprints", Box::new(|| fs::write(temporary("fingerprints.json"), "{").unwrap())),
            ("the fingerprints", Box::new(|| run.write_fingerprints(&made_of).unwrap())),
            ("a part of the recipe", Box::new(|| fs::write(temporary("recipe.yaml"), "ver").unwrap())),
            ("the recipe", Box::new(|| run.note(&recipe, &made_of, &Catalogs::default()).unwrap())),
        ];
        for (what, write) in &writes {
            write();
            let locked = run.lock().unwrap();
            let left: Vec<_> = fs::read_dir(&run.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert!(left.iter().all(|name| !name.to_string_lossy().contains(".tmp-")), "{what}: {left:?}");
            let (new, resumed) = (run.require_free(&[]), run.require_same(&recipe, &made_of, &Catalogs::default()));
            if *what == "the recipe" {
                assert!(new.unwrap_err().to_string().contains("`--resume`"), "{what}");
                resumed.unwrap();
                // Replacing is cut after each of its steps: the run is still one that can be resumed or replaced.
                run.require_replaceable(&[]).unwrap();
                run.clear(&[]).unwrap();
                run.require_same(&recipe, &made_of, &Catalogs::default()).unwrap();
                run.write_fingerprints(&made("another model")).unwrap();
                let message = run.require_same(&recipe, &made_of, &Catalogs::default()).unwrap_err().to_string();
                assert!(message.contains("`model.path` changed") && message.contains("`--overwrite`"), "{message}");
                run.require_replaceable(&[]).unwrap();
            } else {
                new.unwrap();
                let message = resumed.unwrap_err().to_string();
                assert!(message.contains("start one without `--resume`"), "{what}: {message}");
            }
            drop(locked);
        }
    }

    #[test]
    fn a_folder_is_written_by_one_process_at_a_time_and_left_as_it_was_when_nothing_began() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder(folder.path().join("deep/run"));
        let locked = run.lock().unwrap();
        assert!(locked.warning().is_none());
        assert_eq!(run.writer().unwrap(), Some(Some(std::process::id())));
        let mut others = vec![run.clone()];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&run.0, folder.path().join("link")).unwrap();
            others.push(RunFolder(folder.path().join("link")));
        }
        for other in others {
            let message = other.lock().unwrap_err().to_string();
            assert!(message.contains(&format!("a run, process {}, is writing there", std::process::id())), "{message}");
        }
        drop(locked);
        assert!(!folder.path().join("deep").exists());
        assert_eq!(run.writer().unwrap(), None);
        run.lock().unwrap();
    }

    #[test]
    fn a_folder_inside_the_checkpoints_of_a_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("checkpoints/step-5")).unwrap();
        fs::write(folder.path().join("fingerprints.json"), "").unwrap();
        for (inner, wanted) in
            [("checkpoints/step-5", false), ("checkpoints", false), ("graph/x", false), ("other", true)]
        {
            let locked = RunFolder(folder.path().join(inner)).lock();
            assert_eq!(locked.is_ok(), wanted, "{inner}: {locked:?}");
        }
    }

    #[test]
    fn what_no_run_has_made_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder(folder.path().to_owned());
        run.require_replaceable(&[]).unwrap();
        fs::write(run.recipe(), "version: 1").unwrap();
        assert!(
            run.require_replaceable(&[]).unwrap_err().to_string().contains("recipe.yaml: it has the name of a result")
        );
        fs::remove_file(run.recipe()).unwrap();
        fs::write(run.model(), "mine").unwrap();
        for refused in [run.require_replaceable(&[]), run.require_free(&[])] {
            assert!(refused.unwrap_err().to_string().contains("model.onnx: it has the name of a result"));
        }
        fs::remove_file(run.model()).unwrap();
        fs::write(run.fingerprints(), "{}").unwrap();
        run.require_replaceable(&[]).unwrap();
        fs::create_dir(run.model()).unwrap();
        assert!(run.require_replaceable(&[]).unwrap_err().to_string().contains("model.onnx: it is a folder"));
    }

    #[test]
    fn a_damaged_note_of_how_a_run_began_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder(folder.path().to_owned());
        let (recipe, print) = (recipe(&[]), Fingerprint::of_bytes(b"x"));
        let (sets, files) = (BTreeMap::new(), BTreeMap::new());
        let made_of = MadeOf { model: print.clone(), train: print, evaluate: None, adapters: None, sets, files };
        run.note(&recipe, &made_of, &Catalogs::default()).unwrap();
        for file in [run.recipe(), run.fingerprints()] {
            let whole = fs::read(&file).unwrap();
            for damage in [b"".as_slice(), &whole[..whole.len() / 2], b"\x00\xff\x1b[31m\xfe", b"{}"] {
                fs::write(&file, damage).unwrap();
                let message = run.require_same(&recipe, &made_of, &Catalogs::default()).unwrap_err().to_string();
                // Half a recipe may be a recipe, of another run then.
                let named = if message.contains("changed") { folder.path() } else { &file };
                assert!(message.contains(&shown_path(named)) && message.contains("`--overwrite`"), "{message}");
                assert!(!message.contains('\u{1b}') && !message.contains("line 1"), "{message}");
            }
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
            let message = run.require_same(&recipe, &made_of, &Catalogs::default()).unwrap_err().to_string();
            assert!(message.contains(&shown_path(&file)), "{message}");
            fs::remove_dir(&file).unwrap();
            fs::write(&file, whole).unwrap();
        }
        run.require_same(&recipe, &made_of, &Catalogs::default()).unwrap();
    }
}
