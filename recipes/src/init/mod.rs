//! A recipe for data and a model that nobody has written one for.

mod boxes;
mod guess;
mod image_columns;
mod image_preparation;
mod init_options;
mod input;
mod masks;
mod most_rows;
mod number_columns;
mod points;
mod recipe_lines;
mod text_columns;
mod told;

use std::path::Path;

use millstream_schemas::recipe::RecipeText;
use millstream_schemas::{Recipe, shown, shown_path};
use serde::Serialize;

use crate::error::with_causes;
use crate::imported::NamedRows;
use crate::{Catalogs, Events, Opened, RecipeError, Stop, load};
use guess::Guess;
pub(crate) use guess::class_column;
pub use init_options::InitOptions;

/// What a recipe is called where nobody calls it otherwise.
pub const USUAL_FILE: &str = "recipe.yaml";

/// How the one of the decisions begins that says why a last layer less usual was taken.
pub const NO_USUAL_LAYER: &str = "the usual last layer cannot be: ";

/// A recipe that trains, or one of data alone.
#[derive(Clone, Debug, Serialize)]
pub struct InitReport {
    /// The recipe, with comments.
    pub text: String,
    /// What was decided, and why; first what is in `imported`.
    pub decisions: Vec<String>,
    /// Whether there is an image or a text that `preview` shows.
    pub can_be_previewed: bool,
    /// How the data became Parquet, where they were none.
    #[serde(skip)]
    pub imported: Vec<String>,
    /// The beginning of the one of `decisions` about the last layer, without what is trained; nothing of data alone.
    #[serde(skip)]
    pub last_layer: &'static str,
    /// The same recipe, read.
    #[serde(skip)]
    pub recipe: Recipe,
}

/// Looks at data and a model and writes a recipe that trains: what is told, the size and normalization of images, the last layer,
/// what is trained, rates. Of several last layers that are possible the first is taken with which the training step can be
/// made. Without a model the recipe is one of the data, enough for previews, in which the model is to be filled in.
///
/// # Errors
/// Data or model cannot be read, it cannot be told what is input and what is to be told, or no recipe was found with which the model
/// trains: then the reason of the likeliest.
pub fn init(options: &InitOptions) -> Result<InitReport, RecipeError> {
    let guess = Guess::of(options).map_err(|error| named(error, options))?;
    let can_be_previewed = guess.input.is_shown();
    if guess.model.is_none() {
        let text = recipe_lines::written(&guess, None);
        let read = RecipeText::new(&text, Path::new(USUAL_FILE), &options.folder, &[])?;
        let recipe = load(&read, &options.catalogs)?;
        let decisions = guess.decisions_of_data();
        let (imported, last_layer) = (guess.imported, "");
        return Ok(InitReport { text, decisions, can_be_previewed, imported, last_layer, recipe });
    }
    let mut reason: Option<RecipeError> = None;
    for head in guess.heads() {
        let text = recipe_lines::written(&guess, Some(head));
        match trains(&text, &options.folder, &options.catalogs) {
            Ok((recipe, trained)) => {
                let (mut decisions, last_layer) = guess.decisions(head, trained);
                if let Some(reason) = reason {
                    decisions.push(format!("{NO_USUAL_LAYER}{}", with_causes(&reason)));
                }
                let imported = guess.imported;
                return Ok(InitReport { text, decisions, can_be_previewed, imported, last_layer, recipe });
            }
            Err(error) => {
                reason.get_or_insert(error);
            }
        }
    }
    Err(reason.expect("there is a likeliest last layer"))
}

/// What an error of data or model is about, called as it was named.
fn named(error: RecipeError, options: &InitOptions) -> RecipeError {
    match error {
        RecipeError::Mismatch { place, message } => {
            let place = match (place.as_str(), &options.model) {
                ("DATA", _) => options.data.iter().map(shown).collect::<Vec<_>>().join(", "),
                ("MODEL", Some(model)) => shown(options.named(model).unwrap_or_else(|_| shown_path(model))),
                _ => place,
            };
            RecipeError::Mismatch { place, message }
        }
        other => other,
    }
}

/// Imports the data where they are no Parquet and were not imported yet, and says how far that is; [`init`] does it silently.
///
/// # Errors
/// They cannot be imported.
pub fn import_data(options: &InitOptions, events: &mut dyn Events, stop: &Stop) -> Result<(), RecipeError> {
    let InitOptions { data, evaluate, folder, output, .. } = options;
    let is_divided = evaluate.is_empty() || evaluate == data;
    NamedRows { patterns: data, base: folder, output, is_divided, decimal_comma: false }.imported(events, stop)?;
    if !is_divided && !evaluate.is_empty() {
        let rows = NamedRows { patterns: evaluate, base: folder, output, is_divided: false, decimal_comma: false };
        rows.imported(events, stop)?;
    }
    Ok(())
}

/// The recipe that a text says, if a training step can be made of it, and how many parameters that trains.
fn trains(text: &str, folder: &Path, catalogs: &Catalogs) -> Result<(Recipe, usize), RecipeError> {
    let text = RecipeText::new(text, Path::new(USUAL_FILE), folder, &[])?;
    let recipe = load(&text, catalogs)?;
    let compiled = Opened::open(&recipe, catalogs)?.compile()?;
    Ok((recipe, compiled.program().trained))
}
