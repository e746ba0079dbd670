use std::collections::VecDeque;

use super::dot;

/// Steps whose curvature is remembered.
const MEMORY: usize = 10;

/// What a minimizer found.
#[derive(Clone, Debug)]
pub(crate) struct Minimization {
    /// The lowest point.
    pub(crate) point: Vec<f64>,
    /// The value there.
    pub(crate) value: f64,
}

/// When a minimizer ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// No coordinate of the gradient, as far as the bounds let it point, is larger.
    pub(crate) gradient: f64,
    /// So many steps are taken.
    pub(crate) steps: usize,
}

/// Minimizes a function within bounds by projected steps of L-BFGS (Liu and Nocedal 1989; the projection after Bertsekas 1982).
///
/// The function gives its value and writes its gradient; where it has none its value is not finite.
pub(crate) fn minimize(
    function: &mut dyn FnMut(&[f64], &mut [f64]) -> f64,
    start: &[f64],
    bounds: &[[f64; 2]],
    ending: Ending,
) -> Minimization {
    let clamp = |x: f64, [low, high]: [f64; 2]| x.max(low).min(high);
    let mut point: Vec<f64> = start.iter().zip(bounds).map(|(x, bounds)| clamp(*x, *bounds)).collect();
    let mut gradient = vec![0.0; point.len()];
    let mut value = function(&point, &mut gradient);
    let mut memory = Memory::default();
    for _ in 0..ending.steps {
        if !value.is_finite() {
            break;
        }
        let free: Vec<bool> = (0..point.len())
            .map(|at| if gradient[at] > 0.0 { point[at] > bounds[at][0] } else { point[at] < bounds[at][1] })
            .collect();
        let projected: Vec<f64> =
            gradient.iter().zip(&free).map(|(slope, free)| if *free { *slope } else { 0.0 }).collect();
        let moved = |at: usize| (clamp(point[at] - projected[at], bounds[at]) - point[at]).abs();
        if (0..point.len()).map(moved).fold(0.0, f64::max) <= ending.gradient {
            break;
        }
        let mut direction = memory.direction(&projected, &free);
        let mut length = 1.0;
        if memory.is_empty() || dot(&direction, &projected) >= 0.0 {
            memory = Memory::default();
            direction = projected.iter().map(|slope| -slope).collect();
            length = 1.0 / dot(&direction, &direction).sqrt().max(1.0);
        }
        let mut tried = vec![0.0; point.len()];
        let mut slopes = vec![0.0; point.len()];
        let mut found = None;
        for _ in 0..30 {
            for at in 0..point.len() {
                tried[at] = clamp(point[at] + length * direction[at], bounds[at]);
            }
            let step: Vec<f64> = tried.iter().zip(&point).map(|(new, old)| new - old).collect();
            let expected = dot(&projected, &step);
            let new = function(&tried, &mut slopes);
            if new.is_finite() && new <= value + 1e-4 * expected && expected < 0.0 {
                found = Some((step, new));
                break;
            }
            // To the lowest point of the parabola through what is known, if it is neither too near nor too far.
            let parabola = -0.5 * expected / (new - value - expected);
            length *= if parabola.is_finite() { parabola.clamp(0.1, 0.5) } else { 0.1 };
        }
        let Some((step, new)) = found else { break };
        let change: Vec<f64> = slopes.iter().zip(&gradient).map(|(new, old)| new - old).collect();
        memory.add(step, change);
        let fall = value - new;
        point.copy_from_slice(&tried);
        gradient.copy_from_slice(&slopes);
        value = new;
        if fall <= 1e-14 * value.abs() {
            break;
        }
    }
    Minimization { point, value }
}

/// The last steps, and how the gradient changed over each.
#[derive(Default)]
struct Memory(VecDeque<(Vec<f64>, Vec<f64>)>);

impl Memory {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, step: Vec<f64>, change: Vec<f64>) {
        // Only curvature that bends up is kept, so that the direction goes down.
        if dot(&step, &change) > 1e-10 * dot(&change, &change) {
            self.0.push_back((step, change));
            if self.0.len() > MEMORY {
                self.0.pop_front();
            }
        }
    }

    /// Minus the approximate inverse of the second derivatives times the gradient, among the coordinates that are free.
    fn direction(&self, gradient: &[f64], free: &[bool]) -> Vec<f64> {
        let inner = |left: &[f64], right: &[f64]| -> f64 {
            let products = left.iter().zip(right).zip(free).filter(|(_, free)| **free);
            products.map(|((left, right), _)| left * right).sum()
        };
        let mut direction: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
        let mut factors = Vec::new();
        for (step, change) in self.0.iter().rev() {
            let curvature = inner(step, change);
            if curvature <= 0.0 {
                factors.push(None);
                continue;
            }
            let factor = inner(step, &direction) / curvature;
            direction.iter_mut().zip(change).for_each(|(value, change)| *value -= factor * change);
            factors.push(Some((factor, curvature)));
        }
        if let Some((step, change)) = self.0.back() {
            let scale = inner(step, change) / inner(change, change);
            if scale.is_finite() && scale > 0.0 {
                direction.iter_mut().for_each(|value| *value *= scale);
            }
        }
        for ((step, change), factor) in self.0.iter().zip(factors.into_iter().rev()) {
            let Some((factor, curvature)) = factor else { continue };
            let other = inner(change, &direction) / curvature;
            direction.iter_mut().zip(step).for_each(|(value, step)| *value += (factor - other) * step);
        }
        direction.iter_mut().zip(free).for_each(|(value, free)| *value = if *free { *value } else { 0.0 });
        direction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDING: Ending = Ending { gradient: 1e-8, steps: 300 };

    fn rosenbrock(x: &[f64], gradient: &mut [f64]) -> f64 {
        let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
        gradient[0] = -2.0 * a - 400.0 * x[0] * b;
        gradient[1] = 200.0 * b;
        a * a + 100.0 * b * b
    }

    #[test]
    fn a_curved_valley_is_followed_to_its_end() {
        let found = minimize(&mut rosenbrock, &[-1.2, 1.0], &[[-5.0, 5.0]; 2], ENDING);
        assert!((found.point[0] - 1.0).abs() < 1e-6 && (found.point[1] - 1.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn bounds_hold_and_the_lowest_point_on_them_is_found() {
        let found = minimize(&mut rosenbrock, &[-1.2, 1.0], &[[-5.0, 0.5], [-5.0, 5.0]], ENDING);
        assert!((found.point[0] - 0.5).abs() < 1e-9 && (found.point[1] - 0.25).abs() < 1e-5, "{found:?}");
        let mut away = |x: &[f64], gradient: &mut [f64]| {
            gradient[0] = -1.0;
            -x[0]
        };
        assert_eq!(minimize(&mut away, &[7.0], &[[0.0, 2.0]], ENDING).point, [2.0]);
    }

    #[test]
    fn many_coordinates_of_unlike_scales() {
        let mut bowl = |x: &[f64], gradient: &mut [f64]| {
            let mut sum = 0.0;
            for (at, x) in x.iter().enumerate() {
                let scale = 10f64.powi(at as i32 % 5);
                gradient[at] = 2.0 * scale * (x - at as f64);
                sum += scale * (x - at as f64) * (x - at as f64);
            }
            sum
        };
        let found = minimize(&mut bowl, &[0.0; 12], &[[-100.0, 100.0]; 12], ENDING);
        assert!(found.point.iter().enumerate().all(|(at, x)| (x - at as f64).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn where_the_function_is_no_number_it_turns_back() {
        let mut logarithm = |x: &[f64], gradient: &mut [f64]| {
            gradient[0] = 1.0 - 0.01 / x[0];
            if x[0] > 0.0 { x[0] - 0.01 * x[0].ln() } else { f64::NAN }
        };
        let found = minimize(&mut logarithm, &[3.0], &[[-10.0, 10.0]], ENDING);
        assert!((found.point[0] - 0.01).abs() < 1e-6, "{found:?}");
        let nowhere = minimize(&mut |_: &[f64], _: &mut [f64]| f64::NAN, &[1.0], &[[0.0, 2.0]], ENDING);
        assert_eq!(nowhere.point, [1.0]);
    }
}
