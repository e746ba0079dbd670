//! A loss that is measured and whose factors follow from the rows that are trained on.

use millstream_compiler::Loss;
use millstream_pipeline::{Dataset, SplitRole};
use millstream_schemas::recipe::RecipeText;
use millstream_schemas::{Recipe, shown_path};

use crate::RecipeError;
use crate::choices::chosen_loss;
use crate::class_balance::{balanced_options, place_of, set_option, with_factors};
use crate::classes::align;
use crate::data_report::data_report;
use crate::error::with_causes;
use crate::row_source::{RowSource, Wanted};
use crate::run_folder::RunFolder;

/// The recipe's loss with numbers in the place of `balanced`, for rows that are `measured`, opened as `wanted`; and what they are, in
/// words. The rows of training are counted by the classes of these; where they cannot be opened, the numbers are those that the run in
/// the recipe's folder has noted.
///
/// # Errors
/// The rows cannot be opened and nothing was noted, or they have no such classes.
pub(crate) fn balanced_loss(
    recipe: &Recipe,
    wanted: &Wanted<'_>,
    measured: &RowSource,
    train: &Result<Dataset, RecipeError>,
) -> Result<(Loss, Vec<String>), RecipeError> {
    let (recipe, notes) = match train {
        Ok(dataset) => {
            let (place, patterns) = ("data.train", &recipe.data.train);
            let wanted = Wanted { place, patterns, role: SplitRole::Train, known: Some(dataset), ..*wanted };
            let mut train = RowSource::open(&wanted, measured.chain.clone())?;
            if !measured.classes().is_empty() {
                align(&mut train, measured.classes(), "the model", place)?;
            }
            with_factors(recipe, &data_report(patterns, &train)?.classes)?
        }
        Err(cause) => as_noted(recipe, measured.classes().len(), cause)?,
    };
    Ok((chosen_loss(&recipe.training, wanted.catalogs)?, notes))
}

/// With the factors in the recipe that a run keeps in its folder.
fn as_noted(recipe: &Recipe, classes: usize, cause: &RecipeError) -> Result<(Recipe, Vec<String>), RecipeError> {
    let path = RunFolder(recipe.output.folder.clone()).recipe();
    let noted = RecipeText::read(&path, &[]).ok();
    let (mut resolved, mut notes, cause) = (recipe.clone(), Vec::new(), with_causes(cause));
    for option in balanced_options(recipe) {
        let place = place_of(recipe, option);
        let pointer = format!("/{}", place.replace('.', "/"));
        let factors = noted.as_ref().and_then(|text| text.value().pointer(&pointer));
        let are_one_each = |factors: &&serde_json::Value| factors.as_array().is_some_and(|all| all.len() == classes);
        let Some(factors) = factors.filter(are_one_each) else {
            let message = format!(
                "`balanced` counts the rows of each class in `data.train`, and they cannot be opened ({cause}); write the factors"
            );
            return Err(RecipeError::mismatch(place, message));
        };
        notes.push(format!(
            "{place}: the rows of training cannot be opened ({cause}); the factors are those in {}",
            shown_path(&path)
        ));
        set_option(&mut resolved, option, factors.clone());
    }
    Ok((resolved, notes))
}
