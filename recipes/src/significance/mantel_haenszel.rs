/// How likely it is, both ways, that as many or more err on one side within strata of which each has its own chance of erring:
/// `[there erring, there right, elsewhere erring, elsewhere right]` of each. Mantel and Haenszel's test with their correction for
/// continuity ("Statistical aspects of the analysis of data from retrospective studies of disease", 1959). And whether more err there.
/// 1 where no stratum has both sides and both outcomes.
pub(crate) fn mantel_haenszel(strata: impl IntoIterator<Item = [u64; 4]>) -> (f64, bool) {
    let (mut above, mut variance) = (0.0, 0.0);
    for stratum in strata {
        let [a, b, c, d] = stratum.map(|count| count as f64);
        let all = a + b + c + d;
        if all < 2.0 {
            continue;
        }
        let (there, erring) = (a + b, a + c);
        above += a - there * erring / all;
        variance += there * (c + d) * erring * (b + d) / (all * all * (all - 1.0));
    }
    if variance <= 0.0 {
        return (1.0, false);
    }
    let z = (above.abs() - 0.5).max(0.0) / f64::sqrt(variance);
    (both_tails(z), above > 0.0)
}

/// The share of a normal distribution that lies further than this from its mean, in standard deviations; 0 or more.
fn both_tails(z: f64) -> f64 {
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z < 3.0 {
        // z + z³/3 + z⁵/(3·5) + … (Marsaglia, "Evaluating the normal distribution", 2004)
        let (mut sum, mut term, mut odd) = (z, z, 1.0);
        while term > f64::EPSILON * sum {
            odd += 2.0;
            term *= z * z / odd;
            sum += term;
        }
        return (1.0 - 2.0 * density * sum).clamp(0.0, 1.0);
    }
    // Laplace's continued fraction of the tail
    let fraction = (1..=80).rev().fold(z, |below, at| z + f64::from(at) / below);
    2.0 * density / fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_those_of_statsmodels() {
        // statsmodels.stats.contingency_tables.StratifiedTable(tables).test_null_odds(correction=True).pvalue
        let six = [[2, 0, 1, 2], [1, 1, 0, 3], [0, 2, 2, 1], [2, 1, 0, 2], [3, 0, 1, 1], [1, 0, 0, 4]];
        for (strata, wanted) in [
            (vec![[3, 1, 1, 4], [2, 2, 1, 3], [4, 0, 2, 3]], 0.05057019380488026),
            (vec![[2, 1, 0, 2]; 20], 7.626645093239404e-09),
            (six.repeat(6), 3.8960384152186833e-07),
        ] {
            // what is alike in all of a stratum says nothing
            let more = strata.iter().copied().chain([[5, 0, 3, 0], [0, 0, 2, 3], [1, 0, 0, 0]]);
            let (found, _) = mantel_haenszel(more);
            assert!((found - wanted).abs() < 1e-10 + 1e-9 * wanted, "{found}, wanted {wanted}");
        }
        assert!(mantel_haenszel([[2, 1, 0, 2]; 20]).1 && !mantel_haenszel([[0, 2, 2, 1]; 20]).1);
        // no more there than elsewhere: there the correction would go below nothing
        assert_eq!(mantel_haenszel([[1, 2, 2, 1], [2, 1, 1, 2]]).0, 1.0);
        assert_eq!(mantel_haenszel([[1, 0, 1, 0]]), (1.0, false));
    }

    #[test]
    fn tails_are_those_of_the_normal_distribution() {
        // 2 * scipy.stats.norm.sf(z)
        for (z, wanted) in [
            (0.0, 1.0),
            (0.5, 0.6170750774519738),
            (1.959963984540054, 0.05),
            (2.9, 0.003731626600768075),
            (3.1, 0.0019352064264367126),
            (6.0, 1.973175290075389e-09),
        ] {
            let found = both_tails(z);
            assert!((found - wanted).abs() < 1e-12 + 1e-10 * wanted, "{z}: {found}, wanted {wanted}");
        }
    }
}
