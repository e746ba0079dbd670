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
        whole + reduced.opaque_quotient(&Self::number(by / common))
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
