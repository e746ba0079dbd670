//! Quotients, exact where they can be.

use super::{Factor, Form, Length, MOST_TERMS, Term};

impl Length {
    /// Divided, where that leaves nothing.
    pub fn exact_quotient(&self, divisor: &Self) -> Option<Self> {
        if *divisor == 0 {
            return None;
        }
        let (mut rest, mut quotient) = (self.clone(), Self::number(0));
        let divisor_terms = divisor.all_terms()?;
        let lead = divisor_terms.first()?;
        for _ in 0..MOST_TERMS {
            let Some(first) = rest.all_terms()?.first().cloned() else { return Some(quotient) };
            let part = Self::from_terms(vec![first.divided_by(lead)?]);
            rest = rest - &part * divisor;
            quotient = quotient + part;
        }
        None
    }

    /// Divided and rounded down.
    #[must_use]
    pub fn quotient(&self, divisor: &Self) -> Self {
        if let Some(exact) = self.exact_quotient(divisor) {
            return exact;
        }
        if [self, divisor].iter().any(|side| side.0 == Form::Excessive) {
            return Self(Form::Excessive);
        }
        match divisor.as_number() {
            Some(by) if by > 0 => self.quotient_by(by),
            Some(_) => Self(Form::Excessive),
            None => self.opaque_quotient(divisor),
        }
    }

    fn opaque_quotient(&self, divisor: &Self) -> Self {
        let depth = 1 + self.depth().max(divisor.depth());
        Self::of_factor(Factor::Quotient(self.clone(), divisor.clone()), depth)
    }

    /// Whole parts are taken out, and what numerator and divisor share.
    fn quotient_by(&self, by: i64) -> Self {
        let Some(terms) = self.all_terms() else { return Self(Form::Excessive) };
        let split = |part: fn(i64, i64) -> i64| {
            terms.iter().map(|term| Term { coefficient: part(term.coefficient, by), ..term.clone() }).collect()
        };
        let (whole, rest) = (Self::from_terms(split(i64::div_euclid)), Self::from_terms(split(i64::rem_euclid)));
        if rest.as_number().is_some() {
            return whole;
        }
        let common =
            rest.terms().iter().filter(|term| !term.factors.is_empty()).fold(by, |a, term| gcd(a, term.coefficient));
        let reduce = |term: &Term| Term { coefficient: term.coefficient.div_euclid(common), ..term.clone() };
        let reduced = Self::from_terms(rest.terms().iter().map(reduce).collect());
        let by = Self::number(by / common);
        whole + reduced.quotient_of_quotient(&by).unwrap_or_else(|| reduced.opaque_quotient(&by))
    }

    /// ⌊(⌊a/b⌋ + c) / d⌋ is ⌊(a + c·b) / (b·d)⌋ for whole numbers b and d above 0.
    fn quotient_of_quotient(&self, by: &Self) -> Option<Self> {
        let open = self.terms().iter().find(|term| !term.factors.is_empty())?;
        let ([Factor::Quotient(a, b)], 1) = (open.factors.as_slice(), open.coefficient) else { return None };
        let rest = self - Self::from_terms(vec![open.clone()]);
        let is_above_zero = |length: &Self| length.as_number().is_some_and(|number| number > 0);
        (rest.as_number().is_some() && is_above_zero(b) && is_above_zero(by))
            .then(|| (a + rest * b).quotient(&(b * by)))
    }

    /// Divided and rounded up.
    #[must_use]
    pub fn quotient_up(&self, divisor: usize) -> Self {
        (self + divisor.saturating_sub(1)).quotient(&divisor.into())
    }
}

impl Term {
    fn divided_by(&self, other: &Self) -> Option<Self> {
        let coefficient = self.coefficient.checked_div(other.coefficient)?;
        if coefficient.checked_mul(other.coefficient) != Some(self.coefficient) {
            return None;
        }
        let mut factors = self.factors.clone();
        for factor in &other.factors {
            factors.remove(factors.iter().position(|own| own == factor)?);
        }
        Some(Self { degree: factors.len(), factors, coefficient })
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_of_a_quotient_is_one_quotient() {
        let s = Length::named("s");
        let halved = |length: &Length| length.quotient(&2.into());
        assert_eq!(halved(&s.quotient(&5.into())), s.quotient(&10.into()));
        // as two convolutions of stride 2 leave it
        let convolved = halved(&(halved(&(&s - 3)) + 1 - 3)) + 1;
        for length in 1..40_i64 {
            let floor = |value: i64| value.div_euclid(2);
            let wanted = floor(floor(length - 3) + 1 - 3) + 1;
            let got = convolved.with(&|_| Some(Length::number(length)));
            assert_eq!(got.as_number(), Some(wanted), "{length}: {convolved}");
        }
        let mixed = (s.quotient(&3.into()) * 2 + 1).quotient(&4.into());
        for length in 1..40_i64 {
            let got = mixed.with(&|_| Some(Length::number(length)));
            assert_eq!(got.as_number(), Some((length.div_euclid(3) * 2 + 1).div_euclid(4)), "{mixed}");
        }
    }
}
