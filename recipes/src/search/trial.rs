//! One trial worked on: its runs are made or gone on with, their evaluations are told to the study, and what the study says is done.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millstream_pipeline::PipelineError;
use millstream_search::{
    Asked, AskedTrial, ConfidenceInterval, Decision, Outcome, SearchError, SharedStudy, Study, TrialState,
};
use millstream_training::{RunRecord, TrainingError, Until};

use super::figures::Sought;
use super::interval::interval;
use super::open_recipe::OpenRecipe;
use super::parts::{self, Part};
use super::pool::Pool;
use super::resource::{next, resource};
use super::results::{finished, has_figures};
use super::same_data::{NextRun, changed_meanwhile, is_begun_on_others, or_changed, require_same};
use super::search_event::{SearchEvent, SearchEvents};
use super::study_folder::StudyFolder;
use super::workers::is_dead;
use crate::error::with_causes;
use crate::imported::Imports;
use crate::made_of::MadeOf;
use crate::report::read_record;
use crate::run_folder::RunFolder;
use crate::run_logs;
use crate::unless_stopped::unless_stopped;
use crate::{Catalogs, Event, RecipeError, Resources, Run, RunOptions, RunState, StartMode, Stop};

/// Between two looks at a folder that another process is about to leave.
const GLANCE: Duration = Duration::from_millis(200);

/// All that trials of one process have in common.
pub(crate) struct Worker<'a, 'e> {
    pub(crate) folder: &'a StudyFolder,
    pub(crate) open: &'a OpenRecipe,
    pub(crate) sought: &'a Sought,
    pub(crate) folds: &'a [PathBuf],
    pub(crate) imports: &'a Imports,
    pub(crate) study: &'a Mutex<SharedStudy>,
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) resources: Option<&'a Resources>,
    pub(crate) library: Option<&'a Path>,
    pub(crate) events: &'a Mutex<&'e mut dyn SearchEvents>,
    /// That of the caller.
    pub(crate) stop: &'a Stop,
}

/// What came of a run of a trial.
enum PartEnd {
    Done(Box<RunRecord>),
    /// A rule says so.
    Stopped,
    Paused,
    /// Somebody asked for an end; it is saved.
    Interrupted,
}

/// What came of working on a trial.
enum TrialEnd {
    /// This is to be told to the study.
    Ended(Outcome),
    /// A rule has set it aside, and it is saved.
    Paused,
    /// It was given back, and is gone on with later.
    GivenBack,
}

impl Worker<'_, '_> {
    /// Works on a trial until it ends, is set aside, or somebody asks for an end. A trial that cannot be carried out has failed,
    /// and that is told to the study. Where it ended or was set aside and `asks` says so of the study then, it is asked for work at once, so
    /// that no end of another trial comes between.
    ///
    /// # Errors
    /// The journal, the disk or ONNX Runtime: what no other trial would do without. The trial is given back.
    pub(crate) fn work_on(
        &self,
        asked: &AskedTrial,
        asks: impl FnOnce(&Study) -> bool,
    ) -> Result<Option<Asked>, RecipeError> {
        let (began, number) = (Instant::now(), asked.number);
        // that values make no recipe is told by carrying it out
        let seed = self.open.recipe(&asked.assignment).map(|recipe| recipe.seed);
        self.tell(&SearchEvent::TrialBegan {
            trial: number,
            settings: self.open.settings(&asked.assignment),
            runs: seed.map(|seed| parts::runs(seed, self.open.search())).unwrap_or_default(),
            resumed: asked.reported.is_some() || self.folder.trial(number).exists(),
        });
        let end = match self.carry_out(asked) {
            Ok(end) => end,
            Err(RecipeError::Search(SearchError::Taken { .. })) => return Ok(self.taken(number)),
            Err(error) if is_of_study(&error) => {
                // The error at hand is more to the point than one of giving back.
                let _ = self.study().release(number);
                return Err(error);
            }
            Err(error) => TrialEnd::Ended(Outcome::Failed { reason: with_causes(&error) }),
        };
        let mut study = self.study();
        study.give_up(|other| is_dead(self.folder, other))?;
        let is_paused = matches!(end, TrialEnd::Paused);
        let next = match end {
            TrialEnd::GivenBack => return Ok(None),
            TrialEnd::Paused => study.pause_and_ask(number, asks),
            TrialEnd::Ended(outcome) => study.tell_and_ask(number, outcome, asks),
        };
        let next = match next {
            Err(SearchError::Taken { .. }) => {
                drop(study);
                return Ok(self.taken(number));
            }
            next => next?,
        };
        let trial = &study.study().trials()[number as usize];
        let told = match is_paused {
            true => SearchEvent::TrialPaused { trial: number },
            false => SearchEvent::TrialEnded {
                trial: number,
                state: trial.state,
                values: trial.values.clone(),
                reason: trial.reason.clone(),
                seconds: began.elapsed().as_secs_f64(),
                best: trial.state == TrialState::Complete
                    && study.study().best().is_some_and(|best| best.number == number),
            },
        };
        drop(study);
        self.tell(&told);
        Ok(next)
    }

    /// Gives back a trial that was asked for and not worked on.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub(crate) fn give_back(&self, number: u64) -> Result<(), RecipeError> {
        match self.study().release(number) {
            // then another process has it
            Err(SearchError::Taken { .. }) => Ok(()),
            released => Ok(released?),
        }
    }

    /// Makes the runs of a trial, as far as it goes now.
    fn carry_out(&self, asked: &AskedTrial) -> Result<TrialEnd, RecipeError> {
        let (number, search) = (asked.number, self.open.search());
        let recipe = self.open.recipe(&asked.assignment)?;
        // rows that are left open are imported only now
        let mut told = |of: &Event| self.tell(&SearchEvent::Run { trial: number, run: None, of: of.clone() });
        let Some(recipe) = self.imports.named_in(&recipe, &mut told, self.stop)? else {
            self.study().release(number)?;
            return Ok(TrialEnd::GivenBack);
        };
        let parts = parts::of_trial(self.folder, number, &recipe, search, self.folds);
        let several = parts::are_several(search);
        let mut runs: Vec<(RunRecord, RunFolder)> = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let end = match self.part(number, part, !several)? {
                PartEnd::Done(record) => {
                    runs.push((*record, RunFolder(part.recipe.output.folder.clone())));
                    let is_last = at + 1 == parts.len();
                    match several && !is_last && self.sought.first().is_measured() {
                        true => self.reported(number, at as u64 + 1, self.sought.values(&runs)[0], false)?,
                        false => Decision::Continue,
                    }
                }
                PartEnd::Stopped => Decision::Stop,
                PartEnd::Paused => Decision::Pause,
                PartEnd::Interrupted => {
                    self.study().release(number)?;
                    return Ok(TrialEnd::GivenBack);
                }
            };
            match end {
                Decision::Continue => {}
                Decision::Stop => return Ok(TrialEnd::Ended(Outcome::Stopped)),
                Decision::Pause => return Ok(TrialEnd::Paused),
            }
        }
        Ok(TrialEnd::Ended(Outcome::Complete {
            values: self.sought.values(&runs),
            constraints: self.sought.violations(&runs),
            // it never changes, so that nobody needs to read the runs for it
            interval: ConfidenceInterval::noted(interval(self.sought, &runs)),
        }))
    }

    /// Makes a run, or goes on with one. With `reports`, its evaluations are told to the study.
    fn part(&self, number: u64, part: &Part, reports: bool) -> Result<PartEnd, RecipeError> {
        let folder = RunFolder(part.recipe.output.folder.clone());
        let reports = reports && self.sought.first().is_measured();
        let mut told = Told::default();
        if let Some(record) = finished(&folder) {
            self.require_own(number, part, &folder)?;
            // The process ended between the run's end and what the study was told of it.
            if reports {
                self.report_all(number, (&record.history, part), true, &mut told)?;
            }
            return Ok(PartEnd::Done(Box::new(record)));
        }
        let Some((run, made_of)) = self.start(number, part, &folder)? else { return Ok(PartEnd::Interrupted) };
        let opened = run.compiled().opened().clone();
        let ended = self.to_its_end(number, part, run, reports, told);
        if let Ok(PartEnd::Stopped | PartEnd::Paused | PartEnd::Interrupted) | Err(RecipeError::Search(_)) = &ended {
            return ended;
        }
        // Nothing is ranked that came of rows which were replaced under it, nor are its values at fault where it has failed of that.
        let changed = self.with_next(number, part, |next| changed_meanwhile(self.folder, next, &opened, &made_of));
        match changed {
            None => ended,
            Some(changed) => {
                // what cannot be seen now may be the same when it is back
                if opened.is_there() {
                    discard(&folder, &opened.catalogs)?;
                }
                Err(changed)
            }
        }
    }

    /// Refuses a finished run of another recipe in a trial's folder, whose figures would be taken for the trial's.
    fn require_own(&self, number: u64, part: &Part, folder: &RunFolder) -> Result<(), RecipeError> {
        let same = match folder.made_of()? {
            // what it is made of was held against the first runs when it began
            Some(made_of) => folder.require_same(&part.recipe, &made_of, self.open.catalogs()).map(drop),
            None => Err(RecipeError::NoRunToResume { folder: folder.0.clone(), found: folder.holds()? }),
        };
        same.map_err(|reason| self.foreign(number, folder, true, reason))
    }

    /// That the run in a trial's folder is none of the trial.
    fn foreign(&self, trial: u64, folder: &RunFolder, is_finished: bool, reason: RecipeError) -> RecipeError {
        RecipeError::ForeignRun {
            folder: folder.0.clone(),
            study: self.folder.path().to_owned(),
            trial,
            is_finished,
            reason: Box::new(reason),
        }
    }

    /// Goes on with a run until it ends.
    fn to_its_end(
        &self,
        number: u64,
        part: &Part,
        mut run: Run,
        reports: bool,
        mut told: Told,
    ) -> Result<PartEnd, RecipeError> {
        let mut events = self.events_of(number, part);
        loop {
            let progress = run.progress();
            let is_done = progress.state == RunState::Finished;
            let decision = match reports {
                true => self.report_all(number, (run.history(), part), is_done, &mut told)?,
                false => Decision::Continue,
            };
            if let Some(end) = self.decided(decision).filter(|_| !is_done) {
                run.finish(&mut events)?;
                return Ok(end);
            }
            match progress.state {
                RunState::Finished => break,
                RunState::Interrupted => {
                    run.finish(&mut events)?;
                    return Ok(PartEnd::Interrupted);
                }
                RunState::UnderWay | RunState::Failed => {}
            }
            let until = match reports {
                true => next(&progress, part.recipe.evaluation.every),
                false => Until::Epoch(progress.epochs + 1),
            };
            run.advance(until, &mut events, self.stop)?;
        }
        let summary = run.finish(&mut events)?;
        if summary.interrupted {
            return Ok(PartEnd::Interrupted);
        }
        Ok(PartEnd::Done(Box::new(read_record(&RunFolder(part.recipe.output.folder.clone()))?)))
    }

    /// Hands on what is to be known of a run that is about to begin, or has.
    fn with_next<T>(&self, number: u64, part: &Part, then: impl FnOnce(NextRun<'_>) -> T) -> T {
        let (trials, has_figures, worker) = {
            let shared = self.study();
            (shared.study().trials().len() as u64, has_figures(shared.study()), shared.worker().to_owned())
        };
        let (name, names) = (part.name.as_deref(), parts::names(self.open.search()));
        then(NextRun { trial: number, name, names: &names, trials, worker: &worker, has_figures })
    }

    /// Starts a run, and gives what it is made of; none where somebody asked for an end before it was opened, or before another process has
    /// left its folder.
    fn start(&self, number: u64, part: &Part, folder: &RunFolder) -> Result<Option<(Run, MadeOf)>, RecipeError> {
        self.with_next(number, part, |next| self.started(part, folder, next))
    }

    fn started(
        &self,
        part: &Part,
        folder: &RunFolder,
        next: NextRun<'_>,
    ) -> Result<Option<(Run, MadeOf)>, RecipeError> {
        let number = next.trial;
        let has_reports = !self.study().study().trials()[number as usize].reports.is_empty();
        let study = || -> Result<Study, RecipeError> { Ok(self.study().refresh()?.clone()) };
        let (pool, recipe) = (Arc::clone(self.pool), part.recipe.clone());
        let opened = match unless_stopped(self.stop, move || pool.opened(&recipe)) {
            Err(RecipeError::Stopped) => return Ok(None),
            opened => opened.map_err(|error| or_changed(self.folder, self.open, next, &part.recipe, study, error))?,
        };
        let made_of = require_same(self.folder, self.open, next, &opened, study)?;
        let is_of_others = !has_reports && is_begun_on_others(self.folder, self.open, next, &made_of);
        let or_changed_since = |error| changed_meanwhile(self.folder, next, &opened, &made_of).unwrap_or(error);
        // what was found to be the same, and not what may lie there since
        let (pool, of) = (Arc::clone(self.pool), opened.clone());
        let compiled = match unless_stopped(self.stop, move || pool.compiled_of(&of)) {
            Err(RecipeError::Stopped) => return Ok(None),
            compiled => compiled.map_err(or_changed_since)?,
        };
        let mut options = RunOptions {
            start: match folder.recipe().exists() {
                true if is_of_others => StartMode::Overwrite,
                true => StartMode::Resume,
                false => StartMode::New,
            },
            keep_graph: false,
            resources: self.resources.cloned(),
            library: self.library.map(Path::to_owned),
        };
        loop {
            match compiled.run_unless(self.stop, &options, &mut self.events_of(number, part)) {
                Ok(run) => return Ok(Some((run, made_of.clone()))),
                Err(RecipeError::Stopped) => return Ok(None),
                // It was taken for lost, and notices that with its next report.
                Err(RecipeError::FolderBusy { .. }) if !self.stop.is_requested() => std::thread::sleep(GLANCE),
                Err(RecipeError::FolderBusy { .. }) => return Ok(None),
                Err(RecipeError::NoWholeCheckpoint { .. }) if options.start == StartMode::Resume => {
                    options.start = StartMode::Overwrite;
                }
                Err(error) => {
                    return Err(match or_changed_since(error) {
                        error if is_of_other_run(&error) => self.foreign(number, folder, false, error),
                        error => error,
                    });
                }
            }
        }
    }

    /// Tells the study all evaluations of a run that were not told yet; of one that is done, the last of them is that of the trial.
    fn report_all(
        &self,
        number: u64,
        (history, part): (&millstream_training::History, &Part),
        is_done: bool,
        told: &mut Told,
    ) -> Result<Decision, RecipeError> {
        let (name, every) = (&self.sought.first().kind.name, part.recipe.evaluation.every);
        let last = history.evaluations.iter().rposition(|record| resource(record, every).is_some());
        for (at, record) in history.evaluations.iter().enumerate().skip(told.0) {
            told.0 += 1;
            let Some(step) = resource(record, every) else { continue };
            let value = record.figures.figure(name).unwrap_or(f64::NAN);
            let decision = self.reported(number, step, value, is_done && Some(at) == last)?;
            if decision != Decision::Continue && !is_done {
                return Ok(decision);
            }
        }
        Ok(Decision::Continue)
    }

    /// Tells the study a figure; no rule ends a trial at its last one.
    fn reported(&self, number: u64, step: u64, value: f64, is_last: bool) -> Result<Decision, RecipeError> {
        let mut study = self.study();
        let is_new = study.study().trials()[number as usize].last_step().is_none_or(|last| step > last);
        let decision = match is_last {
            true => study.report_last(number, step, value).map(|()| Decision::Continue)?,
            false => study.report(number, step, value)?,
        };
        drop(study);
        if is_new {
            self.tell(&SearchEvent::Reported { trial: number, step, value, decision });
        }
        Ok(decision)
    }

    fn decided(&self, decision: Decision) -> Option<PartEnd> {
        match decision {
            Decision::Continue => None,
            Decision::Stop => Some(PartEnd::Stopped),
            Decision::Pause => Some(PartEnd::Paused),
        }
    }

    /// Says that a trial is another's; nothing was asked for then.
    fn taken(&self, number: u64) -> Option<Asked> {
        let message = format!(
            "trial {number} was taken by another process, since nothing was heard of this one for too long; it is left to that one"
        );
        self.tell(&SearchEvent::Warning { message });
        None
    }

    fn events_of<'a>(&'a self, number: u64, part: &'a Part) -> impl FnMut(&Event) + Send + 'a {
        move |event: &Event| {
            self.tell(&SearchEvent::Run { trial: number, run: part.name.clone(), of: event.clone() });
        }
    }

    pub(crate) fn tell(&self, event: &SearchEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).event(event);
    }

    pub(crate) fn study(&self) -> MutexGuard<'_, SharedStudy> {
        // What it could not write down it reads again.
        self.study.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Evaluations that were told, or need not be.
#[derive(Default)]
struct Told(usize);

/// Deletes what a run has written of which nothing can be used, so that its trial begins anew; what another process works on stays.
fn discard(folder: &RunFolder, catalogs: &Catalogs) -> Result<(), RecipeError> {
    match folder.lock() {
        Ok(_locked) => folder.forget(&run_logs::files(folder, catalogs)),
        Err(RecipeError::FolderBusy { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a run cannot be gone on with since it began as another, or nobody knows how: no values are at fault for that.
fn is_of_other_run(error: &RecipeError) -> bool {
    matches!(
        error,
        RecipeError::ResumeChanged { .. }
            | RecipeError::BeginningUnreadable { .. }
            | RecipeError::BeginningDamaged { .. }
            | RecipeError::NoRunToResume { .. }
    )
}

/// Whether the next trial would fail for it as well, whatever its values are.
fn is_of_study(error: &RecipeError) -> bool {
    match error {
        RecipeError::ForeignRun { .. }
        | RecipeError::Io { .. }
        | RecipeError::NoRoomTogether { .. }
        | RecipeError::OutputFolder { .. }
        | RecipeError::Pipeline(PipelineError::SharedBelowOwn { .. })
        | RecipeError::Runtime(_)
        | RecipeError::Search(_)
        | RecipeError::StudyChanged { .. }
        | RecipeError::StudyDamaged { .. }
        | RecipeError::StudyRecipeChanged { .. }
        | RecipeError::Training(TrainingError::Io { .. }) => true,
        // a trial alone would have room: no values are at fault; where it is alone, they are
        RecipeError::Pipeline(PipelineError::SharedMemory { streams, .. }) => *streams > 1,
        RecipeError::At { source, .. } | RecipeError::Results { source, .. } => is_of_study(source),
        _ => false,
    }
}
