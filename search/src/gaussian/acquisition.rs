use libm::{exp, log};

use super::regression::Regression;
use crate::numerics::{SobolSequence, normal};

/// Settings of trials that run are given values drawn so many times.
const FANTASIES: u64 = 32;

/// Logarithm of what a trial is expected to gain over the best one, the larger the better (Ament et al. 2023), averaged over
/// values that trials that run may come to, and times the probability that constraints hold.
#[derive(Clone, Debug)]
pub(crate) struct Acquisition {
    gain: Option<Gain>,
    constraints: Vec<Constraint>,
}

#[derive(Clone, Debug)]
struct Gain {
    regression: Regression,
    /// For each fantasy what observations weigh, and the best value.
    fantasies: Vec<(Vec<f64>, f64)>,
}

#[derive(Clone, Debug)]
struct Constraint {
    regression: Regression,
    weights: Vec<f64>,
    /// It holds where the value is not above.
    limit: f64,
}

impl Acquisition {
    /// What is gained over `best`, of values that are the better the higher; where there is no best one, only constraints
    /// count. `running` are points whose values are not known yet. `None` where points are too alike to be computed with.
    pub(crate) fn new(
        observed: Regression,
        points: &[Vec<f64>],
        values: &[f64],
        best: Option<f64>,
        running: &[Vec<f64>],
        seed: u64,
    ) -> Option<Self> {
        let Some(best) = best else { return Some(Self { gain: None, constraints: Vec::new() }) };
        let weights = observed.weights(values);
        if running.is_empty() {
            let fantasies = vec![(weights, best)];
            return Some(Self { gain: Some(Gain { regression: observed, fantasies }), constraints: Vec::new() });
        }
        let (means, factor) = observed.joint(&weights, running)?;
        let all = points.iter().chain(running).cloned().collect();
        let regression = Regression::new(observed.kernel, all)?;
        let sequence = SobolSequence::new(running.len(), seed);
        let fantasy = |number: u64| {
            let draws: Vec<f64> =
                sequence.point(number).into_iter().map(|share| normal::quantile(share.max(1e-9))).collect();
            let drawn: Vec<f64> =
                factor.lower_times(&draws).iter().zip(&means).map(|(deviation, mean)| mean + deviation).collect();
            let highest = drawn.iter().copied().fold(best, f64::max);
            let values: Vec<f64> = values.iter().chain(&drawn).copied().collect();
            (regression.weights(&values), highest)
        };
        let fantasies = (0..FANTASIES).map(fantasy).collect();
        Some(Self { gain: Some(Gain { regression, fantasies }), constraints: Vec::new() })
    }

    /// Adds a constraint that holds where its value is at most `limit`.
    pub(crate) fn constrain(&mut self, regression: Regression, values: &[f64], limit: f64) {
        let weights = regression.weights(values);
        self.constraints.push(Constraint { regression, weights, limit });
    }

    /// The value at a point.
    pub(crate) fn value(&self, point: &[f64]) -> f64 {
        self.evaluate(point, None)
    }

    /// The value at a point; writes its gradient by the coordinates that are numbers.
    pub(crate) fn value_and_gradient(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        self.evaluate(point, Some(gradient))
    }

    fn evaluate(&self, point: &[f64], mut gradient: Option<&mut [f64]>) -> f64 {
        let mut total = 0.0;
        if let Some(gain) = &self.gain {
            total += gain.evaluate(point, gradient.as_deref_mut());
        }
        for Constraint { regression, weights, limit } in &self.constraints {
            let known = regression.at(point);
            let deviation = known.variance.sqrt();
            let z = (limit - known.mean(weights)) / deviation;
            let log_probability = normal::log_cumulative(z);
            total += log_probability;
            if let Some(gradient) = gradient.as_deref_mut() {
                let slope = exp(normal::log_density(z) - log_probability);
                known.add_gradient(weights, -slope / deviation, -0.5 * slope * z / known.variance, gradient);
            }
        }
        total
    }
}

impl Gain {
    fn evaluate(&self, point: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        let known = self.regression.at(point);
        let deviation = known.variance.sqrt();
        let gains: Vec<(f64, f64, f64)> = self
            .fantasies
            .iter()
            .map(|(weights, best)| {
                let z = (known.mean(weights) - best) / deviation;
                let (log_gain, slope) = normal::log_expected_improvement(z);
                (z, log_gain, slope)
            })
            .collect();
        let highest = gains.iter().map(|(_, log_gain, _)| *log_gain).fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = gains.iter().map(|(_, log_gain, _)| exp(log_gain - highest)).collect();
        let sum: f64 = shares.iter().sum();
        if let Some(gradient) = gradient {
            let mut weights = vec![0.0; self.fantasies[0].0.len()];
            let mut by_deviation = 1.0 / deviation;
            for (((z, _, slope), share), (fantasy, _)) in gains.iter().zip(&shares).zip(&self.fantasies) {
                let factor = share / sum * slope / deviation;
                by_deviation -= factor * z;
                weights.iter_mut().zip(fantasy).for_each(|(total, weight)| *total += factor * weight);
            }
            known.add_gradient(&weights, 1.0, 0.5 * by_deviation / deviation, gradient);
        }
        highest + log(sum / gains.len() as f64) + log(deviation)
    }
}

#[cfg(test)]
mod tests {
    use super::super::regression::Kernel;
    use super::*;

    fn observed() -> (Vec<Vec<f64>>, Vec<f64>, Regression) {
        let points: Vec<Vec<f64>> =
            [[0.1, 0.2], [0.4, 0.9], [0.7, 0.3], [0.9, 0.8], [0.5, 0.5]].into_iter().map(Vec::from).collect();
        let values = vec![-1.0, 0.5, 1.2, -0.7, 0.2];
        let kernel = Kernel { is_choice: vec![false; 2], inverse_squares: vec![6.0, 3.0], scale: 1.0, noise: 1e-4 };
        let regression = Regression::new(kernel, points.clone()).unwrap();
        (points, values, regression)
    }

    #[test]
    fn gradients_are_difference_quotients_also_with_fantasies_and_constraints() {
        let (points, values, regression) = observed();
        for (running, is_constrained, best) in [
            (vec![], false, Some(1.2)),
            (vec![vec![0.2, 0.8], vec![0.6, 0.1]], false, Some(1.2)),
            (vec![vec![0.2, 0.8]], true, Some(1.2)),
            (vec![], true, None),
        ] {
            let mut acquisition = Acquisition::new(regression.clone(), &points, &values, best, &running, 3).unwrap();
            if is_constrained {
                acquisition.constrain(regression.clone(), &[0.3, -0.2, 0.9, 0.0, -1.0], 0.1);
            }
            for point in [[0.3, 0.4], [0.75, 0.35], [0.0, 1.0], [0.62, 0.13]] {
                let mut gradient = [0.0; 2];
                let value = acquisition.value_and_gradient(&point, &mut gradient);
                assert_eq!(value, acquisition.value(&point));
                for at in 0..2 {
                    let moved = |step: f64| {
                        let mut point = point;
                        point[at] += step;
                        acquisition.value(&point)
                    };
                    let wanted = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                    assert!(
                        (gradient[at] - wanted).abs() < 1e-4 * wanted.abs().max(1.0),
                        "{running:?}: {gradient:?}, {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn where_somebody_is_there_is_less_to_gain() {
        let (points, values, regression) = observed();
        let near = vec![0.72, 0.2];
        let value = |running: &[Vec<f64>], point: &[f64]| {
            Acquisition::new(regression.clone(), &points, &values, Some(1.2), running, 3).unwrap().value(point)
        };
        assert!(value(std::slice::from_ref(&near), &near) < value(&[], &near) - 1.0);
        let far = [0.05, 0.95];
        assert!((value(std::slice::from_ref(&near), &far) - value(&[], &far)).abs() < 1.0);
    }
}
