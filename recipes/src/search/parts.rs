//! The runs that a trial is made of: one, or one for each fold and seed.

use std::path::PathBuf;

use millstream_schemas::Recipe;
use millstream_schemas::recipe::SearchRecipe;

use super::study_folder::StudyFolder;

/// One run of a trial.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its name below the trial's folder, where the trial has several.
    pub(crate) name: Option<String>,
    pub(crate) recipe: Recipe,
}

/// Whether trials have several runs.
pub(crate) fn are_several(search: &SearchRecipe) -> bool {
    search.repeats > 1 || search.folds.is_some()
}

/// The names of a trial's runs below its folder; none where it is one.
pub(crate) fn names(search: &SearchRecipe) -> Vec<Option<String>> {
    parts_of(search).into_iter().map(|(_, _, name)| name).collect()
}

/// The runs of a trial; `folds` are the files that the training rows lie in by fold.
pub(crate) fn of_trial(
    folder: &StudyFolder,
    number: u64,
    recipe: &Recipe,
    search: &SearchRecipe,
    folds: &[PathBuf],
) -> Vec<Part> {
    let part = |(fold, repeat, name): (Option<usize>, u64, Option<String>)| {
        let mut recipe = recipe.clone();
        let trial = folder.trial(number);
        recipe.output.folder = name.as_ref().map_or_else(|| trial.clone(), |name| trial.join(name));
        recipe.seed = recipe.seed.wrapping_add(repeat);
        if let Some(fold) = fold {
            let text = |path: &PathBuf| path.to_string_lossy().into_owned();
            let others = folds.iter().enumerate().filter(|(at, _)| *at != fold).map(|(_, path)| text(path));
            let others: Vec<String> = others.collect();
            if let (Ok(train), Some(evaluate)) = (others.try_into(), folds.get(fold)) {
                recipe.data.train = train;
                recipe.data.evaluate = Some(text(evaluate).into());
            }
        }
        Part { name, recipe }
    };
    parts_of(search).into_iter().map(part).collect()
}

/// Fold, repetition and name of each run.
fn parts_of(search: &SearchRecipe) -> Vec<(Option<usize>, u64, Option<String>)> {
    let folds: Vec<Option<usize>> = match &search.folds {
        Some(folds) => (0..folds.count).map(Some).collect(),
        None => vec![None],
    };
    let mut parts = Vec::new();
    for fold in folds {
        for repeat in 0..search.repeats.max(1) {
            let of_fold = fold.map(|fold| format!("fold-{}", fold + 1));
            let of_repeat = (search.repeats > 1).then(|| format!("seed-{}", repeat + 1));
            let name: Vec<String> = of_fold.into_iter().chain(of_repeat).collect();
            parts.push((fold, repeat, (!name.is_empty()).then(|| name.join("-"))));
        }
    }
    parts
}
