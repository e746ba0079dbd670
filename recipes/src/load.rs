use millstream_schemas::Recipe;
use millstream_schemas::recipe::{Fault, RecipeText};
use millstream_transforms::Chain;

use crate::choices::Choices;
use crate::log_choices::LogChoices;
use crate::model_choices::ModelChoices;
use crate::open_places::open_places;
use crate::opened::refuse_random;
use crate::{Catalogs, RecipeError};

/// The recipe that a text says, checked as far as it can be without opening data or model: keys, kinds, ranges and paths,
/// and everything that is chosen by name from the catalogs, with its options.
///
/// # Errors
/// All that is wrong with it, each with its place.
pub fn load(text: &RecipeText, catalogs: &Catalogs) -> Result<Recipe, RecipeError> {
    let open = open_places(text);
    if !open.is_empty() {
        return Err(text.refuse(open).into());
    }
    let (mut recipe, mut faults) = text.examine(&catalogs.definitions());
    if let Some(recipe) = &mut recipe {
        let lists =
            [("transforms.train", &recipe.transforms.train), ("transforms.evaluate", &recipe.transforms.evaluate)];
        let views = recipe.evaluation.test_time_augmentation.as_ref().and_then(|views| views.transforms.as_ref());
        let views = views.map(|views| ("evaluation.test_time_augmentation.transforms", views));
        let found = lists
            .into_iter()
            .chain(views)
            .flat_map(|(place, specs)| Chain::faults_from(&catalogs.transforms, place, specs));
        let mut found: Vec<Fault> = found.flat_map(|error| RecipeError::from(error).faults()).collect();
        found.extend(
            refuse_random(&recipe.transforms.evaluate, catalogs).err().into_iter().flat_map(|error| error.faults()),
        );
        match Choices::of(&recipe.training, catalogs) {
            Ok(choices) => choices.write_into(&mut recipe.training),
            Err(error) => found.push(error.into()),
        }
        match LogChoices::of(&recipe.output, catalogs) {
            Ok(choices) => choices.write_into(&mut recipe.output),
            Err(error) => found.push(error.into()),
        }
        if let Some(model) = &mut recipe.model {
            match ModelChoices::of(model, catalogs) {
                Ok(choices) => choices.write_into(model),
                Err(error) => found.push(error.into()),
            }
        }
        // What was told already is not told of what stands in for it.
        let is_told = |fault: &Fault| faults.iter().any(|told| told.touches(&fault.place));
        let new: Vec<Fault> = found.into_iter().filter(|fault| !is_told(fault)).collect();
        for fault in new {
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
