//! Logarithm, exponential and angles from additions, multiplications, divisions and square roots only.
//!
//! Draws must be the same bits on every machine. Those four operations are fixed by IEEE 754; the functions of the
//! system's mathematical library are not.

use std::f64::consts::{FRAC_PI_4, LN_2, SQRT_2};

/// Natural logarithm of a positive, finite, normal number; within 1e-15 of the exact value, relatively.
pub(crate) fn ln(x: f64) -> f64 {
    debug_assert!(x.is_normal() && x > 0.0, "ln of {x}");
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) as i64 - 1023) as f64;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    // ln m = 2 artanh s = 2 (s + s³/3 + s⁵/5 + …), |s| ≤ 0.172
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = (1..=12).rev().fold(0.0, |sum, n| (sum + 1.0 / f64::from(2 * n + 1)) * square);
    exponent * LN_2 + 2.0 * s * (1.0 + series)
}

/// e to the power `x`, for |x| ≤ 700; within 1e-15, relatively.
pub(crate) fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let power = (x * (1.0 / LN_2)).round_ties_even();
    // ln 2 in two parts: the first is exact in few bits, so that power × part is exact
    const HIGH: f64 = 0.693_147_180_369_123_8;
    const LOW: f64 = 1.908_214_929_270_587_7e-10;
    let rest = (x - power * HIGH) - power * LOW;
    let series = (1..=14).rev().fold(1.0, |sum, n| 1.0 + sum * rest / f64::from(n));
    series * f64::from_bits(((power as i64 + 1023) as u64) << 52)
}

/// Sine and cosine of an angle in degrees; exact at multiples of 90.
pub(crate) fn sin_cos_degrees(degrees: f64) -> (f64, f64) {
    let quarter = (degrees / 90.0).round_ties_even();
    let rest = degrees - 90.0 * quarter;
    let (sin, cos) = sin_cos_small(rest * (FRAC_PI_4 / 45.0));
    match (quarter as i64).rem_euclid(4) {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// Sine and cosine by their Taylor series, for |x| ≤ π/4.
fn sin_cos_small(x: f64) -> (f64, f64) {
    let square = x * x;
    let sin = (1..=9).rev().fold(1.0, |sum, n| 1.0 - sum * square / f64::from(2 * n * (2 * n + 1)));
    let cos = (1..=9).rev().fold(1.0, |sum, n| 1.0 - sum * square / f64::from(2 * n * (2 * n - 1)));
    (x * sin, cos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agree_with_the_systems_functions() {
        for i in 1..4000 {
            let x = f64::from(i) * 0.00731;
            assert!((ln(x) - x.ln()).abs() <= 2e-15 * x.ln().abs().max(1.0), "ln {x}");
            assert!((ln(1.0 / x) + x.ln()).abs() <= 2e-15 * x.ln().abs().max(1.0), "ln 1/{x}");
            for y in [x, -x] {
                assert!((exp(y) / y.exp() - 1.0).abs() < 2e-15, "exp {y}");
                let (sin, cos) = sin_cos_degrees(y * 30.0);
                let radians = (y * 30.0).to_radians();
                assert!((sin - radians.sin()).abs() < 1e-13 && (cos - radians.cos()).abs() < 1e-13, "{y}");
            }
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(sin_cos_degrees(90.0), (1.0, 0.0));
        assert_eq!(sin_cos_degrees(-180.0), (0.0, -1.0));
        assert!((sin_cos_degrees(30.0).0 - 0.5).abs() < 1e-15);
    }
}
