//! What the program says of itself.

use std::path::PathBuf;

use serde_json::Value;

use crate::command::{ask, program};

/// The program, which is asked what it can do.
pub(super) struct Asked {
    program: PathBuf,
}

impl Asked {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// What it prints, as on a terminal of 80 columns without colours.
    pub(super) fn text(&self, arguments: &[impl AsRef<str>]) -> Result<String, String> {
        let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        let mut command = program(&self.program, &arguments);
        command.env("NO_COLOR", "1").env("COLUMNS", "80");
        ask(&mut command).ok_or_else(|| format!("`millstream {}` failed", arguments.join(" ")))
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Result<Value, String> {
        let text = self.text(arguments)?;
        serde_json::from_str(&text).map_err(|error| format!("`millstream {}`: {error}", arguments.join(" ")))
    }
}
