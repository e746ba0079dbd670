//! What is written about a search: a ledger of what was tried, how the winner was chosen and on which rows, and a card for people.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use millstream_schemas::files::sha256_of_file;
use millstream_schemas::recipe::{RecipeText, SearchRecipe};
use millstream_schemas::{Choice, count, grouped, shown_path};
use millstream_search::{StudySettings, TrialState};
use millstream_training::metrics::{FigureKind, confidence_in_words};
use serde::Serialize;
use serde_json::Value;

use super::chosen::{Compared, trial_of};
use super::front_matter::FrontMatter;
use super::ledger::Ledger;
use super::made_again::MadeAgain;
use super::measured_rows::rows_of;
use super::model_card::{figures, front_matter, shared};
use super::statements::Statements;
use super::told_apart::ToldApart;
use crate::decisions::{Decision, decisions};
use crate::origin::{Origin, built, commit, software};
use crate::pages::markdown::{code, list, prose, table, text, whole_code};
use crate::report::read_record;
use crate::run_folder::{RunFolder, folder_name};
use crate::search::{
    FoldSource, LONGEST_SETTING, OpenRecipe, SECONDS, StudyFolder, StudyReport, TrialRun, alternative_in_words,
    fold_sources, is_cost, left_open_in_words, run_names, shown_figure, shown_figure_interval, status, study,
    whole_setting,
};
use crate::{Catalogs, RecipeError, load};

/// Trials that the card lists; the ledger has all.
const MOST: usize = 100;
/// Classes that it names.
const MOST_CLASSES: usize = 20;
/// Of a figure that is what a run costs.
const NO_ROWS: &str = "no rows: the figure is what a run costs";
/// Beside the usual tags.
const TAG: &str = "hyperparameter-search";

/// All that is known of a search.
#[derive(Clone, Debug, Serialize)]
pub struct StudyLedger {
    /// Version of this format; 1.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// Its folder.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// Version of this software that wrote the ledger.
    pub software: String,
    /// The commit of that software, where it is known.
    pub commit: Option<String>,
    /// What the trials ran on: software, ONNX Runtime, device and processor, each kind once.
    pub machines: Vec<Machine>,
    /// The recipe as it was given, and what the command line changed of it.
    pub recipe: String,
    /// See `recipe`.
    pub changes: Vec<String>,
    /// The environment variables that its paths name, as they were when the search began.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// The files that the rows of the folds came from, where there are folds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fold_sources: Vec<FoldSource>,
    /// What the search was told, with every default.
    pub search: SearchRecipe,
    /// The same as its journal has it: the space, the proposer and the stopping rules with every default.
    pub settings: StudySettings,
    /// Whether figures of earlier trials decide what the proposer proposes.
    #[serde(skip)]
    pub(crate) learns: bool,
    /// Processes that worked on its trials; one that was ended and started again counts twice.
    pub workers: usize,
    /// Whether some of them did so at the same time.
    pub is_shared: bool,
    /// All trials with their values and figures, the best, the front, and what mattered.
    pub study: StudyReport,
    /// How the winner was chosen.
    pub selection: Selection,
    /// Whether the lead of the best one could be chance; none where there are no two, or each is the mean of several runs.
    pub told_apart: Option<ToldApart>,
    /// The winner; none where no trial is complete and within the constraints.
    pub winner: Option<Winner>,
    /// What was noticed while the ledger was written.
    pub notes: Vec<String>,
    /// What people noted of it, in order.
    pub decisions: Vec<Decision>,
    /// What only people know.
    pub statements: Statements,
}

/// What trials ran on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Machine {
    /// Name and version of the software.
    pub software: String,
    /// The commit that it was built from, where that is known.
    pub commit: Option<String>,
    /// Version of ONNX Runtime.
    pub onnx_runtime: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The processor, where the system tells.
    pub processor: Option<String>,
}

/// How a winner was chosen.
#[derive(Clone, Debug, Serialize)]
pub struct Selection {
    /// In words.
    pub rule: String,
    /// Trials that were compared on these rows: complete ones, and those that a stopping rule ended or set aside by what they had reported.
    pub among: u64,
    /// Those of them that are complete and within the constraints.
    pub complete: u64,
    /// On which rows the figure was measured, in words.
    pub rows: String,
}

/// The best trial.
#[derive(Clone, Debug, Serialize)]
pub struct Winner {
    /// Its number.
    pub trial: u64,
    /// Its runs: the folder of each within the study's, and the SHA-256 of its model.
    pub runs: Vec<(String, Option<String>)>,
    /// The recipe of the winner trained on all rows: the SHA-256 of its model, where that was done and no other trial was the best then.
    pub refit: Option<String>,
    /// All that is known of its first run: base model and data by hash, recipe, decisions, lineage, figures.
    pub ledger: Box<Ledger>,
}

impl StudyLedger {
    /// Of the study in a folder. Data and models of the winner are read, for their hashes.
    ///
    /// # Errors
    /// The folder holds no study, its journal or a file of the winner cannot be read.
    pub(super) fn gather(folder: &Path, statements: Statements, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        let own = StudyFolder::new(folder);
        let (report, known) = (status(&own, catalogs)?, study(&own, catalogs)?);
        let (settings, learns) = (known.settings().clone(), known.proposer().learns());
        let (recipe, changes) = own.given()?;
        let search = OpenRecipe::load(&own.text()?, catalogs)?.search().clone();
        let names = run_names(&search);
        let runs_of = |trial: u64| -> Vec<RunFolder> {
            let folder = own.trial(trial);
            names.iter().map(|name| RunFolder(name.as_ref().map_or(folder.clone(), |name| folder.join(name)))).collect()
        };
        let (mut machines, mut notes) = (BTreeSet::new(), Vec::new());
        for run in report.trials.iter().flat_map(|trial| runs_of(trial.number)) {
            if let Some(Origin { software, commit, onnx_runtime, device, processor, .. }) = Origin::of_run(&run)? {
                machines.insert(Machine { software, commit, onnx_runtime, device, processor });
            }
        }
        if machines.len() > 1 {
            notes.push(
                "trials ran on several kinds of machines: figures of close trials may differ by that alone".into(),
            );
        }
        notes.extend(report.about.differences_in_words());
        let winner = match report.best {
            None => None,
            Some(trial) => {
                let runs = runs_of(trial);
                let hash = |run: &RunFolder| match run.model() {
                    file if file.exists() => sha256_of_file(&file).map(Some).map_err(RecipeError::io("read", &file)),
                    _ => Ok(None),
                };
                let named = |run: &RunFolder| {
                    // with slashes, whatever the system writes
                    let name = match run.0.strip_prefix(folder) {
                        Ok(within) => {
                            let parts = within.components().map(|part| part.as_os_str().to_string_lossy());
                            parts.collect::<Vec<_>>().join("/")
                        }
                        Err(_) => run.0.to_string_lossy().into_owned(),
                    };
                    Ok::<_, RecipeError>((name, hash(run)?))
                };
                let first = &runs[0];
                let ledger = Ledger::gather(&first.0, read_record(first)?, statements.clone(), catalogs)?;
                notes.extend(ledger.notes.iter().cloned());
                let refit = hash(&RunFolder(own.refit()))?;
                let of_refit = refit.as_ref().and_then(|_| refitted(&report, &own, catalogs));
                if refit.is_some() && of_refit != Some(trial) {
                    notes.push(not_of_winner(of_refit, trial));
                }
                Some(Winner {
                    trial,
                    runs: runs.iter().map(named).collect::<Result<_, _>>()?,
                    refit: refit.filter(|_| of_refit == Some(trial)),
                    ledger: Box::new(ledger),
                })
            }
        };
        let told_apart = match ToldApart::of(&report, catalogs) {
            Ok(found) => found,
            Err(error) => {
                notes.push(format!("whether the best trial's lead is chance is not told: {error}"));
                None
            }
        };
        let title = search.name.clone().unwrap_or_else(|| folder_name(folder));
        Ok(Self {
            version: 1,
            name: Statements::answer(&statements.name).unwrap_or(&title).to_owned(),
            folder: folder.to_owned(),
            software: software(),
            commit: commit().map(str::to_owned),
            machines: machines.into_iter().collect(),
            recipe,
            changes,
            variables: own.variables()?,
            fold_sources: fold_sources(&own),
            selection: selection(&report, &search, winner.as_ref()),
            told_apart,
            search,
            settings,
            learns,
            workers: known.workers(),
            is_shared: known.had_workers_together(),
            study: report,
            winner,
            notes,
            decisions: decisions(folder)?,
            statements,
        })
    }
}

/// The trial whose values the run on all rows has: the study may have gone on since. None where that cannot be told.
fn refitted(study: &StudyReport, folder: &StudyFolder, catalogs: &Catalogs) -> Option<u64> {
    let text = RecipeText::read(&RunFolder(folder.refit()).recipe(), &[]).ok()?;
    let recipe = load(&text, catalogs).ok()?;
    trial_of(study, folder, &recipe, catalogs).map(|trial| trial.number)
}

/// What is to be said of a run on all rows that has other values than the best trial.
fn not_of_winner(of_refit: Option<u64>, winner: u64) -> String {
    match of_refit {
        Some(other) => {
            format!("the model in `refit` has the values of trial {other}, and the best one is now trial {winner}")
        }
        None => "with the values of which trial the model in `refit` was trained cannot be told".into(),
    }
}

fn selection(study: &StudyReport, search: &SearchRecipe, winner: Option<&Winner>) -> Selection {
    use millstream_training::metrics::Better;
    let kind = study.figures.first();
    let (label, way) = kind.map_or(("loss".into(), "least"), |kind| {
        (kind.label(), if kind.better == Better::Lower { "least" } else { "largest" })
    });
    let bounds = if search.constraints.is_empty() { "" } else { " among those that break no constraint" };
    let of = match (study.runs, &study.folds) {
        (1, _) => String::new(),
        (runs, _) => format!(", the mean of {}", count(runs as u64, "run")),
    };
    // where another set decides, folds say what is trained on and not what is measured
    let folds = study.folds.as_ref().filter(|_| study.about.other_deciding_set().is_none());
    let rows = match (folds, winner) {
        _ if kind.is_some_and(is_cost) => NO_ROWS.into(),
        (Some(folds), _) => format!(
            "the training rows by {}-fold cross-validation, each row measured by the run that was not trained on it",
            folds.count
        ),
        (None, Some(winner)) => {
            let Ledger { results, training, .. } = &*winner.ledger;
            let set =
                results.set.as_deref().and_then(|set| winner.ledger.evaluated().iter().find(|data| data.split == set));
            let measured = results.evaluation.as_ref().map(|evaluation| evaluation.rows);
            let are_drawn = training.recipe.pointer("/evaluation/rows").is_some_and(Value::is_number);
            set.map_or_else(
                || "no rows beside those of training".into(),
                |data| rows_of(&data.split, data.rows, measured, are_drawn),
            )
        }
        (None, None) => "those that the recipe evaluates on".into(),
    };
    Selection {
        rule: format!("the complete trial with the {way} {label}{of}{bounds}; of equals the earliest"),
        among: study.compared(),
        complete: study.feasible(),
        rows,
    }
}

/// What the models of the trials do, as the winner's run has it.
fn learned(ledger: &StudyLedger) -> Vec<(&'static str, String)> {
    let Some(own) = ledger.winner.as_ref().map(|winner| &winner.ledger) else { return Vec::new() };
    let task = own.task.as_deref().map(|task| ("Task", text(task)));
    let classes = own.split("train").map_or(&[][..], |data| data.classes.as_slice());
    let names: Vec<String> = classes.iter().take(MOST_CLASSES).map(|class| text(&class.name)).collect();
    let more = match classes.len().saturating_sub(MOST_CLASSES) {
        0 => String::new(),
        more => format!(" and {} more", grouped(more as u64)),
    };
    let classes = (!names.is_empty())
        .then(|| ("Classes", format!("{}: {}{more}", grouped(classes.len() as u64), names.join(", "))));
    task.into_iter().chain(classes).collect()
}

/// What stands before the card. The figures of the model are in the winner's own.
fn front(ledger: &StudyLedger) -> String {
    match &ledger.winner {
        Some(winner) => {
            let own = front_matter(&winner.ledger);
            // what a run costs no evaluation has
            let costs = ledger.study.figures.iter().filter(|kind| is_cost(kind));
            let metrics = own.metrics.iter().copied().chain(costs).collect();
            FrontMatter { tags: &[TAG], results: None, metrics, ..own }
        }
        None => FrontMatter {
            tags: &[TAG],
            task: None,
            relation: "finetune",
            metrics: Vec::new(),
            results: None,
            said: &ledger.statements,
        },
    }
    .yaml()
}

/// `README.md`.
pub(super) fn markdown(ledger: &StudyLedger) -> String {
    let (said, study) = (&ledger.statements, &ledger.study);
    let open = |answer: &Option<String>| Statements::or_open(answer).to_owned();
    let mut out = front(ledger);
    out += &format!("\n# {}\n\n{}\n", text(&ledger.name), Statements::or_open(&said.description));
    out += &ledger.notes.iter().map(|note| format!("\n> {}\n", prose(note))).collect::<String>();
    out += "\n## What it is of\n\n";
    let about = study.about.entries().into_iter().map(|(name, said)| (name, prose(&said)));
    out += &list(&about.chain(learned(ledger)).collect::<Vec<_>>());
    if !ledger.fold_sources.is_empty() {
        let rows = ledger.fold_sources.iter().map(|file| {
            let hash = file.sha256.as_ref().map_or_else(String::new, |hash| code(hash));
            vec![code(&shown_path(&file.path)), grouped(file.rows), hash]
        });
        out += &format!(
            "\nThe folds were made of:\n\n{}",
            table(&["file", ">rows", "SHA-256"], &rows.collect::<Vec<_>>())
        );
    }
    let json = |choice: &Choice| code(&serde_json::to_string(choice).unwrap_or_default());
    let machines: Vec<String> = ledger.machines.iter().map(machine).collect();
    out += "\n## What was looked for\n\n";
    out += &list(&[
        ("Made by", open(&said.authors)),
        ("Figures", study.figures.iter().map(|kind| text(&kind.label())).collect::<Vec<_>>().join(", ")),
        ("Constraints", if study.constraints.is_empty() { "none".into() } else { text(&study.constraints.join("; ")) }),
        ("Space", left_open_in_words(study.parameters.len(), &study.size)),
        ("Proposer", json(&ledger.settings.proposer)),
        (
            "Stopping",
            match ledger.settings.stopping.as_slice() {
                [] if study.trials.iter().all(|trial| trial.state == TrialState::Complete) => {
                    "none: every trial was trained to its end".into()
                }
                [] => "none".into(),
                rules => rules.iter().map(json).collect::<Vec<_>>().join(", "),
            },
        ),
        ("Seed", ledger.settings.seed.to_string()),
        ("Trials", format!("{} finished of {} wanted", study.finished(), study.wanted)),
        (
            "Runs of a trial",
            match study.trial_runs.as_slice() {
                [] => study.runs.to_string(),
                runs => TrialRun::in_words(runs),
            },
        ),
        ("Ran on", if machines.is_empty() { "not noted".into() } else { machines.join("; ") }),
    ]);
    let rows = study.parameters.iter().map(|parameter| {
        let when = parameter.when.as_ref().map_or_else(String::new, |when| {
            let values = study.alternatives(&when.parameter);
            let chosen = values.get(when.alternative as usize).map(|value| short(values, value));
            format!("{} is {}", code(&when.parameter), code(&chosen.unwrap_or_default()))
        });
        let share = study.importance.iter().find(|(name, _)| *name == parameter.name);
        vec![
            code(&parameter.name),
            code(&serde_json::to_string(&parameter.distribution).unwrap_or_default()),
            when,
            share.map_or_else(String::new, |(_, share)| format!("{:.0} %", share * 100.0)),
        ]
    });
    out += &format!(
        "\n{}",
        table(&["left open", "what it may be", "only where", ">main effect"], &rows.collect::<Vec<_>>())
    );
    out += &study.importance_in_words().map_or_else(String::new, |said| format!("\nShares are {}.\n", prose(&said)));
    out += &winner(ledger);
    out += &trials(study);
    out += &made_again(ledger);
    if !ledger.decisions.is_empty() {
        let noted = ledger.decisions.iter().map(|one| format!("- {}: {}\n", text(&one.time), prose(&one.text)));
        out += &format!("\n## What people noted\n\n{}", noted.collect::<String>());
    }
    out += "\n## Caveats and recommendations\n\n";
    out + &list(&[("Limitations", open(&said.limitations)), ("Recommendations", open(&said.recommendations))])
}

fn made_again(ledger: &StudyLedger) -> String {
    let mut figures = ledger.settings.objectives.iter().map(|objective| &objective.figure);
    let takes_time = figures.any(|figure| figure == SECONDS)
        || ledger.search.constraints.iter().any(|constraint| constraint.figure == SECONDS);
    let run = ledger.winner.as_ref().and_then(|winner| winner.runs.first()).map(|(run, _)| run.as_str());
    MadeAgain {
        folder: &folder_name(&ledger.study.folder),
        changes: &ledger.changes,
        variables: &ledger.variables,
        proposer: &ledger.settings.proposer.name,
        learns: ledger.learns,
        has_rules: !ledger.settings.stopping.is_empty(),
        takes_time,
        workers: ledger.workers,
        is_shared: ledger.is_shared,
        run,
    }
    .markdown()
}

fn machine(machine: &Machine) -> String {
    let processor = machine.processor.as_ref().map_or_else(String::new, |processor| format!(" ({})", text(processor)));
    let software = built(&machine.software, machine.commit.as_deref());
    format!("{}, ONNX Runtime {}, {}{processor}", text(&software), text(&machine.onnx_runtime), machine.device)
}

/// A value in a cell, among these alternatives where there are any.
fn short(alternatives: &[Value], value: &Value) -> String {
    alternative_in_words(alternatives, value, LONGEST_SETTING).unwrap_or_else(|| value.to_string())
}

fn of_compared(ledger: &StudyLedger) -> Compared<'_> {
    let StudyReport { stopping, constraints, figures, .. } = &ledger.study;
    Compared {
        complete: ledger.selection.complete,
        among: ledger.selection.among,
        stopping,
        is_bounded: !constraints.is_empty(),
        is_measured: figures.first().is_some_and(|kind| !is_cost(kind)),
    }
}

fn winner(ledger: &StudyLedger) -> String {
    let chosen = &ledger.selection;
    // of a cost no rows tell
    let is_state_chosen = ledger.winner.as_ref().is_some_and(|own| {
        own.ledger.results.evaluation.is_some() && own.ledger.results.is_chosen && chosen.rows != NO_ROWS
    });
    let chosen_state = if is_state_chosen { "; the state that its run exports was chosen by them too" } else { "" };
    let mut out = "\n## The winner\n\n".to_owned();
    let mut entries = vec![
        ("Rule", prose(&chosen.rule)),
        (
            "Chosen among",
            match chosen.complete == chosen.among {
                true => count(chosen.among, "trial"),
                false => text(&of_compared(ledger).in_words()),
            },
        ),
        ("Measured on", prose(&chosen.rows) + chosen_state),
    ];
    if let Some(front) = ledger.study.front_in_words() {
        entries.push(("No other trial beats in all figures", front));
    }
    let Some(own) = &ledger.winner else {
        return out + &list(&entries) + "\nNo trial is complete and within the constraints.\n";
    };
    let runs = own.runs.iter().map(|(run, hash)| {
        let hash = hash.as_ref().map_or_else(|| "no model".into(), |hash| format!("SHA-256 {}", code(hash)));
        format!("{}, {hash}", code(run))
    });
    let own_ledger = &own.ledger;
    entries.push(("Trial", format!("{}: {}", own.trial, runs.collect::<Vec<_>>().join("; "))));
    entries.push(("Base model", format!("{}, SHA-256 {}", code(&own_ledger.base.file), code(&own_ledger.base.sha256))));
    let parents: Vec<String> = own_ledger.lineage.iter().map(|parent| code(&parent.run)).collect();
    if !parents.is_empty() {
        entries.push(("Which came from", parents.join(" from ")));
    }
    if let Some(refit) = &own.refit {
        entries.push(("Trained again on all rows", format!("{}, SHA-256 {}", code("refit"), code(refit))));
    }
    out += &list(&entries);
    if let Some(trial) = ledger.study.best_trial() {
        let rows = trial.settings.iter().map(|(name, value)| vec![code(name), whole_code(&whole_setting(value))]);
        out += &format!("\n{}", table(&["value", "chosen"], &rows.collect::<Vec<_>>()));
    }
    out += &chosen_by(ledger, own);
    if let Some(evaluation) = &own_ledger.results.evaluation {
        let which = if own.runs.len() > 1 { " of its first run" } else { "" };
        let on = own_ledger.results.named_set().map_or_else(String::new, |set| format!(" of {}", text(set)));
        out += &format!("\nFigures{which}, on {}{on}:\n\n", count(evaluation.rows, "row"));
        out += &figures(evaluation, &own_ledger.results.figures);
    }
    let rows = own_ledger.data.iter().flat_map(|data| {
        data.files.iter().map(|file| {
            let hash = file.sha256.as_ref().map_or_else(String::new, |hash| code(hash));
            vec![text(&data.split), code(&file.name), grouped(file.rows), hash]
        })
    });
    out += &format!(
        "\nData{}:\n\n{}",
        if own.runs.len() > 1 { " of its first run" } else { "" },
        table(&["split", "file", ">rows", "SHA-256"], &rows.collect::<Vec<_>>())
    );
    out += &shared(own_ledger, "the rows of evaluate");
    out += &ledger.study.untested_in_words().map_or_else(String::new, |said| format!("\n{}\n", prose(&said)));
    out += &ledger.told_apart.as_ref().map_or_else(String::new, |told| format!("\n{}\n", prose(&told.in_words())));
    if ledger.study.figures.first().is_some_and(is_cost) {
        return out;
    }
    out + "\nThe best of many trials is the best partly by chance on the rows that it was chosen by; what it is worth is told by rows that \
           nothing was chosen by.\n"
}

/// The figures that the winner was chosen by, where its run alone does not tell them: means of several runs, and what a run costs.
fn chosen_by(ledger: &StudyLedger, winner: &Winner) -> String {
    let (study, runs) = (&ledger.study, winner.runs.len());
    let evaluation = winner.ledger.results.evaluation.as_ref();
    let is_told = |kind: &FigureKind| evaluation.is_some_and(|evaluation| evaluation.figure(&kind.name).is_some());
    let Some(trial) = study.best_trial().filter(|_| runs > 1 || !study.figures.iter().all(is_told)) else {
        return String::new();
    };
    let rows = study.figures.iter().zip(&trial.values).enumerate().map(|(at, (kind, value))| {
        let interval = trial.interval.filter(|_| at == 0);
        let interval = interval.map(|ends| shown_figure_interval(kind, ends)).unwrap_or_default();
        vec![text(&kind.label()), shown_figure(kind, Some(*value)), interval]
    });
    let (what, heading) = match runs {
        1 => ("The figures by which it was chosen".to_owned(), ">figure"),
        _ => (format!("The mean of its {}, by which it was chosen", count(runs as u64, "run")), ">mean"),
    };
    let of = format!("interval of {}", confidence_in_words(study.confidence));
    format!("\n{what}:\n\n{}", table(&["", heading, &of], &rows.collect::<Vec<_>>()))
}

fn trials(study: &StudyReport) -> String {
    let mut headings = vec!["trial".to_owned(), "state".to_owned()];
    headings.extend(study.figures.iter().map(|kind| format!(">{}", kind.label())));
    headings.extend([">seconds of work".to_owned(), "values".to_owned()]);
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let names = study.short_names();
    let short_name = |name: &String| -> String {
        let at = study.parameters.iter().position(|parameter| parameter.name == *name);
        at.map_or_else(|| name.clone(), |at| names[at].to_owned())
    };
    let rows = study.trials.iter().take(MOST).map(|trial| {
        let mut row = vec![trial.number.to_string(), trial.state_in_words()];
        row.extend((0..study.figures.len()).map(|at| study.figure_in_words(trial, at)));
        row.push(trial.seconds.map_or_else(String::new, |seconds| format!("{seconds:.1}")));
        let settings = trial
            .settings
            .iter()
            .map(|(name, value)| format!("{} {}", short_name(name), short(study.alternatives(name), value)));
        let settings = match trial.settings.is_empty() {
            true => TrialRun::in_words(&study.trial_runs),
            false => text(&settings.collect::<Vec<_>>().join(", ")),
        };
        row.push(match &trial.reason {
            Some(reason) if settings.is_empty() => prose(reason),
            Some(reason) => format!("{settings}: {}", prose(reason)),
            None => settings,
        });
        row
    });
    let mut out = format!("\n## Trials\n\n{}", table(&headings, &rows.collect::<Vec<_>>()));
    out += &study.seconds_in_words().map_or_else(String::new, |said| format!("\n{}\n", prose(said)));
    out += &study.given_up_in_words().map_or_else(String::new, |said| format!("\n{}\n", prose(&said)));
    if study.trials.len() > MOST {
        out += &format!("\n{} more are in `ledger.json`.\n", count((study.trials.len() - MOST) as u64, "trial"));
    }
    out
}
