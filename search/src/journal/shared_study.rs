use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millstream_schemas::shown;
use serde::Serialize;
use serde_json::Value;

use super::clock::now;
use super::heart::Heart;
use super::journal_file::JournalFile;
use crate::study::{Asked, Event, Outcome, Study, StudySettings};
use crate::{Assignment, Catalogs, Decision, SearchError};

/// Version of the journal's format.
const FORMAT: u32 = 1;

/// How processes share a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// A trial whose worker was silent for longer is taken for lost. A worker that runs a [`Heart`] is never silent.
    pub silence: Duration,
    /// Trials beyond which no new ones are begun.
    pub most_trials: Option<u64>,
}

impl Default for Sharing {
    /// Five minutes, and any number of trials.
    fn default() -> Self {
        Self { silence: Duration::from_secs(300), most_trials: None }
    }
}

/// A study in a journal, that several processes work on. Each of them has one of these; each call looks first at what the
/// others did.
#[derive(Debug)]
pub struct SharedStudy {
    file: JournalFile,
    study: Study,
    note: Value,
    worker: String,
    sharing: Sharing,
    /// Whether something has happened to the study that could not be written down.
    is_ahead: bool,
}

impl SharedStudy {
    /// Opens the journal of a study, or begins it where there is none.
    ///
    /// # Errors
    /// The file cannot be read, written or locked, is damaged, or is that of a study with other settings.
    pub fn open(
        path: &Path,
        settings: StudySettings,
        catalogs: &Catalogs,
        sharing: Sharing,
    ) -> Result<Self, SearchError> {
        Self::open_noting(path, settings, Value::Null, catalogs, sharing)
    }

    /// The same; a study that begins has this note in its journal. What [`SharedStudy::note`] gives of one that is there is not held
    /// against it.
    ///
    /// # Errors
    /// As [`SharedStudy::open`].
    pub fn open_noting(
        path: &Path,
        settings: StudySettings,
        note: Value,
        catalogs: &Catalogs,
        sharing: Sharing,
    ) -> Result<Self, SearchError> {
        let mut study = Study::new(settings, catalogs)?;
        let mut file = JournalFile::open(path)?;
        let note = file.locked(|file| {
            let mut news = file.news()?.into_iter();
            let note = match news.next() {
                None => {
                    let settings = Box::new(study.settings().clone());
                    file.append(&Event::Study { format: FORMAT, settings, note: note.clone(), time: now() }, true)?;
                    note
                }
                Some((line, event)) => {
                    let (known, note) = first(file, line, event)?;
                    if let Some(message) = difference(&known, study.settings()) {
                        return Err(SearchError::OtherStudy { path: file.path().into(), message });
                    }
                    note
                }
            };
            replay(file, &mut study, news)?;
            Ok(note)
        })?;
        Ok(Self { file, study, note, worker: worker(), sharing, is_ahead: false })
    }

    /// The study that a journal holds, to look at it. Nothing is locked or written.
    ///
    /// # Errors
    /// The file cannot be read or is damaged, or chooses something that is not in the catalogs.
    pub fn read(path: &Path, catalogs: &Catalogs) -> Result<Study, SearchError> {
        let mut file = JournalFile::open_to_read(path)?;
        let mut news = file.news()?.into_iter();
        let Some((line, event)) = news.next() else { return Err(file.damaged(1, "the journal is empty".into())) };
        let mut study = Study::new(first(&file, line, event)?.0, catalogs)?;
        replay(&file, &mut study, news)?;
        Ok(study)
    }

    /// What the study of a journal is; none where there is no journal, or nothing stands in it yet. Nothing is locked or written.
    ///
    /// # Errors
    /// As [`SharedStudy::read`].
    pub fn settings(path: &Path) -> Result<Option<StudySettings>, SearchError> {
        Ok(beginning(path)?.map(|(settings, _)| settings))
    }

    /// What was noted when the study of a journal began; null where that was nothing, or where no study has begun. Nothing is locked or
    /// written.
    ///
    /// # Errors
    /// As [`SharedStudy::read`].
    pub fn note_of(path: &Path) -> Result<Value, SearchError> {
        Ok(beginning(path)?.map_or(Value::Null, |(_, note)| note))
    }

    /// What was noted when it began; null where that was nothing.
    pub fn note(&self) -> &Value {
        &self.note
    }

    /// The study, as it was when something was asked or told last.
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// The name of this worker in the journal.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// Looks at what the others did.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn refresh(&mut self) -> Result<&Study, SearchError> {
        self.act(|_, _, _, _| Ok(()))?;
        Ok(&self.study)
    }

    /// Asks for work. Trials of workers that were silent for too long are given up first, and are then had again.
    ///
    /// # Errors
    /// The file cannot be read or written, or the proposer proposes what the space does not hold.
    pub fn ask(&mut self) -> Result<Asked, SearchError> {
        let sharing = self.sharing;
        self.act(|study, worker, time, write| asked(study, worker, time, sharing, write))
    }

    /// Reports a figure on the way of a trial; steps count from 1. After [`Decision::Pause`] the trial's state is saved and then
    /// [`SharedStudy::pause`] is called, after [`Decision::Stop`] [`SharedStudy::tell`].
    ///
    /// # Errors
    /// The file cannot be read or written, or this worker does not work on the trial any more.
    pub fn report(&mut self, trial: u64, step: u64, value: f64) -> Result<Decision, SearchError> {
        self.act(|study, worker, time, write| {
            let (decision, event) = study.plan_report(trial, step, value, worker, time)?;
            event.map_or(Ok(()), |event| write(study, &event))?;
            Ok(decision)
        })
    }

    /// Reports the figure of a trial's last step: no rule ends or pauses what is at its end.
    ///
    /// # Errors
    /// As [`SharedStudy::report`].
    pub fn report_last(&mut self, trial: u64, step: u64, value: f64) -> Result<(), SearchError> {
        self.act(|study, worker, time, write| {
            let event = study.plan_last_report(trial, step, value, worker, time)?;
            event.map_or(Ok(()), |event| write(study, &event))
        })
    }

    /// Sets a trial aside, whose state was saved.
    ///
    /// # Errors
    /// The file cannot be read or written, or this worker does not work on the trial any more, or no rule said so.
    pub fn pause(&mut self, trial: u64) -> Result<(), SearchError> {
        self.act(|study, worker, time, write| {
            let event = study.plan_pause(trial, worker, time)?;
            write(study, &event)
        })
    }

    /// As [`SharedStudy::pause`] and then, where `asks` says so of the study behind it, [`SharedStudy::ask`], with nothing in between: what is
    /// proposed then knows of no trial that ended later. `None` where it was not asked.
    ///
    /// # Errors
    /// As both.
    pub fn pause_and_ask(
        &mut self,
        trial: u64,
        asks: impl FnOnce(&Study) -> bool,
    ) -> Result<Option<Asked>, SearchError> {
        let sharing = self.sharing;
        self.act(|study, worker, time, write| {
            let event = study.plan_pause(trial, worker, time)?;
            write(study, &event)?;
            if asks(study) { asked(study, worker, time, sharing, write).map(Some) } else { Ok(None) }
        })
    }

    /// Gives a trial back, whose state was saved: whoever asks next goes on with it, and that counts as no loss.
    ///
    /// # Errors
    /// The file cannot be read or written, or this worker does not work on the trial any more.
    pub fn release(&mut self, trial: u64) -> Result<(), SearchError> {
        self.act(|study, worker, time, write| {
            let event = study.plan_release(trial, worker, time)?;
            write(study, &event)
        })
    }

    /// Gives up the trials of workers that are known to be dead, without waiting for their silence.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn give_up(&mut self, is_dead: impl Fn(&str) -> bool) -> Result<(), SearchError> {
        self.act(|study, worker, time, write| {
            let events = study.plan_losses_of(time, |other| other != worker && is_dead(other));
            events.iter().try_for_each(|event| write(study, event))
        })
    }

    /// Tells what came of a trial. It is on the disk when this returns.
    ///
    /// # Errors
    /// The file cannot be read or written, this worker does not work on the trial any more, or the figures are not as many as
    /// the objectives.
    pub fn tell(&mut self, trial: u64, outcome: Outcome) -> Result<(), SearchError> {
        self.act(|study, worker, time, write| {
            let event = study.plan_tell(trial, outcome, worker, time)?;
            write(study, &event)
        })
    }

    /// As [`SharedStudy::tell`] and then, where `asks` says so of the study behind it, [`SharedStudy::ask`], with nothing in between: what is
    /// proposed then knows of no trial that ended later, however many workers there are. `None` where it was not asked.
    ///
    /// # Errors
    /// As both.
    pub fn tell_and_ask(
        &mut self,
        trial: u64,
        outcome: Outcome,
        asks: impl FnOnce(&Study) -> bool,
    ) -> Result<Option<Asked>, SearchError> {
        let sharing = self.sharing;
        self.act(|study, worker, time, write| {
            let event = study.plan_tell(trial, outcome, worker, time)?;
            write(study, &event)?;
            if asks(study) { asked(study, worker, time, sharing, write).map(Some) } else { Ok(None) }
        })
    }

    /// Wants these settings tried next; gives the trial's number.
    ///
    /// # Errors
    /// The file cannot be read or written, or the space does not hold them.
    pub fn enqueue(&mut self, assignment: Assignment) -> Result<u64, SearchError> {
        self.act(|study, _, time, write| {
            let event = study.plan_enqueue(assignment, time)?;
            write(study, &event)?;
            Ok(study.trials().len() as u64 - 1)
        })
    }

    /// Lets trials that have failed be tried again, all of them or none; whoever asks next has them.
    ///
    /// # Errors
    /// The file cannot be read or written, or one of them has not failed or is named twice.
    pub fn requeue(&mut self, trials: &[u64]) -> Result<(), SearchError> {
        self.act(|study, _, time, write| {
            let events = study.plan_requeues(trials, time)?;
            events.iter().try_for_each(|event| write(study, event))
        })
    }

    /// Says that this worker lives.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn beat(&mut self) -> Result<(), SearchError> {
        self.act(|study, worker, time, write| write(study, &Event::Alive { worker: worker.into(), time }))
    }

    /// A thread that says so again and again, until it is dropped: for trials that report less often than the silence is long.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn heart(&self, every: Duration) -> Result<Heart, SearchError> {
        // What nobody else can open needs no beats.
        if self.file.is_alone() {
            Ok(Heart::silent())
        } else {
            Heart::start(self.file.path(), self.worker.clone(), every)
        }
    }

    /// Looks at what the others did, and does something about it while nobody else writes.
    fn act<T>(
        &mut self,
        work: impl FnOnce(&mut Study, &str, f64, Write<'_>) -> Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        if self.is_ahead {
            self.study = self.study.emptied();
            self.file.rewind();
        }
        let Self { file, study, worker, is_ahead, .. } = self;
        file.locked(|file| {
            let news = file.news()?;
            replay(file, study, news)?;
            *is_ahead = false;
            let mut write = |study: &mut Study, event: &Event| {
                // What cannot happen must not be written.
                study.apply(event)?;
                file.append(event, matches!(event, Event::Finished { .. })).inspect_err(|_| *is_ahead = true)
            };
            work(study, worker, now(), &mut write)
        })
    }
}

/// Writes an event down and lets it happen.
type Write<'a> = &'a mut dyn FnMut(&mut Study, &Event) -> Result<(), SearchError>;

/// What a worker gets who asks for work; who was silent for too long is taken for lost first.
fn asked(study: &mut Study, worker: &str, time: f64, sharing: Sharing, write: Write<'_>) -> Result<Asked, SearchError> {
    for event in study.plan_losses(time, sharing.silence.as_secs_f64()) {
        write(study, &event)?;
    }
    let (asked, event) = study.plan_ask(worker, time, sharing.most_trials)?;
    event.map_or(Ok(()), |event| write(study, &event))?;
    Ok(asked)
}

/// A name that no other worker has.
fn worker() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    format!("{}-{nanoseconds:x}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Settings and note of the study of a journal; none where nothing stands in it yet.
fn beginning(path: &Path) -> Result<Option<(StudySettings, Value)>, SearchError> {
    if !path.exists() {
        return Ok(None);
    }
    let mut file = JournalFile::open_to_read(path)?;
    let begun = file.news()?.into_iter().next();
    begun.map(|(line, event)| first(&file, line, event)).transpose()
}

fn first(file: &JournalFile, line: u64, event: Event) -> Result<(StudySettings, Value), SearchError> {
    match event {
        Event::Study { format: FORMAT, settings, note, .. } => Ok((*settings, note)),
        Event::Study { format, .. } => {
            Err(file.damaged(line, format!("a journal of format {format}; this version reads {FORMAT}")))
        }
        _ => Err(file.damaged(line, "a journal begins with the event `study`".into())),
    }
}

fn replay(
    file: &JournalFile,
    study: &mut Study,
    events: impl IntoIterator<Item = (u64, Event)>,
) -> Result<(), SearchError> {
    let mut events = events.into_iter().filter(|(line, event)| *line > 1 || !matches!(event, Event::Study { .. }));
    events.try_for_each(|(line, event)| study.apply(&event).map_err(|error| file.damaged(line, error.to_string())))
}

/// What tells two studies apart, the known one first.
fn difference(known: &StudySettings, wanted: &StudySettings) -> Option<String> {
    let StudySettings { name, seed, space, objectives, proposer, stopping, retries } = known;
    let differs = |what: &str, is: String, wanted: String| Some(format!("its study has {what} {is}, not {wanted}"));
    if *name != wanted.name {
        return differs("the name", format!("`{}`", shown(name)), format!("`{}`", shown(&wanted.name)));
    }
    if *seed != wanted.seed {
        return differs("the seed", seed.to_string(), wanted.seed.to_string());
    }
    if *space != wanted.space {
        let both = space.parameters().iter().zip(wanted.space.parameters());
        let Some((is, wants)) = both.into_iter().find(|(is, wants)| is != wants) else {
            let counts =
                [space, &wanted.space].map(|space| millstream_schemas::count(space.parameters().len(), "parameter"));
            return Some(format!("its study has {}, not {}", counts[0], counts[1]));
        };
        return differs("the parameter", json(is), json(wants));
    }
    if *objectives != wanted.objectives {
        return differs("the objectives", json(objectives), json(&wanted.objectives));
    }
    if *proposer != wanted.proposer {
        return differs("the proposer", json(proposer), json(&wanted.proposer));
    }
    if *stopping != wanted.stopping {
        return differs("the stopping rules", json(stopping), json(&wanted.stopping));
    }
    (*retries != wanted.retries).then(|| format!("its study has {retries} retries, not {}", wanted.retries))
}

fn json(value: &impl Serialize) -> String {
    shown(serde_json::to_string(value).unwrap_or_default())
}
