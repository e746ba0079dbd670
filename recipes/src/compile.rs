use std::path::PathBuf;

use millstream_compiler::TrainingProgram;
use millstream_schemas::{AxisLength, Recipe, TrainingManifest};
use serde::Serialize;

use crate::program_files::{self, WrittenFile};
use crate::replaced_inputs::require_no_source;
use crate::{Catalogs, Opened, RecipeError};

/// The axis of rows where it has no length.
const BATCH: &str = "batch";

/// What to write, and where.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// The folder for the files.
    pub folder: PathBuf,
    /// Rows in a batch; `None` leaves the axis open.
    pub batch: Option<usize>,
    /// Replace an earlier compiled training step in the folder.
    pub overwrite: bool,
    /// What the recipe can choose among.
    pub catalogs: Catalogs,
}

/// A training step as files.
#[derive(Clone, Debug, Serialize)]
pub struct CompileReport {
    /// Where they are.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// What was written.
    pub files: Vec<WrittenFile>,
    /// What the inputs and outputs of the graphs mean.
    pub manifest: TrainingManifest,
    /// Numbers that are trained.
    pub trained: usize,
    /// Numbers that are not.
    pub frozen: usize,
    /// What is done otherwise than the model's file says, in words.
    pub notes: Vec<String>,
}

/// Writes a recipe's training step as plain ONNX, for a training loop of one's own: the step (loss, prediction, gradients), the
/// evaluation, their frozen weights once, the first values of the parameters, and a manifest that says what is what.
///
/// # Errors
/// The data or the model cannot be opened or do not fit together; the folder holds something else; the model cannot be
/// compiled, or not for any number of rows.
pub fn compile(recipe: &Recipe, options: &CompileOptions) -> Result<CompileReport, RecipeError> {
    let mut recipe = recipe.clone();
    recipe.data.batch = options.batch.unwrap_or(recipe.data.batch);
    let mut written = program_files::NAMES.iter().map(|name| options.folder.join(name));
    written.try_for_each(|file| require_no_source(&file, &recipe))?;
    let opened = Opened::open(&recipe, &options.catalogs)?;
    let program = match options.batch {
        Some(_) => opened.program()?,
        None => open_program(&opened)?,
    };
    program_files::make_room(&options.folder, options.overwrite)?;
    let files = program_files::write(&options.folder, &program)?;
    let TrainingProgram { manifest, trained, frozen, notes, .. } = program;
    Ok(CompileReport { folder: options.folder.clone(), files, manifest, trained, frozen, notes })
}

/// Of any number of rows. Where that cannot be, a number is proposed if it helps.
fn open_program(opened: &Opened) -> Result<TrainingProgram, RecipeError> {
    opened.program_of(AxisLength::from(BATCH)).map_err(|error| {
        let rows = opened.recipe.data.batch;
        match opened.program() {
            Ok(_) => RecipeError::NeedsRows { rows, source: Box::new(error) },
            Err(_) => error,
        }
    })
}
