//! Whether all trials of a search are measured alike: by one loss, on one set of rows.

use millstream_schemas::recipe::EvaluationRecipe;
use millstream_training::metrics::FigureKind;

use super::figures::{Sought, is_name_of_cost};
use super::open_recipe::OpenRecipe;
use crate::RecipeError;
use crate::setting_changes::at;

/// What the loss of an evaluation is.
const OF_LOSS: [&str; 2] = ["training.loss", "training.label_smoothing"];

/// Refuses a search that begins whose trials would be ranked or bound by figures of other rows, or by other losses. Studies that have begun
/// are read all the same.
///
/// # Errors
/// What is left open, and what to do.
pub(super) fn require_same_measure(open: &OpenRecipe) -> Result<(), RecipeError> {
    let search = open.search();
    let sought = Sought::of(open)?;
    let objectives = sought.objectives.iter().map(|figure| ("search.objective".to_owned(), figure.kind.name.as_str()));
    let bounds = search.constraints.iter().enumerate();
    let bounds = bounds.map(|(at, bound)| (format!("search.constraints[{at}].figure"), bound.figure.as_str()));
    let figures: Vec<(String, &str)> = objectives.chain(bounds).collect();
    if let Some(open_place) = OF_LOSS.into_iter().find(|place| varies(open, place))
        && let Some((place, _)) = figures.iter().find(|(_, name)| *name == FigureKind::LOSS)
    {
        let message = format!(
            "`{open_place}` is left open, and trials with different losses cannot be held against each other or a bound by them; name \
             another figure"
        );
        return Err(RecipeError::mismatch(place, message));
    }
    let Some((_, name)) = figures.iter().find(|(_, name)| !is_name_of_cost(name)) else { return Ok(()) };
    let Some(place) = rows_of_figures(open).into_iter().find(|place| varies(open, place)) else { return Ok(()) };
    let message = format!(
        "it is left open, so that trials would be measured on other rows and `{name}` of one could not be held against that of another; \
         write one value, and measure other rows beside it as `evaluation.sets`"
    );
    Err(RecipeError::mismatch(place, message))
}

/// Places of the recipe that say on which rows the figures of a trial are measured.
fn rows_of_figures(open: &OpenRecipe) -> Vec<String> {
    let evaluation = &open.first().evaluation;
    let set = match evaluation.decides() {
        // each run is measured on a fold of the training rows
        EvaluationRecipe::MAIN if open.search().folds.is_some() => None,
        EvaluationRecipe::MAIN => Some("data.evaluate".to_owned()),
        set => Some(format!("evaluation.sets.{set}")),
    };
    // rows are drawn by it
    let seed = evaluation.rows.is_some().then(|| "seed".to_owned());
    ["evaluation.best_on", "evaluation.rows"].map(str::to_owned).into_iter().chain(set).chain(seed).collect()
}

/// Whether trials differ in what stands at a place of the recipe.
fn varies(open: &OpenRecipe, place: &str) -> bool {
    let below = |outer: &str, inner: &str| {
        let rest = inner.strip_prefix(outer)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then(|| rest.trim_start_matches('.').to_owned())
    };
    open.space().parameters().iter().any(|parameter| {
        if below(place, &parameter.name).is_some() {
            return true;
        }
        let Some(rest) = below(&parameter.name, place) else { return false };
        let alternatives = parameter.distribution.alternatives().unwrap_or_default();
        alternatives.iter().any(|value| at(value, &rest) != at(&alternatives[0], &rest))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use millstream_schemas::recipe::RecipeText;

    use super::*;
    use crate::Catalogs;

    const TEXT: &str = "version: 1\nmodel: {path: m.onnx}\ndata: {train: a.parquet, evaluate: b.parquet}\n\
                        training: {optimizer: {choose: [sgd, adamw]}}\nsearch: {objective: accuracy}\n";

    fn checked(changes: &[&str]) -> Result<(), RecipeError> {
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        let text = RecipeText::new(TEXT, Path::new("r.yaml"), Path::new("/"), &changes).unwrap();
        require_same_measure(&OpenRecipe::load(&text, &Catalogs::default()).unwrap())
    }

    const SETS: &str = "evaluation.sets={night: c.parquet, day: d.parquet}";

    #[test]
    fn trials_with_different_losses_are_not_bound_by_them() {
        let bound = "search.constraints=[{figure: seconds, at_most: 9}, {figure: loss, at_most: 0.5}]";
        for open in [
            "training.label_smoothing={uniform: [0, 0.2]}",
            "training.loss={choose: [cross_entropy, focal]}",
            "training={choose: [{loss: cross_entropy}, {loss: focal}]}",
        ] {
            let error = checked(&[open, bound]).expect_err(open).to_string();
            assert!(error.starts_with("search.constraints[1].figure: `training.l"), "{open}: {error}");
            checked(&[open]).unwrap_or_else(|error| panic!("{open}: {error}"));
        }
        let whole = "training={choose: [{loss: cross_entropy}, {loss: focal}]}";
        let error = checked(&[whole, "search={objective: loss}"]).unwrap_err().to_string();
        assert!(error.starts_with("search.objective: "), "{error}");
        checked(&[bound, "training={choose: [{loss: focal, epochs: 2}, {loss: focal, epochs: 3}]}"]).unwrap();
    }

    #[test]
    fn trials_that_are_measured_on_other_rows_are_not_ranked_together() {
        let evaluate = "data.evaluate={choose: [b.parquet, c.parquet]}";
        let by_night = "evaluation.best_on=night";
        let refused: [(&[&str], &str); 6] = [
            (&[evaluate], "data.evaluate: it is left open"),
            (&[SETS, "evaluation.best_on={choose: [night, day]}"], "evaluation.best_on: it is left open"),
            (&[SETS, by_night, "evaluation.sets.night={choose: [c.parquet, d.parquet]}"], "evaluation.sets.night: "),
            (&["evaluation.rows={choose: [8, 16]}"], "evaluation.rows: it is left open"),
            (&["evaluation.rows=8", "seed={choose: [1, 2]}"], "seed: it is left open"),
            (
                &[evaluate, "search={objective: seconds, constraints: [{figure: accuracy, at_least: 0.5}]}"],
                "data.evaluate: ",
            ),
        ];
        for (changes, wanted) in refused {
            let error = checked(changes).expect_err(wanted).to_string();
            assert!(error.starts_with(wanted) && error.contains("`accuracy`"), "{error}");
        }
        let fine: [&[&str]; 5] = [
            &["seed={choose: [1, 2]}"],
            &[evaluate, "search={objective: seconds}"],
            &[evaluate, "search={objective: accuracy, folds: {count: 3}}"],
            &[evaluate, SETS, by_night],
            &["evaluation.sets.night={choose: [c.parquet, d.parquet]}"],
        ];
        for changes in fine {
            checked(changes).unwrap_or_else(|error| panic!("{changes:?}: {error}"));
        }
    }
}
