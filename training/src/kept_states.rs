use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::divergence;
use crate::loop_settings::CheckpointAverage;
use crate::metrics::{Evaluation, FigureKind};

/// Parameters that several hold and nobody changes.
pub(crate) type SharedParameters = Arc<Vec<Vec<f32>>>;

/// States of a run at its end with running statistics that were computed anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finals {
    /// What is exported.
    pub(crate) exported: Option<SharedParameters>,
    /// After the last step.
    pub(crate) last: Option<SharedParameters>,
}

/// A state that was evaluated and is kept to be averaged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptRecord {
    /// Steps done.
    pub step: u64,
    /// Loss on the evaluation rows.
    pub loss: f64,
    /// The figure that decides, where it was measured.
    pub figure: Option<f64>,
}

/// The evaluated states whose mean is exported, in the order of their steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptStates {
    average: Option<CheckpointAverage>,
    states: Vec<(KeptRecord, SharedParameters)>,
}

impl KeptStates {
    pub(crate) fn new(average: Option<CheckpointAverage>, states: Vec<(KeptRecord, SharedParameters)>) -> Self {
        Self { average, states }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.average.is_some()
    }

    pub(crate) fn records(&self) -> Vec<KeptRecord> {
        self.states.iter().map(|(record, _)| record.clone()).collect()
    }

    pub(crate) fn parameters(&self) -> Vec<SharedParameters> {
        self.states.iter().map(|(_, parameters)| Arc::clone(parameters)).collect()
    }

    /// Whether a state of this evaluation would be kept. One whose loss is no number never is.
    pub(crate) fn takes(&self, evaluation: &Evaluation, decides: &FigureKind) -> bool {
        let Some(average) = self.average.filter(|_| divergence::is_finite(evaluation)) else { return false };
        match average {
            CheckpointAverage::Last(_) => true,
            CheckpointAverage::Best(count) if self.states.len() < count => true,
            CheckpointAverage::Best(_) => {
                let new = KeptRecord { step: u64::MAX, ..record(0, evaluation, decides) };
                self.worst(decides).is_some_and(|worst| is_better(&new, &self.states[worst].0, decides))
            }
        }
    }

    /// Keeps a state that [`KeptStates::takes`], in the place of the oldest or the worst one where there are enough.
    pub(crate) fn keep(
        &mut self,
        step: u64,
        evaluation: &Evaluation,
        decides: &FigureKind,
        parameters: SharedParameters,
    ) {
        let Some(average) = self.average else { return };
        if self.states.len() >= average.count() {
            let leaves = match average {
                CheckpointAverage::Last(_) => Some(0),
                CheckpointAverage::Best(_) => self.worst(decides),
            };
            if let Some(leaves) = leaves {
                self.states.remove(leaves);
            }
        }
        self.states.push((record(step, evaluation, decides), parameters));
    }

    /// The mean of the kept states, element by element; none before the first is kept.
    pub(crate) fn mean(&self) -> Option<Vec<Vec<f32>>> {
        let (_, first) = self.states.first()?;
        let share = 1.0 / self.states.len() as f64;
        let mean = |(tensor, values): (usize, &Vec<f32>)| {
            let element = |at: usize| {
                let sum: f64 = self.states.iter().map(|(_, state)| f64::from(state[tensor][at])).sum();
                (sum * share) as f32
            };
            (0..values.len()).map(element).collect()
        };
        Some(first.iter().enumerate().map(mean).collect())
    }

    /// The place of the worst; of equals the latest.
    fn worst(&self, decides: &FigureKind) -> Option<usize> {
        let places = 0..self.states.len();
        places
            .reduce(|worst, at| if is_better(&self.states[at].0, &self.states[worst].0, decides) { worst } else { at })
    }
}

fn record(step: u64, evaluation: &Evaluation, decides: &FigureKind) -> KeptRecord {
    KeptRecord { step, loss: evaluation.loss, figure: evaluation.figure(&decides.name) }
}

/// By the figure that decides, then by the loss.
fn is_better(one: &KeptRecord, other: &KeptRecord, decides: &FigureKind) -> bool {
    let (better, worse) = (decides.is_better(one.figure, other.figure), decides.is_better(other.figure, one.figure));
    better || !worse && one.loss < other.loss
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(accuracy: f64, loss: f64) -> Evaluation {
        Evaluation {
            rows: 10,
            not_finite: 0,
            loss,
            figures: [("accuracy", Some(accuracy))].into_iter().collect(),
            tables: Vec::new(),
            majority: None,
            confidence: 0.95,
            intervals: Vec::new(),
            slices: Vec::new(),
            mistakes: Vec::new(),
            mistaken_pictures: Vec::new(),
            mistaken_masks: Vec::new(),
        }
    }

    /// Offers states of one number, their step; the steps that are kept and their mean.
    fn kept(average: CheckpointAverage, offered: &[(f64, f64)]) -> (Vec<u64>, f32) {
        let decides = &FigureKind::of_older_builds()[0];
        let mut states = KeptStates::new(Some(average), Vec::new());
        for (step, (accuracy, loss)) in (1..).zip(offered) {
            let evaluation = evaluation(*accuracy, *loss);
            if states.takes(&evaluation, decides) {
                states.keep(step, &evaluation, decides, Arc::new(vec![vec![step as f32]]));
            }
        }
        let mean = states.mean().map_or(f32::NAN, |mean| mean[0][0]);
        (states.records().into_iter().map(|record| record.step).collect(), mean)
    }

    #[test]
    fn the_last_or_the_best_states_are_kept_and_averaged() {
        let offered = [(0.5, 1.0), (0.9, 0.4), (0.7, 0.5), (0.9, 0.3), (0.6, 0.9), (0.7, 0.5)];
        for (average, steps, mean) in [
            (CheckpointAverage::Last(1), vec![6], 6.0),
            (CheckpointAverage::Last(3), vec![4, 5, 6], 5.0),
            (CheckpointAverage::Last(9), vec![1, 2, 3, 4, 5, 6], 3.5),
            (CheckpointAverage::Best(1), vec![4], 4.0),
            (CheckpointAverage::Best(2), vec![2, 4], 3.0),
            // of equals the earlier one stays
            (CheckpointAverage::Best(3), vec![2, 3, 4], 3.0),
        ] {
            assert_eq!(kept(average, &offered), (steps, mean), "{average:?}");
        }
    }

    #[test]
    fn a_state_whose_loss_is_no_number_is_not_kept() {
        for average in [CheckpointAverage::Last(2), CheckpointAverage::Best(2)] {
            assert_eq!(kept(average, &[(0.5, 1.0), (0.9, f64::NAN), (0.6, 0.8)]).0, [1, 3], "{average:?}");
        }
    }
}
