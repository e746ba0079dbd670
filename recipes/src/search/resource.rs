//! How far trials are when rules hold them against each other: by epochs, or where a recipe evaluates after so many steps by its
//! evaluations.

use millstream_schemas::recipe::EvaluationInterval;
use millstream_training::{EvaluationRecord, Until};

use super::open_recipe::OpenRecipe;
use super::parts;
use crate::{RecipeError, RunProgress};

/// How many rows a step has seen is another number in trials that have another value here.
const OF_STEPS: [&str; 3] = ["data.batch", "evaluation.every", "training.accumulate"];

/// How far a trial is at an evaluation, from 1: epochs that are done, or steps counted in those between two evaluations, where the last
/// evaluation counts as a whole one. None where no others are held against it: within an epoch that ends because the time is up.
pub(crate) fn resource(record: &EvaluationRecord, every: EvaluationInterval) -> Option<u64> {
    match every {
        EvaluationInterval::Epochs(_) => record.ends_epoch.then_some(record.epoch + 1),
        EvaluationInterval::Steps(steps) => Some(record.step.div_ceil(steps.max(1))),
    }
}

/// How far a run goes before its evaluations are told.
pub(crate) fn next(progress: &RunProgress, every: EvaluationInterval) -> Until {
    match every {
        EvaluationInterval::Epochs(_) => Until::Epoch(progress.epochs + 1),
        EvaluationInterval::Steps(steps) => {
            let steps = steps.max(1);
            Until::Step((progress.steps / steps + 1).saturating_mul(steps))
        }
    }
}

/// Refuses rules that would hold trials against each other which have seen other numbers of rows.
///
/// # Errors
/// What is left open, and what to do.
pub(crate) fn require_comparable(open: &OpenRecipe) -> Result<(), RecipeError> {
    let search = open.search();
    // of several runs it is how many of them are done
    if search.stopping.is_empty() || parts::are_several(search) || !counts_steps(open) {
        return Ok(());
    }
    let Some(place) = OF_STEPS.into_iter().find(|place| open.leaves_open(place)) else { return Ok(()) };
    let message = format!(
        "rules hold trials against each other at their evaluations, and after as many steps trials of another `{place}` have seen other \
         numbers of rows; evaluate by epochs (`evaluation.every: {{epochs: 1}}`), or write one value at `{place}`"
    );
    Err(RecipeError::mismatch("search.stopping", message))
}

/// Whether any trial evaluates after so many steps.
fn counts_steps(open: &OpenRecipe) -> bool {
    let stated = matches!(open.first().evaluation.every, EvaluationInterval::Steps(_));
    let alternatives = open.space().parameters().iter().filter(|parameter| parameter.name.starts_with("evaluation"));
    let mut alternatives = alternatives.flat_map(|parameter| parameter.distribution.alternatives().unwrap_or_default());
    stated || alternatives.any(|value| value.to_string().contains("\"steps\""))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use millstream_schemas::recipe::RecipeText;
    use millstream_training::EpochEvaluation;
    use millstream_training::metrics::Figures;

    use super::*;
    use crate::Catalogs;

    fn at(step: u64, epoch: u64, ends_epoch: bool) -> EvaluationRecord {
        EvaluationRecord {
            step,
            epoch,
            passes: step as f64 / 6.0,
            ends_epoch,
            figures: EpochEvaluation { rows: 1, not_finite: 0, loss: 0.5, figures: Figures::default() },
            others: Vec::new(),
            statistics_rows: None,
        }
    }

    #[test]
    fn evaluations_within_epochs_are_told_and_not_those_alone_that_fall_on_an_end() {
        let steps = EvaluationInterval::Steps(4);
        // six steps an epoch, three epochs; the end of the run is no multiple
        let records = [at(4, 0, false), at(8, 1, false), at(12, 1, true), at(16, 2, false), at(18, 2, true)];
        let told: Vec<Option<u64>> = records.iter().map(|record| resource(record, steps)).collect();
        assert_eq!(told, [1, 2, 3, 4, 5].map(Some));
        let told: Vec<Option<u64>> =
            records.iter().map(|record| resource(record, EvaluationInterval::Epochs(1))).collect();
        assert_eq!(told, [None, None, Some(2), None, Some(3)]);
        let progress = |steps, epochs| RunProgress {
            state: crate::RunState::UnderWay,
            steps,
            total_steps: 18,
            epochs,
            total_epochs: 3,
            checkpoint: None,
        };
        for (done, epochs, wanted) in [(0, 0, 4), (4, 0, 8), (7, 1, 8), (8, 1, 12), (16, 2, 20)] {
            assert_eq!(next(&progress(done, epochs), steps), Until::Step(wanted), "{done}");
        }
        assert_eq!(next(&progress(7, 1), EvaluationInterval::Epochs(2)), Until::Epoch(2));
    }

    #[test]
    fn trials_that_have_seen_other_rows_after_as_many_steps_are_not_held_against_each_other() {
        let text = "version: 1\nmodel: {path: m.onnx}\ndata: {train: a.parquet, evaluate: b.parquet}\n\
                    training: {epochs: {choose: [2, 3]}}\n";
        let checked = |changes: &[&str]| {
            let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
            let text = RecipeText::new(text, Path::new("r.yaml"), Path::new("/"), &changes).unwrap();
            require_comparable(&OpenRecipe::load(&text, &Catalogs::default()).unwrap())
        };
        let (rule, steps) = ("search={objective: loss, stopping: median}", "evaluation.every={steps: 4}");
        let batch = "data.batch={choose: [8, 16]}";
        for fine in [
            &[rule, batch][..],
            &[rule, steps],
            &[steps, batch],
            &["search={objective: loss, stopping: median, repeats: 2}", steps, batch],
            &[rule, "evaluation.every={choose: [{epochs: 1}, {epochs: 2}]}"],
        ] {
            checked(fine).unwrap_or_else(|error| panic!("{fine:?}: {error}"));
        }
        let refused: [(&[&str], &str); 4] = [
            (&[rule, steps, batch], "data.batch"),
            (&[rule, steps, "training.accumulate={choose: [1, 2]}"], "training.accumulate"),
            (&[rule, "evaluation.every={choose: [{epochs: 1}, {steps: 4}]}"], "evaluation.every"),
            (&[rule, "evaluation.every={steps: {choose: [2, 4]}}"], "evaluation.every"),
        ];
        for (changes, place) in refused {
            let error = checked(changes).expect_err(place).to_string();
            assert!(error.starts_with("search.stopping: ") && error.contains(&format!("another `{place}`")), "{error}");
        }
    }
}
