//! A recipe for data and a model that nobody has written one for.

mod guess;
mod image_preparation;
mod recipe_lines;

use std::path::{Path, PathBuf};

use millstream_schemas::recipe::RecipeText;
use millstream_schemas::{Recipe, shown_path};
use serde::Serialize;

use crate::error::with_causes;
use crate::{Catalogs, Opened, RecipeError, load};
use guess::Guess;

/// What a recipe is wanted for.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Files, folders or patterns of Parquet, as they are to stand in the recipe.
    pub data: Vec<String>,
    /// Rows to evaluate on; without it those of another split of the same folders.
    pub evaluate: Vec<String>,
    /// The pretrained model.
    pub model: PathBuf,
    /// The column that is to be told; found by name and type when not named.
    pub label: Option<String>,
    /// Where the recipe will lie: relative paths start there.
    pub folder: PathBuf,
    /// The folder of the results.
    pub output: PathBuf,
    /// What encodings and transforms are taken from.
    pub catalogs: Catalogs,
}

/// A recipe that trains.
#[derive(Clone, Debug, Serialize)]
pub struct InitReport {
    /// The recipe, with comments.
    pub text: String,
    /// What was decided, and why.
    pub decisions: Vec<String>,
    /// The same recipe, read.
    #[serde(skip)]
    pub recipe: Recipe,
}

/// Looks at data and a model and writes a recipe that trains: what is told, the size and normalization of images, the last layer,
/// what is trained, rates. Of several last layers that are possible the first is taken with which the training step can be
/// made.
///
/// # Errors
/// Data or model cannot be read, it cannot be told what is input and what is to be told, or no recipe was found with which the model
/// trains: then the reason of the likeliest.
pub fn init(options: &InitOptions) -> Result<InitReport, RecipeError> {
    let guess = Guess::of(options)?;
    let mut reason: Option<RecipeError> = None;
    for head in guess.heads() {
        let text = recipe_lines::written(&guess, head);
        match trains(&text, &options.folder, &options.catalogs) {
            Ok(recipe) => {
                let mut decisions = guess.decisions(head);
                if let Some(reason) = reason {
                    decisions.push(format!("the usual last layer cannot be: {}", with_causes(&reason)));
                }
                return Ok(InitReport { text, decisions, recipe });
            }
            Err(error) => {
                reason.get_or_insert(error);
            }
        }
    }
    Err(reason.expect("there is a likeliest last layer"))
}

/// The recipe that a text says, if a training step can be made of it.
fn trains(text: &str, folder: &Path, catalogs: &Catalogs) -> Result<Recipe, RecipeError> {
    let text = RecipeText::new(text, Path::new("recipe.yaml"), folder, &[])?;
    let recipe = load(&text, catalogs)?;
    Opened::open(&recipe, catalogs)?.compile()?;
    Ok(recipe)
}

/// A path as a recipe in `folder` names it: relative where it lies below, so that both can be moved.
fn named_from(folder: &Path, path: &Path) -> Result<String, RecipeError> {
    let named = path.strip_prefix(folder).unwrap_or(path);
    let text = named
        .to_str()
        .ok_or_else(|| RecipeError::mismatch(shown_path(path), "the name is no UTF-8, and cannot stand in a recipe"))?;
    Ok(text.to_owned())
}
