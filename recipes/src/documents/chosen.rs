//! What a search had to do with a run: which trial its values are of, and among how many that was chosen.

use millstream_schemas::recipe::{EvaluationRecipe, RecipeText};
use millstream_schemas::{Recipe, count, grouped};
use millstream_training::metrics::FigureKind;
use serde::Serialize;

use crate::run_folder::{RunFolder, folder_name};
use crate::search::{
    OpenRecipe, StudyFolder, StudyReport, TrialReport, is_cost, run_names, shown_figure_with_interval, status,
};
use crate::setting_changes::at;
use crate::study_part::{StudyPart, StudyRole};
use crate::{Catalogs, load};

/// The trial that a run's values are of.
#[derive(Clone, Debug, Serialize)]
pub struct ChosenTrial {
    /// The name of the study's folder.
    pub study: String,
    /// As what the run lies in it.
    pub role: StudyRole,
    /// The trial's number.
    pub trial: u64,
    /// The number of the best one; none where no trial is complete and within the constraints.
    pub best: Option<u64>,
    /// Trials that were compared: complete ones, and those that a stopping rule ended or set aside by what they had reported.
    pub among: u64,
    /// Those of them that are complete and within the constraints.
    pub complete: u64,
    /// The stopping rules, by their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stopping: Vec<String>,
    /// What trials are bound by, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// The figure that it was chosen by.
    pub figure: FigureKind,
    /// The trial's figure, a mean where it has several runs; none where it is not complete.
    pub value: Option<f64>,
    /// Its interval, where there is one.
    pub interval: Option<[f64; 2]>,
    /// Runs that a trial is the mean of.
    pub runs: u64,
    /// The folds that trials were measured by; none where all were measured on the same rows, or where the figure is what a run costs.
    pub folds: Option<u64>,
    /// The set that all trials were measured on: `evaluate`, or that of another; none with folds, or where the figure is what a run
    /// costs.
    pub split: Option<String>,
}

impl ChosenTrial {
    /// Of a run that is a part of a study, by its recipe; none where the study cannot be read, or no trial of it has the values of the recipe.
    pub(super) fn of(part: &StudyPart, recipe: &Recipe, catalogs: &Catalogs) -> Option<Self> {
        let folder = StudyFolder::new(&part.study);
        let study = status(&folder, catalogs).ok()?;
        let trial = match part.role {
            StudyRole::Trial(number) => study.trials.iter().find(|trial| trial.number == number)?,
            StudyRole::Best | StudyRole::Refit => trial_of(&study, &folder, recipe, catalogs)?,
        };
        // where another set decides, folds say what is trained on and not what is measured
        let is_measured = study.figures.first().is_some_and(|figure| !is_cost(figure));
        let folds = study.folds.as_ref().filter(|_| is_measured && study.about.other_deciding_set().is_none());
        Some(Self {
            study: folder_name(&part.study),
            role: part.role,
            trial: trial.number,
            best: study.best,
            among: study.compared(),
            complete: study.feasible(),
            stopping: study.stopping.clone(),
            constraints: study.constraints.clone(),
            figure: study.figures.first()?.clone(),
            value: trial.values.first().copied(),
            interval: trial.interval,
            runs: study.runs as u64,
            folds: folds.map(|folds| folds.count as u64),
            split: study.about.measured_on.clone().filter(|_| folds.is_none() && is_measured),
        })
    }

    /// In words, for what stands beside the run's own figures.
    pub(super) fn in_words(&self) -> String {
        let Self { trial, among, figure, .. } = self;
        let trials = count(*among, "trial");
        let rows = match (self.folds, &self.split) {
            (Some(folds), _) => format!(" by {folds}-fold cross-validation of the training rows"),
            (None, Some(split)) => format!(" on the same rows, those of the split {split}"),
            (None, None) => String::new(),
        };
        let mean = if self.runs > 1 { format!(", the mean of {}", count(self.runs, "run")) } else { String::new() };
        let of_trial = format!("{}{mean}", shown_figure_with_interval(figure, self.value, self.interval));
        let dropped = match among.checked_sub(self.complete) {
            None | Some(0) => String::new(),
            Some(_) => {
                let compared = Compared {
                    complete: self.complete,
                    among: *among,
                    stopping: &self.stopping,
                    is_bounded: !self.constraints.is_empty(),
                    is_measured: !is_cost(figure),
                };
                format!(" ({})", compared.in_words())
            }
        };
        let by = format!("by {}{rows}{dropped}", figure.label());
        let by_chance = match is_cost(figure) {
            true => "",
            false => {
                " The best of many is the best partly by chance, so what it is worth is told by rows that nothing was chosen by."
            }
        };
        match self.role {
            StudyRole::Trial(_) if self.best == Some(*trial) => {
                format!("Chosen as the best of {trials} of the search {} {by}: {of_trial}.{by_chance}", self.study)
            }
            StudyRole::Trial(_) => {
                let best =
                    self.best.map_or_else(|| "none is the best yet".into(), |best| format!("the best is trial {best}"));
                format!(
                    "One of the trials of the search {}, of which {among} were held against each other {by}; {best}.",
                    self.study
                )
            }
            StudyRole::Best | StudyRole::Refit => {
                let rank = if self.best == Some(*trial) { "the best" } else { "one" };
                let own = match (self.role, &self.split) {
                    // whichever set decides, it is these rows that are trained on too
                    (StudyRole::Refit, Some(_)) => format!(
                        " That figure is of the trial; this model was then trained on all rows, those of the split {} among them, and \
                         has no figure of its own.",
                        EvaluationRecipe::MAIN
                    ),
                    (StudyRole::Refit, None) => {
                        " That figure is of the trial; this model was then trained on all rows, and has no figure of its own.".into()
                    }
                    _ => String::new(),
                };
                format!(
                    "The values are those of trial {trial} of the search {}, {rank} of {trials} {by}: {of_trial}.{own}{by_chance}",
                    self.study
                )
            }
        }
    }
}

/// How many trials there are to choose among, of how many that were held against each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compared<'a> {
    /// Complete and within the constraints.
    pub(super) complete: u64,
    pub(super) among: u64,
    /// The stopping rules, by their names.
    pub(super) stopping: &'a [String],
    /// Whether there are constraints.
    pub(super) is_bounded: bool,
    /// Whether rows tell the figure; none tell what a run costs.
    pub(super) is_measured: bool,
}

impl Compared<'_> {
    /// `1 complete of 8 that were compared on these rows by asha`; without a rule that ends trials `11 within the constraints of 12 …`.
    pub(super) fn in_words(self) -> String {
        let Self { stopping, is_bounded, is_measured, .. } = self;
        let (complete, among) = (grouped(self.complete), grouped(self.among));
        let on = if is_measured { " on these rows" } else { "" };
        let (what, by) = match (stopping, is_bounded) {
            // no rule ended any, so the others are out of bounds
            ([], _) => ("within the constraints", String::new()),
            (rules, false) => ("complete", format!(" by {}", rules.join(", "))),
            (rules, true) => ("complete and within the constraints", format!(" by {}", rules.join(", "))),
        };
        format!("{complete} {what} of {among} that were compared{on}{by}")
    }
}

/// The trial with the values of a recipe, the best before others: a study may have gone on since the recipe was trained again.
pub(super) fn trial_of<'a>(
    study: &'a StudyReport,
    folder: &StudyFolder,
    recipe: &Recipe,
    catalogs: &Catalogs,
) -> Option<&'a TrialReport> {
    let open = OpenRecipe::load(&folder.text().ok()?, catalogs).ok()?;
    let name = run_names(open.search()).into_iter().next().flatten();
    let has_values = |trial: &&TrialReport| {
        let own = folder.trial(trial.number);
        let run = RunFolder(name.as_ref().map_or_else(|| own.clone(), |name| own.join(name)));
        let read = RecipeText::read(&run.recipe(), &[]).ok().and_then(|text| load(&text, catalogs).ok());
        read.is_some_and(|read| are_of_one_trial(&read, recipe, &open))
    };
    let others = study.trials.iter().filter(|trial| trial.is_feasible());
    study.best_trial().into_iter().chain(others).find(has_values)
}

/// By what the study left open, but for what a training on all rows says otherwise.
fn are_of_one_trial(trial: &Recipe, other: &Recipe, open: &OpenRecipe) -> bool {
    let [trial, other] = [trial, other].map(|recipe| serde_json::to_value(recipe).unwrap_or_default());
    let left_out = ["data.train", "data.evaluate", "evaluation", "training.early_stopping", "training.average"];
    let waits = at(&trial, "training.schedule").to_string().contains("reduce_on_plateau");
    open.space().parameters().iter().all(|own| {
        let place = own.name.as_str();
        left_out.iter().any(|out| place.starts_with(out))
            || waits && place.starts_with("training.schedule")
            || at(&trial, place) == at(&other, place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_among_several_says_so() {
        let figure = FigureKind {
            name: "accuracy".into(),
            unit: millstream_training::metrics::Unit::Share,
            ..FigureKind::loss()
        };
        let of = |role, trial| ChosenTrial {
            study: "flowers".into(),
            role,
            trial,
            best: Some(0),
            among: 6,
            complete: 6,
            stopping: Vec::new(),
            constraints: Vec::new(),
            figure: figure.clone(),
            value: Some(0.75),
            interval: Some([0.5, 0.875]),
            runs: 1,
            folds: None,
            split: Some("evaluate".into()),
        };
        let best = of(StudyRole::Trial(0), 0);
        for (chosen, wanted) in [
            (
                best.clone(),
                "Chosen as the best of 6 trials of the search flowers by accuracy on the same rows, those of the split evaluate: 75.0 % (50.0 % to 87.5 %).",
            ),
            (
                of(StudyRole::Trial(3), 3),
                "One of the trials of the search flowers, of which 6 were held against each other by accuracy",
            ),
            (
                of(StudyRole::Refit, 0),
                "The values are those of trial 0 of the search flowers, the best of 6 trials by accuracy",
            ),
            (
                ChosenTrial { folds: Some(5), runs: 5, split: None, ..best },
                "by 5-fold cross-validation of the training rows: 75.0 % (50.0 % to 87.5 %), the mean of 5 runs.",
            ),
        ] {
            assert!(chosen.in_words().contains(wanted), "{}", chosen.in_words());
        }
        let early = ChosenTrial { among: 8, complete: 1, stopping: vec!["asha".into()], ..of(StudyRole::Trial(0), 0) };
        let early = early.in_words();
        assert!(early.starts_with("Chosen as the best of 8 trials of the search flowers by accuracy"), "{early}");
        assert!(early.contains("(1 complete of 8 that were compared on these rows by asha): 75.0 %"), "{early}");
        let bounded = ChosenTrial { among: 8, complete: 6, ..of(StudyRole::Trial(0), 0) }.in_words();
        assert!(
            bounded.contains("(6 within the constraints of 8 that were compared on these rows): 75.0 %"),
            "{bounded}"
        );
        let by_night = ChosenTrial { split: Some("night".into()), ..of(StudyRole::Refit, 0) }.in_words();
        for part in ["on the same rows, those of the split night", "all rows, those of the split evaluate among them"] {
            assert!(by_night.contains(part), "{part} is not in {by_night}");
        }
        let refit = of(StudyRole::Refit, 0).in_words();
        assert!(refit.contains("then trained on all rows, those of the split evaluate among them"), "{refit}");
        assert!(!of(StudyRole::Trial(3), 3).in_words().contains("Chosen as the best"));
        let seconds = FigureKind { name: "seconds".into(), ..FigureKind::loss() };
        let (value, split) = (Some(4.0), None);
        let cheap = ChosenTrial { figure: seconds, value, interval: None, split, ..of(StudyRole::Trial(0), 0) };
        let wanted = "Chosen as the best of 6 trials of the search flowers by seconds: 4.00 s.";
        assert_eq!(cheap.in_words(), wanted, "what a run costs is told by no rows");
    }

    #[test]
    fn trials_out_of_bounds_are_not_said_to_have_been_ended_by_a_rule() {
        let rules = ["asha".to_owned()];
        for (stopping, is_bounded, is_measured, wanted) in [
            (&rules[..], false, true, "6 complete of 8 that were compared on these rows by asha"),
            (
                &rules[..],
                true,
                true,
                "6 complete and within the constraints of 8 that were compared on these rows by asha",
            ),
            (&[][..], true, true, "6 within the constraints of 8 that were compared on these rows"),
            (&[][..], true, false, "6 within the constraints of 8 that were compared"),
        ] {
            let compared = Compared { complete: 6, among: 8, stopping, is_bounded, is_measured };
            assert_eq!(compared.in_words(), wanted);
        }
    }
}
