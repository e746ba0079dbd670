//! What follows from how many rows the classes have: factors of losses, and how often rows come.

use millstream_compiler::losses::balanced_class_weights;
use millstream_pipeline::rows_drawn;
use millstream_schemas::recipe::SamplingRecipe;
use millstream_schemas::{Choice, Recipe, shown};
use serde_json::{Value, json};

use crate::RecipeError;
use crate::class_count::ClassCount;

/// Options of losses that may say `balanced`.
const FACTORS: [&str; 2] = ["class_weights", "alpha"];
const BALANCED: &str = "balanced";
/// Classes that are told by name.
const MOST_TOLD: usize = 12;

/// The options of the recipe's loss that say `balanced`.
pub(crate) fn balanced_options(recipe: &Recipe) -> Vec<&'static str> {
    let options = recipe.training.loss.as_ref().map(|loss| &loss.options);
    let says = |option: &&str| options.is_some_and(|options| options.get(option) == Some(&Value::from(BALANCED)));
    FACTORS.into_iter().filter(says).collect()
}

/// Where the recipe says an option of its loss.
pub(crate) fn place_of(recipe: &Recipe, option: &str) -> String {
    format!("training.loss.{}.{option}", recipe.training.loss.as_ref().map_or("", |loss| loss.name.as_str()))
}

/// The recipe with numbers in the place of `balanced` in its loss, and what that and `data.sampling` come to, in words. The rows of
/// training, `rows` in all, are counted where one of the two is there.
///
/// # Errors
/// The rows cannot be counted, have no classes that could be, or those of a class that is to come are none.
pub(crate) fn balanced(
    recipe: &Recipe,
    rows: u64,
    counted: impl FnOnce() -> Result<Vec<ClassCount>, RecipeError>,
) -> Result<(Recipe, Vec<String>), RecipeError> {
    if balanced_options(recipe).is_empty() && recipe.data.sampling.is_none() {
        return Ok((recipe.clone(), Vec::new()));
    }
    let classes = counted()?;
    let (recipe, mut notes) = with_factors(recipe, &classes)?;
    if let Some(sampling) = &recipe.data.sampling {
        notes.push(drawn(sampling, &classes, rows)?);
    }
    Ok((recipe, notes))
}

/// The recipe with numbers in the place of `balanced` in its loss, by these classes, and what they are, in words.
///
/// # Errors
/// There are no classes, or none has rows.
pub(crate) fn with_factors(recipe: &Recipe, classes: &[ClassCount]) -> Result<(Recipe, Vec<String>), RecipeError> {
    let options = balanced_options(recipe);
    let Some(first) = options.first() else { return Ok((recipe.clone(), Vec::new())) };
    if !have_rows(classes) {
        let message = format!(
            "`{BALANCED}` counts the rows of each class, and the target is no column of classes; write the factors"
        );
        return Err(RecipeError::mismatch(place_of(recipe, first), message));
    }
    let factors = balanced_class_weights(&rows_of(classes));
    let (mut resolved, mut notes) = (recipe.clone(), Vec::new());
    for option in options {
        let place = place_of(recipe, option);
        let values = factors.iter().map(|factor| format!("{factor:.4}"));
        notes.push(format!("{place}: `{BALANCED}` by the rows of training is {}", told(classes, values)));
        set_option(&mut resolved, option, json!(factors));
    }
    Ok((resolved, notes))
}

/// Writes an option of the loss that a recipe states.
pub(crate) fn set_option(recipe: &mut Recipe, option: &str, value: Value) {
    if let Some(Choice { options, .. }) = &mut recipe.training.loss
        && let Some(options) = options.as_object_mut()
    {
        options.insert(option.to_owned(), value);
    }
}

/// How many rows of each class come, in words.
fn drawn(sampling: &SamplingRecipe, classes: &[ClassCount], rows: u64) -> Result<String, RecipeError> {
    let place = "data.sampling";
    if !have_rows(classes) {
        let message = "rows come by their classes, and the target is no column of classes; leave it out";
        return Err(RecipeError::mismatch(place, message));
    }
    let drawn =
        rows_drawn(sampling, &rows_of(classes), rows).map_err(|message| RecipeError::mismatch(place, message))?;
    let values = drawn.iter().zip(classes).map(|(drawn, class)| format!("{drawn} (has {})", class.rows));
    Ok(format!("{place}: rows of each class that come in an epoch: {}", told(classes, values)))
}

fn rows_of(classes: &[ClassCount]) -> Vec<u64> {
    classes.iter().map(|class| class.rows).collect()
}

fn have_rows(classes: &[ClassCount]) -> bool {
    classes.iter().any(|class| class.rows > 0)
}

/// `red 0.4167, green 2.5000`, and how many more.
fn told(classes: &[ClassCount], values: impl Iterator<Item = String>) -> String {
    let named =
        classes.iter().zip(values).take(MOST_TOLD).map(|(class, value)| format!("{} {value}", shown(&class.name)));
    let named: Vec<String> = named.collect();
    let more = classes.len().saturating_sub(MOST_TOLD);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}
