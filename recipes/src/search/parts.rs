//! The runs that a trial is made of: one, or one for each fold and seed.

use std::path::PathBuf;

use millstream_schemas::Recipe;
use millstream_schemas::recipe::SearchRecipe;

use super::study_folder::StudyFolder;
use super::trial_run::TrialRun;

/// What names of runs on folds begin with.
const FOLD: &str = "fold-";

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

/// What the runs of a trial with this seed are, where it has several; nothing where it is one.
pub(crate) fn runs(seed: u64, search: &SearchRecipe) -> Vec<TrialRun> {
    let run = |(fold, repeat, name): (Option<usize>, u64, Option<String>)| {
        Some(TrialRun { name: name?, fold: fold.map(|fold| fold + 1), seed: seed.wrapping_add(repeat) })
    };
    parts_of(search).into_iter().filter_map(run).collect()
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
            let of_fold = fold.map(|fold| format!("{FOLD}{}", fold + 1));
            let of_repeat = (search.repeats > 1).then(|| format!("seed-{}", repeat + 1));
            let name: Vec<String> = of_fold.into_iter().chain(of_repeat).collect();
            parts.push((fold, repeat, (!name.is_empty()).then(|| name.join("-"))));
        }
    }
    parts
}

/// Whether two runs by these names are trained and evaluated on the same rows, whichever their trials are: with other seeds alone.
pub(crate) fn are_of_one_fold(one: Option<&str>, other: Option<&str>) -> bool {
    let fold = |name: Option<&str>| {
        let own = name?.strip_prefix(FOLD)?;
        Some(own.split('-').next().unwrap_or(own).to_owned())
    };
    fold(one) == fold(other)
}

#[cfg(test)]
mod tests {
    use millstream_schemas::recipe::FoldsRecipe;

    use super::*;

    #[test]
    fn runs_of_a_trial_are_told_by_their_folds_and_seeds() {
        let folds = |count| FoldsRecipe { count, stratify: None, group: None, seed: 0 };
        for (repeats, of_folds, wanted) in [
            (1, None, ""),
            (3, None, "3 runs, seeds 7 to 9"),
            (1, Some(folds(5)), "5 runs, folds 1 to 5, seed 7"),
            (2, Some(folds(3)), "6 runs, folds 1 to 3, seeds 7 to 8"),
        ] {
            let search = SearchRecipe { repeats, folds: of_folds, ..SearchRecipe::default() };
            let found = runs(7, &search);
            assert_eq!(TrialRun::in_words(&found), wanted);
            let own: Vec<Option<String>> = found.into_iter().map(|run| Some(run.name)).collect();
            assert!(own.is_empty() || own == names(&search), "{own:?}");
        }
    }

    #[test]
    fn runs_that_differ_by_their_seeds_alone_are_of_one_fold() {
        for (one, other, wanted) in [
            (None, None, true),
            (Some("seed-1"), Some("seed-2"), true),
            (Some("fold-1"), Some("fold-2"), false),
            (Some("fold-1-seed-1"), Some("fold-1-seed-2"), true),
            (Some("fold-1-seed-1"), Some("fold-11-seed-1"), false),
        ] {
            assert_eq!(are_of_one_fold(one, other), wanted, "{one:?} {other:?}");
        }
    }
}
