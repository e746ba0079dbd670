use super::ln_factorial::ln_choose;

/// How likely a table is that is as unlikely as this one or more, where the two groups err alike: `[erring, all]` of each. Fisher's
/// exact test, two-sided: the margins stay, and chances of all tables that are no likelier are added (Fisher, "Statistical methods for
/// research workers", 5th edition, 1934). 1 where a group is empty.
pub(crate) fn fisher([erring, all]: [u64; 2], [others_erring, others]: [u64; 2]) -> f64 {
    let (rows, wrong) = (all + others, erring + others_erring);
    if all == 0 || others == 0 || wrong == 0 || wrong == rows {
        return 1.0;
    }
    let whole = ln_choose(rows, wrong);
    let chance = |erring: u64| (ln_choose(all, erring) + ln_choose(others, wrong - erring) - whole).exp();
    let found = chance(erring);
    // those that are as likely but for rounding belong to them
    let most = found * (1.0 + 1e-7);
    let (low, high) = (wrong.saturating_sub(others), wrong.min(all));
    let sum: f64 = (low..=high).map(chance).filter(|chance| *chance <= most).sum();
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_those_of_scipy() {
        // scipy.stats.fisher_exact([[a, b], [c, d]]).pvalue
        for ([a, b, c, d], wanted) in CHANCES {
            let found = fisher([*a, a + b], [*c, c + d]);
            assert!((found - wanted).abs() <= 1e-10 * wanted, "{a} {b} {c} {d}: {found}, wanted {wanted}");
        }
        assert_eq!((fisher([0, 0], [3, 5]), fisher([0, 4], [0, 5]), fisher([4, 4], [5, 5])), (1.0, 1.0, 1.0));
    }

    const CHANCES: &[([u64; 4], f64)] = &[
        ([8, 2, 1, 5], 0.034965034965034975),
        ([31, 69, 9, 91], 0.0001544057236338314),
        ([0, 10, 5, 5], 0.032507739938080496),
        ([3, 47, 12, 38], 0.02260438688192351),
        ([100, 900, 150, 850], 0.0008950875386906894),
        ([1, 1, 1, 1], 1.0),
        ([20, 5, 3, 40], 8.319631369771617e-10),
    ];
}
