/// What chances become when so many were looked at: those of Holm ("A simple sequentially rejective multiple test procedure", 1979),
/// in the same order. To call those below 0.05 found is to be wrong about any of them in 5 of 100 studies at most.
pub(crate) fn holm(chances: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|a, b| chances[*a].total_cmp(&chances[*b]));
    let (mut adjusted, mut least) = (vec![1.0; chances.len()], 0.0_f64);
    for (rank, at) in order.into_iter().enumerate() {
        least = least.max((chances.len() - rank) as f64 * chances[at]).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_those_of_statsmodels() {
        // statsmodels.stats.multitest.multipletests(chances, method="holm")[1]
        let (chances, wanted) = HOLM;
        for (found, wanted) in holm(chances).iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-12, "{found}, wanted {wanted}");
        }
        assert!(holm(&[]).is_empty());
    }

    const HOLM: (&[f64], &[f64]) = (&[0.01, 0.04, 0.03, 0.005, 0.5], &[0.04, 0.09, 0.09, 0.025, 0.5]);
}
