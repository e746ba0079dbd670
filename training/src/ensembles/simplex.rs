//! Minima over weights that are 0 or more and sum to 1.

/// Steps at most.
const MOST_STEPS: usize = 10_000;
/// Of Armijo's condition.
const LEAST_DESCENT: f64 = 1e-4;

/// Weights, and how far the value may lie above the least.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Minimum {
    pub(super) weights: Vec<f64>,
    pub(super) gap: f64,
}

/// The least value of a convex function over the simplex, by projected gradient descent from equal weights, whose step is halved until
/// the value falls enough. It ends when gradient · (weights − corner) is at most `within` for each corner: so far the value is above the
/// least at most (Frank and Wolfe, 1956).
pub(super) fn minimize(
    dimensions: usize,
    within: f64,
    value: &mut dyn FnMut(&[f64]) -> f64,
    gradient: &mut dyn FnMut(&[f64]) -> Vec<f64>,
) -> Minimum {
    let mut weights = vec![1.0 / dimensions as f64; dimensions];
    let (mut now, mut step) = (value(&weights), 1.0);
    let mut gap = f64::INFINITY;
    for _ in 0..MOST_STEPS {
        let slope = gradient(&weights);
        let least = slope.iter().copied().fold(f64::INFINITY, f64::min);
        gap = weights.iter().zip(&slope).map(|(weight, slope)| weight * slope).sum::<f64>() - least;
        if gap <= within {
            break;
        }
        let moved = loop {
            let raised: Vec<f64> = weights.iter().zip(&slope).map(|(weight, slope)| weight - step * slope).collect();
            let there = projected(&raised);
            let descent: f64 =
                weights.iter().zip(&there).zip(&slope).map(|((from, to), slope)| slope * (from - to)).sum();
            let found = value(&there);
            if found <= now - LEAST_DESCENT * descent {
                break Some((there, found));
            }
            step /= 2.0;
            if step < 1e-12 {
                break None;
            }
        };
        let Some((there, found)) = moved else { break };
        (weights, now) = (there, found);
        step *= 2.0;
    }
    Minimum { weights, gap: gap.max(0.0) }
}

/// The point of the simplex next to another (Duchi et al., "Efficient projections onto the ℓ1-ball for learning in high dimensions", 2008).
pub(super) fn projected(point: &[f64]) -> Vec<f64> {
    let mut sorted = point.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (count, value) in sorted.iter().enumerate() {
        sum += value;
        let own = (sum - 1.0) / (count + 1) as f64;
        if value - own > 0.0 {
            shift = own;
        }
    }
    point.iter().map(|value| (value - shift).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_projected_as_worked_by_hand() {
        for (point, wanted) in [
            (vec![0.2, 0.3, 0.5], vec![0.2, 0.3, 0.5]),
            (vec![2.0, 0.0], vec![1.0, 0.0]),
            (vec![0.5, 0.5, 0.5], vec![1.0 / 3.0; 3]),
            (vec![0.9, 0.5, -3.0], vec![0.7, 0.3, 0.0]),
            (vec![-5.0], vec![1.0]),
        ] {
            let found = projected(&point);
            assert!(
                found.iter().zip(&wanted).all(|(a, b): (&f64, &f64)| (a - b).abs() < 1e-12),
                "{point:?}: {found:?}"
            );
        }
    }

    #[test]
    fn a_quadratic_has_its_least_value_at_the_projection_of_its_middle() {
        let middle = [0.9, 0.5, -3.0];
        let mut value = |weights: &[f64]| weights.iter().zip(middle).map(|(w, m)| 10.0 * (w - m) * (w - m)).sum();
        let mut gradient = |weights: &[f64]| weights.iter().zip(middle).map(|(w, m)| 20.0 * (w - m)).collect();
        let found = minimize(3, 1e-10, &mut value, &mut gradient);
        // nearer than doubles tell values apart it does not come
        assert!(found.gap <= 1e-6 && (found.weights[0] - 0.7).abs() < 1e-6 && found.weights[2] == 0.0, "{found:?}");
    }
}
