//! Probabilities of scores, in doubles.

/// softmax(scores), into a buffer of any length.
pub fn softmax(scores: &[f32], into: &mut Vec<f64>) {
    let highest = highest(scores);
    into.clear();
    into.extend(scores.iter().map(|score| (f64::from(*score) - highest).exp()));
    let sum: f64 = into.iter().sum();
    into.iter_mut().for_each(|probability| *probability /= sum);
}

/// 1 / (1 + e^−score).
pub fn sigmoid(score: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(score)).exp())
}

/// −ln softmax(scores)[class].
pub(super) fn negative_log_likelihood(scores: &[f32], class: usize) -> f64 {
    let highest = highest(scores);
    let sum: f64 = scores.iter().map(|score| (f64::from(*score) - highest).exp()).sum();
    highest + sum.ln() - f64::from(scores[class])
}

fn highest(scores: &[f32]) -> f64 {
    f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_scores_do_not_overflow() {
        assert!((negative_log_likelihood(&[1000.0, 1000.0], 0) - std::f64::consts::LN_2).abs() < 1e-12);
        assert!((negative_log_likelihood(&[-1000.0, 1000.0], 0) - 2000.0).abs() < 1e-9);
        let mut probabilities = vec![7.0; 5];
        softmax(&[-1000.0, 1000.0], &mut probabilities);
        assert_eq!(probabilities, [0.0, 1.0]);
        assert_eq!([-1000.0, 0.0, 1000.0].map(sigmoid), [0.0, 0.5, 1.0]);
    }
}
