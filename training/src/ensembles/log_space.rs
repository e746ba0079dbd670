//! Logarithms of probabilities, in doubles.

/// ln(1 / (1 + e^−x)).
pub(super) fn log_sigmoid(x: f64) -> f64 {
    if x < 0.0 { x - x.exp().ln_1p() } else { -(-x).exp().ln_1p() }
}

/// Logarithms of softmax(scores).
pub(super) fn log_softmax(scores: &[f32]) -> impl Iterator<Item = f64> + '_ {
    let highest = scores.iter().fold(f64::NEG_INFINITY, |highest, score| highest.max(f64::from(*score)));
    let whole = highest + scores.iter().map(|score| (f64::from(*score) - highest).exp()).sum::<f64>().ln();
    scores.iter().map(move |score| f64::from(*score) - whole)
}

/// −ln softmax(scores)[class].
pub(super) fn negative_log_likelihood(scores: &[f32], class: usize) -> f64 {
    -log_softmax(scores).nth(class).unwrap_or(f64::NEG_INFINITY)
}
