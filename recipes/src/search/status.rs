use std::path::PathBuf;

use millstream_schemas::recipe::FoldsRecipe;
use millstream_schemas::{count, shell_path};
use millstream_search::spaces::{Parameter, Size};
use millstream_search::{Asked, ConfidenceInterval, SharedStudy, Study, Trial, TrialState};
use millstream_training::metrics::{Better, FigureKind};
use serde::Serialize;
use serde_json::Value;

use super::about::StudyAbout;
use super::figures::{Sought, is_cost, shown_figure, shown_figure_with_interval};
use super::interval::{self, STUDENT};
use super::open_recipe::OpenRecipe;
use super::parts;
use super::short_names::short_names;
use super::study_folder::StudyFolder;
use super::trial_run::TrialRun;
use crate::report::read_record;
use crate::run_folder::RunFolder;
use crate::{Catalogs, RecipeError};

/// Trials that a command for people names.
const MOST_COMPARED: usize = 6;

/// How far a study is.
#[derive(Clone, Debug, Serialize)]
pub struct StudyReport {
    /// Its name.
    pub name: String,
    /// Its folder.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// Of which model and rows it is, and when it began.
    pub about: StudyAbout,
    /// The figures that it looks for, the one that decides first.
    pub figures: Vec<FigureKind>,
    /// What trials are bound by, in words.
    pub constraints: Vec<String>,
    /// What is left open, and what each may be.
    pub parameters: Vec<Parameter>,
    /// How many assignments there are, in words.
    pub size: String,
    /// What proposes, by its name.
    pub proposer: String,
    /// The stopping rules, by their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stopping: Vec<String>,
    /// Trials of the whole study, as the recipe says, and no more than there are combinations.
    pub wanted: u64,
    /// Runs that each trial is the mean of.
    pub runs: usize,
    /// The confidence of the trials' intervals: what the recipe says of those of a run, 0.95 where trials are means of several.
    pub confidence: f64,
    /// What the first of them is called; none where it is one.
    #[serde(skip)]
    pub(crate) first_run: Option<String>,
    /// These runs, where they are several and of the same seeds in all trials.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trial_runs: Vec<TrialRun>,
    /// The folds, where there are any.
    pub folds: Option<FoldsRecipe>,
    /// Whether nothing is left to do in it: trials that a rule set aside are not gone on with.
    pub is_over: bool,
    /// All trials, by number.
    pub trials: Vec<TrialReport>,
    /// The number of the best one by the first figure.
    pub best: Option<u64>,
    /// The numbers of those that no other beats in all figures.
    pub front: Vec<u64>,
    /// How much of what the parameters account for one by one each of them does, of the first figure: main effects alone, which add up to
    /// 1, most first; nothing where that cannot be told.
    pub importance: Vec<(String, f64)>,
}

/// One trial.
#[derive(Clone, Debug, Serialize)]
pub struct TrialReport {
    /// Its number, from 0.
    pub number: u64,
    /// How far it is.
    pub state: TrialState,
    /// Its figures, in the order of those that are looked for; none unless it is complete.
    pub values: Vec<f64>,
    /// Where the first figure lies: of a trial of several runs its mean over many such, in 95 of 100 cases by Student's distribution; of
    /// one run the figure on other rows of the kind, with the confidence of its evaluation. None where that is not known.
    pub interval: Option<[f64; 2]>,
    /// Its values, by the places where they stand.
    pub settings: Vec<(String, Value)>,
    /// Where each of them lies among what it may be, 0 to 1, in the order of the parameters; none where it is not there.
    #[serde(skip)]
    pub(crate) places: Vec<Option<f64>>,
    /// The first figure on the way, by step.
    pub reports: Vec<(u64, f64)>,
    /// By how much it breaks constraints together.
    pub violation: f64,
    /// Its figures that break constraints, in words: `parameters 530`.
    pub out_of_bounds: Vec<String>,
    /// Why it failed, if it did.
    pub reason: Option<String>,
    /// Whether it failed since its process was lost oftener than `search.retries` says, with no new step in between.
    pub is_given_up: bool,
    /// Seconds in which somebody worked on it: from when it was taken to when it was given back, set aside, ended or, of a process that
    /// was lost, heard of last. Those in which it waited are not in it. None while somebody works on it, or before anybody has.
    pub seconds: Option<f64>,
}

impl TrialReport {
    /// Whether it is complete and breaks no constraint.
    pub fn is_feasible(&self) -> bool {
        self.state == TrialState::Complete && self.violation == 0.0
    }

    /// Whether its figures were held against those of others.
    fn was_compared(&self) -> bool {
        match self.state {
            TrialState::Complete => true,
            TrialState::Stopped | TrialState::Paused => !self.reports.is_empty(),
            TrialState::Running | TrialState::Waiting | TrialState::Failed => false,
        }
    }

    /// How far it is, in a few words: `complete`, `out of bounds (parameters 530)` where it breaks a constraint, `stopped after 3`.
    pub fn state_in_words(&self) -> String {
        let steps = self.reports.last().map_or_else(String::new, |(step, _)| format!(" after {step}"));
        match self.state {
            TrialState::Complete if self.violation > 0.0 => match self.out_of_bounds.as_slice() {
                [] => "out of bounds".into(),
                figures => format!("out of bounds ({})", figures.join(", ")),
            },
            TrialState::Complete => "complete".into(),
            TrialState::Stopped => format!("stopped{steps}"),
            TrialState::Failed if self.is_given_up => "given up".into(),
            TrialState::Failed => "failed".into(),
            TrialState::Paused => format!("paused{steps}"),
            TrialState::Running => format!("running{steps}"),
            TrialState::Waiting => format!("waiting{steps}"),
        }
    }
}

impl StudyReport {
    /// Whether nothing is left to do where so many trials are wanted, of those that there are: all are finished, or the others are set aside
    /// and not gone on with.
    pub(crate) fn is_done(&self, trials: u64) -> bool {
        // whether it is over is told of as many as the recipe wants
        self.finished() >= trials || (self.is_over && trials <= self.wanted)
    }

    /// How many trials are finished.
    pub fn finished(&self) -> u64 {
        self.trials.iter().filter(|trial| trial.state.is_finished()).count() as u64
    }

    /// Trials that have failed for no fault of theirs, since their processes were lost again and again, and how they are tried again; none
    /// where there are none.
    pub fn given_up_in_words(&self) -> Option<String> {
        let numbers: Vec<u64> =
            self.trials.iter().filter(|trial| trial.is_given_up).map(|trial| trial.number).collect();
        let named: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let (who, their) = match named.as_slice() {
            [] => return None,
            [one] => (format!("trial {one} was given up"), "its process was"),
            _ => (format!("trials {} were given up", named.join(", ")), "their processes were"),
        };
        let folder = shell_path(&self.folder);
        Some(format!(
            "{who}, since {their} lost oftener than `search.retries` allows, with no new step in between; `millstream search retry {folder}` queues what was given up \
             again, to go on from what was saved, and `millstream search resume {folder}` goes on with it"
        ))
    }

    /// The trials that no other beats, by their numbers: `2, 5`; none of a study of one figure, or where there are none.
    pub fn front_in_words(&self) -> Option<String> {
        let numbers: Vec<String> = self.front.iter().map(ToString::to_string).collect();
        (self.figures.len() > 1 && !numbers.is_empty()).then(|| numbers.join(", "))
    }

    /// What the shares of importance are, and of how many trials; none where there are none.
    pub fn importance_in_words(&self) -> Option<String> {
        let complete = self.trials.iter().filter(|trial| trial.state == TrialState::Complete).count();
        (!self.importance.is_empty()).then(|| {
            format!(
                "main effects alone, scaled to 100 % together, by a forest fitted to {} (fANOVA), as far as these tell; what values do only \
                 together (interactions) is left out",
                count(complete as u64, "complete trial")
            )
        })
    }

    /// What seconds of work do not tell; none where no trial has any.
    pub fn seconds_in_words(&self) -> Option<&'static str> {
        const SAID: &str = "Seconds of work are by the clock of the machine that ran the trial: what else ran there at the same time, other \
            trials among it, is in them.";
        self.trials.iter().any(|trial| trial.seconds.is_some()).then_some(SAID)
    }

    /// A name for each parameter, as short as it can be without being that of another.
    pub fn short_names(&self) -> Vec<&str> {
        let places: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        short_names(&places, 1)
    }

    /// What a parameter may be, where it is a choice; empty where it is none or there is no such parameter.
    pub fn alternatives(&self, name: &str) -> &[Value] {
        let parameter = self.parameters.iter().find(|parameter| parameter.name == name);
        parameter.and_then(|parameter| parameter.distribution.alternatives()).unwrap_or_default()
    }

    /// A trial's figure at this place among those that are looked for, the first with its interval: `77.9 % (70.3 % to 83.9 %)`; of a trial that
    /// has none the last that it reported on the way: `last 71.0 %`. Nothing where there is none either.
    pub(crate) fn figure_in_words(&self, trial: &TrialReport, at: usize) -> String {
        let Some(kind) = self.figures.get(at) else { return String::new() };
        let last = trial.reports.last().map(|(_, value)| *value).filter(|value| at == 0 && value.is_finite());
        match (trial.values.get(at).copied().filter(|value| value.is_finite()), last) {
            (Some(value), _) if at == 0 => shown_figure_with_interval(kind, Some(value), trial.interval),
            (Some(value), _) => shown_figure(kind, Some(value)),
            (None, Some(last)) if trial.values.is_empty() => format!("last {}", shown_figure(kind, Some(last))),
            (None, _) => String::new(),
        }
    }

    /// Complete trials within the constraints, the best first, of equals the earliest.
    pub(crate) fn ranked(&self) -> Vec<&TrialReport> {
        let feasible = |trial: &&TrialReport| {
            let value = trial.values.first().copied();
            trial.state == TrialState::Complete && trial.violation == 0.0 && value.is_some_and(f64::is_finite)
        };
        let mut trials: Vec<&TrialReport> = self.trials.iter().filter(feasible).collect();
        let lower = self.figures.first().is_some_and(|kind| kind.better == Better::Lower);
        trials.sort_by(|a, b| {
            let order = a.values[0].total_cmp(&b.values[0]);
            if lower { order } else { order.reverse() }
        });
        trials
    }

    /// The command that tells whether the lead of the best trial over the next ones could be chance; none where there is nothing to compare, or
    /// where each trial is the mean of several runs or the first figure a cost.
    pub(crate) fn comparing_command(&self) -> Option<String> {
        let trials = self.ranked();
        if trials.len() < 2 || self.runs > 1 || self.figures.first().is_none_or(is_cost) {
            return None;
        }
        let folder = StudyFolder::new(&self.folder);
        let folders: Vec<String> =
            trials.iter().take(MOST_COMPARED).map(|trial| shell_path(folder.trial(trial.number))).collect();
        Some(format!("millstream compare {} --predict", folders.join(" ")))
    }

    /// What is to be said of chance where trials are means of several runs; none where there is nothing to compare, or where
    /// [`Self::comparing_command`] tells.
    pub(crate) fn untested_in_words(&self) -> Option<String> {
        let (trials, name) = (self.ranked(), self.first_run.as_ref()?);
        let [first, second, ..] = trials.as_slice() else { return None };
        if self.figures.first().is_none_or(is_cost) {
            return None;
        }
        let folder = StudyFolder::new(&self.folder);
        let runs = [first, second].map(|trial| shell_path(folder.trial(trial.number).join(name)));
        Some(format!(
            "Whether the lead of trial {} over others is chance is not told: each is the mean of {}, no test is made of such means, and whether \
             intervals overlap says nothing of it. Runs by one name are measured on the same rows, so that two of them can be held against \
             each other row by row: millstream compare {} --predict",
            first.number,
            count(self.runs as u64, "run"),
            runs.join(" ")
        ))
    }

    /// Trials whose figures were held against each other: those that are complete, and those that a stopping rule ended or set aside by what
    /// they had reported.
    pub fn compared(&self) -> u64 {
        self.trials.iter().filter(|trial| trial.was_compared()).count() as u64
    }

    /// Trials that are complete and break no constraint.
    pub fn feasible(&self) -> u64 {
        self.trials.iter().filter(|trial| trial.is_feasible()).count() as u64
    }

    /// The best trial.
    pub fn best_trial(&self) -> Option<&TrialReport> {
        self.best.and_then(|best| self.trials.get(best as usize))
    }
}

/// Says how far a study is. Nothing is locked or written.
///
/// # Errors
/// There is no study, or its journal cannot be read.
pub fn status(folder: &StudyFolder, catalogs: &Catalogs) -> Result<StudyReport, RecipeError> {
    let open = OpenRecipe::load(&folder.text()?, catalogs)?;
    Ok(of_study(folder, &open, &Sought::of(&open)?, &study(folder, catalogs)?))
}

/// The study as its journal has it, for exports. Nothing is locked or written.
///
/// # Errors
/// There is no study, or its journal cannot be read.
pub fn study(folder: &StudyFolder, catalogs: &Catalogs) -> Result<Study, RecipeError> {
    let journal = folder.journal();
    if !journal.exists() {
        let missing = journal.strip_prefix(folder.path()).unwrap_or(&journal).to_owned();
        return Err(RecipeError::NoStudy { folder: folder.path().to_owned(), missing });
    }
    let catalogs =
        millstream_search::Catalogs { proposers: catalogs.proposers.clone(), stopping: catalogs.stopping.clone() };
    Ok(SharedStudy::read(&journal, &catalogs)?)
}

pub(crate) fn of_study(folder: &StudyFolder, open: &OpenRecipe, sought: &Sought, study: &Study) -> StudyReport {
    let (settings, search) = (study.settings(), open.search());
    let names = parts::names(search);
    let importance = study.importance(0).unwrap_or_default();
    StudyReport {
        name: settings.name.clone(),
        folder: folder.path().to_owned(),
        about: StudyAbout::of(folder, open, study.trials().len() as u64, &names),
        figures: sought.kinds(),
        constraints: sought.bounds_in_words(),
        parameters: settings.space.parameters().to_vec(),
        size: settings.space.size().to_string(),
        proposer: settings.proposer.name.clone(),
        stopping: settings.stopping.iter().map(|rule| rule.name.clone()).collect(),
        wanted: open.trials_of(search.trials),
        runs: names.len(),
        confidence: match names.len() {
            0 | 1 => open.first().evaluation.intervals.unwrap_or_default().confidence,
            _ => STUDENT,
        },
        first_run: names.first().cloned().flatten(),
        trial_runs: if open.leaves_open("seed") { Vec::new() } else { parts::runs(open.first().seed, search) },
        folds: search.folds.clone(),
        is_over: is_over(study, search.trials),
        trials: study.trials().iter().map(|trial| of_trial(folder, open, sought, trial, &names)).collect(),
        best: study.best().map(|best| best.number),
        front: study.front().iter().map(|trial| trial.number).collect(),
        importance: importance.into_iter().map(|one| (one.parameter, one.share)).collect(),
    }
}

/// Whether whoever asks for work in a study of so many trials gets none, now and later.
fn is_over(study: &Study, wanted: u64) -> bool {
    let are_all_tried = match study.settings().space.size() {
        Size::Finite(size) => study.trials().len() as u128 >= size,
        Size::Infinite => false,
    };
    let ends_early = are_all_tried || study.settings().proposer.name == "grid";
    // a proposal costs milliseconds, which is spared where it is known that there is one
    let may_be = ends_early || study.trials().len() as u64 >= wanted;
    may_be && matches!(study.plan_ask("", 0.0, Some(wanted)), Ok((Asked::Done, _)))
}

fn of_trial(
    folder: &StudyFolder,
    open: &OpenRecipe,
    sought: &Sought,
    trial: &Trial,
    names: &[Option<String>],
) -> TrialReport {
    let place = |parameter: &Parameter| {
        trial.assignment.get(&parameter.name).map(|setting| parameter.distribution.unit(setting))
    };
    TrialReport {
        number: trial.number,
        state: trial.state,
        values: trial.values.clone(),
        interval: (trial.state == TrialState::Complete).then(|| interval(folder, sought, trial, names)).flatten(),
        settings: open.settings(&trial.assignment),
        places: open.space().parameters().iter().map(place).collect(),
        reports: trial.reports.iter().map(|(step, value)| (*step, *value)).collect(),
        violation: trial.violation(),
        out_of_bounds: sought.broken_in_words(&trial.constraints),
        reason: trial.reason.clone(),
        is_given_up: trial.is_given_up,
        seconds: trial.worked_seconds().filter(|_| trial.state != TrialState::Running),
    }
}

/// What the journal has noted of it, or else, of a study that an older build worked on, what the trial's runs say.
fn interval(folder: &StudyFolder, sought: &Sought, trial: &Trial, names: &[Option<String>]) -> Option<[f64; 2]> {
    match trial.interval {
        // older builds noted one of no width for runs that are equal
        ConfidenceInterval::Between([low, high]) if names.len() > 1 && low == high => return None,
        ConfidenceInterval::Between(ends) => return Some(ends),
        ConfidenceInterval::Unknown => return None,
        ConfidenceInterval::NotNoted => {}
    }
    let own = folder.trial(trial.number);
    let run = |name: &Option<String>| {
        let run = RunFolder(name.as_ref().map_or_else(|| own.clone(), |name| own.join(name)));
        Some((read_record(&run).ok()?, run))
    };
    interval::interval(sought, &names.iter().map(run).collect::<Option<Vec<_>>>()?)
}
