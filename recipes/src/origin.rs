//! How a run or an ensemble began, beside what it is made of: software, machine, and the run that its base model came from.

use std::fs;
use std::path::{Path, PathBuf};

use millstream_runtime::Device;
use millstream_schemas::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::run_folder::RunFolder;
use crate::{Opened, RecipeError, moment};

/// How a run or an ensemble began: `origin.json` in its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Version of this format; 1.
    pub version: u32,
    /// When, in UTC: `2026-11-27T03:11:00Z`.
    pub began: String,
    /// Name and version of this software.
    pub software: String,
    /// The commit that it was built from, where that is known; with `+changed` where files differed from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Version of ONNX Runtime; empty where it ran nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub onnx_runtime: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The machine's name, where the system tells (Linux).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The processor, where the system tells (Linux).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Threads that the system gave at once.
    pub threads: usize,
    /// The run that the base model lies in, where it is what a run has exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

/// A run that another one goes on from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parent {
    /// Its name.
    pub run: String,
    /// Its folder, as it was then.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// Its model, which is the base of this run: the file's SHA-256.
    pub model: Fingerprint,
    /// The base model of that run, where it has noted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Fingerprint>,
}

impl Origin {
    const VERSION: u32 = 1;

    /// Of a run that begins now.
    pub(crate) fn now(opened: &Opened, device: &Device) -> Self {
        Self { parent: parent_of(opened), ..Self::without_base(moment::now(), Some(device)) }
    }

    /// Of what began then and is tuned from no base model; `device` is where ONNX Runtime ran something for it.
    pub(crate) fn without_base(began: String, device: Option<&Device>) -> Self {
        Self {
            version: Self::VERSION,
            began,
            software: software(),
            commit: commit().map(str::to_owned),
            onnx_runtime: device.map(|device| device.runtime().version().to_owned()).unwrap_or_default(),
            device: device.map_or_else(|| "cpu".to_owned(), |device| device.kind.to_string()),
            host: host(),
            processor: processor(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            parent: None,
        }
    }

    /// `millstream 0.1.0, commit 1a2b, ONNX Runtime 1.20.1 on cpu (a processor)`.
    pub(crate) fn in_words(&self) -> String {
        let software = built(&self.software, self.commit.as_deref());
        let runtime = match self.onnx_runtime.as_str() {
            "" => String::new(),
            version => format!(", ONNX Runtime {version}"),
        };
        let processor = self.processor.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
        format!("{software}{runtime} on {}{processor}", self.device)
    }

    /// That of the run in a folder; none where it has noted none, as older builds did not.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub(crate) fn of_run(folder: &RunFolder) -> Result<Option<Self>, RecipeError> {
        let file = folder.origin();
        if !file.exists() {
            return Ok(None);
        }
        let text = fs::read(&file).map_err(RecipeError::io("read", &file))?;
        let damaged = |_| RecipeError::BeginningDamaged { path: file, wanted: "it does not say how the run began" };
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    pub(crate) fn write(&self, folder: &RunFolder) -> Result<(), RecipeError> {
        let text = serde_json::to_vec_pretty(self).expect("our own types have string keys");
        folder.write(&folder.origin(), &text)
    }
}

/// Name and version of this software.
pub(crate) fn software() -> String {
    format!("millstream {}", env!("CARGO_PKG_VERSION"))
}

/// The commit that this software was built from, in hexadecimal, with `+changed` behind it where files differed from it; none where it was
/// built outside of its repository.
pub fn commit() -> Option<&'static str> {
    Some(env!("MILLSTREAM_COMMIT")).filter(|commit| !commit.is_empty())
}

/// Software and commit, in words.
pub(crate) fn built(software: &str, commit: Option<&str>) -> String {
    commit.map_or_else(|| software.to_owned(), |commit| format!("{software}, commit {commit}"))
}

/// What Linux calls the machine.
fn host() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// What Linux says of the first processor.
pub(crate) fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The run in whose folder the base model lies.
fn parent_of(opened: &Opened) -> Option<Parent> {
    let folder = opened.model.path().parent().map(|folder| RunFolder(folder.to_owned()))?;
    if !folder.metrics().exists() {
        return None;
    }
    // what cannot be read of it is not said
    let base = folder.made_of().ok().flatten().map(|made_of| made_of.model);
    let name = |folder: &Path| folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let place = folder.0.canonicalize().unwrap_or_else(|_| folder.0.clone());
    Some(Parent {
        run: name(&place).unwrap_or_default(),
        folder: place,
        model: opened.model.fingerprint().clone(),
        base,
    })
}
