/// The logarithm of 1·2·…·n, right to some 1e-14 of its size: a sum for few factors, Stirling's series for more.
pub(super) fn ln_factorial(n: u64) -> f64 {
    if n < 64 {
        return (2..=n).map(|factor| (factor as f64).ln()).sum();
    }
    let x = n as f64;
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    x * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI * x).ln() + series
}

/// The logarithm of the number of ways to take k of n things; k is n at most.
pub(super) fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_meet() {
        // mpmath.loggamma(n + 1)
        for (n, wanted) in LN_FACTORIALS {
            let found = ln_factorial(*n);
            assert!((found - wanted).abs() <= 1e-13 * wanted.max(1.0), "{n}: {found}, wanted {wanted}");
        }
        assert!((ln_choose(10, 3) - 120_f64.ln()).abs() < 1e-13);
    }

    const LN_FACTORIALS: &[(u64, f64)] = &[
        (0, 0.0),
        (1, 0.0),
        (20, 42.335616460753485),
        (63, 201.00931639928152),
        (64, 205.1681994826412),
        (170, 706.5730622457874),
        (1000, 5912.128178488163),
        (1000000, 12815518.384658169),
    ];
}
