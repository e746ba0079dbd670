use serde::Serialize;

use super::Outcomes;

/// What the scores of a model are divided by, and what that changes on the rows that it was fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Temperature {
    /// Above 1 where the model was too sure of itself, below where it was not sure enough.
    pub temperature: f32,
    /// Mean negative log-likelihood before.
    pub before: f64,
    /// And with it.
    pub after: f64,
}

/// Temperatures beyond these say that nothing was there to be fitted.
const LEAST: f64 = 1e-3;
const MOST: f64 = 1e3;

/// The temperature T for which the outcomes are the most likely: the mean of −ln softmax(scores / T) of the classes, or of the
/// cross-entropy of sigmoid(score / T) of each label, is the least (Guo et al., "On calibration of modern neural networks", 2017).
/// That mean is convex in 1/T; its derivative is brought to 0 by bisection in double precision.
///
/// None where there is no such T: all outcomes are right, and would be the more likely the smaller it is, or the scores say
/// nothing.
pub fn fit_temperature(outcomes: &Outcomes) -> Option<Temperature> {
    let slope = |inverse: f64| likelihood(outcomes, inverse).1;
    let (mut low, mut high) = (MOST.recip(), LEAST.recip());
    if slope(low) >= 0.0 || slope(high) <= 0.0 {
        return None;
    }
    // What is written into a model is a 32-bit float; more often than a double has bits it is not halved.
    for _ in 0..64 {
        if low.recip() as f32 == high.recip() as f32 {
            break;
        }
        let middle = (low * high).sqrt();
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    let temperature = (low * high).sqrt().recip() as f32;
    let [before, after] = [1.0, f64::from(temperature).recip()].map(|inverse| likelihood(outcomes, inverse).0);
    Some(Temperature { temperature, before, after })
}

/// Mean negative log-likelihood of scores · inverse, and its derivative by that.
fn likelihood(outcomes: &Outcomes, inverse: f64) -> (f64, f64) {
    let (mut loss, mut slope) = (0.0, 0.0);
    if outcomes.labels.is_empty() {
        for (scores, class) in outcomes.scores.chunks(outcomes.columns.max(1)).zip(&outcomes.classes) {
            let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let own = f64::from(scores[*class as usize]) - f64::from(highest);
            let (mut whole, mut mean) = (0.0, 0.0);
            for score in scores {
                let below = f64::from(*score) - f64::from(highest);
                let share = (below * inverse).exp();
                (whole, mean) = (whole + share, mean + share * below);
            }
            loss += whole.ln() - own * inverse;
            slope += mean / whole - own;
        }
        let places = outcomes.classes.len().max(1) as f64;
        return (loss / places, slope / places);
    }
    for (score, target) in outcomes.scores.iter().zip(&outcomes.labels) {
        let (score, target) = (f64::from(*score), f64::from(*target));
        let scaled = score * inverse;
        loss += scaled.max(0.0) - scaled * target + (-scaled.abs()).exp().ln_1p();
        slope += score * ((1.0 + (-scaled).exp()).recip() - target);
    }
    let labels = outcomes.labels.len().max(1) as f64;
    (loss / labels, slope / labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_are_those_of_a_minimizer() {
        // numpy: s = sin(arange(n) * 1.7) * 6, y as below; scipy.optimize.minimize_scalar of the mean loss over T, refined by
        // scipy.optimize.brentq of its derivative
        let scores =
            |count: usize| -> Vec<f32> { (0..count).map(|at| ((at as f64 * 1.7).sin() * 6.0) as f32).collect() };
        let class = |(row, scores): (usize, &[f32])| match row % 4 {
            0 => (row * 7 % 3) as u32,
            _ => (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap() as u32,
        };
        let of_rows = scores(120).chunks(3).enumerate().map(class).collect();
        let classes = Outcomes::of_classes(3, scores(120), of_rows);
        let labels = Outcomes::of_labels(
            2,
            scores(60),
            scores(60).iter().enumerate().map(|(at, score)| f32::from(*score > 1.0 || at % 5 == 0)).collect(),
        );
        for ((temperature, before, after), outcomes) in CLASSES_AND_LABELS.into_iter().zip([classes, labels]) {
            let found = fit_temperature(&outcomes).unwrap();
            assert!((f64::from(found.temperature) / temperature - 1.0).abs() < 1e-6, "{found:?}");
            assert!((found.before - before).abs() < 1e-9 && (found.after - after).abs() < 1e-9, "{found:?}");
            let again = fit_temperature(&outcomes.clone().divided_by(found.temperature)).unwrap();
            assert!((again.temperature - 1.0).abs() < 1e-5, "{again:?}");
        }
    }

    const CLASSES_AND_LABELS: [(f64, f64, f64); 2] = [
        (3.60515788760091, 1.323702414179409, 0.6805089164198889),
        (1.9618482108602937, 0.4754137534229439, 0.38676213158265405),
    ];

    #[test]
    fn where_there_is_nothing_to_be_fitted_none_is() {
        for (scores, classes) in [(vec![1.0, 0.0, 0.0, 2.0], vec![0, 1]), (vec![0.0; 4], vec![0, 1])] {
            assert_eq!(fit_temperature(&Outcomes::of_classes(2, scores, classes)), None);
        }
        assert_eq!(fit_temperature(&Outcomes::of_labels(1, vec![1.0, -2.0], vec![1.0, 0.0])), None);
    }
}
