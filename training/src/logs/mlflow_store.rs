//! The files of an MLflow store: `EXPERIMENT/RUN/{meta.yaml,metrics,params,tags,artifacts}`, as MLflow's `FileStore` has them
//! (`mlflow/store/tracking/file_store.py`, MLflow 1 to 3).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use millstream_schemas::files;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

const META: &str = "meta.yaml";

/// MLflow takes names of 250 characters, the group of a metric included.
const MOST_BYTES: usize = 200;

/// The experiment that every store has.
pub(super) const DEFAULT: &str = "Default";

/// `RunStatus` of MLflow's `service.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Running = 1,
    Finished = 3,
    Failed = 4,
    Killed = 5,
}

/// Refuses a folder that is not there and cannot be made, or in which nothing can be.
pub(super) fn require_writable(store: &Path) -> io::Result<()> {
    let place = store.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    files::require_writable(place)
}

/// The id of the experiment of this name in a store; it is made where there is none.
pub(super) fn experiment(store: &Path, name: &str, time: f64) -> io::Result<String> {
    // Two runs of one process would make it twice.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if !store.is_dir() {
        files::create_folder(store)?;
        make_experiment(store, "0", DEFAULT, time)?;
    }
    let mut taken = Vec::new();
    for entry in fs::read_dir(store)? {
        let folder = entry?.path();
        // What cannot be read is none that MLflow would find.
        let Ok(meta) = read(&folder.join(META)) else { continue };
        if meta.get("name").and_then(Value::as_str) == Some(name) {
            return Ok(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        taken.push(folder);
    }
    // The same name has the same id, so that of two runs that make it at once both have it.
    let first: u64 =
        if name == DEFAULT { 0 } else { 100_000_000_000_000_000 + number_of(name) % 900_000_000_000_000_000 };
    let free = |id: &u64| !taken.contains(&store.join(id.to_string()));
    let id = (first..).find(free).unwrap_or(first).to_string();
    make_experiment(store, &id, name, time)?;
    Ok(id)
}

fn number_of(name: &str) -> u64 {
    Sha256::digest(name).iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn make_experiment(store: &Path, id: &str, name: &str, time: f64) -> io::Result<()> {
    let folder = store.join(id);
    files::create_folder(&folder)?;
    let meta = json!({
        "artifact_location": uri(&folder)?,
        "creation_time": milliseconds(time),
        "experiment_id": id,
        "last_update_time": milliseconds(time),
        "lifecycle_stage": "active",
        "name": name,
    });
    write(&folder.join(META), &meta)
}

/// A run of an experiment.
pub(super) struct StoredRun {
    folder: PathBuf,
}

impl StoredRun {
    /// Makes a run under a new id.
    pub(super) fn begin(store: &Path, experiment: &str, id: &str, name: &str, time: f64) -> io::Result<Self> {
        let folder = store.join(experiment).join(id);
        for part in ["metrics", "params", "tags", "artifacts"] {
            files::create_folder(&folder.join(part))?;
        }
        let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
        let user = user.unwrap_or_else(|| "unknown".into());
        let meta = json!({
            "artifact_uri": uri(&folder.join("artifacts"))?,
            "end_time": null,
            "entry_point_name": "",
            "experiment_id": experiment,
            "lifecycle_stage": "active",
            "run_id": id,
            "run_name": name,
            "run_uuid": id,
            "source_name": "",
            "source_type": 4,
            "source_version": "",
            "start_time": milliseconds(time),
            "status": Status::Running as u8,
            "tags": [],
            "user_id": user,
        });
        write(&folder.join(META), &meta)?;
        let this = Self { folder };
        for (tag, value) in [
            ("mlflow.runName", name),
            ("mlflow.user", &user),
            ("mlflow.source.name", "millstream"),
            ("mlflow.source.type", "LOCAL"),
        ] {
            this.tag(tag, value)?;
        }
        Ok(this)
    }

    /// A run that is there; `None` where it is not, or where an id is none and may lead out of the store.
    pub(super) fn find(store: &Path, experiment: &str, id: &str) -> Option<Self> {
        if !is_id(experiment) || !is_id(id) {
            return None;
        }
        let folder = store.join(experiment).join(id);
        folder.join(META).is_file().then_some(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that says how it stands.
    pub(super) fn meta(&self) -> PathBuf {
        self.folder.join(META)
    }

    /// Says how it stands; one that is over has an end.
    pub(super) fn set_status(&self, status: Status, time: f64) -> io::Result<()> {
        let path = self.meta();
        let mut meta = read(&path)?;
        let end = if status == Status::Running { Value::Null } else { milliseconds(time).into() };
        meta.insert("status".into(), (status as u8).into());
        meta.insert("end_time".into(), end);
        write(&path, &Value::Object(meta))
    }

    /// The file of a metric, whose name is a key.
    pub(super) fn metric(&self, key: &str) -> PathBuf {
        self.folder.join("metrics").join(key)
    }

    pub(super) fn add_metric(&self, key: &str, time: f64, value: f64, step: u64) -> io::Result<()> {
        let path = self.metric(key);
        let open = || OpenOptions::new().append(true).create(true).open(&path);
        let mut file = open().or_else(|error| match path.parent() {
            Some(parent) if !parent.is_dir() => fs::create_dir_all(parent).and_then(|()| open()),
            _ => Err(error),
        })?;
        file.write_all(format!("{} {value} {step}\n", milliseconds(time)).as_bytes())
    }

    pub(super) fn param(&self, name: &str, value: &str) -> io::Result<()> {
        fs::write(self.folder.join("params").join(key(name)), value)
    }

    pub(super) fn tag(&self, name: &str, value: &str) -> io::Result<()> {
        fs::write(self.folder.join("tags").join(key(name)), value)
    }

    pub(super) fn keep_file(&self, file: &Path) -> io::Result<()> {
        let name = file.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?;
        fs::copy(file, self.folder.join("artifacts").join(name)).map(|_| ())
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A name as MLflow takes it, and as a file can have it: letters, digits, `_`, `-`, `.` and blanks, at most [`MOST_BYTES`].
pub(super) fn key(name: &str) -> String {
    let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | ' ');
    let mut key: String = name.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect();
    while key.len() > MOST_BYTES {
        key.pop();
    }
    // `.` and `..` are folders.
    if key.chars().all(|letter| letter == '.') { format!("_{key}") } else { key }
}

fn read(path: &Path) -> io::Result<Map<String, Value>> {
    let text = fs::read_to_string(path)?;
    serde_saphyr::from_str(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

fn write(path: &Path, meta: &Value) -> io::Result<()> {
    let text = serde_saphyr::to_string(meta).map_err(io::Error::other)?;
    files::replace_file(path, text.as_bytes())
}

fn milliseconds(time: f64) -> u64 {
    (time * 1000.0) as u64
}

/// The address of a file of this machine (RFC 8089).
fn uri(path: &Path) -> io::Result<String> {
    let path = std::path::absolute(path)?;
    let mut uri = "file://".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_files_and_for_mlflow() {
        for (name, wanted) in [
            ("training.optimizer.adamw.learning_rate", "training.optimizer.adamw.learning_rate"),
            ("recall of a/b", "recall of a_b"),
            ("../x", ".._x"),
            ("..", "_.."),
            ("", "_"),
            ("é%", "é_"),
        ] {
            assert_eq!(key(name), wanted);
        }
        assert_eq!(key(&"ü".repeat(200)).len(), MOST_BYTES);
    }

    #[test]
    fn ids_do_not_lead_out_of_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("mlruns");
        let outside = folder.path().join("outside/run");
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join(META), "run_id: run\n").unwrap();
        StoredRun::begin(&store, "0", "run-1_a", "r", 1.0).unwrap();
        assert!(StoredRun::find(&store, "0", "run-1_a").is_some());
        let absolute = outside.display().to_string();
        for (experiment, id) in
            [("../outside", "run"), ("0", "../../outside/run"), ("0", absolute.as_str()), ("0", ""), (".", "0")]
        {
            assert!(StoredRun::find(&store, experiment, id).is_none(), "{experiment} {id}");
        }
    }

    #[test]
    fn an_experiment_is_made_once_and_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("a b/mlruns");
        let flowers = experiment(&store, "flowers: 1", 1.5).unwrap();
        assert_eq!(experiment(&store, "flowers: 1", 2.0).unwrap(), flowers);
        assert_eq!(experiment(&store, DEFAULT, 2.0).unwrap(), "0");
        assert!(flowers.len() == 18 && flowers != experiment(&store, "flowers: 2", 2.0).unwrap());
        let meta = read(&store.join(&flowers).join(META)).unwrap();
        assert_eq!(meta["name"], "flowers: 1");
        assert_eq!(meta["experiment_id"], *flowers);
        assert_eq!(meta["creation_time"], 1500);
        assert!(meta["artifact_location"].as_str().unwrap().ends_with(&format!("a%20b/mlruns/{flowers}")));
        // One that MLflow itself has made, under an id of its own.
        fs::create_dir(store.join("7")).unwrap();
        fs::write(store.join("7").join(META), "experiment_id: '7'\nname: 'it''s mine'\n").unwrap();
        assert_eq!(experiment(&store, "it's mine", 2.0).unwrap(), "7");
    }
}
