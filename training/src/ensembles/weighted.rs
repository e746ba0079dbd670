use millstream_compiler::fused::Combination;
use millstream_schemas::choice::Options;
use millstream_schemas::{PredictionTargets, ScoresOf, decimal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ensemble_function::{EnsembleFunction, Fitted, Fitting};
use super::ensemble_kind::{Build, EnsembleKind, Worked};
use super::member_scores::MemberScores;
use super::mixture::Mixture;
use super::simplex::{Minimum, minimize};
use crate::TrainingError;

/// How far the loss may lie above the least.
const WITHIN: f64 = 1e-10;
/// How far it may lie above without a word.
const NEAR: f64 = 1e-6;

pub(super) const ENSEMBLE: EnsembleKind = EnsembleKind {
    name: "weighted",
    summary: "The mean of the probabilities or numbers, with the weights of members that make the loss the least.",
    documentation: "Weights are 0 or more and sum to 1; they minimize the mean of −ln Σ weight · probability of the class (of labels the cross-entropy \
        of each), or of numbers the mean squared error of Σ weight · number. Both are convex, and are minimized by projected gradient \
        descent on the simplex. Members without weight are left out of the model.",
    samples: &[
        // the first member says 0.8 and is right in three of four rows, the second 0.2 for the same: 0.75 is in between
        Worked {
            options: "{}",
            columns: 2,
            members: &[
                &[1.386_294_4, 0.0, 1.386_294_4, 0.0, 1.386_294_4, 0.0, 1.386_294_4, 0.0],
                &[0.0, 1.386_294_4, 0.0, 1.386_294_4, 0.0, 1.386_294_4, 0.0, 1.386_294_4],
            ],
            classes: &[0, 0, 0, 1],
            wanted: r#"{"combination": {"by": "probabilities", "weights": [0.9166666666, 0.0833333333]}}"#,
        },
        Worked {
            options: "{}",
            columns: 2,
            members: &[&[2.0, 0.0, 0.0, 2.0], &[1.0, 0.0, 0.0, 1.0], &[0.0, 2.0, 2.0, 0.0]],
            classes: &[0, 1],
            wanted: r#"{"combination": {"by": "probabilities", "weights": [1.0, 0.0, 0.0]}}"#,
        },
    ],
    build: Build::of::<Weighted>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Weighted {}

impl Options for Weighted {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl EnsembleFunction for Weighted {
    fn takes(&self) -> &'static [ScoresOf] {
        &[ScoresOf::Classes, ScoresOf::Labels, ScoresOf::Numbers]
    }

    fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        let (found, scale) = match (fitting.members.scores_of(), fitting.members.targets()) {
            (ScoresOf::Numbers, PredictionTargets::Numbers(targets)) => {
                let errors = Errors::of(fitting.members, targets);
                (errors.least(), errors.scale)
            }
            _ => (Terms::of(fitting).least(), 1.0),
        };
        let mut weights = found.weights;
        // what is next to nothing costs a model, and changes nothing
        weights.iter_mut().filter(|weight| **weight < 1e-6).for_each(|weight| *weight = 0.0);
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let mut notes = Vec::new();
        if found.gap > NEAR {
            notes.push(format!(
                "the loss of these weights is at most {} above the least; it was not brought nearer",
                decimal(found.gap * scale)
            ));
        }
        let combination = match fitting.members.scores_of() {
            ScoresOf::Numbers => Combination::Scores { weights },
            _ => Combination::Probabilities { weights },
        };
        Ok(Fitted { notes, ..combination.into() })
    }
}

/// The mean squared error of a mean of numbers whose weights sum to 1: weightsᵀ · products · weights.
struct Errors {
    members: usize,
    /// Row-major: the mean product of the errors of two members, over `scale`.
    products: Vec<f64>,
    /// The largest mean squared error of a member; 1 where none errs.
    scale: f64,
}

impl Errors {
    fn of(scores: &MemberScores, targets: &[f32]) -> Self {
        let (members, all) = (scores.members(), scores.all_scores());
        let mut products = vec![0.0; members * members];
        let mut errors = vec![0.0; members];
        let share = 1.0 / targets.len() as f64;
        for (at, target) in targets.iter().enumerate() {
            for (error, numbers) in errors.iter_mut().zip(&all) {
                *error = f64::from(numbers[at]) - f64::from(*target);
            }
            for (row, one) in products.chunks_mut(members).zip(&errors) {
                row.iter_mut().zip(&errors).for_each(|(sum, other)| *sum += share * one * other);
            }
        }
        let largest = (0..members).map(|member| products[member * members + member]).fold(0.0, f64::max);
        // so that what counts as near does not depend on the unit
        let scale = if largest > 0.0 { largest } else { 1.0 };
        products.iter_mut().for_each(|product| *product /= scale);
        Self { members, products, scale }
    }

    fn least(&self) -> Minimum {
        let mixed = |weights: &[f64]| -> Vec<f64> {
            let dot = |row: &[f64]| row.iter().zip(weights).map(|(product, weight)| product * weight).sum::<f64>();
            self.products.chunks(self.members).map(dot).collect()
        };
        let mut value =
            |weights: &[f64]| mixed(weights).iter().zip(weights).map(|(slope, weight)| slope * weight).sum::<f64>();
        let mut gradient = |weights: &[f64]| mixed(weights).into_iter().map(|slope| 2.0 * slope).collect::<Vec<f64>>();
        minimize(self.members, WITHIN, &mut value, &mut gradient)
    }
}

/// −Σ share · ln Σ weight · probability, of what the members say of what is true.
struct Terms {
    members: usize,
    /// By term, then by member, over the largest of the term.
    probabilities: Vec<f64>,
    /// How much each counts; their sum is 1.
    shares: Vec<f64>,
    /// −Σ share · ln of the largest.
    rest: f64,
}

impl Terms {
    fn of(fitting: &Fitting<'_>) -> Self {
        let (scores, mixture) = (fitting.members, Mixture::of(fitting.members));
        let (members, columns) = (scores.members(), scores.columns());
        let mut this = Self { members, probabilities: Vec::new(), shares: Vec::new(), rest: 0.0 };
        match scores.targets() {
            PredictionTargets::Classes(classes) => {
                let share = 1.0 / classes.len() as f64;
                for (row, class) in classes.iter().enumerate() {
                    this.add(share, |member| mixture.member(member)[row * columns + *class as usize]);
                }
            }
            PredictionTargets::Numbers(labels) => {
                let share = 1.0 / labels.len() as f64;
                for (at, target) in labels.iter().enumerate() {
                    let target = f64::from(*target);
                    this.add(share * target, |member| mixture.member(member)[at]);
                    this.add(share * (1.0 - target), |member| 1.0 - mixture.member(member)[at]);
                }
            }
        }
        this
    }

    fn add(&mut self, share: f64, probability: impl Fn(usize) -> f64) {
        if share <= 0.0 {
            return;
        }
        let own: Vec<f64> = (0..self.members).map(|member| probability(member).max(f64::MIN_POSITIVE)).collect();
        let largest = own.iter().copied().fold(0.0, f64::max);
        self.probabilities.extend(own.iter().map(|own| own / largest));
        self.shares.push(share);
        self.rest -= share * largest.ln();
    }

    fn least(&self) -> Minimum {
        let terms = || self.probabilities.chunks(self.members).zip(&self.shares);
        let mixed =
            |weights: &[f64], own: &[f64]| weights.iter().zip(own).map(|(weight, own)| weight * own).sum::<f64>();
        let mut value =
            |weights: &[f64]| self.rest - terms().map(|(own, share)| share * mixed(weights, own).ln()).sum::<f64>();
        let mut gradient = |weights: &[f64]| {
            let mut slope = vec![0.0; self.members];
            for (own, share) in terms() {
                let scale = share / mixed(weights, own);
                slope.iter_mut().zip(own).for_each(|(slope, own)| *slope -= scale * own);
            }
            slope
        };
        minimize(self.members, WITHIN, &mut value, &mut gradient)
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::ScoresOf;

    use super::super::ensemble_function::{FittedModel, NoSoups};
    use super::super::member_scores::MemberScores;
    use super::super::member_scores::tests::{of_classes, predictions};
    use super::*;
    use crate::metrics::MetricSet;

    fn numbers(seed: usize) -> Vec<f32> {
        (0..180).map(|at| ((at as f64 * (1.1 + 0.3 * seed as f64) + seed as f64).sin() * 2.0) as f32).collect()
    }

    #[track_caller]
    fn fits(members: &MemberScores, wanted: &[f64]) {
        let metrics = MetricSet::usual(members.reads());
        let mut fitting = Fitting { members, metrics: &metrics, seed: 0, soups: &mut NoSoups };
        let found = Weighted {}.fit(&mut fitting).unwrap();
        let FittedModel::Combination(Combination::Probabilities { weights }) = &found.model else {
            panic!("{found:?}")
        };
        assert!(
            weights.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-4),
            "{weights:?}, wanted {wanted:?}"
        );
        assert!(found.notes.is_empty(), "{:?}", found.notes);
    }

    #[test]
    fn weights_are_those_of_scipy() {
        // numpy: a(seed) as `numbers`, [60, 3]; the class of row r is argmax(a(1) + 0.6*a(2))[r], and (7 r) % 3 where r % 3 is 0;
        // scipy.optimize.minimize(loss, equal weights, bounds=[(0, 1)] * 4, the sum is 1, method="SLSQP", options={"ftol": 1e-16})
        let all: Vec<Vec<f32>> = (1..=4).map(numbers).collect();
        let of_row = |row: usize| -> u32 {
            let score = |class: usize| f64::from(all[0][row * 3 + class]) + 0.6 * f64::from(all[1][row * 3 + class]);
            let highest = (0..3).max_by(|a, b| score(*a).total_cmp(&score(*b))).unwrap() as u32;
            if row.is_multiple_of(3) { (row * 7 % 3) as u32 } else { highest }
        };
        let classes: Vec<u32> = (0..60).map(of_row).collect();
        let scores: Vec<&[f32]> = all.iter().map(Vec::as_slice).collect();
        fits(&of_classes(3, &scores, &classes), &OF_CLASSES);
        // labels hold where a(1) + 0.6*a(2) - 0.3*a(3) > 0, but for each fourth
        let label = |at: usize| !at.is_multiple_of(4) && all[0][at] + 0.6 * all[1][at] - 0.3 * all[2][at] > 0.0;
        let labels: Vec<f32> = (0..180).map(|at| f32::from(u8::from(label(at)))).collect();
        let own = |(at, scores): (usize, &Vec<f32>)| {
            (at.to_string(), predictions(ScoresOf::Labels, 3, scores, PredictionTargets::Numbers(labels.clone())))
        };
        let labelled = MemberScores::align(all.iter().take(3).enumerate().map(own).collect()).unwrap();
        fits(&labelled, &OF_LABELS);
    }

    /// Weights of numbers, and what is said of them.
    fn of_numbers(members: &[Vec<f32>], columns: usize, targets: &[f32]) -> (Vec<f64>, Vec<String>) {
        let own = |(at, scores): (usize, &Vec<f32>)| {
            let targets = PredictionTargets::Numbers(targets.to_vec());
            (at.to_string(), predictions(ScoresOf::Numbers, columns, scores, targets))
        };
        let members = MemberScores::align(members.iter().enumerate().map(own).collect()).unwrap();
        let metrics = MetricSet::usual(members.reads());
        let mut fitting = Fitting { members: &members, metrics: &metrics, seed: 0, soups: &mut NoSoups };
        let found = Weighted {}.fit(&mut fitting).unwrap();
        let FittedModel::Combination(Combination::Scores { weights }) = &found.model else { panic!("{found:?}") };
        (weights.clone(), found.notes.clone())
    }

    #[test]
    fn weights_of_numbers_are_of_the_least_squared_error() {
        let close = |found: &[f64], wanted: &[f64]| {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-4)
        };
        // one is 1 too high, the other 1, 1, 1 and 2 too low: the errors of w and 1 − w are least at (2 + 2 + 2 + 6) / (4 + 4 + 4 + 9)
        let (target, two) = ([1.0, 2.0, 3.0, 4.0], [vec![2.0, 3.0, 4.0, 5.0], vec![0.0, 1.0, 2.0, 2.0]]);
        // in any unit, however large
        for unit in [1.0_f32, 1e-4, 1e12] {
            let of_unit = |values: &[f32]| values.iter().map(|value| value * unit).collect::<Vec<f32>>();
            let members = two.each_ref().map(|member| of_unit(member));
            let (weights, notes) = of_numbers(&members, 1, &of_unit(&target));
            assert!(close(&weights, &[12.0 / 21.0, 9.0 / 21.0]) && notes.is_empty(), "{unit}: {weights:?} {notes:?}");
        }
        // numpy: a(seed) as `numbers`, y = a(1) + 0.6*a(2) - 0.3*a(3) + cos(0.7 at); scipy.optimize.minimize(the mean squared error, equal
        // weights, bounds=[(0, 1)] * 4, the sum is 1, method="SLSQP", options={"ftol": 1e-16})
        let all: Vec<Vec<f32>> = (1..=4).map(numbers).collect();
        let target = |at: usize| {
            let own = |member: usize| f64::from(all[member][at]);
            (own(0) + 0.6 * own(1) - 0.3 * own(2) + (0.7 * at as f64).cos()) as f32
        };
        let targets: Vec<f32> = (0..180).map(target).collect();
        let (weights, notes) = of_numbers(&all, 3, &targets);
        assert!(close(&weights, &OF_NUMBERS) && notes.is_empty(), "{weights:?} {notes:?}");
        // members that never err are all alike
        let exact = [targets.clone(), targets.clone()];
        assert_eq!(of_numbers(&exact, 3, &targets), (vec![0.5, 0.5], vec![]));
    }

    const OF_NUMBERS: [f64; 4] = [0.696_529_18, 0.303_470_82, 0.0, 0.0];
    const OF_CLASSES: [f64; 4] = [0.858_597_58, 0.141_402_42, 0.0, 0.0];
    const OF_LABELS: [f64; 3] = [0.829_025_56, 0.170_974_44, 0.0];
}
