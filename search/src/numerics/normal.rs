//! The normal distribution with mean 0 and standard deviation 1, also far out in its tails.

use libm::{erfc, exp, expm1, log, log1p};

const SQRT_2: f64 = std::f64::consts::SQRT_2;
const LOG_SQRT_2_PI: f64 = 0.918_938_533_204_672_7;

/// Logarithm of the density.
pub(crate) fn log_density(x: f64) -> f64 {
    -0.5 * x * x - LOG_SQRT_2_PI
}

/// Probability of what is below `x`.
pub(crate) fn cumulative(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

/// Logarithm of [`cumulative`], which does not vanish.
pub(crate) fn log_cumulative(x: f64) -> f64 {
    if x > 5.0 {
        log1p(-cumulative(-x))
    } else if x > -25.0 {
        log(cumulative(x))
    } else {
        log_density(x) - log(-x) + log1p(-tail(x))
    }
}

/// 1 − |x|·Φ(x)/φ(x) for x far below zero: 1/x² − 3/x⁴ + 15/x⁶ − 105/x⁸ + 945/x¹⁰.
fn tail(x: f64) -> f64 {
    let inverse = 1.0 / (x * x);
    inverse * (1.0 - inverse * (3.0 - inverse * (15.0 - inverse * (105.0 - inverse * 945.0))))
}

/// Logarithm of the probability of what is between `low` and `high`.
pub(crate) fn log_mass(low: f64, high: f64) -> f64 {
    if low > 0.0 {
        return log_mass(-high, -low);
    }
    if high > 0.0 {
        return log1p(-cumulative(low) - cumulative(-high));
    }
    let (low, high) = (log_cumulative(low), log_cumulative(high));
    if low == f64::NEG_INFINITY { high } else { high + log(-expm1(low - high)) }
}

/// The point with this share of the probability between `low` and `high` below it; `share` is 0 to 1.
pub(crate) fn truncated_quantile(share: f64, low: f64, high: f64) -> f64 {
    if low > 0.0 {
        return -truncated_quantile(1.0 - share, -high, -low);
    }
    let (below, above) = (cumulative(low), cumulative(high));
    quantile(below + share * (above - below)).clamp(low, high)
}

/// The point with this probability below it: algorithm AS 241 (Wichura 1988), to a relative 1e-16.
pub(crate) fn quantile(probability: f64) -> f64 {
    const CENTRE_OVER: [f64; 8] = [
        2509.0809287301227,
        33430.57558358813,
        67265.7709270087,
        45921.95393154987,
        13731.69376550946,
        1971.5909503065513,
        133.14166789178438,
        3.3871328727963665,
    ];
    const CENTRE_UNDER: [f64; 8] = [
        5226.495278852854,
        28729.085735721943,
        39307.89580009271,
        21213.794301586597,
        5394.196021424751,
        687.1870074920579,
        42.31333070160091,
        1.0,
    ];
    const TAIL_OVER: [f64; 8] = [
        0.0007745450142783414,
        0.022723844989269184,
        0.2417807251774506,
        1.2704582524523684,
        3.6478483247632045,
        5.769497221460691,
        4.630337846156546,
        1.4234371107496835,
    ];
    const TAIL_UNDER: [f64; 8] = [
        1.0507500716444169e-9,
        0.0005475938084995345,
        0.015198666563616457,
        0.14810397642748008,
        0.6897673349851,
        1.6763848301838038,
        2.053191626637759,
        1.0,
    ];
    const FAR_OVER: [f64; 8] = [
        2.0103343992922881e-7,
        2.7115555687434876e-5,
        0.0012426609473880784,
        0.026532189526576124,
        0.29656057182850487,
        1.7848265399172913,
        5.463784911164114,
        6.657904643501103,
    ];
    const FAR_UNDER: [f64; 8] = [
        2.0442631033899397e-15,
        1.421511758316446e-7,
        1.8463183175100548e-5,
        0.0007868691311456133,
        0.014875361290850615,
        0.1369298809227358,
        0.599832206555888,
        1.0,
    ];
    let fraction = |over: &[f64; 8], under: &[f64; 8], r: f64| {
        let value = |factors: &[f64; 8]| factors.iter().fold(0.0, |sum, factor| sum * r + factor);
        value(over) / value(under)
    };
    let q = probability - 0.5;
    if q.abs() <= 0.425 {
        return q * fraction(&CENTRE_OVER, &CENTRE_UNDER, 0.180625 - q * q);
    }
    let tail = if q < 0.0 { probability } else { 1.0 - probability };
    if tail <= 0.0 {
        return f64::INFINITY.copysign(q);
    }
    let r = (-log(tail)).sqrt();
    let size =
        if r <= 5.0 { fraction(&TAIL_OVER, &TAIL_UNDER, r - 1.6) } else { fraction(&FAR_OVER, &FAR_UNDER, r - 5.0) };
    size.copysign(q)
}

/// Logarithm of the improvement over 0 that is expected of a normal variate with mean `z` and deviation 1, and its derivative:
/// log(z·Φ(z) + φ(z)), after Ament et al., "Unexpected improvements to expected improvement", 2023.
pub(crate) fn log_expected_improvement(z: f64) -> (f64, f64) {
    if z > -20.0 {
        let below = cumulative(z);
        let expected = z * below + exp(log_density(z));
        (log(expected), below / expected)
    } else {
        // z·Φ + φ = φ·(1 − |z|·Φ/φ)
        let rest = tail(z);
        (log_density(z) + log(rest), (1.0 - rest) / (-z * rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(got: f64, wanted: f64, what: &str) {
        assert!((got - wanted).abs() <= 1e-11 * wanted.abs().max(1e-3), "{what}: {got}, wanted {wanted}");
    }

    /// Values of SciPy: `log_ndtr`, `ndtri`.
    #[test]
    fn values_are_those_of_scipy() {
        for (x, wanted) in SCIPY_LOG_CUMULATIVE {
            assert_near(log_cumulative(x), wanted, &format!("log Φ({x})"));
        }
        for (p, wanted) in SCIPY_QUANTILES {
            assert_near(quantile(p), wanted, &format!("quantile {p}"));
        }
        for (z, wanted) in EXACT_IMPROVEMENT {
            let got = log_expected_improvement(z).0;
            assert!((got - wanted).abs() < 1e-9 * wanted.abs(), "log EI({z}): {got}, wanted {wanted}");
        }
        assert_eq!((quantile(0.0), quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
    }

    const SCIPY_LOG_CUMULATIVE: [(f64, f64); 11] = [
        (-100.0, -5005.524208694205),
        (-30.0, -454.32124395634327),
        (-25.0, -316.63940800802027),
        (-24.0, -292.09872100320786),
        (-10.0, -53.23128515051248),
        (-1.0, -1.8410216450092634),
        (0.0, -std::f64::consts::LN_2),
        (1.0, -0.1727537790234499),
        (5.0, -2.8665161296376294e-07),
        (6.0, -9.86587645524372e-10),
        (8.0, -6.220960574271742e-16),
    ];
    const SCIPY_QUANTILES: [(f64, f64); 7] = [
        (1e-300, -37.0470962993612),
        (1e-20, -9.262340089798409),
        (0.01, -2.3263478740408408),
        (0.1, -1.2815515655446004),
        (0.5, 0.0),
        (0.7, 0.5244005127080407),
        (0.999, 3.090232306167813),
    ];

    /// By continued fractions in 60 digits.
    const EXACT_IMPROVEMENT: [(f64, f64); 6] = [
        (-300.0, -45012.32653681455),
        (-40.0, -808.29856835662),
        (-21.0, -227.51473292810905),
        (-19.0, -187.31604760112668),
        (-5.0, -16.74430116266099),
        (-3.0, -7.869686059603029),
    ];

    #[test]
    fn the_derivative_of_the_improvement_is_the_difference_quotient() {
        for z in [-300.0, -40.0, -20.1, -19.9, -5.0, -0.3, 0.0, 2.0, 30.0] {
            let step = 1e-4;
            let [low, high] = [z - step, z + step].map(|z| log_expected_improvement(z).0);
            let derivative = log_expected_improvement(z).1;
            assert!(((high - low) / (2.0 * step) / derivative - 1.0).abs() < 1e-5, "{z}: {derivative}");
        }
    }

    #[test]
    fn a_truncated_quantile_has_its_share_below_it() {
        for (low, high) in [(-1.0, 2.0), (-30.0, 30.0), (3.0, 9.0), (-0.1, 0.1), (-8.0, -6.0)] {
            assert_near(truncated_quantile(0.0, low, high), low.max(-40.0), "the low end");
            for share in [0.001, 0.3, 0.5, 0.9] {
                let x = truncated_quantile(share, low, high);
                assert!((exp(log_mass(low, x) - log_mass(low, high)) - share).abs() < 1e-9, "{low} {high} {share}");
            }
        }
    }

    #[test]
    fn masses_add_up_far_out_too() {
        for [a, b, c] in [[-3.0, 0.5, 2.0], [-50.0, -45.0, -44.0], [20.0, 21.0, 40.0], [-60.0, -1.0, 60.0]] {
            let sum = exp(log_mass(a, b) - log_mass(a, c)) + exp(log_mass(b, c) - log_mass(a, c));
            assert!((sum - 1.0).abs() < 1e-9, "{a} {b} {c}: {sum}");
        }
        assert_eq!(log_mass(-1e9, -1e8), log_cumulative(-1e8));
    }
}
