//! A loss that is measured and whose factors follow from the rows that are trained on.

use millstream_compiler::Loss;
use millstream_pipeline::SplitRole;
use millstream_schemas::recipe::RecipeText;
use millstream_schemas::{Recipe, shown_path};

use crate::RecipeError;
use crate::choices::chosen_loss;
use crate::class_balance::{balanced_options, class_counts, place_of, set_option, with_factors};
use crate::classes::align;
use crate::imported::NamedRows;
use crate::row_source::{RowSource, Wanted};
use crate::run_folder::RunFolder;

/// The recipe's loss with numbers in the place of `balanced`, for rows that are `measured`, opened as `wanted`; and what they are, in
/// words. The rows of training are counted by the classes of these; where they are gone, the numbers are those that the run in the
/// recipe's folder has noted.
///
/// # Errors
/// The rows are gone and nothing was noted, or they have no such classes.
pub(crate) fn balanced_loss(
    recipe: &Recipe,
    wanted: &Wanted<'_>,
    measured: &RowSource,
) -> Result<(Loss, Vec<String>), RecipeError> {
    let rows = NamedRows::of(&recipe.data, &recipe.data.train, &recipe.output.folder);
    let (recipe, notes) = match rows.open(SplitRole::Train) {
        Ok((dataset, _)) => {
            let (place, patterns) = ("data.train", &recipe.data.train);
            let wanted = Wanted { place, patterns, role: SplitRole::Train, known: Some(&dataset), ..*wanted };
            let mut train = RowSource::open(&wanted, measured.chain.clone())?;
            if !measured.classes().is_empty() {
                align(&mut train, measured.classes(), "the model", place)?;
            }
            with_factors(recipe, &class_counts(&train)?)?
        }
        Err(gone) => as_noted(recipe, measured.classes().len(), &gone)?,
    };
    Ok((chosen_loss(&recipe.training, wanted.catalogs)?, notes))
}

/// With the factors in the recipe that a run keeps in its folder.
fn as_noted(recipe: &Recipe, classes: usize, gone: &RecipeError) -> Result<(Recipe, Vec<String>), RecipeError> {
    let path = RunFolder(recipe.output.folder.clone()).recipe();
    let noted = RecipeText::read(&path, &[]).ok();
    let (mut resolved, mut notes) = (recipe.clone(), Vec::new());
    for option in balanced_options(recipe) {
        let place = place_of(recipe, option);
        let pointer = format!("/{}", place.replace('.', "/"));
        let factors = noted.as_ref().and_then(|text| text.value().pointer(&pointer));
        let are_one_each = |factors: &&serde_json::Value| factors.as_array().is_some_and(|all| all.len() == classes);
        let Some(factors) = factors.filter(are_one_each) else {
            let message = format!(
                "`balanced` counts the rows of each class in `data.train`, and they cannot be opened ({gone}); write the factors"
            );
            return Err(RecipeError::mismatch(place, message));
        };
        notes.push(format!("{place}: the rows of training are gone; the factors are those in {}", shown_path(&path)));
        set_option(&mut resolved, option, factors.clone());
    }
    Ok((resolved, notes))
}
