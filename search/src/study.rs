//! A study: what is known of its trials, and what follows from that. It reads no clock and no file; what happens to it are
//! events, so that whoever replays them has the same study.

mod event;
mod planning;
mod settings;
mod untried;

use std::collections::BTreeMap;

use millstream_schemas::shown;

pub use event::{Event, Outcome};
pub use settings::StudySettings;

use crate::importance::{self, Importance};
use crate::proposers::Proposer;
use crate::stopping::{Decision, StoppingRule};
use crate::trials::{History, Trial, TrialState, constrained_dominates, fronts};
use crate::{Assignment, Catalogs, SearchError};

/// Who works on trials of a study that is not shared.
const ALONE: &str = "alone";

/// Why a trial cannot be queued again.
const NOT_FAILED: &str = "it has not failed; only what has failed is tried again";

/// What came of asking for work.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// A trial to work on.
    Trial(AskedTrial),
    /// Nothing now; when others are done there may be something.
    Wait,
    /// Nothing any more.
    Done,
}

/// A trial to work on.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedTrial {
    /// Its number.
    pub number: u64,
    /// Its settings.
    pub assignment: Assignment,
    /// The last step that was reported, where it was begun before: it goes on from what it saved last.
    pub reported: Option<u64>,
}

/// A study: settings, and the trials so far.
#[derive(Clone, Debug)]
pub struct Study {
    settings: StudySettings,
    proposer: Proposer,
    rules: Vec<StoppingRule>,
    trials: Vec<Trial>,
    finished: Vec<u64>,
    /// What was decided at which step and is not carried out yet.
    pending: BTreeMap<u64, (u64, Decision)>,
    /// When something was heard of a worker last.
    heard: BTreeMap<String, f64>,
    /// What workers did with trials so far.
    acts: u64,
    /// The first and the last of these that each worker did.
    worked: BTreeMap<String, [u64; 2]>,
}

impl Study {
    /// A study without trials.
    ///
    /// # Errors
    /// Settings that do not go together, or that choose something that is not in the catalogs.
    pub fn new(mut settings: StudySettings, catalogs: &Catalogs) -> Result<Self, SearchError> {
        let proposer = Proposer::choose(&catalogs.proposers, &settings.proposer, "search.proposer")?;
        let rule = |(at, choice)| StoppingRule::choose(&catalogs.stopping, choice, &format!("search.stopping[{at}]"));
        let rules = settings.stopping.iter().enumerate().map(rule).collect::<Result<Vec<_>, _>>()?;
        let refused = |message: String| SearchError::Study { study: shown(&settings.name), message };
        if settings.objectives.is_empty() {
            return Err(refused("it looks for no figure; name one or more".into()));
        }
        if let (false, count @ 2..) = (rules.is_empty(), settings.objectives.len()) {
            let message = format!(
                "rules look at one figure, got {count}; name one in `search.objective`, or leave the rules out"
            );
            return Err(SearchError::Setting { place: "search.stopping", message });
        }
        let refused = |message: String| SearchError::Setting { place: "search.proposer", message };
        proposer.check(&settings.space, &settings.objectives).map_err(refused)?;
        // With every default, so that two that mean the same are the same.
        settings.proposer = proposer.choice().clone();
        settings.stopping = rules.iter().map(|rule| rule.choice().clone()).collect();
        let (trials, finished, pending, heard, acts, worked) = Default::default();
        Ok(Self { settings, proposer, rules, trials, finished, pending, heard, acts, worked })
    }

    /// The same study without any trials.
    pub(crate) fn emptied(&self) -> Self {
        let Self { settings, proposer, rules, .. } = self.clone();
        let (trials, finished, pending, heard, acts, worked) = Default::default();
        Self { settings, proposer, rules, trials, finished, pending, heard, acts, worked }
    }

    /// What proposes, as it was chosen.
    pub fn proposer(&self) -> &Proposer {
        &self.proposer
    }

    /// What the study is, with every default filled in.
    pub fn settings(&self) -> &StudySettings {
        &self.settings
    }

    /// All trials, by number.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// What is known of them.
    pub fn history(&self) -> History<'_> {
        History { trials: &self.trials, finished: &self.finished, objectives: &self.settings.objectives }
    }

    /// How many workers had trials. A process is one; started again, it is another.
    pub fn workers(&self) -> usize {
        self.worked.len()
    }

    /// Whether a worker began before another had done its last: what was proposed then depends on which of them was faster.
    pub fn had_workers_together(&self) -> bool {
        let mut spans: Vec<[u64; 2]> = self.worked.values().copied().collect();
        spans.sort_unstable();
        spans.windows(2).any(|pair| pair[1][0] < pair[0][1])
    }

    /// The best complete trial by the first objective that breaks no constraint; the earliest of several.
    pub fn best(&self) -> Option<&Trial> {
        self.history().best()
    }

    /// The complete trials that break no constraint and are not beaten in all figures by another, by number.
    pub fn front(&self) -> Vec<&Trial> {
        let complete: Vec<&Trial> = self.trials.iter().filter(|trial| trial.is_feasible()).collect();
        let losses: Vec<Vec<f64>> = complete.iter().map(|trial| self.history().losses(trial)).collect();
        let dominates =
            |a: usize, b: usize| constrained_dominates((complete[a], &losses[a]), (complete[b], &losses[b]));
        let first = fronts(complete.len(), dominates).into_iter().next().unwrap_or_default();
        first.into_iter().map(|place| complete[place]).collect()
    }

    /// How much of what the parameters account for one by one each of them does in a figure, most first: main effects alone, which add up to
    /// 1, without interactions; of complete trials. `None` where the figure
    /// is the same in all, or there are fewer than two.
    pub fn importance(&self, figure: usize) -> Option<Vec<Importance>> {
        let complete = self.trials.iter().filter(|trial| trial.state == TrialState::Complete);
        let observed: Vec<(&Assignment, f64)> =
            complete.filter_map(|trial| Some((&trial.assignment, *trial.values.get(figure)?))).collect();
        importance::importance(&self.settings.space, &observed, self.settings.seed)
    }

    /// Asks for work in a study that is not shared.
    ///
    /// # Errors
    /// The proposer proposes what the space does not hold.
    pub fn ask(&mut self) -> Result<Asked, SearchError> {
        let (asked, event) = self.plan_ask(ALONE, 0.0, None)?;
        event.map_or(Ok(()), |event| self.apply(&event))?;
        Ok(asked)
    }

    /// Reports a figure on the way of a trial, in a study that is not shared; steps count from 1.
    ///
    /// # Errors
    /// Nobody works on the trial.
    pub fn report(&mut self, trial: u64, step: u64, value: f64) -> Result<Decision, SearchError> {
        let (decision, event) = self.plan_report(trial, step, value, ALONE, 0.0)?;
        event.map_or(Ok(()), |event| self.apply(&event))?;
        Ok(decision)
    }

    /// Sets a trial aside as a rule said, in a study that is not shared.
    ///
    /// # Errors
    /// Nobody works on the trial, or no rule said so.
    pub fn pause(&mut self, trial: u64) -> Result<(), SearchError> {
        self.apply(&self.plan_pause(trial, ALONE, 0.0)?)
    }

    /// Tells what came of a trial, in a study that is not shared.
    ///
    /// # Errors
    /// Nobody works on the trial, or the figures are not as many as the objectives.
    pub fn tell(&mut self, trial: u64, outcome: Outcome) -> Result<(), SearchError> {
        self.apply(&self.plan_tell(trial, outcome, ALONE, 0.0)?)
    }

    /// Wants these settings tried next, in a study that is not shared.
    ///
    /// # Errors
    /// The space does not hold them.
    pub fn enqueue(&mut self, assignment: Assignment) -> Result<u64, SearchError> {
        let event = self.plan_enqueue(assignment, 0.0)?;
        self.apply(&event)?;
        Ok(self.trials.len() as u64 - 1)
    }

    /// Lets an event happen. What is refused changes nothing.
    ///
    /// # Errors
    /// It cannot happen now: a trial that is not there, is finished, or has another number than the next.
    pub fn apply(&mut self, event: &Event) -> Result<(), SearchError> {
        match event {
            Event::Study { .. } => return Err(self.refused("a study begins once")),
            Event::Enqueued { trial, assignment, .. } => self.add(*trial, assignment)?,
            Event::Proposed { trial, assignment, note, worker, time } => {
                self.add(*trial, assignment)?;
                let added = self.trials.last_mut().expect("it was added");
                added.note = note.clone();
                self.take(*trial, worker, *time)?;
            }
            Event::Taken { trial, worker, time } => self.take(*trial, worker, *time)?,
            Event::Reported { trial, step, value, decision, worker, time } => {
                let reported = self.in_state(*trial, TrialState::Running)?;
                // what gets on was not lost in vain
                if reported.last_step().is_none_or(|last| *step > last) {
                    reported.losses = 0;
                }
                reported.reports.insert(*step, *value);
                if *decision != Decision::Continue {
                    self.pending.insert(*trial, (*step, *decision));
                }
                self.act(worker, *time);
            }
            Event::Paused { trial, worker, time } => {
                let paused = self.in_state(*trial, TrialState::Running)?;
                paused.state = TrialState::Paused;
                paused.rest(*time);
                self.act(worker, *time);
            }
            Event::Released { trial, worker, time } => {
                let pending = self.pending.get(trial).map(|(_, decision)| *decision);
                let released = self.in_state(*trial, TrialState::Running)?;
                released.rest(*time);
                match pending {
                    Some(Decision::Stop) => self.finish(*trial, &Outcome::Stopped, *time),
                    Some(Decision::Pause) => released.state = TrialState::Paused,
                    _ => released.state = TrialState::Waiting,
                }
                self.act(worker, *time);
            }
            Event::Finished { trial, outcome, worker, time } => {
                self.check_outcome(*trial, outcome)?;
                self.in_state(*trial, TrialState::Running)?;
                self.finish(*trial, outcome, *time);
                self.act(worker, *time);
            }
            Event::Requeued { trial, .. } => self.requeue(*trial)?,
            Event::Alive { worker, time } => self.hear(worker, *time),
            Event::Lost { trial, time } => self.lose(*trial, *time)?,
        }
        Ok(())
    }

    fn add(&mut self, number: u64, assignment: &Assignment) -> Result<(), SearchError> {
        if number != self.trials.len() as u64 {
            return Err(SearchError::trial(number, format!("the next trial is {}", self.trials.len())));
        }
        self.settings.space.check(assignment)?;
        self.trials.push(Trial::waiting(number, assignment.clone()));
        Ok(())
    }

    fn take(&mut self, number: u64, worker: &str, time: f64) -> Result<(), SearchError> {
        let trial = self.trial_mut(number)?;
        if !matches!(trial.state, TrialState::Waiting | TrialState::Paused) {
            return Err(SearchError::trial(number, "it neither waits nor is it paused"));
        }
        trial.state = TrialState::Running;
        trial.was_lost = false;
        trial.worker = Some(worker.to_owned());
        trial.began.get_or_insert(time);
        trial.taken = Some(time);
        self.pending.remove(&number);
        self.act(worker, time);
        Ok(())
    }

    fn finish(&mut self, number: u64, outcome: &Outcome, time: f64) {
        let trial = &mut self.trials[number as usize];
        match outcome {
            Outcome::Complete { values, constraints, interval } => {
                trial.state = TrialState::Complete;
                trial.interval = *interval;
                trial.values.clone_from(values);
                trial.constraints.clone_from(constraints);
            }
            Outcome::Stopped => trial.state = TrialState::Stopped,
            Outcome::Failed { reason } => {
                trial.state = TrialState::Failed;
                trial.reason = Some(reason.clone());
            }
        }
        trial.rest(time);
        trial.ended = Some(time);
        self.finished.push(number);
        self.pending.remove(&number);
    }

    /// A trial that has failed waits again, as if it had never been lost; it goes on from what it saved last.
    fn requeue(&mut self, number: u64) -> Result<(), SearchError> {
        let trial = self.trial_mut(number)?;
        // builds that counted every loss gave up what is only to be gone on with here
        let waits_after_losses = trial.state == TrialState::Waiting && trial.losses > 0;
        if trial.state != TrialState::Failed && !waits_after_losses {
            return Err(SearchError::trial(number, NOT_FAILED));
        }
        trial.state = TrialState::Waiting;
        (trial.reason, trial.ended, trial.losses, trial.is_given_up) = (None, None, 0, false);
        self.finished.retain(|finished| *finished != number);
        Ok(())
    }

    /// What was decided and not told is taken for told; anything else is to be gone on with.
    fn lose(&mut self, number: u64, time: f64) -> Result<(), SearchError> {
        let (retries, pending) = (self.settings.retries, self.pending.get(&number).map(|(_, decision)| *decision));
        let worker = self.trial_mut(number)?.worker.clone();
        let heard = worker.and_then(|worker| self.heard.get(&worker)).copied();
        let trial = self.in_state(number, TrialState::Running)?;
        trial.losses += 1;
        trial.was_lost = true;
        // how long it lived after that nobody knows
        trial.rest(heard.unwrap_or(time));
        match pending {
            Some(Decision::Stop) => self.finish(number, &Outcome::Stopped, time),
            Some(Decision::Pause) => trial.state = TrialState::Paused,
            _ if trial.losses > retries => {
                trial.is_given_up = true;
                let times = millstream_schemas::count(trial.losses as usize, "time");
                let between = if trial.losses > 1 { ", and no new step was reported in between" } else { "" };
                let reason = format!("the process that worked on it was lost {times}{between}");
                self.finish(number, &Outcome::Failed { reason }, time);
            }
            _ => trial.state = TrialState::Waiting,
        }
        Ok(())
    }

    /// A worker did something with a trial.
    fn act(&mut self, worker: &str, time: f64) {
        self.acts += 1;
        let acts = self.acts;
        self.worked.entry(worker.to_owned()).or_insert([acts, acts])[1] = acts;
        self.hear(worker, time);
    }

    fn hear(&mut self, worker: &str, time: f64) {
        let heard = self.heard.entry(worker.to_owned()).or_insert(time);
        *heard = heard.max(time);
    }

    fn trial_mut(&mut self, number: u64) -> Result<&mut Trial, SearchError> {
        let count = self.trials.len();
        let trial = usize::try_from(number).ok().and_then(|place| self.trials.get_mut(place));
        trial.ok_or_else(|| SearchError::trial(number, format!("there are {count} trials")))
    }

    fn in_state(&mut self, number: u64, state: TrialState) -> Result<&mut Trial, SearchError> {
        let trial = self.trial_mut(number)?;
        if trial.state == state { Ok(trial) } else { Err(SearchError::trial(number, "nobody works on it")) }
    }

    fn check_outcome(&self, number: u64, outcome: &Outcome) -> Result<(), SearchError> {
        let Outcome::Complete { values, constraints, .. } = outcome else { return Ok(()) };
        if values.len() != self.settings.objectives.len() {
            return Err(SearchError::trial(number, self.wrong_count(values.len())));
        }
        if values.iter().chain(constraints).any(|value| value.is_nan()) {
            return Err(SearchError::trial(number, "a figure or constraint of a complete trial is no number"));
        }
        Ok(())
    }

    fn wrong_count(&self, got: usize) -> String {
        let wanted = millstream_schemas::count(self.settings.objectives.len(), "figure");
        format!("the study looks for {wanted}, got {got}")
    }

    fn refused(&self, message: &str) -> SearchError {
        SearchError::Study { study: shown(&self.settings.name), message: message.into() }
    }
}
