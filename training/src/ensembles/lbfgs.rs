//! Minima of smooth functions of many variables.

use std::collections::VecDeque;

/// Steps that are remembered.
const MEMORY: usize = 10;
/// Steps at most.
const MOST_STEPS: usize = 1000;
/// Points that are looked at along a direction.
const MOST_PROBES: usize = 40;
/// Of Wolfe's conditions.
const LEAST_DESCENT: f64 = 1e-4;
const LEAST_FLATTENING: f64 = 0.9;

/// A function: gives its value at a point and writes its gradient there.
pub(super) type Function<'a> = dyn FnMut(&[f64], &mut [f64]) -> f64 + 'a;

/// A point with the value and the gradient there.
#[derive(Clone)]
struct Place {
    point: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// A step, how much it changed the gradient, and 1 / (the product of both).
type Step = (Vec<f64>, Vec<f64>, f64);

/// Goes from `start` to where no entry of the gradient is larger than `within`, or to where no step lowers the value any more, by L-BFGS (Liu
/// and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989).
pub(super) fn minimize(start: Vec<f64>, within: f64, function: &mut Function<'_>) -> Vec<f64> {
    let mut gradient = vec![0.0; start.len()];
    let value = function(&start, &mut gradient);
    let mut here = Place { point: start, value, gradient };
    let mut steps: VecDeque<Step> = VecDeque::new();
    for _ in 0..MOST_STEPS {
        if here.gradient.iter().all(|entry| entry.abs() <= within) {
            break;
        }
        let direction = direction(&here.gradient, &steps);
        let first = if steps.is_empty() { 1.0 / dot(&here.gradient, &here.gradient).sqrt().max(1.0) } else { 1.0 };
        let Some(there) = searched(&here, &direction, first, function) else {
            // what was remembered may have misled
            if steps.is_empty() {
                break;
            }
            steps.clear();
            continue;
        };
        let moved: Vec<f64> = there.point.iter().zip(&here.point).map(|(to, from)| to - from).collect();
        let change: Vec<f64> = there.gradient.iter().zip(&here.gradient).map(|(to, from)| to - from).collect();
        let product = dot(&moved, &change);
        if product > f64::MIN_POSITIVE {
            if steps.len() == MEMORY {
                steps.pop_front();
            }
            steps.push_back((moved, change, 1.0 / product));
        }
        here = there;
    }
    here.point
}

/// A place along a direction that is lower and flatter, by doubling and halving (Wolfe's weak conditions); the lowest enough where none is flat
/// enough, none where none is lower.
fn searched(here: &Place, direction: &[f64], first: f64, function: &mut Function<'_>) -> Option<Place> {
    let descent = dot(direction, &here.gradient);
    if !(descent.is_finite() && descent < 0.0) {
        return None;
    }
    let (mut low, mut high, mut step) = (0.0, f64::INFINITY, first);
    let mut lower = None;
    for _ in 0..MOST_PROBES {
        let point: Vec<f64> = here.point.iter().zip(direction).map(|(from, along)| from + step * along).collect();
        let mut gradient = vec![0.0; point.len()];
        let value = function(&point, &mut gradient);
        if value <= here.value + LEAST_DESCENT * step * descent {
            let is_flat = dot(&gradient, direction) >= LEAST_FLATTENING * descent;
            lower = Some(Place { point, value, gradient });
            if is_flat {
                break;
            }
            low = step;
        } else {
            high = step;
        }
        step = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * step };
    }
    lower.filter(|there| there.value < here.value)
}

/// Down the gradient, bent by what is known of its changes.
fn direction(gradient: &[f64], steps: &VecDeque<Step>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|entry| -entry).collect();
    let mut shares = Vec::with_capacity(steps.len());
    for (moved, change, inverse) in steps.iter().rev() {
        let share = inverse * dot(moved, &direction);
        add(&mut direction, change, -share);
        shares.push(share);
    }
    if let Some((moved, change, _)) = steps.back() {
        let scale = dot(moved, change) / dot(change, change);
        direction.iter_mut().for_each(|entry| *entry *= scale);
    }
    for ((moved, change, inverse), share) in steps.iter().zip(shares.iter().rev()) {
        let back = inverse * dot(change, &direction);
        add(&mut direction, moved, share - back);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], what: &[f64], times: f64) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += times * what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rosenbrocks_valley_is_walked_to_its_end() {
        let mut function = |x: &[f64], gradient: &mut [f64]| {
            gradient.fill(0.0);
            let mut value = 0.0;
            for at in 0..x.len() - 1 {
                let (bend, rest) = (x[at + 1] - x[at] * x[at], 1.0 - x[at]);
                value += 100.0 * bend * bend + rest * rest;
                gradient[at] += -400.0 * bend * x[at] - 2.0 * rest;
                gradient[at + 1] += 200.0 * bend;
            }
            value
        };
        let found = minimize(vec![-1.2, 1.0, -1.2, 1.0], 1e-9, &mut function);
        assert!(found.iter().all(|entry| (entry - 1.0).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn a_function_without_a_slope_stays_where_it_began() {
        assert_eq!(
            minimize(vec![3.0], 1e-9, &mut |_, gradient| {
                gradient[0] = 0.0;
                1.0
            }),
            [3.0]
        );
        // down for ever: it ends all the same
        assert!(
            minimize(vec![0.0], 1e-9, &mut |x, gradient| {
                gradient[0] = -1.0;
                -x[0]
            })[0]
                > 0.0
        );
    }
}
