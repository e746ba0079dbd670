//! What follows from how many rows the classes have: factors of losses, and how often rows come.

use millstream_compiler::losses::balanced_class_weights;
use millstream_pipeline::rows_drawn;
use millstream_schemas::{Choice, Recipe, shown};
use serde_json::{Value, json};

use crate::{RecipeError, RowSource};

/// Options of losses that may say `balanced`.
const FACTORS: [&str; 2] = ["class_weights", "alpha"];
const BALANCED: &str = "balanced";
/// Classes that are told by name.
const MOST_TOLD: usize = 12;

/// The recipe with numbers in the place of `balanced` in its loss, and what that and `data.sampling` come to, in words.
///
/// # Errors
/// The rows have no classes that could be counted, or those of a class that is to come are none.
pub(crate) fn balanced(recipe: &Recipe, train: &RowSource) -> Result<(Recipe, Vec<String>), RecipeError> {
    let loss = recipe.training.loss.as_ref();
    let options: Vec<&str> = FACTORS
        .into_iter()
        .filter(|option| loss.is_some_and(|loss| loss.options.get(option) == Some(&Value::from(BALANCED))))
        .collect();
    let (mut recipe, mut notes) = (recipe.clone(), Vec::new());
    if options.is_empty() && recipe.data.sampling.is_none() {
        return Ok((recipe, notes));
    }
    let counts = train.dataset.class_histogram(&train.encoders)?.counts;
    let refuse = |place: &str, message: String| Err(RecipeError::mismatch(place, message));
    let told = |values: &[String]| {
        let named = train
            .classes()
            .iter()
            .zip(values)
            .take(MOST_TOLD)
            .map(|(class, value)| format!("{} {value}", shown(class)));
        let more = values.len().saturating_sub(MOST_TOLD);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", named.collect::<Vec<_>>().join(", "))
    };
    for option in options {
        let name = loss.map_or("", |loss| loss.name.as_str());
        let place = format!("training.loss.{name}.{option}");
        if counts.iter().all(|count| *count == 0) {
            return refuse(
                &place,
                format!(
                    "`{BALANCED}` counts the rows of each class, and the target is no column of classes; write the factors"
                ),
            );
        }
        let factors = balanced_class_weights(&counts);
        let values: Vec<String> = factors.iter().map(|factor| format!("{factor:.4}")).collect();
        notes.push(format!("{place}: `{BALANCED}` by the rows of training is {}", told(&values)));
        if let Some(Choice { options, .. }) = &mut recipe.training.loss
            && let Some(options) = options.as_object_mut()
        {
            options.insert(option.to_owned(), json!(factors));
        }
    }
    if let Some(sampling) = &recipe.data.sampling {
        let place = "data.sampling";
        if counts.iter().all(|count| *count == 0) {
            return refuse(
                place,
                "rows come by their classes, and the target is no column of classes; leave it out".into(),
            );
        }
        let drawn = match rows_drawn(sampling, &counts, train.dataset.rows()) {
            Ok(drawn) => drawn,
            Err(message) => return refuse(place, message),
        };
        let values: Vec<String> =
            drawn.iter().zip(&counts).map(|(drawn, has)| format!("{drawn} (has {has})")).collect();
        notes.push(format!("{place}: rows of each class that come in an epoch: {}", told(&values)));
    }
    Ok((recipe, notes))
}
