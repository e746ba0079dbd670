//! Least squares with coefficients that are 0 or more.

/// A pivot at most so large, of features of length 1, is that of one that the others make up.
const SINGULAR: f64 = 1e-10;
/// A slope at most so large, against the largest of all, counts as none.
const FLAT: f64 = 1e-12;
/// Steps for each feature, at most; each makes the value less, so that few are taken.
const MOST_STEPS: usize = 30;

/// The x of 0 or more that makes ½·xᵀ·A·x − bᵀ·x the least, by the active set of Lawson and Hanson ("Solving Least Squares Problems",
/// 1974, chapter 23): A, row-major, holds the products of the features with each other, b those with the target. What other features
/// make up, or is always 0, has the coefficient 0.
pub(super) fn least_squares(products: &[f64], with_target: &[f64]) -> Vec<f64> {
    let count = with_target.len();
    let lengths: Vec<f64> = (0..count).map(|at| products[at * count + at].sqrt()).collect();
    // features of length 1 have pivots that are told from 0 alike
    let has_length = |at: usize| lengths[at] > 0.0 && lengths[at].is_finite();
    let scaled = |a: usize, b: usize| products[a * count + b] / lengths[a] / lengths[b];
    let target: Vec<f64> =
        (0..count).map(|at| if has_length(at) { with_target[at] / lengths[at] } else { 0.0 }).collect();
    let flat = FLAT * target.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let (mut found, mut passive) = (vec![0.0; count], Vec::<usize>::new());
    let mut passed_over = vec![false; count];
    for _ in 0..MOST_STEPS * count {
        let slope =
            |at: usize| target[at] - passive.iter().map(|other| scaled(at, *other) * found[*other]).sum::<f64>();
        let steepest = (0..count)
            .filter(|at| has_length(*at) && !passed_over[*at] && !passive.contains(at))
            .map(|at| (at, slope(at)))
            .reduce(|best, other| if other.1 > best.1 { other } else { best });
        let Some((added, _)) = steepest.filter(|(_, slope)| *slope > flat) else { break };
        passive.push(added);
        let mut is_first = true;
        loop {
            let there = solved(&passive, &scaled, &target);
            // rounding alone lets what was added fall at once
            let there = there.filter(|there| !is_first || there.last().is_some_and(|value| *value > 0.0));
            let Some(there) = there else {
                passive.retain(|at| *at != added);
                passed_over[added] = true;
                break;
            };
            is_first = false;
            if there.iter().all(|value| *value > 0.0) {
                passive.iter().zip(&there).for_each(|(at, value)| found[*at] = *value);
                passed_over.fill(false);
                break;
            }
            let share = |at: usize, to: f64| found[at] / (found[at] - to);
            let falling = passive.iter().zip(&there).filter(|(_, to)| **to <= 0.0);
            let first = falling
                .map(|(at, to)| (*at, share(*at, *to)))
                .reduce(|least, other| if other.1 < least.1 { other } else { least });
            let Some((left, share)) = first else { break };
            passive.iter().zip(&there).for_each(|(at, to)| found[*at] += share * (to - found[*at]));
            found[left] = 0.0;
            passive.retain(|at| *at != left);
        }
    }
    found.iter().enumerate().map(|(at, value)| if *value > 0.0 { value / lengths[at] } else { 0.0 }).collect()
}

/// The coefficients of some features alone, of any sign, in their order; none where some make up another. By Cholesky's factors.
fn solved(features: &[usize], products: &impl Fn(usize, usize) -> f64, target: &[f64]) -> Option<Vec<f64>> {
    let count = features.len();
    let mut factor = vec![0.0; count * count];
    for row in 0..count {
        for column in 0..=row {
            let known: f64 = (0..column).map(|at| factor[row * count + at] * factor[column * count + at]).sum();
            let rest = products(features[row], features[column]) - known;
            factor[row * count + column] = if row > column {
                rest / factor[column * count + column]
            } else if rest > SINGULAR {
                rest.sqrt()
            } else {
                return None;
            };
        }
    }
    let mut found: Vec<f64> = features.iter().map(|at| target[*at]).collect();
    for row in 0..count {
        let known: f64 = (0..row).map(|at| factor[row * count + at] * found[at]).sum();
        found[row] = (found[row] - known) / factor[row * count + row];
    }
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|at| factor[at * count + row] * found[at]).sum();
        found[row] = (found[row] - known) / factor[row * count + row];
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The products of features, one a row, with each other and with the target.
    fn fitted(features: &[&[f64]], target: &[f64]) -> Vec<f64> {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut products: Vec<f64> = Vec::new();
        for one in features {
            products.extend(features.iter().map(|other| dot(one, other)));
        }
        let with_target: Vec<f64> = features.iter().map(|one| dot(one, target)).collect();
        least_squares(&products, &with_target)
    }

    #[track_caller]
    fn assert_close(found: &[f64], wanted: &[f64]) {
        let is_close = found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-9);
        assert!(found.len() == wanted.len() && is_close, "{found:?}, wanted {wanted:?}");
    }

    #[test]
    fn coefficients_are_those_of_scipy() {
        // numpy: X[r, f] = sin(1.7 r (f + 1) + f) + 0.9 sin(r) for 12 rows and 5 features, y = X[:, 0] − 0.5 X[:, 1] + 0.25 X[:, 3]
        // + 0.1 cos(r); scipy.optimize.nnls(X, y)[0]
        let feature = |row: usize, at: usize| {
            let row = row as f64;
            (1.7 * row * (at + 1) as f64 + at as f64).sin() + 0.9 * row.sin()
        };
        let features: Vec<Vec<f64>> = (0..5).map(|at| (0..12).map(|row| feature(row, at)).collect()).collect();
        let target: Vec<f64> = (0..12)
            .map(|row| {
                let own = feature(row, 0) - 0.5 * feature(row, 1) + 0.25 * feature(row, 3);
                own + 0.1 * (row as f64).cos()
            })
            .collect();
        let features: Vec<&[f64]> = features.iter().map(Vec::as_slice).collect();
        assert_close(&fitted(&features, &target), &OF_SCIPY);
        // the second feature is added first, and goes when the others are there
        let features: [&[f64]; 3] = [&[1.0, 2.0, 0.0, 0.0], &[3.0, 3.0, 2.0, 1.0], &[3.0, 2.0, 3.0, 1.0]];
        assert_close(&fitted(&features, &[4.0, 4.0, 1.0, 0.0]), &[115.0 / 66.0, 0.0, 31.0 / 66.0]);
    }

    #[test]
    fn what_would_be_below_0_is_0_and_the_rest_is_fitted_anew() {
        // without the bound they would be 2 and −1
        assert_close(&fitted(&[&[1.0, 0.0], &[1.0, 1.0]], &[1.0, -1.0]), &[1.0, 0.0]);
        assert_close(&fitted(&[&[1.0, 0.0], &[1.0, 1.0]], &[3.0, 1.0]), &[2.0, 1.0]);
        assert_close(&fitted(&[&[1.0, 2.0]], &[-1.0, -1.0]), &[0.0]);
        assert_close(&fitted(&[], &[]), &[]);
    }

    #[test]
    fn features_that_are_equal_or_always_0_or_of_other_sizes_are_no_trouble() {
        let found = fitted(&[&[1.0, 2.0, 4.0], &[1.0, 2.0, 4.0], &[0.0; 3]], &[2.0, 4.0, 8.0]);
        assert!((found[0] + found[1] - 2.0).abs() < 1e-9 && found[2] == 0.0, "{found:?}");
        let found = fitted(&[&[1e6, 2e6, -3e6], &[1e-6, 0.0, 1e-6]], &[5e6 + 2.0, 1e7, -1.5e7 + 2.0]);
        assert!((found[0] - 5.0).abs() < 1e-6 && (found[1] / 2e6 - 1.0).abs() < 1e-3, "{found:?}");
    }

    const OF_SCIPY: [f64; 5] = [0.872_592_649_895_694_7, 0.0, 0.026_891_282_031_915_948, 0.091_162_404_114_028_9, 0.0];
}
