use libm::{exp, log};

use crate::numerics::{Cholesky, Ending, dot, minimize};

/// Variance of the noise that there is at least, so that matrices can be divided.
const LEAST_NOISE: f64 = 1e-6;

/// A Matérn kernel of smoothness 5/2 with a length for each coordinate, over points of which some coordinates are numbers from
/// 0 to 1 and the others choices, which are equal or not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kernel {
    /// Which coordinates are choices.
    pub(crate) is_choice: Vec<bool>,
    /// One over the squared length of each coordinate.
    pub(crate) inverse_squares: Vec<f64>,
    /// Variance of the function.
    pub(crate) scale: f64,
    /// Variance of the noise on what is observed.
    pub(crate) noise: f64,
}

impl Kernel {
    fn squares<'a>(&'a self, left: &'a [f64], right: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        left.iter().zip(right).zip(&self.is_choice).map(|((left, right), is_choice)| match is_choice {
            true => f64::from(u8::from(left != right)),
            false => (left - right) * (left - right),
        })
    }

    /// Covariance of the function at two points, and its derivative by the squared distance.
    pub(crate) fn covariance(&self, left: &[f64], right: &[f64]) -> (f64, f64) {
        let squares = self.squares(left, right).zip(&self.inverse_squares);
        let (value, slope) = matern(squares.map(|(square, inverse)| square * inverse).sum());
        (self.scale * value, self.scale * slope)
    }

    /// The kernel that makes observations likeliest, given what lengths, scales and noises are usual (those of Optuna's
    /// `GPSampler`): 0.1/ℓ² + 0.1ℓ² for each length ℓ, Gamma(2, 1) for the scale, Gamma(1.1, 30) for the noise.
    pub(crate) fn fitted(points: &[Vec<f64>], values: &[f64], is_choice: &[bool], has_noise: bool) -> Self {
        let flat =
            Self { is_choice: is_choice.to_vec(), inverse_squares: vec![1.0; is_choice.len()], scale: 1.0, noise: 1.0 };
        let likelihood = Likelihood::new(&flat, points, values, has_noise);
        let dimensions = is_choice.len();
        let mut bounds = vec![[-10.0, 10.0]; dimensions + 1];
        bounds.push([-14.0, 3.0]);
        let start = |length: f64, noise: f64| {
            let mut start = vec![length; dimensions];
            start.extend([0.0, noise]);
            start
        };
        // A smooth function with noise, and a rough one with little: a single start can end where the other explains more.
        let starts = [start(0.0, 0.0), start(2.0, -5.0)];
        let found = starts.map(|start| {
            minimize(
                &mut |logs, slopes| likelihood.loss(logs, slopes),
                &start,
                &bounds,
                Ending { gradient: 1e-2, steps: 100 },
            )
        });
        let best = if found[1].value < found[0].value { &found[1] } else { &found[0] };
        likelihood.kernel(&best.point)
    }
}

/// The kernel of smoothness 5/2 at a squared distance, and its derivative.
fn matern(square: f64) -> (f64, f64) {
    let root = (5.0 * square).sqrt();
    let fall = exp(-root);
    (fall * (5.0 / 3.0 * square + root + 1.0), -5.0 / 6.0 * (root + 1.0) * fall)
}

/// How likely observations are under a kernel.
struct Likelihood<'a> {
    flat: &'a Kernel,
    values: &'a [f64],
    has_noise: bool,
    /// For each pair of points, the later first, the squared distance in each coordinate.
    squares: Vec<f64>,
}

impl<'a> Likelihood<'a> {
    fn new(flat: &'a Kernel, points: &[Vec<f64>], values: &'a [f64], has_noise: bool) -> Self {
        let pairs =
            points.iter().enumerate().flat_map(|(at, point)| points[..at].iter().map(move |other| (point, other)));
        let squares = pairs.flat_map(|(point, other)| flat.squares(point, other)).collect();
        Self { flat, values, has_noise, squares }
    }

    fn kernel(&self, logs: &[f64]) -> Kernel {
        let dimensions = self.flat.is_choice.len();
        let noise = if self.has_noise { exp(logs[dimensions + 1]) } else { 0.0 };
        Kernel {
            is_choice: self.flat.is_choice.clone(),
            inverse_squares: logs[..dimensions].iter().map(|value| exp(*value)).collect(),
            scale: exp(logs[dimensions]),
            noise: noise + LEAST_NOISE,
        }
    }

    /// Minus the logarithm of the likelihood and of the priors, by the logarithms of the kernel's numbers: lengths, scale, noise.
    fn loss(&self, logs: &[f64], slopes: &mut [f64]) -> f64 {
        let Kernel { inverse_squares, scale, noise, .. } = self.kernel(logs);
        let (count, dimensions) = (self.values.len(), inverse_squares.len());
        let squares = |pair: usize| &self.squares[pair * dimensions..][..dimensions];
        let mut covariance = vec![0.0; count * count];
        let mut derivatives = Vec::with_capacity(count * count / 2);
        for row in 0..count {
            for column in 0..row {
                let (value, slope) = matern(dot(squares(derivatives.len()), &inverse_squares));
                covariance[row * count + column] = scale * value;
                derivatives.push((scale * value, scale * slope));
            }
            covariance[row * count + row] = scale + noise;
        }
        let Some(factor) = Cholesky::new(covariance, count) else { return f64::INFINITY };
        let mut weights = self.values.to_vec();
        factor.solve(&mut weights);
        let inverse = factor.inverse();
        slopes.fill(0.0);
        let mut pair = 0;
        for row in 0..count {
            for column in 0..row {
                let (value, slope) = derivatives[pair];
                // Each pair is twice in the matrix, and there is a half before the trace.
                let outer = inverse[row * count + column] - weights[row] * weights[column];
                slopes[dimensions] += outer * value;
                for (total, square) in slopes.iter_mut().zip(squares(pair)) {
                    *total += outer * slope * square;
                }
                pair += 1;
            }
            let outer = inverse[row * count + row] - weights[row] * weights[row];
            slopes[dimensions] += 0.5 * outer * scale;
            slopes[dimensions + 1] += 0.5 * outer;
        }
        let mut loss = 0.5 * (factor.log_determinant() + dot(&weights, self.values));
        for (slope, inverse) in slopes.iter_mut().zip(&inverse_squares) {
            loss += 0.1 / inverse + 0.1 * inverse;
            *slope = *slope * inverse - 0.1 / inverse + 0.1 * inverse;
        }
        loss += scale - log(scale);
        slopes[dimensions] += scale - 1.0;
        if self.has_noise {
            loss += 30.0 * noise - 0.1 * log(noise);
            slopes[dimensions + 1] = (slopes[dimensions + 1] + 30.0 - 0.1 / noise) * (noise - LEAST_NOISE);
        } else {
            slopes[dimensions + 1] = 0.0;
        }
        loss
    }
}

/// A kernel with observations.
#[derive(Clone, Debug)]
pub(crate) struct Regression {
    pub(crate) kernel: Kernel,
    points: Vec<Vec<f64>>,
    factor: Cholesky,
}

impl Regression {
    /// Of points at which something is observed. `None` where numbers are too far apart to be computed with.
    pub(crate) fn new(kernel: Kernel, points: Vec<Vec<f64>>) -> Option<Self> {
        let count = points.len();
        let mut covariance = vec![0.0; count * count];
        for row in 0..count {
            for column in 0..row {
                covariance[row * count + column] = kernel.covariance(&points[row], &points[column]).0;
            }
            covariance[row * count + row] = kernel.scale + kernel.noise;
        }
        Some(Self { factor: Cholesky::new(covariance, count)?, kernel, points })
    }

    /// What each observation weighs in the mean, where these values were observed.
    pub(crate) fn weights(&self, values: &[f64]) -> Vec<f64> {
        let mut weights = values.to_vec();
        self.factor.solve(&mut weights);
        weights
    }

    /// What is known of the function at a point.
    pub(crate) fn at(&self, point: &[f64]) -> Known<'_> {
        let (covariances, slopes): (Vec<f64>, Vec<f64>) =
            self.points.iter().map(|other| self.kernel.covariance(point, other)).unzip();
        let mut reduced = covariances.clone();
        self.factor.solve_lower(&mut reduced);
        let variance = (self.kernel.scale - dot(&reduced, &reduced)).max(0.0) + 1e-12;
        Known { regression: self, point: point.to_vec(), covariances, slopes, reduced, variance }
    }

    /// Means at several points and a matrix L with L·Lᵀ their covariance, given these values. `None` where they are too alike.
    pub(crate) fn joint(&self, weights: &[f64], points: &[Vec<f64>]) -> Option<(Vec<f64>, Cholesky)> {
        let known: Vec<Known<'_>> = points.iter().map(|point| self.at(point)).collect();
        let means = known.iter().map(|known| known.mean(weights)).collect();
        let mut covariance = vec![0.0; points.len() * points.len()];
        for (row, left) in known.iter().enumerate() {
            for (column, right) in known[..=row].iter().enumerate() {
                let prior = self.kernel.covariance(&points[row], &points[column]).0;
                let jitter = if row == column { 1e-8 * self.kernel.scale } else { 0.0 };
                covariance[row * points.len() + column] = prior - dot(&left.reduced, &right.reduced) + jitter;
            }
        }
        Some((means, Cholesky::new(covariance, points.len())?))
    }
}

/// What is known of the function at one point.
pub(crate) struct Known<'a> {
    regression: &'a Regression,
    point: Vec<f64>,
    /// With each observation, and their derivatives by the squared distance.
    covariances: Vec<f64>,
    slopes: Vec<f64>,
    reduced: Vec<f64>,
    pub(crate) variance: f64,
}

impl Known<'_> {
    pub(crate) fn mean(&self, weights: &[f64]) -> f64 {
        dot(&self.covariances, weights)
    }

    /// Adds to a gradient by the point's coordinates `mean` times that of the mean with these weights, and `variance` times
    /// that of the variance. Choices have none.
    pub(crate) fn add_gradient(&self, weights: &[f64], mean: f64, variance: f64, gradient: &mut [f64]) {
        let mut solved = self.reduced.clone();
        self.regression.factor.solve_upper(&mut solved);
        let Kernel { is_choice, inverse_squares, .. } = &self.regression.kernel;
        for (at, other) in self.regression.points.iter().enumerate() {
            let factor = 2.0 * self.slopes[at] * (mean * weights[at] - 2.0 * variance * solved[at]);
            for (coordinate, slope) in gradient.iter_mut().enumerate().filter(|(coordinate, _)| !is_choice[*coordinate])
            {
                *slope += factor * inverse_squares[coordinate] * (self.point[coordinate] - other[coordinate]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    fn drawn(count: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut random = Random::of(1, count as u64, "points");
        let points: Vec<Vec<f64>> =
            (0..count).map(|_| vec![random.uniform(), random.uniform(), random.below(3) as f64]).collect();
        let value = |point: &Vec<f64>| (6.0 * point[0]).sin() + 0.1 * point[1] + f64::from(u8::from(point[2] == 1.0));
        let values: Vec<f64> = points.iter().map(value).collect();
        (points, values)
    }

    const IS_CHOICE: [bool; 3] = [false, false, true];

    #[test]
    fn gradients_are_difference_quotients() {
        let (points, values) = drawn(12);
        let flat = Kernel { is_choice: IS_CHOICE.to_vec(), inverse_squares: vec![1.0; 3], scale: 1.0, noise: 1.0 };
        for has_noise in [true, false] {
            let likelihood = Likelihood::new(&flat, &points, &values, has_noise);
            let logs = [0.5, -0.7, 0.2, 0.4, -3.0];
            let mut slopes = [0.0; 5];
            likelihood.loss(&logs, &mut slopes);
            for at in 0..5 {
                let moved = |step: f64| {
                    let mut logs = logs;
                    logs[at] += step;
                    likelihood.loss(&logs, &mut [0.0; 5])
                };
                let wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (slopes[at] - wanted).abs() < 1e-5 * wanted.abs().max(1.0),
                    "{at}: {}, wanted {wanted}",
                    slopes[at]
                );
            }
        }
        let kernel = Kernel { inverse_squares: vec![4.0, 0.5, 1.0], noise: 1e-3, ..flat };
        let regression = Regression::new(kernel, points).unwrap();
        let weights = regression.weights(&values);
        let point = [0.3, 0.6, 1.0];
        for (mean, variance) in [(1.0, 0.0), (0.0, 1.0), (0.5, -2.0)] {
            let mut gradient = [0.0; 3];
            regression.at(&point).add_gradient(&weights, mean, variance, &mut gradient);
            for at in 0..2 {
                let moved = |step: f64| {
                    let mut point = point;
                    point[at] += step;
                    let known = regression.at(&point);
                    mean * known.mean(&weights) + variance * known.variance
                };
                let wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (gradient[at] - wanted).abs() < 1e-5 * wanted.abs().max(1.0),
                    "{at}: {}, {wanted}",
                    gradient[at]
                );
            }
            assert_eq!(gradient[2], 0.0);
        }
    }

    #[test]
    fn a_fitted_kernel_predicts_and_knows_what_matters() {
        let (points, values) = drawn(40);
        let kernel = Kernel::fitted(&points, &values, &IS_CHOICE, false);
        assert!(kernel.inverse_squares[0] > 5.0 * kernel.inverse_squares[1], "{kernel:?}");
        let regression = Regression::new(kernel, points).unwrap();
        let weights = regression.weights(&values);
        let (others, wanted) = drawn(41);
        for (point, wanted) in others.iter().zip(wanted) {
            let known = regression.at(point);
            let error = (known.mean(&weights) - wanted).abs();
            assert!(error < 0.1 && error < 6.0 * known.variance.sqrt() + 1e-2, "{error}, variance {}", known.variance);
        }
    }

    #[test]
    fn joint_draws_have_the_variance_of_each_point() {
        let (points, values) = drawn(15);
        let regression = Regression::new(Kernel::fitted(&points, &values, &IS_CHOICE, true), points).unwrap();
        let weights = regression.weights(&values);
        let asked = vec![vec![0.1, 0.9, 0.0], vec![0.8, 0.2, 1.0], vec![0.81, 0.2, 1.0]];
        let (means, factor) = regression.joint(&weights, &asked).unwrap();
        for (at, point) in asked.iter().enumerate() {
            let known = regression.at(point);
            assert!((means[at] - known.mean(&weights)).abs() < 1e-9);
            let mut unit = vec![0.0; 3];
            let variance: f64 = (0..3)
                .map(|column| {
                    unit.fill(0.0);
                    unit[column] = 1.0;
                    let row = factor.lower_times(&unit)[at];
                    row * row
                })
                .sum();
            assert!(
                (variance - known.variance).abs() < 1e-6 * regression.kernel.scale,
                "{variance}, {}",
                known.variance
            );
        }
    }
}
