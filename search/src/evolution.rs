//! Adaptation of a normal distribution to what was good: covariance matrix adaptation (Hansen, "The CMA evolution strategy: a
//! tutorial", 2016), with active updates, within the unit cube.

use libm::{exp, log};

use crate::Random;
use crate::numerics::{dot, symmetric_eigen};

/// Draws that are thrown away because they lie outside of the cube, before one is cut.
const TRIES: usize = 100;

/// The numbers that follow from the dimension and the size of a generation.
#[derive(Clone, Debug)]
struct Rates {
    /// Of the draws of a generation, best first; those of the worse half are negative.
    weights: Vec<f64>,
    better: usize,
    effective: f64,
    path: f64,
    rank_one: f64,
    rank_many: f64,
    step_path: f64,
    damping: f64,
    /// The length that a draw is expected to have.
    length: f64,
}

impl Rates {
    fn new(dimensions: usize, population: usize) -> Self {
        let (n, better) = (dimensions as f64, population / 2);
        let raw: Vec<f64> =
            (1..=population).map(|rank| log((population as f64 + 1.0) / 2.0) - log(rank as f64)).collect();
        let effective = |weights: &[f64]| {
            let (sum, squares) = (weights.iter().sum::<f64>(), dot(weights, weights));
            sum * sum / squares
        };
        let (good, bad) = (effective(&raw[..better]), effective(&raw[better..]));
        let rank_one = 2.0 / ((n + 1.3) * (n + 1.3) + good);
        let rank_many = (2.0 * (good - 2.0 + 1.0 / good) / ((n + 2.0) * (n + 2.0) + good)).min(1.0 - rank_one - 1e-8);
        let most = (1.0 + rank_one / rank_many)
            .min(1.0 + 2.0 * bad / (good + 2.0))
            .min((1.0 - rank_one - rank_many) / (n * rank_many));
        let sum = |is_good: bool| raw.iter().filter(|weight| (**weight >= 0.0) == is_good).sum::<f64>().abs();
        let (positive, negative) = (sum(true), sum(false));
        let weight = |raw: &f64| if *raw >= 0.0 { raw / positive } else { most * raw / negative };
        let step_path = (good + 2.0) / (n + good + 5.0);
        Self {
            weights: raw.iter().map(weight).collect(),
            better,
            effective: good,
            path: (4.0 + good / n) / (n + 4.0 + 2.0 * good / n),
            rank_one,
            rank_many,
            step_path,
            damping: 1.0 + 2.0 * (((good - 1.0) / (n + 1.0)).sqrt() - 1.0).max(0.0) + step_path,
            length: n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n)),
        }
    }
}

/// The distribution that a generation is drawn from.
#[derive(Clone, Debug)]
pub(crate) struct Evolution {
    rates: Rates,
    generation: u32,
    mean: Vec<f64>,
    step: f64,
    covariance: Vec<f64>,
    /// Sums of the steps of the mean: measured by the distribution, and as they are.
    step_path: Vec<f64>,
    path: Vec<f64>,
    /// Eigenvalues' roots, and eigenvectors as columns.
    deviations: Vec<f64>,
    axes: Vec<f64>,
}

impl Evolution {
    /// Around the middle of the cube.
    pub(crate) fn new(dimensions: usize, population: usize, step: f64) -> Self {
        let identity = |at: usize| f64::from(u8::from(at / dimensions == at % dimensions));
        let identity: Vec<f64> = (0..dimensions * dimensions).map(identity).collect();
        Self {
            rates: Rates::new(dimensions, population),
            generation: 0,
            mean: vec![0.5; dimensions],
            step,
            covariance: identity.clone(),
            step_path: vec![0.0; dimensions],
            path: vec![0.0; dimensions],
            deviations: vec![1.0; dimensions],
            axes: identity,
        }
    }

    /// A point of the cube. In a coordinate with steps the deviation is `least` at least, so that it does not get stuck on one.
    pub(crate) fn draw(&self, least: &[f64], random: &mut Random) -> Vec<f64> {
        let dimensions = self.mean.len();
        let widened: Vec<f64> = (0..dimensions)
            .map(|at| (least[at] / (self.step * self.covariance[at * dimensions + at].max(1e-300).sqrt())).max(1.0))
            .collect();
        let mut point = Vec::new();
        for _ in 0..TRIES {
            let normal: Vec<f64> = self.deviations.iter().map(|deviation| deviation * random.normal()).collect();
            let drawn = |at: usize| dot(&self.axes[at * dimensions..][..dimensions], &normal);
            point = (0..dimensions).map(|at| self.mean[at] + self.step * widened[at] * drawn(at)).collect();
            if point.iter().all(|x| (0.0..=1.0).contains(x)) {
                return point;
            }
        }
        point.iter().map(|x| x.clamp(0.0, 1.0)).collect()
    }

    /// Learns from a generation, best first.
    pub(crate) fn learn(&mut self, points: &[Vec<f64>]) {
        let dimensions = self.mean.len();
        let Rates { weights, better, effective, path, rank_one, rank_many, step_path, damping, length } =
            self.rates.clone();
        self.generation += 1;
        let moved = |point: &Vec<f64>| -> Vec<f64> {
            point.iter().zip(&self.mean).map(|(x, mean)| (x - mean) / self.step).collect()
        };
        let steps: Vec<Vec<f64>> = points.iter().map(moved).collect();
        let mut shift = vec![0.0; dimensions];
        for (weight, step) in weights[..better].iter().zip(&steps) {
            shift.iter_mut().zip(step).for_each(|(sum, step)| *sum += weight * step);
        }
        self.mean.iter_mut().zip(&shift).for_each(|(mean, shift)| *mean += self.step * shift);
        let measured = self.measured(&shift);
        let gain = (step_path * (2.0 - step_path) * effective).sqrt();
        self.step_path.iter_mut().zip(&measured).for_each(|(sum, step)| *sum = (1.0 - step_path) * *sum + gain * step);
        let path_length = dot(&self.step_path, &self.step_path).sqrt();
        let expected = (1.0 - libm::pow(1.0 - step_path, 2.0 * f64::from(self.generation + 1))).sqrt();
        let is_steady = path_length / expected < (1.4 + 2.0 / (dimensions as f64 + 1.0)) * length;
        let gain = if is_steady { (path * (2.0 - path) * effective).sqrt() } else { 0.0 };
        self.path.iter_mut().zip(&shift).for_each(|(sum, step)| *sum = (1.0 - path) * *sum + gain * step);
        // A draw that was bad is pushed away from, but no further than one of the expected length.
        let factor = |weight: f64, step: &[f64]| {
            let measured = self.measured(step);
            if weight >= 0.0 { weight } else { weight * dimensions as f64 / (dot(&measured, &measured) + 1e-8) }
        };
        let factors: Vec<f64> = weights.iter().zip(&steps).map(|(weight, step)| factor(*weight, step)).collect();
        let unsteady = if is_steady { 0.0 } else { path * (2.0 - path) };
        let kept = 1.0 + rank_one * unsteady - rank_one - rank_many * weights.iter().sum::<f64>();
        for row in 0..dimensions {
            for column in 0..dimensions {
                let many: f64 =
                    factors.iter().zip(&steps).map(|(factor, step)| factor * step[row] * step[column]).sum();
                let value = &mut self.covariance[row * dimensions + column];
                *value = kept * *value + rank_one * self.path[row] * self.path[column] + rank_many * many;
            }
        }
        self.step *= exp(step_path / damping * (path_length / length - 1.0)).min(10.0);
        self.step = self.step.clamp(1e-12, 1e3);
        let (values, axes) = symmetric_eigen(&self.covariance, dimensions);
        self.deviations = values.iter().map(|value| value.max(1e-16).sqrt()).collect();
        self.axes = axes;
    }

    /// A step in units of the distribution: C^(-1/2) times it.
    fn measured(&self, step: &[f64]) -> Vec<f64> {
        let dimensions = step.len();
        let along = |axis: usize| (0..dimensions).map(|at| self.axes[at * dimensions + axis] * step[at]).sum::<f64>();
        let scaled: Vec<f64> = (0..dimensions).map(|axis| along(axis) / self.deviations[axis]).collect();
        (0..dimensions).map(|at| dot(&self.axes[at * dimensions..][..dimensions], &scaled)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in the package `cmaes` 0.13: `CMA(mean, sigma, population_size=…)`.
    #[test]
    fn rates_are_those_of_the_reference() {
        for (dimensions, population, wanted) in CMAES {
            let rates = Rates::new(dimensions, population);
            let got = [
                rates.effective,
                rates.path,
                rates.rank_one,
                rates.rank_many,
                rates.step_path,
                rates.damping,
                rates.length,
                rates.weights[0],
                rates.weights[population - 1],
            ];
            for (got, wanted) in got.iter().zip(wanted) {
                assert!((got - wanted).abs() < 1e-12 * wanted.abs().max(1.0), "{dimensions}: {got}, wanted {wanted}");
            }
        }
    }

    #[rustfmt::skip]
    const CMAES: [(usize, usize, [f64; 9]); 2] = [
        (2, 6, [
            2.0286114646100617, 0.6245545390268264, 0.1548153998964136, 0.057859085071916304, 0.44620498737831715,
            1.4462049873783172, 1.254272742818995, 0.6370425712412168, -1.1559817781589212,
        ]),
        (6, 9, [
            2.8406104297170534, 0.40864968827481546, 0.03563118207139872, 0.0356863119967521, 0.3497396631671549,
            1.349739663167155, 2.3506677359645445, 0.4937383774843409, -0.745069862150622,
        ]),
    ];

    /// A generation told to `cmaes` 0.13 in two dimensions, and what it had learned.
    #[test]
    fn what_is_learned_is_what_the_reference_learns() {
        let mut evolution = Evolution::new(2, 6, 0.25);
        for (generation, wanted) in LEARNED.iter().enumerate() {
            let mut random = Random::of(1, generation as u64, "learned");
            let mut points: Vec<Vec<f64>> = (0..6).map(|_| vec![random.uniform(), random.uniform()]).collect();
            let value = |point: &[f64]| {
                (point[0] - 0.2) * (point[0] - 0.2) + 4.0 * (point[1] - point[0]) * (point[1] - point[0])
            };
            points.sort_by(|a, b| value(a).total_cmp(&value(b)));
            evolution.learn(&points);
            let Evolution { mean, step, covariance, .. } = &evolution;
            let got = [mean[0], mean[1], *step, covariance[0], covariance[1], covariance[3]];
            for (got, wanted) in got.iter().zip(wanted) {
                assert!((got - wanted).abs() < 1e-6, "generation {generation}: {got}, wanted {wanted}");
            }
        }
    }

    const LEARNED: [[f64; 6]; 3] = [
        [
            0.37819601257276303,
            0.3686980181147374,
            0.22631266740739797,
            0.867117637839638,
            0.193333508262855,
            0.901692910203112,
        ],
        [
            0.3596203732929874,
            0.29046271304573706,
            0.20540282486712258,
            0.7702913455555813,
            0.2832068889855931,
            0.7956010658238309,
        ],
        [
            0.3439772787935138,
            0.3965978364854037,
            0.17287647569311207,
            0.586384203548368,
            0.23895587767809404,
            0.7680926413611904,
        ],
    ];

    #[test]
    fn a_long_narrow_valley_is_learned() {
        let value = |x: &[f64]| (x[0] + x[1] + x[2] - 1.2).powi(2) * 1e4 + (x[0] - 0.3).powi(2) + (x[1] - 0.5).powi(2);
        let mut evolution = Evolution::new(3, 8, 0.2);
        for generation in 0..120 {
            let mut random = Random::of(7, generation, "valley");
            let mut points: Vec<Vec<f64>> = (0..8).map(|_| evolution.draw(&[0.0; 3], &mut random)).collect();
            assert!(points.iter().flatten().all(|x| (0.0..=1.0).contains(x)));
            points.sort_by(|a, b| value(a).total_cmp(&value(b)));
            evolution.learn(&points);
        }
        assert!(value(&evolution.mean) < 1e-8, "{}", value(&evolution.mean));
    }
}
