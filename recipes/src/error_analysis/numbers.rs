//! Numbers between values, as short as they may be.

/// The shortest decimal that is `low` or more and less than `high`, where `low` is below `high`: so that `above` it means the same as
/// above `low`.
pub(super) fn between(low: f64, high: f64) -> f64 {
    for digits in 1..=17 {
        let middle = low / 2.0 + high / 2.0;
        let rounded: f64 = format!("{middle:.0$e}", digits - 1).parse().unwrap_or(middle);
        if rounded >= low && rounded < high {
            return rounded;
        }
    }
    low
}

/// With four digits that count, and no more zeros than needed.
pub(super) fn shown(number: f64) -> String {
    if number == 0.0 {
        return "0".into();
    }
    let size = number.abs().log10().floor() as i32;
    if !(-4..9).contains(&size) {
        return format!("{number:.3e}");
    }
    let decimals = usize::try_from(3 - size).unwrap_or(0);
    let text = format!("{number:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_as_short_as_the_gap_allows() {
        for (low, high, wanted) in [
            (24.31, 26.8, 30.0),
            (24.9, 25.2, 25.0),
            (0.2961, 0.3118, 0.3),
            (-1.0, 1.0, 0.0),
            (1.0, 2.0, 2.0),
            (3.0, 4.0, 3.5),
            (-30.2, -29.9, -30.0),
        ] {
            let found = between(low, high);
            assert!(found >= low && found < high, "{low} {high}: {found}");
            if wanted >= low && wanted < high {
                assert_eq!(found, wanted, "{low} {high}");
            }
        }
        let (low, high) = (1.0, 1.0 + f64::EPSILON);
        assert_eq!(between(low, high), low);
    }

    #[test]
    fn four_digits_are_shown() {
        for (number, wanted) in
            [(25.0, "25"), (0.29613, "0.2961"), (1234.56, "1235"), (-0.5, "-0.5"), (0.0, "0"), (2.5e-7, "2.500e-7")]
        {
            assert_eq!(shown(number), wanted);
        }
    }
}
