use super::ln_factorial::ln_choose;

/// How likely a split of rows at least as uneven is, both ways, where two models are equally good: `first` rows are right by the first
/// model alone, `second` by the second alone. The exact test of McNemar ("Note on the sampling error of the difference between
/// correlated proportions or percentages", 1947): of the rows on which they differ, each is as likely to be on one side as on the
/// other, a binomial with the share ½. 1 where there is no such row.
pub(crate) fn mcnemar(first: u64, second: u64) -> f64 {
    let (fewer, all) = (first.min(second), first + second);
    // from the largest term of the tail downwards
    let mut term = (ln_choose(all, fewer) - all as f64 * std::f64::consts::LN_2).exp();
    let mut tail = term;
    for at in (1..=fewer).rev() {
        term *= at as f64 / (all - at + 1) as f64;
        tail += term;
        if term < f64::EPSILON * 1e-3 * tail {
            break;
        }
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_those_of_statsmodels() {
        // statsmodels.stats.contingency_tables.mcnemar([[0, first], [second, 0]], exact=True).pvalue
        for (first, second, wanted) in CHANCES {
            for found in [mcnemar(*first, *second), mcnemar(*second, *first)] {
                assert!((found - wanted).abs() <= 1e-11 * wanted, "{first} {second}: {found}, wanted {wanted}");
            }
        }
        assert_eq!(mcnemar(0, 0), 1.0);
    }

    const CHANCES: &[(u64, u64, f64)] = &[
        (1, 0, 1.0),
        (3, 9, 0.14599609375),
        (5, 30, 2.2361520677804947e-05),
        (12, 12, 1.0),
        (1, 20, 2.09808349609375e-05),
        (0, 5, 0.0625),
        (150, 210, 0.001834007417096482),
        (2000, 2300, 5.079935568924055e-06),
        (40, 130, 2.6303475013325162e-12),
    ];
}
