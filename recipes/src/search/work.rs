use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millstream_schemas::Recipe;
use millstream_schemas::recipe::RecipeText;
use millstream_schemas::{count, shown, shown_path};
use millstream_search::{Asked, AskedTrial, SharedStudy, Sharing, Study, StudySettings, Trial, TrialState};
use serde::Serialize;
use serde_json::Value;

use super::figures::Sought;
use super::folds;
use super::open_recipe::OpenRecipe;
use super::page;
use super::pool::{Pool, PoolCounts};
use super::resource::require_comparable;
use super::results::has_figures;
use super::room_together::PartsOfMemory;
use super::same_data::is_held;
use super::same_measure::require_same_measure;
use super::same_recipe::{noted, require_same_recipe};
use super::search_event::{SearchEvent, SearchEvents};
use super::status::{StudyReport, of_study};
use super::study_folder::{StudyFolder, absolute, write};
use super::trial::Worker;
use super::workers::{Presence, activations_of, bury, dead, is_dead};
use crate::error::with_causes;
use crate::imported::Imports;
use crate::{Catalogs, Event, RecipeError, ResourceOptions, Resources, Stop};

/// How a process works on a study, apart from the recipe.
#[derive(Clone, Debug, Default)]
pub struct SearchOptions {
    /// Trials at a time, in place of `search.parallel`.
    pub parallel: Option<usize>,
    /// Trials of the whole study, in place of `search.trials`.
    pub trials: Option<u64>,
    /// A process on another machine of which nothing is heard for longer is taken for lost; five minutes unless it is said.
    pub silence: Option<Duration>,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// What the recipe can choose among.
    pub catalogs: Catalogs,
}

/// What came of working on a study.
#[derive(Clone, Debug, Serialize)]
pub struct SearchSummary {
    /// The study as it is now.
    pub study: StudyReport,
    /// Whether somebody asked for an end before it was done.
    pub interrupted: bool,
    /// What the runs of this process shared.
    pub shared: PoolCounts,
    /// Seconds that this process worked on it.
    pub seconds: f64,
}

/// Between two questions for work, where there is none now.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two pages of a study that goes on.
const PAGE_EVERY: Duration = Duration::from_secs(10);
/// Failures of the same kind, and nothing else, that end a study.
const MOST_FAILURES: usize = 3;

/// Begins a study of a recipe in its output folder, and works on it until it is done. `changes` are what the command line says
/// beside the text.
///
/// # Errors
/// The recipe is wrong or leaves nothing open, its figures are not those that trials have, the folder holds a study already; or as [`resume`].
pub fn run(
    text: &RecipeText,
    changes: &[String],
    folder: Option<&Path>,
    options: &SearchOptions,
    events: &mut dyn SearchEvents,
    stop: &Stop,
) -> Result<SearchSummary, RecipeError> {
    let open = OpenRecipe::load(text, &options.catalogs)?;
    open.require_open()?;
    require_comparable(&open)?;
    require_same_measure(&open)?;
    let folder = StudyFolder::new(folder.unwrap_or(&open.first().output.folder));
    let settings = settings(&open, &folder)?;
    // What cannot be a study leaves nothing.
    Study::new(settings.clone(), &catalogs(&options.catalogs))?;
    folder.require_none()?;
    if !leaves_rows_open(&open) {
        let output = absolute(folder.path())?;
        let mut opening = |of: &Event| events.event(&SearchEvent::Opening { of: of.clone() });
        if Imports::beside(&output).named_in(open.first(), &mut opening, stop)?.is_some() {
            match open.check_models(Some(&output), stop) {
                // nothing is tried then, and the study is there to go on with
                Err(RecipeError::Stopped) => {}
                checked => checked?,
            }
        }
    }
    folder.begin(text, changes, open.variables())?;
    work(&folder, &open, settings, options, events, stop)
}

/// Goes on with a study, alone or beside other processes, until it is done. Trials of processes that died are gone on with from
/// their checkpoints.
///
/// # Errors
/// There is no study, its journal cannot be read or written, the disk is full, ONNX Runtime is missing, or all trials fail for the
/// same reason; what the trials have in common, or what the recipe says of them, is not what it was when the study began.
pub fn resume(
    folder: &StudyFolder,
    options: &SearchOptions,
    events: &mut dyn SearchEvents,
    stop: &Stop,
) -> Result<SearchSummary, RecipeError> {
    let open = OpenRecipe::load(&folder.text_with(&[])?, &options.catalogs)?;
    for (name, then) in folder.variables()? {
        if let Some(now) = std::env::var(&name).ok().filter(|now| *now != then) {
            let message = format!(
                "the environment variable `{}` is {} and was {} when the study began; each trial goes on only where the rows and the model \
                 that lie there are the same",
                shown(&name),
                shown_path(now),
                shown_path(then)
            );
            events.event(&SearchEvent::Warning { message });
        }
    }
    let settings = settings_of_begun(&open, folder)?;
    work(folder, &open, settings, options, events, stop)
}

impl OpenRecipe {
    /// Refuses a search that cannot begin: figures that trials do not have or cannot be compared by, a proposer or rules that do not go with
    /// them or with what is left open.
    ///
    /// # Errors
    /// Which, at its place, and what to do.
    pub fn check_study(&self) -> Result<(), RecipeError> {
        require_comparable(self)?;
        require_same_measure(self)?;
        let settings = settings(self, &StudyFolder::new(&self.first().output.folder))?;
        Ok(Study::new(settings, &catalogs(self.catalogs())).map(drop)?)
    }
}

pub(super) fn catalogs(catalogs: &Catalogs) -> millstream_search::Catalogs {
    millstream_search::Catalogs { proposers: catalogs.proposers.clone(), stopping: catalogs.stopping.clone() }
}

/// Those of a study that has begun: what it is called is in its journal, wherever its folder lies now.
pub(super) fn settings_of_begun(open: &OpenRecipe, folder: &StudyFolder) -> Result<StudySettings, RecipeError> {
    let settings = settings(open, folder)?;
    let begun = match &open.search().name {
        None => SharedStudy::settings(&folder.journal())?,
        Some(_) => None,
    };
    Ok(match begun {
        Some(begun) => StudySettings { name: begun.name, ..settings },
        None => settings,
    })
}

/// Those of a study that begins in a folder, whose name it has where the recipe says none.
pub(super) fn settings(open: &OpenRecipe, folder: &StudyFolder) -> Result<StudySettings, RecipeError> {
    let search = open.search();
    let of_folder = || folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = search.name.clone().unwrap_or_else(of_folder);
    Ok(StudySettings {
        seed: search.seed,
        proposer: search.proposer.clone(),
        stopping: search.stopping.clone(),
        retries: search.retries,
        ..StudySettings::new(name, open.space().clone(), Sought::of(open)?.of_study())
    })
}

fn work(
    folder: &StudyFolder,
    open: &OpenRecipe,
    settings: StudySettings,
    options: &SearchOptions,
    events: &mut dyn SearchEvents,
    stop: &Stop,
) -> Result<SearchSummary, RecipeError> {
    let began = Instant::now();
    let search = open.search();
    let trials = options.trials.unwrap_or(search.trials);
    let parallel = options.parallel.unwrap_or(search.parallel);
    let all = open.trials_of(trials);
    let parallel = parallel.min(usize::try_from(all).unwrap_or(usize::MAX)).max(1);
    let usual = Sharing::default();
    let silence = options.silence.unwrap_or(usual.silence);
    let sharing = Sharing { silence, most_trials: Some(trials) };
    let searched = catalogs(&options.catalogs);
    let mut shared = SharedStudy::open_noting(&folder.journal(), settings, noted(open), &searched, sharing)?;
    require_same_recipe(folder, open, shared.note())?;
    let gone = dead(folder);
    shared.give_up(|worker| gone.iter().any(|dead| dead == worker))?;
    bury(folder, &gone);
    let presence = Presence::announce(folder, shared.worker())?;
    let _heart = shared.heart((silence / 5).clamp(Duration::from_millis(20), Duration::from_secs(60)))?;
    let sought = Sought::of(open)?;
    let threads = open.threads();
    events.event(&SearchEvent::StudyOpened {
        folder: folder.path().to_owned(),
        name: shared.study().settings().name.clone(),
        parameters: open.space().parameters().iter().map(|parameter| parameter.name.clone()).collect(),
        alternatives: alternatives(open),
        size: open.space().size().to_string(),
        figures: sought.kinds(),
        trials: all,
        finished: shared.study().trials().iter().filter(|trial| trial.state.is_finished()).count() as u64,
        parallel,
        threads,
        shares_threads: parallel > 1 && threads[0] == threads[1],
    });
    // what is kept of a frozen prefix is kept for all trials
    let is_open =
        open.space().parameters().iter().any(|parameter| parameter.name.starts_with("training.frozen_prefix"));
    let shares = parallel > 1 || is_open || !open.first().training.frozen_prefix.is_recomputed();
    let resources = shares.then(|| open_resources(open, parallel, options)).transpose()?;
    let imports = Imports::beside(&absolute(folder.path())?);
    let mut opening = |of: &Event| events.event(&SearchEvent::Opening { of: of.clone() });
    let first = match imports.named_in(open.first(), &mut opening, stop) {
        // those of other trials may do
        Err(_) if leaves_rows_open(open) => Some(open.first().clone()),
        first => first?,
    };
    let of_folds = match &first {
        Some(first) => {
            let is_free = || -> Result<bool, RecipeError> {
                let known = folder.first_fingerprints()?.unwrap_or_default();
                Ok(!is_held(folder, open, shared.refresh()?, &known, None))
            };
            folds::of_study(folder, open, first, is_free)?
        }
        // somebody asked for an end, so that no trial begins
        None => Vec::new(),
    };
    let pool = Arc::new(Pool::new(&options.catalogs));
    let together = Together { open, pool: &pool, imports: &imports, options, stop };
    let (parallel, resources) = match resources {
        Some(own) if parallel > 1 && first.is_some() => {
            let (parallel, own) = together.fitting(parallel, own, events)?;
            (parallel, Some(own))
        }
        own => (parallel, own),
    };
    if let Some(message) = too_many_threads(threads, parallel) {
        events.event(&SearchEvent::Warning { message });
    }
    let resources = resources.map(|own| own.with_activations_in(activations_of(folder, presence.worker())));
    let (study, events) = (Mutex::new(shared), Mutex::new(events));
    let worker = Worker {
        folder,
        open,
        sought: &sought,
        folds: &of_folds,
        imports: &imports,
        study: &study,
        pool: &pool,
        resources: resources.as_ref(),
        library: options.library.as_deref(),
        events: &events,
        stop,
    };
    let worked = work_together(&worker, parallel);
    let known = worker.study().refresh().map(|study| of_study(folder, open, &sought, study))?;
    write_page(&worker, &known);
    worked?;
    let interrupted = stop.is_requested() && !known.is_done(all);
    Ok(SearchSummary {
        study: known,
        interrupted,
        shared: pool.counts(resources.as_ref()),
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// What each parameter may be, where it is a choice.
fn alternatives(open: &OpenRecipe) -> Vec<Vec<Value>> {
    let parameters = open.space().parameters().iter();
    parameters.map(|parameter| parameter.distribution.alternatives().unwrap_or_default().to_vec()).collect()
}

/// Whether trials have rows of their own.
fn leaves_rows_open(open: &OpenRecipe) -> bool {
    let named = ["data.train", "data.evaluate", "evaluation.sets"];
    open.space().parameters().iter().any(|parameter| named.iter().any(|place| parameter.name.starts_with(place)))
}

/// What decides how many trials there are at a time.
struct Together<'a> {
    open: &'a OpenRecipe,
    pool: &'a Arc<Pool>,
    imports: &'a Imports,
    options: &'a SearchOptions,
    stop: &'a Stop,
}

impl Together<'_> {
    /// As many trials at a time as have room in parts of `resources`, which are for `parallel` of them, and what these share then: where they
    /// are fewer, that is told.
    ///
    /// # Errors
    /// A trial has no room even where there is one at a time.
    fn fitting(
        &self,
        parallel: usize,
        resources: Resources,
        events: &mut dyn SearchEvents,
    ) -> Result<(usize, Resources), RecipeError> {
        let Self { open, pool, imports, options, stop } = *self;
        let parts = PartsOfMemory { open, pool, streams: resources.streams(), stop };
        let is_imported_later = leaves_rows_open(open);
        let fitting = parts.fitting(parallel, &mut |recipe: &Recipe| match is_imported_later {
            // what lies there already can be opened
            true => Ok(Some(recipe.clone())),
            false => {
                let mut opening = |of: &Event| events.event(&SearchEvent::Opening { of: of.clone() });
                imports.named_in(recipe, &mut opening, stop)
            }
        })?;
        if fitting.parallel == parallel {
            return Ok((parallel, resources));
        }
        let reason = fitting.reason.map(|error| format!(": {}", with_causes(&error))).unwrap_or_default();
        let message = format!("this process works on {} at a time, and not on {parallel}{reason}", fitting.parallel);
        events.event(&SearchEvent::ParallelLimited { parallel: fitting.parallel, message });
        // the threads of those that are given up are there anew
        drop(resources);
        Ok((fitting.parallel, open_resources(open, fitting.parallel, options)?))
    }
}

/// What so many trials at a time share; threads of ONNX Runtime too, unless they have different numbers of them, on which the last bits of a
/// trial depend: these it has whether others run beside it or not.
fn open_resources(open: &OpenRecipe, parallel: usize, options: &SearchOptions) -> Result<Resources, RecipeError> {
    let (shared, [fewest, most]) = (resources(open, parallel, options), open.threads());
    if fewest == most { Resources::open(&shared) } else { Resources::open_with_own_threads(&shared) }
}

/// What is told where trials at a time have more threads of their own than there are cores.
fn too_many_threads([fewest, most]: [usize; 2], parallel: usize) -> Option<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let is_too_many = parallel > 1 && fewest < most && parallel.saturating_mul(most) > cores;
    is_too_many.then(|| {
        format!(
            "training.threads: {parallel} trials at a time, each with up to {} of its own, wait for each other on {}; leave open fewer, or \
             work on fewer trials at a time (`--parallel`)",
            count(most as u64, "thread"),
            count(cores as u64, "core")
        )
    })
}

/// What the recipe gives to a run, for as many as there are at a time together.
fn resources(open: &OpenRecipe, parallel: usize, options: &SearchOptions) -> ResourceOptions {
    let (data, training) = (&open.first().data, &open.first().training);
    ResourceOptions {
        memory: open.most_memory(),
        runs: parallel,
        workers: data.workers,
        threads: training.threads,
        library: options.library.clone(),
    }
}

/// Works on so many trials at a time until there are none, or somebody asks for an end; the first error ends the others as if somebody had.
fn work_together(worker: &Worker<'_, '_>, parallel: usize) -> Result<(), RecipeError> {
    let failed_before: Vec<u64> = {
        let study = worker.study();
        let failed = study.study().trials().iter().filter(|trial| trial.state == TrialState::Failed);
        failed.map(|trial| trial.number).collect()
    };
    // All of them before one can end, so that who is quick does not decide what is known when the others are proposed.
    let mut firsts = first_trials(worker, parallel, &failed_before)?.into_iter();
    let failed: Mutex<Option<RecipeError>> = Mutex::new(None);
    let paged = Mutex::new(Instant::now());
    std::thread::scope(|scope| {
        let one = |first: Option<AskedTrial>| {
            if let Err(error) = one_after_another(worker, first, &failed_before, &failed, &paged) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        };
        let own = firsts.next();
        for _ in 1..parallel {
            let first = firsts.next();
            scope.spawn(move || one(first));
        }
        one(own);
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// The trials that a process begins with: as many as it works on at a time, or all that there are now.
fn first_trials(
    worker: &Worker<'_, '_>,
    parallel: usize,
    failed_before: &[u64],
) -> Result<Vec<AskedTrial>, RecipeError> {
    let mut trials: Vec<AskedTrial> = Vec::new();
    while trials.len() < parallel && !worker.stop.is_requested() {
        match ask(worker, failed_before) {
            Ok(Asked::Trial(trial)) => trials.push(trial),
            Ok(Asked::Wait | Asked::Done) => break,
            Err(error) => {
                for trial in &trials {
                    // The error at hand is more to the point than one of giving back.
                    let _ = worker.give_back(trial.number);
                }
                return Err(error);
            }
        }
    }
    Ok(trials)
}

/// Asks for work, behind what is known of processes that died.
fn ask(worker: &Worker<'_, '_>, failed_before: &[u64]) -> Result<Asked, RecipeError> {
    let mut study = worker.study();
    study.give_up(|other| is_dead(worker.folder, other))?;
    require_hope(study.study(), failed_before, worker.folder)?;
    Ok(study.ask()?)
}

/// Works on one trial after the other, until there is none, somebody asks for an end, or another thread has failed.
///
/// Whoever ends a trial while others run has the next one with that, so that what is proposed does not depend on who asks first; where
/// there is an end, it is given back, and whoever goes on with the study has it.
fn one_after_another(
    worker: &Worker<'_, '_>,
    first: Option<AskedTrial>,
    failed_before: &[u64],
    failed: &Mutex<Option<RecipeError>>,
    paged: &Mutex<Instant>,
) -> Result<(), RecipeError> {
    let is_over = || worker.stop.is_requested() || failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    let asks = |study: &Study| {
        let others_run = study.trials().iter().any(|trial| trial.state == TrialState::Running);
        others_run && require_hope(study, failed_before, worker.folder).is_ok()
    };
    let mut next = first.map(Asked::Trial);
    loop {
        let asked = match next.take() {
            Some(asked) => asked,
            None if is_over() => return Ok(()),
            None => ask(worker, failed_before)?,
        };
        match asked {
            Asked::Done => return Ok(()),
            Asked::Wait => std::thread::sleep(PAUSE),
            Asked::Trial(trial) if is_over() => return worker.give_back(trial.number),
            Asked::Trial(trial) => {
                next = worker.work_on(&trial, asks)?;
                if let Err(error) = page_now_and_then(worker, paged) {
                    if let Some(Asked::Trial(trial)) = &next {
                        // The error at hand is more to the point than one of giving back.
                        let _ = worker.give_back(trial.number);
                    }
                    return Err(error);
                }
            }
        }
    }
}

/// Ends a study whose first trials have all failed for one reason; those that had failed when this process began say nothing of now.
fn require_hope(study: &Study, failed_before: &[u64], folder: &StudyFolder) -> Result<(), RecipeError> {
    let is_new = |trial: &&Trial| trial.state == TrialState::Failed && !failed_before.contains(&trial.number);
    let mut failures = study.trials().iter().filter(is_new).peekable();
    let Some(first) = failures.peek().and_then(|trial| trial.reason.clone()) else { return Ok(()) };
    let (mut count, mut same) = (0, true);
    for trial in failures {
        count += 1;
        same &= trial.reason.as_deref().map(kind_of_reason) == Some(kind_of_reason(&first));
    }
    match !has_figures(study) && same && count >= MOST_FAILURES {
        true => Err(RecipeError::StudyFails { folder: folder.path().to_owned(), trials: count, reason: first }),
        false => Ok(()),
    }
}

/// A reason without its numbers, and without what is told of a trial's own folder.
fn kind_of_reason(reason: &str) -> String {
    reason.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

fn page_now_and_then(worker: &Worker<'_, '_>, paged: &Mutex<Instant>) -> Result<(), RecipeError> {
    {
        let mut paged = paged.lock().unwrap_or_else(PoisonError::into_inner);
        if paged.elapsed() < PAGE_EVERY {
            return Ok(());
        }
        *paged = Instant::now();
    }
    let study = worker.study().refresh()?.clone();
    write_page(worker, &of_study(worker.folder, worker.open, worker.sought, &study));
    Ok(())
}

/// A page that cannot be written stops no study.
fn write_page(worker: &Worker<'_, '_>, report: &StudyReport) {
    if let Err(error) = write(&worker.folder.page(), page::render(report).as_bytes()) {
        worker.tell(&SearchEvent::Warning { message: with_causes(&error) });
    }
}
