//! One file for each command: it calls the library and prints what comes back.

pub(crate) mod check;
pub(crate) mod evaluate;
pub(crate) mod inspect;
pub(crate) mod preview;
pub(crate) mod report;
pub(crate) mod runtime;
pub(crate) mod schema;
pub(crate) mod train;
pub(crate) mod transforms;

use millstream::schemas::Recipe;

use crate::arguments::RecipeArguments;

/// Reads the recipe with what the command line changes.
fn load(arguments: &RecipeArguments) -> anyhow::Result<Recipe> {
    Ok(Recipe::load_with(&arguments.recipe, &arguments.overrides)?)
}
