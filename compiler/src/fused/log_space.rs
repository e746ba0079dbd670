//! Sums of probabilities whose logarithms are known, in doubles.

/// ln Σ e^x; −∞ of nothing.
pub(super) fn log_sum(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let highest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY {
        return highest;
    }
    highest + values.map(|value| (value - highest).exp()).sum::<f64>().ln()
}

/// Logarithms of softmax(scores).
pub(super) fn log_softmax(scores: &[f32]) -> impl Iterator<Item = f64> + '_ {
    let whole = log_sum(scores.iter().map(|score| f64::from(*score)));
    scores.iter().map(move |score| f64::from(*score) - whole)
}

/// ln(1 / (1 + e^−x)).
pub(super) fn log_sigmoid(x: f64) -> f64 {
    if x < 0.0 { x - x.exp().ln_1p() } else { -(-x).exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_scores_neither_overflow_nor_vanish() {
        let found: Vec<f64> = log_softmax(&[1000.0, 0.0, -1000.0]).collect();
        assert_eq!(found, [0.0, -1000.0, -2000.0]);
        assert_eq!([-1000.0, 1000.0].map(log_sigmoid), [-1000.0, 0.0]);
        assert!((log_sigmoid(0.0) + std::f64::consts::LN_2).abs() < 1e-15);
        assert_eq!(log_sum(std::iter::empty()), f64::NEG_INFINITY);
    }
}
