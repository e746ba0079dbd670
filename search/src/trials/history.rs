use super::objective::Objective;
use super::trial::{Trial, TrialState};

/// What is known of a study's trials at one moment.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// All trials, by number.
    pub trials: &'a [Trial],
    /// The numbers of those that are finished, in the order in which they were.
    pub finished: &'a [u64],
    /// What is looked for; one figure or more.
    pub objectives: &'a [Objective],
}

impl<'a> History<'a> {
    /// The finished trials, in the order in which they were.
    pub fn in_order(&self) -> impl Iterator<Item = &'a Trial> + use<'a> {
        let trials = self.trials;
        self.finished.iter().filter_map(move |number| trials.get(*number as usize))
    }

    /// The trials in this state, by number.
    pub fn in_state(&self, state: TrialState) -> impl Iterator<Item = &'a Trial> + use<'a> {
        self.trials.iter().filter(move |trial| trial.state == state)
    }

    /// The first objective's figure as a loss: the lower, the better.
    pub fn loss(&self, value: f64) -> f64 {
        self.objectives.first().map_or(value, |objective| objective.direction.loss(value))
    }

    /// The figures of a complete trial as losses.
    pub fn losses(&self, trial: &Trial) -> Vec<f64> {
        trial.values.iter().zip(self.objectives).map(|(value, objective)| objective.direction.loss(*value)).collect()
    }

    /// The best complete trial by the first objective that breaks no constraint; the earliest of several.
    pub fn best(&self) -> Option<&'a Trial> {
        let feasible = self.trials.iter().filter(|trial| trial.is_feasible());
        let with_loss = feasible.filter_map(|trial| Some((self.loss(*trial.values.first()?), trial)));
        with_loss.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, trial)| trial)
    }
}
