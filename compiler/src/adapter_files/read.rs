use std::fs;
use std::path::Path;

use super::adapter::Adapter;
use super::onnx_adapter::OnnxAdapter;
use super::peft_folder::{PeftFolder, no_folder};
use crate::CompilerError;

/// Reads an adapter: a folder of PEFT, or an `.onnx_adapter` file.
///
/// # Errors
/// It is neither, damaged, or of a kind that is not read.
pub fn read(path: &Path) -> Result<Adapter, CompilerError> {
    if path.is_dir() {
        return if path.join(PeftFolder::CONFIG).exists() { PeftFolder::read(path) } else { Err(no_folder(path)) };
    }
    if path.file_name().is_some_and(|name| name == PeftFolder::CONFIG || name == PeftFolder::TENSORS) {
        return PeftFolder::read(path.parent().unwrap_or(Path::new(".")));
    }
    let bytes = fs::read(path).map_err(|source| CompilerError::Read { path: path.to_owned(), source })?;
    let adapter = OnnxAdapter::from_bytes(&bytes).and_then(|file| file.adapter());
    adapter.map_err(|message| CompilerError::AdapterFile { path: path.to_owned(), message })
}
