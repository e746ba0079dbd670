//! Intervals of shares, and how intervals stand in a file.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// What is usual: intervals of 95 %.
pub(super) const USUAL_CONFIDENCE: f64 = 0.95;

/// The interval of a share of `whole` independent rows (Wilson, "Probable inference, the law of succession, and statistical
/// inference", 1927): the shares from which the one that was found is no further than so many standard errors, 1.96 for a
/// confidence of 0.95. None of nothing.
pub fn wilson(part: u64, whole: u64, confidence: f64) -> Option<[f64; 2]> {
    if whole == 0 {
        return None;
    }
    let z = standard_errors(confidence);
    let (n, share) = (whole as f64, part as f64 / whole as f64);
    let scale = 1.0 + z * z / n;
    let middle = (share + z * z / (2.0 * n)) / scale;
    let reach = z / scale * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    Some([(middle - reach).clamp(0.0, share), (middle + reach).clamp(share, 1.0)])
}

/// The z between whose negative and which a normal distribution has this share.
fn standard_errors(confidence: f64) -> f64 {
    // Half the share below z: φ(z)·(z + z³/3 + z⁵/(3·5) + …) (Marsaglia, "Evaluating the normal distribution", 2004).
    let half = |z: f64| {
        let (mut sum, mut term, mut odd) = (z, z, 1.0);
        while term > f64::EPSILON * sum {
            odd += 2.0;
            term *= z * z / odd;
            sum += term;
        }
        sum * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
    };
    let (mut below, mut above) = (0.0, 10.0);
    for _ in 0..100 {
        let middle = (below + above) / 2.0;
        if 2.0 * half(middle) < confidence { below = middle } else { above = middle }
    }
    (below + above) / 2.0
}

/// Values by their names, in order.
pub(super) fn by_name<T: Serialize, S: Serializer>(named: &[(String, T)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(named.len()))?;
    for (name, value) in named {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// Intervals as they stand in a file.
pub(super) fn intervals_of(written: Map<String, Value>) -> Result<Vec<(String, [f64; 2])>, String> {
    let interval = |(name, value): (String, Value)| match serde_json::from_value(value) {
        Ok(interval) => Ok((name, interval)),
        Err(_) => Err(format!("the interval of `{name}` is not two numbers")),
    };
    written.into_iter().map(interval).collect()
}

/// `95 %`: how often an interval holds the figure of all rows that there could be, without digits that a double only has because it is one.
pub fn confidence_in_words(confidence: f64) -> String {
    format!("{} %", (1e8 * confidence).round() / 1e6)
}

/// `82.3 % to 92.9 %`: where a figure lies, each end as `shown` says it.
pub fn interval_in_words([low, high]: [f64; 2], shown: impl Fn(f64) -> String) -> String {
    format!("{} to {}", shown(low), shown(high))
}

/// `88.6 % (82.3 % to 92.9 %)`: a figure in words with its interval, where it has one.
pub fn with_interval(figure: String, interval: Option<[f64; 2]>, shown: impl Fn(f64) -> String) -> String {
    match interval {
        Some(interval) => format!("{figure} ({})", interval_in_words(interval, shown)),
        None => figure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_scipy() {
        // scipy.stats.binomtest(part, whole).proportion_ci(0.95, method="wilson")
        for (part, whole, low, high) in WANTED {
            let [found_low, found_high] = wilson(*part, *whole, 0.95).unwrap();
            assert!((found_low - low).abs() < 1e-9 && (found_high - high).abs() < 1e-9, "{part} of {whole}");
        }
        assert_eq!(wilson(0, 0, 0.95), None);
    }

    #[test]
    fn a_confidence_has_the_digits_that_were_asked_for_and_no_others() {
        for (confidence, wanted) in [(0.95, "95 %"), (0.57, "57 %"), (0.9973, "99.73 %"), (0.9995, "99.95 %")] {
            assert_eq!(confidence_in_words(confidence), wanted);
        }
    }

    #[test]
    fn standard_errors_are_quantiles_of_the_normal_distribution() {
        // scipy.stats.norm.ppf((1 + confidence) / 2)
        for (confidence, wanted) in [
            (0.5, 0.6744897501960817),
            (0.8, 1.2815515655446004),
            (0.9, 1.6448536269514722),
            (0.95, 1.959963984540054),
            (0.99, 2.5758293035489004),
            (0.999, 3.2905267314919255),
        ] {
            let found = standard_errors(confidence);
            assert!((found - wanted).abs() < 1e-10, "{confidence}: {found}");
        }
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
