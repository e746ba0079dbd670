//! A compiled training step as files.

use std::fs;
use std::path::{Path, PathBuf};

use millstream_compiler::{ProgramFiles, TrainingProgram};
use millstream_schemas::files;
use millstream_training::checkpoint;
use serde::Serialize;

use crate::RecipeError;

const STEP: &str = "training_step.onnx";
const EVALUATION: &str = "evaluation.onnx";
const WEIGHTS: &str = "weights.bin";
const PARAMETERS: &str = "parameters.safetensors";
const MANIFEST: &str = "manifest.json";

/// The files, in the order in which they are written: with the last the others are whole.
pub(crate) const NAMES: [&str; 5] = [WEIGHTS, STEP, EVALUATION, PARAMETERS, MANIFEST];

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrittenFile {
    /// Its name in the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// Writes them into a folder, which is made where it is missing.
pub(crate) fn write(folder: &Path, program: &TrainingProgram) -> Result<Vec<WrittenFile>, RecipeError> {
    fs::create_dir_all(folder).map_err(RecipeError::io("make", folder))?;
    let ProgramFiles { step, evaluation, weights } = program.with_weights_file(WEIGHTS)?;
    let parameters = checkpoint::parameters_file(&program.manifest, &program.parameters)
        .expect("a program's manifest is that of its parameters");
    let manifest = serde_json::to_vec_pretty(&program.manifest).expect("our own types have string keys");
    let path = |name: &str| folder.join(name);
    let failed = |name: &str| RecipeError::io("write", path(name));
    files::replace_file_by(&path(WEIGHTS), |out| weights.write_to(out)).map_err(failed(WEIGHTS))?;
    for (name, graph) in [(STEP, &step), (EVALUATION, &evaluation)] {
        files::replace_file_by(&path(name), |out| graph.write_to(out)).map_err(failed(name))?;
    }
    for (name, bytes) in [(PARAMETERS, &parameters), (MANIFEST, &manifest)] {
        files::replace_file(&path(name), bytes).map_err(failed(name))?;
    }
    let written = |name: &str| -> Result<WrittenFile, RecipeError> {
        let bytes = fs::metadata(path(name)).map_err(RecipeError::io("read", path(name)))?.len();
        Ok(WrittenFile { name: name.to_owned(), bytes })
    };
    NAMES.iter().map(|name| written(name)).collect()
}

/// Makes a folder ready for them: an earlier program is replaced where that is wanted, anything else stays.
///
/// # Errors
/// The folder holds something else, or an earlier program that is to stay.
pub(crate) fn make_room(folder: &Path, overwrite: bool) -> Result<(), RecipeError> {
    if !folder.exists() {
        return Ok(());
    }
    let failed = || RecipeError::io("read", folder);
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        let is_ours = path.is_file() && path.file_name().is_some_and(|name| NAMES.iter().any(|ours| name == *ours));
        if !is_ours {
            return Err(RecipeError::FolderOfOthers { folder: folder.to_owned(), found: path });
        }
        found.push(path);
    }
    // somebody's own file may have one of the names; of a program all are there, but for one that was not finished
    if !found.is_empty() && !overwrite {
        return Err(RecipeError::ProgramInTheWay { folder: folder.to_owned() });
    }
    for name in NAMES.iter().rev() {
        let path = folder.join(name);
        if path.exists() {
            fs::remove_file(&path).map_err(RecipeError::io("delete", &path))?;
        }
    }
    Ok(())
}
