//! What a run writes of what its methods have added.

use std::fs;
use std::path::Path;

use millstream_compiler::adapter_files::{Adapter, OnnxAdapter, PeftFolder};
use millstream_compiler::{CompilerError, Model, OnnxFile, OperatorCatalog, TrainingProgram, taking_adapter};
use millstream_schemas::recipe::AdapterFormat;
use millstream_schemas::{files, shown};

use crate::run_folder::RunFolder;
use crate::{Opened, RecipeError};

/// What a run writes of its adapters at its end.
pub(crate) fn write(
    opened: &Opened,
    folder: &RunFolder,
    program: &TrainingProgram,
    (parameters, metadata): (&[Vec<f32>], &[(String, String)]),
    format: AdapterFormat,
) -> Result<(), RecipeError> {
    match format {
        AdapterFormat::Peft => {
            for (at, adapter) in program.peft_adapters(parameters)?.0.iter().enumerate() {
                write_peft(&folder.adapter(at), adapter)?;
            }
        }
        AdapterFormat::OnnxAdapter => {
            for adapter in program.adapters(parameters)? {
                let (file, base) = with_base(program, adapter, (parameters, metadata), &opened.catalogs.operators)?;
                folder.write_model(&folder.base_model(), &base)?;
                write_file(&folder.onnx_adapter(), &file)?;
            }
        }
    }
    Ok(())
}

/// What is worth knowing of these files before they are written.
pub(crate) fn notes(program: &TrainingProgram, formats: &[AdapterFormat]) -> Vec<String> {
    let named = named_by(program).filter(|_| !formats.is_empty());
    // what cannot be written has been refused
    let of_peft = formats.contains(&AdapterFormat::Peft).then(|| program.peft_notes().unwrap_or_default());
    named.into_iter().chain(of_peft.into_iter().flatten()).collect()
}

/// How the files of adapters name modules, where that is not as the model does.
pub(crate) fn named_by(program: &TrainingProgram) -> Option<String> {
    let front = program.wrapper()?;
    Some(format!(
        "files of adapters name modules without `{}.`, with which all layers of the model begin",
        shown(front)
    ))
}

/// What is given to a model beside what the program has trained, and that model.
pub(crate) fn with_base(
    program: &TrainingProgram,
    mut adapter: Adapter,
    (parameters, metadata): (&[Vec<f32>], &[(String, String)]),
    operators: &OperatorCatalog,
) -> Result<(OnnxAdapter, OnnxFile), RecipeError> {
    let base = Model::from_bytes(program.export_without_adapters(parameters, metadata)?.to_vec())?;
    // the base has it already
    adapter.whole.clear();
    let taking = taking_adapter(&base, &adapter, operators)?;
    Ok((taking.adapter, taking.model))
}

pub(crate) fn write_peft(folder: &Path, adapter: &Adapter) -> Result<(), RecipeError> {
    if let Some((module, saved)) = adapter.clash() {
        let (module, saved) = (shown(module), shown(saved));
        let message = format!(
            "PEFT takes `{module}`, which it adapts, for `{saved}`, which it holds whole, and would not load the folder; leave one of \
             both out, or let `adapter extract` write it from the run's folder"
        );
        return Err(refused(folder, message));
    }
    if let Some(message) = adapter.not_in_peft() {
        return Err(refused(folder, message));
    }
    fs::create_dir_all(folder).map_err(RecipeError::io("make", folder))?;
    let PeftFolder { config, tensors } = PeftFolder::of(adapter);
    // with the configuration the folder is one of PEFT, so it comes last
    for (name, bytes) in [(PeftFolder::TENSORS, tensors), (PeftFolder::CONFIG, config)] {
        let path = folder.join(name);
        files::replace_file(&path, &bytes).map_err(RecipeError::io("write", &path))?;
    }
    Ok(())
}

pub(crate) fn write_file(path: &Path, file: &OnnxAdapter) -> Result<(), RecipeError> {
    let bytes = file.to_bytes().map_err(|message| refused(path, message))?;
    files::replace_file(path, &bytes).map_err(RecipeError::io("write", path))
}

pub(crate) fn refused(path: &Path, message: impl Into<String>) -> RecipeError {
    CompilerError::AdapterFile { path: path.to_owned(), message: message.into() }.into()
}
