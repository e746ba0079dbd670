//! Whether the lead of a search's best trial could be chance: by answers on the same rows, where the trials' are kept.

use serde::Serialize;

use crate::comparison::{CompareOptions, compare};
use crate::run_folder::RunFolder;
use crate::search::{StudyFolder, StudyReport};
use crate::{Catalogs, RecipeError, Silent, Stop};

/// Trials that the best one is held against, at most.
const MOST: usize = 50;
/// What is taken for chance.
const LEVEL: f64 = 0.05;

/// The best trial of a search held against others on the same rows.
#[derive(Clone, Debug, Serialize)]
pub struct ToldApart {
    /// The best trial.
    pub best: u64,
    /// McNemar's exact test of each other trial with it, the best first.
    pub tests: Vec<TrialTest>,
    /// Trials that were not tested, for example because their answers are not kept.
    pub untested: Vec<u64>,
    /// What tells of those that were not tested; none where all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// A trial held against the best one.
#[derive(Clone, Debug, Serialize)]
pub struct TrialTest {
    /// Its number.
    pub trial: u64,
    /// Rows that both have answered.
    pub rows: u64,
    /// Rows that the best one alone has right.
    pub best_only: u64,
    /// Rows that this one alone has right.
    pub trial_only: u64,
    /// How likely rows are that fall apart as unevenly, where both are equally good; after Holm, over all tests here.
    pub p: f64,
    /// Whether that is less than one in twenty.
    pub is_told_apart: bool,
}

impl ToldApart {
    /// Of the complete trials of a study; none where there are no two, each is the mean of several runs, or the first figure
    /// is a cost.
    ///
    /// # Errors
    /// What was kept of answers is damaged.
    pub(super) fn of(study: &StudyReport, catalogs: &Catalogs) -> Result<Option<Self>, RecipeError> {
        let trials: Vec<u64> = study.ranked().into_iter().map(|trial| trial.number).collect();
        let (Some(best), Some(command)) = (study.best, study.comparing_command()) else { return Ok(None) };
        let folder = StudyFolder::new(&study.folder);
        let others: Vec<u64> = trials.into_iter().filter(|trial| *trial != best).collect();
        let has_answers = |trial: u64| {
            let run = RunFolder(folder.trial(trial));
            run.predictions().exists() && run.model().exists()
        };
        let kept = others.iter().copied().filter(|trial| has_answers(*trial)).take(MOST);
        let kept: Vec<u64> = if has_answers(best) { kept.collect() } else { Vec::new() };
        let mut tests = Vec::new();
        if !kept.is_empty() {
            let runs = std::iter::once(&best).chain(&kept).map(|trial| folder.trial(*trial)).collect();
            let options = CompareOptions {
                runs,
                predict: false,
                resamples: 0,
                seed: 0,
                library: None,
                catalogs: catalogs.clone(),
            };
            let report = compare(&options, &mut Silent, &Stop::default())?;
            for pair in report.into_iter().flat_map(|report| report.pairs) {
                // numbers are neither right nor wrong
                let (Some(trial), Some(right)) = (kept.get(pair.second - 1), pair.right) else { continue };
                tests.push(TrialTest {
                    trial: *trial,
                    rows: pair.rows,
                    best_only: right.first_only,
                    trial_only: right.second_only,
                    p: right.p_adjusted,
                    is_told_apart: right.p_adjusted < LEVEL,
                });
            }
        }
        let untested: Vec<u64> =
            others.into_iter().filter(|trial| !tests.iter().any(|test| test.trial == *trial)).collect();
        let command = (!untested.is_empty()).then_some(command);
        Ok(Some(Self { best, tests, untested, command }))
    }

    /// What to say of the lead, a sentence or more.
    pub(super) fn in_words(&self) -> String {
        let mut said = Vec::new();
        let of = |is_told_apart: bool| -> Vec<u64> {
            self.tests.iter().filter(|test| test.is_told_apart == is_told_apart).map(|test| test.trial).collect()
        };
        let test = "by how many rows they have right: McNemar's test on the same rows, after Holm, at 5 %";
        let (together, apart) = (of(false), of(true));
        if !together.is_empty() {
            let what = if together.len() == 1 { "is" } else { "are" };
            said.push(format!(
                "{} {what} not told apart from trial {}, the best ({test}).",
                named(&together),
                self.best
            ));
        }
        if !apart.is_empty() {
            let what = if apart.len() == 1 { "differs" } else { "differ" };
            // what "it" is, and by which test, is said of those that are not told apart
            let than = match together.is_empty() {
                true => format!("from trial {}, the best, by more than chance ({test})", self.best),
                false => "from it by more than chance".to_owned(),
            };
            said.push(format!("{} {what} {than}.", named(&apart)));
        }
        if let Some(command) = &self.command {
            let of =
                if self.tests.is_empty() { "other trials".to_owned() } else { named(&self.untested).to_lowercase() };
            said.push(format!(
                "Whether the lead of trial {} over {of} is chance is told by a test on the same rows: {command}",
                self.best
            ));
        }
        said.join(" ")
    }
}

/// `Trials 1, 2 and 4`.
fn named(trials: &[u64]) -> String {
    let numbers: Vec<String> = trials.iter().map(ToString::to_string).collect();
    match numbers.as_slice() {
        [] => String::new(),
        [one] => format!("Trial {one}"),
        [first @ .., last] => format!("Trials {} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_that_may_be_as_good_are_named_and_what_tells_of_the_rest() {
        let test =
            |trial, p: f64| TrialTest { trial, rows: 140, best_only: 3, trial_only: 1, p, is_told_apart: p < LEVEL };
        let of = |tests: &[TrialTest], untested: &[u64]| {
            let command = (!untested.is_empty()).then(|| "millstream compare a b --predict".to_owned());
            ToldApart { best: 0, tests: tests.to_vec(), untested: untested.to_vec(), command }.in_words()
        };
        let said = of(&[test(3, 1.0), test(1, 0.9), test(5, 0.01)], &[]);
        assert!(
            said.starts_with(
                "Trials 3 and 1 are not told apart from trial 0, the best (by how many rows they have right: McNemar"
            ),
            "{said}"
        );
        assert!(said.ends_with("Trial 5 differs from it by more than chance."), "{said}");
        let said = of(&[test(5, 0.01), test(2, 0.02)], &[]);
        assert!(
            said.starts_with("Trials 5 and 2 differ from trial 0, the best, by more than chance (by how"),
            "{said}"
        );
        let said = of(&[test(1, 0.9)], &[2]);
        assert!(said.starts_with("Trial 1 is not told apart") && said.contains("over trial 2 is chance"), "{said}");
        let said = of(&[], &[1, 2]);
        assert_eq!(
            said,
            "Whether the lead of trial 0 over other trials is chance is told by a test on the same rows: millstream compare a b --predict"
        );
    }
}
