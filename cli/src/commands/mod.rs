//! One file for each command: it calls the library and prints what comes back.

pub(crate) mod adapter;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod document;
pub(crate) mod ensemble;
pub(crate) mod errors;
pub(crate) mod evaluate;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod lr_find;
pub(crate) mod note;
pub(crate) mod predict;
pub(crate) mod preview;
pub(crate) mod report;
pub(crate) mod reproduce;
pub(crate) mod runs;
pub(crate) mod runtime;
pub(crate) mod schema;
pub(crate) mod search;
pub(crate) mod train;
pub(crate) mod transforms;
pub(crate) mod watch;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use millstream::recipes::runs::{FINGERPRINTS_FILE, RECIPE_FILE};
use millstream::recipes::search::StudyFolder;
use millstream::recipes::{self, Catalogs, RecipeError};
use millstream::schemas::recipe::{PlacedFault, RecipeText, local_path};
use millstream::schemas::{Recipe, SchemaError, shell_path, shown_path};

use crate::arguments::RecipeArguments;
use crate::missing_place;

/// Reads the recipe with what the command line changes, and hands it on. Errors know where in the recipe they stand, unless
/// they are about keys whose value came from `elsewhere`.
pub(crate) fn with_recipe<T>(
    arguments: &RecipeArguments,
    elsewhere: &[&str],
    work: impl FnOnce(Recipe) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with_text(&text_of(arguments)?, elsewhere, |text| work(recipes::load(text, &Catalogs::default())?))
}

/// As [`with_recipe`], for commands that read the text in another way.
pub(crate) fn with_text<T>(
    text: &RecipeText,
    elsewhere: &[&str],
    work: impl FnOnce(&RecipeText) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    work(text).map_err(|error| {
        let cause = error.chain().find_map(|cause| cause.downcast_ref::<RecipeError>());
        let refused = match cause {
            Some(RecipeError::Schema(SchemaError::Recipe { path, faults })) => Some((path.clone(), faults.clone())),
            _ => None,
        };
        let mut faults = cause.map(RecipeError::faults).unwrap_or_default();
        faults.retain(|fault| !elsewhere.contains(&fault.place.as_str()));
        let places = text.place(faults);
        InRecipe { error, refused, places }.into()
    })
}

/// The recipe with what the command line changes; of the folder of a run its recipe, wherever the folder was moved to.
pub(crate) fn text_of(arguments: &RecipeArguments) -> anyhow::Result<RecipeText> {
    let recipe = &arguments.recipe;
    let is_study = |folder: &Path| StudyFolder::new(folder).holds_study();
    let kept = recipe.file_name().is_some_and(|name| name == RECIPE_FILE).then(|| recipe.parent()).flatten();
    if let Some(study) = [Some(recipe.as_path()), kept].into_iter().flatten().find(|folder| is_study(folder)) {
        // with what the command line changed of it when the study began
        return Ok(StudyFolder::new(study).text_with(&arguments.overrides)?);
    }
    missing_place::require(recipe)?;
    anyhow::ensure!(
        !is_model(recipe),
        "{} is a model, and a recipe is wanted here; of data and a model, `millstream init DATA {}` makes one",
        shown_path(recipe),
        shell_path(recipe)
    );
    if !arguments.recipe.is_dir() {
        return Ok(RecipeText::read(&arguments.recipe, &arguments.overrides)?);
    }
    let path = arguments.recipe.join(RECIPE_FILE);
    if !path.exists() {
        missing_place::require_recipe_of_run(&arguments.recipe)?;
    }
    anyhow::ensure!(
        path.exists(),
        "{} is a folder, and no run has left its `{RECIPE_FILE}` in it; of data and a model, `millstream init` makes a recipe{}",
        shown_path(&arguments.recipe),
        missing_place::runs_inside(&arguments.recipe).map_or_else(String::new, |inside| format!("; {inside}"))
    );
    let folder = argument_path(arguments.recipe.as_os_str())?;
    let mut overrides = arguments.overrides.clone();
    if folder.join(FINGERPRINTS_FILE).exists() {
        let folder = folder.to_str().with_context(|| format!("{}: the name is no UTF-8", shown_path(&folder)))?;
        let folder = serde_json::Value::from(folder.replace('$', "$$"));
        overrides.insert(0, format!("output.folder={folder}"));
    }
    Ok(RecipeText::read(&path, &overrides)?)
}

/// An error of a command that carries out a recipe.
#[derive(Debug)]
pub(crate) struct InRecipe {
    pub(crate) error: anyhow::Error,
    /// The recipe that was refused, and all that is wrong with it.
    pub(crate) refused: Option<(PathBuf, Vec<PlacedFault>)>,
    /// Where in the recipe stands what the error is about.
    pub(crate) places: Vec<PlacedFault>,
}

impl fmt::Display for InRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for InRecipe {}

/// Whether a path is called like a model.
fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) && !path.is_dir()
}

/// A path or pattern of the command line, read as those of recipes are, unless something of just that name is there.
fn argument_path(text: &OsStr) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(!text.is_empty(), "a path is empty; write `.` for the working directory");
    let base = std::env::current_dir().context("the working directory cannot be read")?;
    let just_that = base.join(text);
    match text.to_str() {
        Some(text) if !just_that.exists() => Ok(local_path(text, &base).map_err(anyhow::Error::msg)?.into()),
        _ => Ok(just_that),
    }
}

/// Several of them, as a shell makes of a pattern.
fn argument_paths(paths: &[OsString]) -> anyhow::Result<Vec<String>> {
    let as_text = |path: PathBuf| {
        // Patterns are texts, so the paths among them are.
        path.into_os_string().into_string().map_err(|path| {
            anyhow::anyhow!("{}: the name is no UTF-8; name the folder above it", shown_path(Path::new(&path)))
        })
    };
    paths.iter().map(|path| argument_path(path).and_then(as_text)).collect()
}
