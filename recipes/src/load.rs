use millstream_schemas::Recipe;
use millstream_schemas::recipe::{Fault, RecipeText};
use millstream_transforms::Chain;

use crate::RecipeError;
use crate::plan::refuse_random;

/// The recipe that a text says, checked as far as it can be without opening data or model: keys, kinds, ranges and paths,
/// and the names and options of the transforms.
///
/// # Errors
/// All that is wrong with it, each with its place.
pub fn load(text: &RecipeText) -> Result<Recipe, RecipeError> {
    let (recipe, mut faults) = text.examine();
    if let Some(recipe) = &recipe {
        let lists =
            [("transforms.train", &recipe.transforms.train), ("transforms.evaluate", &recipe.transforms.evaluate)];
        let found = lists.into_iter().flat_map(|(place, specs)| Chain::faults_at(place, specs));
        let mut found: Vec<Fault> = found.flat_map(|error| RecipeError::from(error).faults()).collect();
        found.extend(refuse_random(&recipe.transforms.evaluate).err().into_iter().flat_map(|error| error.faults()));
        for fault in found {
            // What was told already is not told of what stands in for it.
            if !faults.iter().any(|told| told.covers(&fault.place)) {
                faults.push(fault);
            }
        }
    }
    match recipe {
        Some(recipe) if faults.is_empty() => Ok(recipe),
        _ => Err(text.refuse(faults).into()),
    }
}
