//! A folder with small data, a small model and a recipe, and the binary run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::{dataset, onnx};

/// What the binary did.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// It went well; returns the standard output.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// It failed with exit code 1 and one readable block that holds all of these.
    #[track_caller]
    pub(crate) fn failed_with(self, wanted: &[&str]) -> String {
        assert_eq!(self.code, Some(1), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        assert!(self.stderr.contains("error: "), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains("Error {"), "{}", self.stderr);
        for part in wanted {
            assert!(self.stderr.contains(part), "wanted: {part}\n   got: {}", self.stderr);
        }
        self.stderr
    }

    pub(crate) fn json(self) -> serde_json::Value {
        let text = self.done();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// The binary with these arguments, in the working directory of the test.
pub(crate) fn millstream(arguments: &[&str]) -> Ran {
    Ran::of(command(arguments).output().expect("the binary starts"))
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command.args(arguments).stdin(Stdio::null());
    forget_wishes_about_colour(&mut command);
    command
}

/// What the machine that runs the tests wants is not what they test. `CI` is one: it counts as a wish for colour.
pub(crate) fn forget_wishes_about_colour(command: &mut Command) {
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "CI"] {
        command.env_remove(name);
    }
}

/// Whether ONNX Runtime is there. Says so when it is not: the test is left out.
pub(crate) fn has_runtime() -> bool {
    let found = millstream::runtime::locate(None);
    if let Err(error) = &found {
        println!("left out: this test needs ONNX Runtime. {error}");
    }
    found.is_ok()
}

pub(crate) struct Workplace {
    folder: TempDir,
}

impl Workplace {
    /// 48 rows to train on and 18 to evaluate on, in three classes; a small convolutional network; `recipe.yaml`.
    pub(crate) fn new() -> Self {
        let this = Self::bare();
        dataset::write(&this.path("train-0.parquet"), &dataset::rows(0, 24));
        dataset::write(&this.path("train-1.parquet"), &dataset::rows(24, 24));
        dataset::write(&this.path("test.parquet"), &dataset::rows(100, 18));
        fs::write(this.path("model.onnx"), onnx::network("Relu")).unwrap();
        this.write("recipe.yaml", RECIPE);
        this
    }

    /// An empty folder.
    pub(crate) fn bare() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The binary in this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.current_dir(self.folder.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().expect("the binary starts"))
    }

    /// `COMMAND recipe.yaml` with these changes of the recipe.
    pub(crate) fn run_with(&self, command: &str, changes: &[&str]) -> Ran {
        let mut arguments = vec![command, "recipe.yaml"];
        arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
        self.run(&arguments)
    }
}

/// The absolute path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

const RECIPE: &str = "\
version: 1
seed: 3
model:
  path: model.onnx
  train: all
data:
  train: train-*.parquet
  evaluate: test.parquet
  batch: 8
  workers: 2
  memory: 64 MiB
transforms:
  train:
    - random_resized_crop: {size: 16, area: [0.6, 1.0]}
    - rotate: {degrees: 10, border: fill}
    - horizontal_flip
  evaluate:
    - resize: {size: 16}
training:
  epochs: 3
  threads: 1
  device: cpu
  optimizer: {adamw: {learning_rate: 0.01}}
output:
  folder: run
  checkpoint: {every_steps: 4}
";
