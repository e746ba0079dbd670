//! The sets of rows that a run is measured on beside `data.evaluate`.

use millstream_pipeline::SplitRole;
use millstream_schemas::Recipe;
use millstream_transforms::Chain;

use crate::classes::align;
use crate::row_source::{RowSource, Wanted};
use crate::{RecipeError, overlap};

/// Opens the sets that a recipe names, in the order of their names, with the classes and what else was learned of the training
/// rows; notes go to `notes`. `wanted` is what the training rows were opened as.
pub(crate) fn open(
    recipe: &Recipe,
    wanted: &Wanted<'_>,
    train: &RowSource,
    chain: &Chain,
    notes: &mut Vec<String>,
) -> Result<Vec<(String, RowSource)>, RecipeError> {
    let mut sets = Vec::new();
    if recipe.data.evaluate.is_none() && !recipe.evaluation.sets.is_empty() {
        let message = "these are other sets beside `data.evaluate`, which is missing; name one of them there";
        return Err(RecipeError::mismatch("evaluation.sets", message));
    }
    for (name, patterns) in &recipe.evaluation.sets {
        let place = format!("evaluation.sets.{name}");
        let wanted = Wanted { place: &place, patterns, role: SplitRole::Evaluate, known: None, ..*wanted };
        let mut source = RowSource::open(&wanted, chain.clone())?;
        notes.extend(align(&mut source, train.classes(), "the training data", &place)?);
        source.encoders = source.encoders.relearned(&source.dataset, &train.encoders.learned())?;
        let found = source.notes_of_files().cloned().chain(overlap::copies(&source.dataset)?);
        notes.extend(found.map(|note| format!("{place}: {note}")));
        notes.extend(overlap::of_files(&train.dataset, &source.dataset, &place, recipe.data.allow_overlap)?);
        sets.push((name.clone(), source));
    }
    Ok(sets)
}
