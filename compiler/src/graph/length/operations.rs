//! Sums and products.

use std::iter::{Product, Sum};
use std::ops::{Add, Mul, Sub};

use super::{Form, Length, Term};

impl<R: Into<Length>> Add<R> for &Length {
    type Output = Length;

    fn add(self, other: R) -> Length {
        let other = other.into();
        if let (Some(a), Some(b)) = (self.as_number(), other.as_number()) {
            return a.checked_add(b).map_or(Length(Form::Excessive), Length::number);
        }
        match (self.all_terms(), other.all_terms()) {
            (Some(a), Some(b)) => Length::from_terms([a, b].concat()),
            _ => Length(Form::Excessive),
        }
    }
}

impl<R: Into<Length>> Mul<R> for &Length {
    type Output = Length;

    fn mul(self, other: R) -> Length {
        let other = other.into();
        if let (Some(a), Some(b)) = (self.as_number(), other.as_number()) {
            return a.checked_mul(b).map_or(Length(Form::Excessive), Length::number);
        }
        let (Some(a), Some(b)) = (self.all_terms(), other.all_terms()) else { return Length(Form::Excessive) };
        let mut terms = Vec::with_capacity(a.len() * b.len());
        for (a, b) in a.iter().flat_map(|a| b.iter().map(move |b| (a, b))) {
            let mut factors = [a.factors.as_slice(), &b.factors].concat();
            factors.sort_unstable();
            let Some(coefficient) = a.coefficient.checked_mul(b.coefficient) else { return Length(Form::Excessive) };
            terms.push(Term { degree: factors.len(), factors, coefficient });
        }
        Length::from_terms(terms)
    }
}

impl<R: Into<Length>> Sub<R> for &Length {
    type Output = Length;

    fn sub(self, other: R) -> Length {
        self + other.into() * Length::number(-1)
    }
}

impl<R: Into<Length>> Add<R> for Length {
    type Output = Length;

    fn add(self, other: R) -> Length {
        &self + other
    }
}

impl<R: Into<Length>> Mul<R> for Length {
    type Output = Length;

    fn mul(self, other: R) -> Length {
        &self * other
    }
}

impl<R: Into<Length>> Sub<R> for Length {
    type Output = Length;

    fn sub(self, other: R) -> Length {
        &self - other
    }
}

impl<L: Into<Length>> Product<L> for Length {
    fn product<I: Iterator<Item = L>>(lengths: I) -> Self {
        lengths.fold(Self::number(1), |product, length| product * length)
    }
}

impl<L: Into<Length>> Sum<L> for Length {
    fn sum<I: Iterator<Item = L>>(lengths: I) -> Self {
        lengths.fold(Self::number(0), |sum, length| sum + length)
    }
}
