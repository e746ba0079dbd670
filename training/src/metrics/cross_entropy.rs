/// −ln softmax(scores)[class], in doubles.
pub(super) fn of_row(scores: &[f32], class: usize) -> f64 {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = scores.iter().map(|score| (f64::from(*score) - f64::from(highest)).exp()).sum();
    f64::from(highest) + sum.ln() - f64::from(scores[class])
}

#[cfg(test)]
mod tests {
    use super::of_row;

    #[test]
    fn large_scores_do_not_overflow() {
        assert!((of_row(&[1000.0, 1000.0], 0) - std::f64::consts::LN_2).abs() < 1e-12);
        assert!((of_row(&[-1000.0, 1000.0], 0) - 2000.0).abs() < 1e-9);
    }
}
