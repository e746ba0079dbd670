use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use millstream_compiler::Model;
use millstream_schemas::files::sha256_of_file;
use millstream_schemas::{Fingerprint, shown};
use serde::Serialize;

use crate::RecipeError;

/// Keys of a file's metadata under which exporters say what network it is.
const ARCHITECTURE: [&str; 4] = ["architecture", "model_architecture", "modelArchitecture", "model_type"];
/// Those of its kind.
const ARCHITECTURE_FAMILY: [&str; 3] = ["architecture_family", "architectureFamily", "model_family"];

/// An ONNX file.
#[derive(Clone, Debug, Serialize)]
pub struct ModelFacts {
    /// Its name.
    pub file: String,
    /// Bytes; none of a base model that is another file now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SHA-256 in hexadecimal; of a base model the one that the run began with.
    pub sha256: String,
    /// Who wrote it, as it says itself.
    pub producer: String,
    /// Version of the standard operators; none of a base model that is another file now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opset: Option<i64>,
    /// Inputs with their shapes; `None` for a symbolic axis.
    pub inputs: Vec<(String, Vec<Option<usize>>)>,
    /// Outputs.
    pub outputs: Vec<(String, Vec<Option<usize>>)>,
    /// What the elements of inputs and outputs are, by their names.
    pub element_types: BTreeMap<String, &'static str>,
    /// What network it is, where its metadata say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// What kind of network it is, where its metadata say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture_family: Option<String>,
}

impl ModelFacts {
    /// What the elements of an input or output are; nothing where the file does not say it.
    pub(super) fn element_type(&self, name: &str) -> &'static str {
        self.element_types.get(name).copied().unwrap_or_default()
    }

    pub(super) fn of(model: &Model, path: &Path) -> Result<Self, RecipeError> {
        let bytes = fs::metadata(path).map_err(RecipeError::io("read", path))?.len();
        Ok(Self {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: Some(bytes),
            sha256: sha256_of_file(path).map_err(RecipeError::io("read", path))?,
            producer: model.producer(),
            opset: Some(model.opset()),
            inputs: model.inputs(),
            outputs: model.outputs(),
            element_types: model.element_types(),
            architecture: stated(model, &ARCHITECTURE),
            architecture_family: stated(model, &ARCHITECTURE_FAMILY),
        })
    }

    /// Of a model that a run has noted, and that no longer lies there.
    pub(super) fn noted(path: &Path, fingerprint: &Fingerprint) -> Self {
        Self {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: None,
            sha256: fingerprint.0.clone(),
            producer: String::new(),
            opset: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            element_types: BTreeMap::new(),
            architecture: None,
            architecture_family: None,
        }
    }
}

/// What a file's metadata say under the first of these keys that they have.
fn stated(model: &Model, keys: &[&str]) -> Option<String> {
    let said = keys.iter().filter_map(|key| model.metadata(key));
    said.map(str::trim).find(|said| !said.is_empty()).map(shown)
}
