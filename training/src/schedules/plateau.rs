//! Down by a factor whenever evaluations get no better.

use serde::{Deserialize, Serialize};

use crate::metrics::{Better, FigureKind};

/// Reductions of less than this are not made, as in PyTorch.
const LEAST_REDUCTION: f64 = 1e-8;

/// When the learning rate is reduced because evaluations get no better: `ReduceLROnPlateau` of PyTorch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    /// What the rate is multiplied by, above 0 and below 1.
    pub factor: f64,
    /// Evaluations without a gain that are waited for; the one behind them reduces.
    pub patience: u64,
    /// How much better than the best before an evaluation must be to be a gain.
    pub threshold: f64,
    /// Whether the threshold is a share of the best, or a distance.
    pub is_relative: bool,
    /// Evaluations behind a reduction that do not count.
    pub cooldown: u64,
    /// No reduction leads below this learning rate.
    pub min_learning_rate: f64,
}

/// What a plateau remembers of the evaluations so far; a part of the run's history, and so of its checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlateauState {
    /// The factor on the learning rate.
    pub factor: f64,
    /// The best figure so far.
    pub best: Option<f64>,
    /// Evaluations in a row without a gain.
    pub waited: u64,
    /// Evaluations that do not count yet.
    pub cooling: u64,
    /// The epochs, from 0, after which the rate was reduced.
    pub reduced_after: Vec<u64>,
}

impl Default for PlateauState {
    fn default() -> Self {
        Self { factor: 1.0, best: None, waited: 0, cooling: 0, reduced_after: Vec::new() }
    }
}

impl PlateauState {
    /// Takes in the figure of an evaluation; says whether the rate is reduced. What is no number is no gain. `base` is the
    /// learning rate without any factor.
    pub(crate) fn add(
        &mut self,
        rule: &Plateau,
        figure: Option<f64>,
        decides: &FigureKind,
        (base, epoch): (f64, u64),
    ) -> bool {
        let figure = figure.filter(|figure| figure.is_finite());
        if figure.is_some_and(|figure| self.best.is_none_or(|best| rule.is_gain(figure, best, decides.better))) {
            (self.best, self.waited) = (figure, 0);
        } else {
            self.waited += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.waited = 0;
        }
        if self.waited <= rule.patience {
            return false;
        }
        (self.cooling, self.waited) = (rule.cooldown, 0);
        let reduced = (self.factor * rule.factor).max(rule.min_learning_rate / base).min(self.factor);
        let is_worth_it = (self.factor - reduced) * base > LEAST_REDUCTION;
        if is_worth_it {
            self.factor = reduced;
            self.reduced_after.push(epoch);
        }
        is_worth_it
    }
}

impl Plateau {
    fn is_gain(&self, figure: f64, best: f64, better: Better) -> bool {
        let bar = match (better, self.is_relative) {
            (Better::Lower, true) => best * (1.0 - self.threshold),
            (Better::Higher, true) => best * (1.0 + self.threshold),
            (Better::Lower, false) => best - self.threshold,
            (Better::Higher, false) => best + self.threshold,
        };
        match better {
            Better::Lower => figure < bar,
            Better::Higher => figure > bar,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Unit;

    fn kind(better: Better) -> FigureKind {
        FigureKind { name: "figure".into(), better, unit: Unit::Number, of_constant_answer: false }
    }

    const RULE: Plateau =
        Plateau { factor: 0.5, patience: 1, threshold: 1e-4, is_relative: true, cooldown: 0, min_learning_rate: 0.0 };

    #[test]
    fn rates_are_those_of_pytorch() {
        for (rule, better, figures, wanted) in references() {
            let mut state = PlateauState::default();
            for (epoch, (figure, wanted)) in figures.iter().zip(wanted).enumerate() {
                state.add(&rule, Some(*figure), &kind(better), (0.1, epoch as u64));
                let rate = 0.1 * state.factor;
                assert!((rate - wanted).abs() < 1e-12, "{rule:?}, figure {epoch}: {rate}, wanted {wanted}");
            }
        }
    }

    /// Rule, which way is better, figures, and what `torch.optim.lr_scheduler.ReduceLROnPlateau` (PyTorch 2.15.0) makes of a rate of 0.1.
    fn references() -> [(Plateau, Better, [f64; 15], [f64; 15]); 7] {
        let falling = [1.0, 0.8, 0.79999, 0.8, 0.81, 0.7, 0.7, 0.7, 0.7, 0.65, 0.66, 0.67, 0.68, 0.69, 0.7];
        let rising = [0.5, 0.6, 0.6, 0.6, 0.60005, 0.62, 0.61, 0.61, 0.61, 0.61, 0.7, 0.7, 0.7, 0.7, 0.7];
        [
            (
                RULE,
                Better::Lower,
                falling,
                [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.025, 0.0125, 0.0125, 0.00625, 0.00625],
            ),
            (
                Plateau { cooldown: 2, patience: 0, factor: 0.1, ..RULE },
                Better::Lower,
                falling,
                [
                    0.1,
                    0.1,
                    0.010000000000000002,
                    0.010000000000000002,
                    0.010000000000000002,
                    0.010000000000000002,
                    0.0010000000000000002,
                    0.0010000000000000002,
                    0.0010000000000000002,
                    0.0010000000000000002,
                    0.00010000000000000003,
                    0.00010000000000000003,
                    0.00010000000000000003,
                    1.0000000000000004e-05,
                    1.0000000000000004e-05,
                ],
            ),
            (
                Plateau { min_learning_rate: 0.02, ..RULE },
                Better::Lower,
                falling,
                [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.025, 0.02, 0.02, 0.02, 0.02],
            ),
            (
                RULE,
                Better::Higher,
                rising,
                [
                    0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125, 0.0125, 0.00625, 0.00625,
                    0.003125,
                ],
            ),
            (
                Plateau { threshold: 0.05, is_relative: false, patience: 2, ..RULE },
                Better::Higher,
                rising,
                [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.0125, 0.0125],
            ),
            (
                Plateau { threshold: 0.1, ..RULE },
                Better::Lower,
                falling,
                [
                    0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125, 0.00625, 0.00625, 0.003125,
                    0.003125,
                ],
            ),
            (
                Plateau { factor: 1e-6, patience: 0, ..RULE },
                Better::Lower,
                falling,
                [
                    0.1,
                    0.1,
                    1e-07,
                    9.999999999999999e-14,
                    9.999999999999999e-14,
                    9.999999999999999e-14,
                    9.999999999999999e-14,
                    9.999999999999999e-14,
                    9.999999999999999e-14,
                    9.999999999999999e-14,
                    9.999999999999999e-14,
                    9.999999999999999e-14,
                    9.999999999999999e-14,
                    9.999999999999999e-14,
                    9.999999999999999e-14,
                ],
            ),
        ]
    }

    #[test]
    fn what_is_no_number_is_no_gain_and_is_never_the_best() {
        let mut state = PlateauState::default();
        let figures = [None, Some(f64::NAN), Some(1.0), None, Some(f64::NAN), Some(0.5)];
        let reduced: Vec<bool> = (0..)
            .zip(figures)
            .map(|(epoch, figure)| state.add(&RULE, figure, &kind(Better::Lower), (0.1, epoch)))
            .collect();
        assert_eq!(reduced, [false, true, false, false, true, false]);
        assert_eq!((state.best, state.reduced_after), (Some(0.5), vec![1, 4]));
    }
}
