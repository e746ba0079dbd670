//! Intervals of shares.

/// The quantile of the normal distribution at 97.5 %: intervals of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// The interval of 95 % of a share of `whole` independent rows (Wilson, "Probable inference, the law of succession, and
/// statistical inference", 1927): the shares from which the one that was found is no further than 1.96 standard errors. None
/// of nothing.
pub(super) fn wilson(part: u64, whole: u64) -> Option<[f64; 2]> {
    if whole == 0 {
        return None;
    }
    let (n, share) = (whole as f64, part as f64 / whole as f64);
    let scale = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / scale;
    let reach = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some([(middle - reach).clamp(0.0, share), (middle + reach).clamp(share, 1.0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_scipy() {
        // scipy.stats.binomtest(part, whole).proportion_ci(0.95, method="wilson")
        for (part, whole, low, high) in WANTED {
            let [found_low, found_high] = wilson(*part, *whole).unwrap();
            assert!((found_low - low).abs() < 1e-9 && (found_high - high).abs() < 1e-9, "{part} of {whole}");
        }
        assert_eq!(wilson(0, 0), None);
    }

    const WANTED: &[(u64, u64, f64, f64)] = &[
        (0, 10, 0.0, 0.277532799863),
        (10, 10, 0.722467200137, 1.0),
        (9, 10, 0.595849973205, 0.982123786905),
        (50, 100, 0.403831530366, 0.596168469634),
        (1, 3, 0.0614919447204, 0.792340399198),
        (4981, 5000, 0.994072271441, 0.997565861149),
        (0, 1, 0.0, 0.793450685623),
        (1, 1, 0.206549314377, 1.0),
    ];
}
