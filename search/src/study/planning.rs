//! What is to happen next in a study, as events that have not happened yet.

use super::untried::untried;
use super::{Asked, AskedTrial, Event, NOT_FAILED, Outcome, Study};
use crate::proposers::{Proposal, Request};
use crate::stopping::{Course, Decision};
use crate::trials::{Trial, TrialState, ranking};
use crate::{Assignment, SearchError};

impl Study {
    /// What a worker gets who asks for work, and the event that lets it happen.
    ///
    /// That is a trial that waits, one that a rule has paused and now wants to go on, or a new one, as long as there are fewer
    /// than `most` trials and settings that were not tried. Where nothing else is left and no trial is complete, the best of the paused ones
    /// goes on.
    ///
    /// # Errors
    /// The proposer proposes what the space does not hold.
    pub fn plan_ask(&self, worker: &str, time: f64, most: Option<u64>) -> Result<(Asked, Option<Event>), SearchError> {
        let taken = |trial: &Trial| {
            let event = Event::Taken { trial: trial.number, worker: worker.into(), time };
            let asked =
                AskedTrial { number: trial.number, assignment: trial.assignment.clone(), reported: trial.last_step() };
            Ok((Asked::Trial(asked), Some(event)))
        };
        let history = self.history();
        if let Some(trial) = history.in_state(TrialState::Waiting).next() {
            return taken(trial);
        }
        let promoted = self.rules.iter().filter_map(|rule| rule.promoted(&history));
        let mut paused =
            promoted.filter_map(|number| history.in_state(TrialState::Paused).find(|trial| trial.number == number));
        if let Some(trial) = paused.next() {
            return taken(trial);
        }
        let number = self.trials.len() as u64;
        if most.is_none_or(|most| number < most) {
            let request = Request { space: &self.settings.space, seed: self.settings.seed, number, history };
            if let Some(Proposal { assignment, note }) = untried(&self.proposer, &request) {
                self.settings.space.check(&assignment)?;
                let asked = AskedTrial { number, assignment: assignment.clone(), reported: None };
                let event = Event::Proposed { trial: number, assignment, note, worker: worker.into(), time };
                return Ok((Asked::Trial(asked), Some(event)));
            }
        }
        if history.in_state(TrialState::Running).next().is_some() {
            return Ok((Asked::Wait, None));
        }
        if history.in_state(TrialState::Complete).next().is_none() {
            let ranking = ranking(&history);
            if let Some(best) = ranking.iter().find(|ranked| ranked.trial.state == TrialState::Paused) {
                return taken(best.trial);
            }
        }
        Ok((Asked::Done, None))
    }

    /// What becomes of a trial after a report, and the event that lets it happen. A step up to the last that was reported is
    /// decided already: whoever goes on from an earlier checkpoint gets the same answer again, and there is no event.
    ///
    /// # Errors
    /// The worker does not work on this trial.
    pub fn plan_report(
        &self,
        trial: u64,
        step: u64,
        value: f64,
        worker: &str,
        time: f64,
    ) -> Result<(Decision, Option<Event>), SearchError> {
        self.plan_step(trial, (step, value), false, worker, time)
    }

    /// As [`Study::plan_report`], of the last step of a trial: no rule ends or pauses what is at its end.
    ///
    /// # Errors
    /// The worker does not work on this trial.
    pub fn plan_last_report(
        &self,
        trial: u64,
        step: u64,
        value: f64,
        worker: &str,
        time: f64,
    ) -> Result<Option<Event>, SearchError> {
        self.plan_step(trial, (step, value), true, worker, time).map(|(_, event)| event)
    }

    fn plan_step(
        &self,
        trial: u64,
        (step, value): (u64, f64),
        is_last: bool,
        worker: &str,
        time: f64,
    ) -> Result<(Decision, Option<Event>), SearchError> {
        let known = self.worked_on(trial, worker)?;
        if known.last_step().is_some_and(|last| step <= last) {
            let pending = self.pending.get(&trial).filter(|(decided_at, _)| *decided_at <= step);
            return Ok((pending.map_or(Decision::Continue, |(_, decision)| *decision), None));
        }
        let mut own = known.clone();
        own.reports.insert(step, value);
        let course = Course { history: self.history(), trial: &own, seed: self.settings.seed };
        let decided = || self.rules.iter().map(|rule| rule.decide(&course)).max().unwrap_or_default();
        let decision = if is_last { Decision::Continue } else { decided() };
        let event = Event::Reported { trial, step, value, decision, worker: worker.into(), time };
        Ok((decision, Some(event)))
    }

    /// The event that sets a trial aside, after a report was answered by [`Decision::Pause`] and its state was saved.
    ///
    /// # Errors
    /// The worker does not work on this trial, or no rule said so.
    pub fn plan_pause(&self, trial: u64, worker: &str, time: f64) -> Result<Event, SearchError> {
        self.worked_on(trial, worker)?;
        match self.pending.get(&trial) {
            Some((_, Decision::Pause)) => Ok(Event::Paused { trial, worker: worker.into(), time }),
            _ => Err(SearchError::trial(trial, "no stopping rule has paused it")),
        }
    }

    /// The event that gives a trial back, whose state was saved.
    ///
    /// # Errors
    /// The worker does not work on this trial.
    pub fn plan_release(&self, trial: u64, worker: &str, time: f64) -> Result<Event, SearchError> {
        self.worked_on(trial, worker)?;
        Ok(Event::Released { trial, worker: worker.into(), time })
    }

    /// The event that ends a trial. One with a figure that is no number has failed.
    ///
    /// # Errors
    /// The worker does not work on this trial, or the figures are not as many as the objectives.
    pub fn plan_tell(&self, trial: u64, outcome: Outcome, worker: &str, time: f64) -> Result<Event, SearchError> {
        self.worked_on(trial, worker)?;
        let outcome = match outcome {
            Outcome::Complete { values, .. } if values.len() != self.settings.objectives.len() => {
                return Err(SearchError::trial(trial, self.wrong_count(values.len())));
            }
            Outcome::Complete { values, .. } if values.iter().any(|value| value.is_nan()) => {
                let objectives = values.iter().zip(&self.settings.objectives);
                let names: Vec<&str> = objectives
                    .filter(|(value, _)| value.is_nan())
                    .map(|(_, objective)| objective.figure.as_str())
                    .collect();
                Outcome::Failed { reason: format!("{} is no number", names.join(" and ")) }
            }
            Outcome::Complete { constraints, .. } if constraints.iter().any(|constraint| constraint.is_nan()) => {
                Outcome::Failed { reason: "a constraint is no number".into() }
            }
            outcome => outcome,
        };
        Ok(Event::Finished { trial, outcome, worker: worker.into(), time })
    }

    /// The event that wants these settings tried next.
    ///
    /// # Errors
    /// The space does not hold them.
    pub fn plan_enqueue(&self, assignment: Assignment, time: f64) -> Result<Event, SearchError> {
        self.settings.space.check(&assignment)?;
        Ok(Event::Enqueued { trial: self.trials.len() as u64, assignment, time })
    }

    /// The events that let trials that have failed be tried again: from what they saved last, and as often as new ones.
    ///
    /// # Errors
    /// One of them is not there, has not failed, or is named twice: then none is tried again.
    pub fn plan_requeues(&self, trials: &[u64], time: f64) -> Result<Vec<Event>, SearchError> {
        let events: Vec<Event> = trials.iter().map(|trial| Event::Requeued { trial: *trial, time }).collect();
        let mut after = self.clone();
        for (event, number) in events.iter().zip(trials) {
            let has_failed = after.trial_mut(*number)?.state == TrialState::Failed;
            if !has_failed {
                return Err(SearchError::trial(*number, NOT_FAILED));
            }
            after.apply(event)?;
        }
        Ok(events)
    }

    /// The events that give up trials whose workers are known to be dead.
    pub fn plan_losses_of(&self, time: f64, is_dead: impl Fn(&str) -> bool) -> Vec<Event> {
        let is_lost = |trial: &&Trial| trial.worker.as_deref().is_some_and(&is_dead);
        let running = self.trials.iter().filter(|trial| trial.state == TrialState::Running);
        running.filter(is_lost).map(|trial| Event::Lost { trial: trial.number, time }).collect()
    }

    /// The events that give up trials whose workers were silent for longer than `silence` seconds.
    pub fn plan_losses(&self, time: f64, silence: f64) -> Vec<Event> {
        let is_lost = |trial: &&Trial| {
            let heard = trial.worker.as_ref().and_then(|worker| self.heard.get(worker));
            heard.is_none_or(|heard| time - heard > silence)
        };
        let running = self.trials.iter().filter(|trial| trial.state == TrialState::Running);
        running.filter(is_lost).map(|trial| Event::Lost { trial: trial.number, time }).collect()
    }

    fn worked_on(&self, number: u64, worker: &str) -> Result<&Trial, SearchError> {
        let trial = usize::try_from(number).ok().and_then(|place| self.trials.get(place));
        let trial =
            trial.ok_or_else(|| SearchError::trial(number, format!("there are {} trials", self.trials.len())))?;
        let is_ours = trial.worker.as_deref() == Some(worker);
        match trial.state {
            TrialState::Running if is_ours => Ok(trial),
            // It was lost, and somebody else may have it.
            TrialState::Running => Err(SearchError::Taken { number, worker: worker.into(), by: trial.worker.clone() }),
            _ if is_ours && trial.was_lost => Err(SearchError::Taken { number, worker: worker.into(), by: None }),
            _ => Err(SearchError::trial(number, "nobody works on it")),
        }
    }
}
