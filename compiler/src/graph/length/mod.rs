//! Lengths of axes: numbers, or expressions over names.

mod bounds;
mod division;
mod operations;

use std::sync::Arc;

use millstream_schemas::shown;

/// The length of an axis, or another whole number that is known before the run: a number, or a polynomial with integer
/// coefficients over named lengths, each at least one, and over floor quotients and minima of such.
///
/// It is kept in a canonical form, so that equal polynomials are equal values.
///
/// ```
/// use millstream_compiler::graph::Length;
///
/// let (batch, sequence) = (Length::named("batch"), Length::named("sequence"));
/// let tokens = &batch * &sequence;
/// assert_eq!(&sequence * &batch, tokens);
/// assert_eq!((&tokens * 384).exact_quotient(&(&batch * 12)), Some(&sequence * 32));
/// assert_eq!((tokens + 1).to_string(), "batch*sequence + 1");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Length(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    Number(i64),
    /// At least one term with a factor; the leading term first.
    Open(Arc<Polynomial>),
    /// Beyond what is followed: larger than any machine, or too long to write down.
    Excessive,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Polynomial {
    terms: Vec<Term>,
    /// How deep quotients and minima lie in each other.
    depth: usize,
}

/// A product of factors and a number. Terms are compared by degree first: then the leading terms of a product are those
/// of its operands, which makes division work.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term {
    degree: usize,
    /// In order; a power is a factor several times.
    pub(super) factors: Vec<Factor>,
    pub(super) coefficient: i64,
}

/// What a [`Length`] is a polynomial of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Factor {
    Symbol(Arc<str>),
    /// Rounded down.
    Quotient(Length, Length),
    Minimum(Length, Length),
}

/// Longer expressions come from no real model.
const MOST_TERMS: usize = 64;
const MOST_FACTORS: usize = 16;
const DEEPEST: usize = 12;
/// No axis is longer.
const ENDLESS: i64 = 1 << 40;

impl Length {
    /// A length by name, at least one.
    pub fn named(name: &str) -> Self {
        Self::of_factor(Factor::Symbol(name.into()), 0)
    }

    /// A number, which may be negative where it is no length.
    pub fn number(value: i64) -> Self {
        Self(Form::Number(value))
    }

    /// The length where it is a number.
    pub fn fixed(&self) -> Option<usize> {
        self.as_number().and_then(|value| usize::try_from(value).ok())
    }

    /// The number, also a negative one.
    pub fn as_number(&self) -> Option<i64> {
        match &self.0 {
            Form::Number(value) => Some(*value),
            Form::Open(_) | Form::Excessive => None,
        }
    }

    /// The name, where it is one and nothing else.
    pub fn name(&self) -> Option<&str> {
        match self.terms() {
            [Term { factors, coefficient: 1, .. }] => match factors.as_slice() {
                [Factor::Symbol(name)] => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// What it is a product of, each a number or a name; nothing where it is more than a product. One is a product of one number.
    pub fn factors(&self) -> Option<Vec<Self>> {
        let [Term { factors, coefficient, .. }] = self.terms() else {
            return self.as_number().map(|number| vec![Self::number(number)]);
        };
        let named = factors.iter().map(|factor| match factor {
            Factor::Symbol(name) => Some(Self::named(name)),
            Factor::Quotient(..) | Factor::Minimum(..) => None,
        });
        let number = (*coefficient != 1).then(|| Some(Self::number(*coefficient)));
        named.chain(number).collect()
    }

    /// Whether a quotient that is rounded down is a part of it.
    pub fn has_quotient(&self) -> bool {
        self.terms().iter().flat_map(|term| &term.factors).any(|factor| matches!(factor, Factor::Quotient(..)))
    }

    /// The names in it.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for factor in self.terms().iter().flat_map(|term| &term.factors) {
            match factor {
                Factor::Symbol(name) => names.push(name.as_ref()),
                Factor::Quotient(a, b) | Factor::Minimum(a, b) => names.extend(a.names().into_iter().chain(b.names())),
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether it is beyond what is followed here: no axis is that long.
    pub(crate) fn is_excessive(&self) -> bool {
        match &self.0 {
            Form::Number(value) => *value > ENDLESS,
            Form::Open(polynomial) => {
                polynomial.terms.iter().any(|term| term.coefficient.unsigned_abs() > ENDLESS as u64)
            }
            Form::Excessive => true,
        }
    }

    /// With lengths for names, where `length` gives one.
    #[must_use]
    pub fn with(&self, length: &dyn Fn(&str) -> Option<Self>) -> Self {
        if self.terms().is_empty() {
            return self.clone();
        }
        let value = |factor: &Factor| match factor {
            Factor::Symbol(name) => length(name).unwrap_or_else(|| Self::named(name)),
            Factor::Quotient(a, b) => a.with(length).quotient(&b.with(length)),
            Factor::Minimum(a, b) => a.with(length).minimum(&b.with(length)),
        };
        let term = |term: &Term| term.factors.iter().map(value).product::<Self>() * Self::number(term.coefficient);
        self.terms().iter().map(term).sum()
    }

    /// As ONNX names an axis (`dim_param`).
    pub(crate) fn onnx_name(&self) -> String {
        self.written(&str::to_owned)
    }

    /// The terms of an expression; none for a number.
    pub(super) fn terms(&self) -> &[Term] {
        match &self.0 {
            Form::Open(polynomial) => &polynomial.terms,
            Form::Number(_) | Form::Excessive => &[],
        }
    }

    /// The terms, also of a number: none for 0.
    fn all_terms(&self) -> Option<Vec<Term>> {
        match &self.0 {
            Form::Number(0) => Some(Vec::new()),
            Form::Number(value) => Some(vec![Term { degree: 0, factors: Vec::new(), coefficient: *value }]),
            Form::Open(polynomial) => Some(polynomial.terms.clone()),
            Form::Excessive => None,
        }
    }

    fn depth(&self) -> usize {
        match &self.0 {
            Form::Open(polynomial) => polynomial.depth,
            Form::Number(_) | Form::Excessive => 0,
        }
    }

    fn of_factor(factor: Factor, depth: usize) -> Self {
        if depth > DEEPEST {
            return Self(Form::Excessive);
        }
        let terms = vec![Term { degree: 1, factors: vec![factor], coefficient: 1 }];
        Self(Form::Open(Arc::new(Polynomial { terms, depth })))
    }

    /// In canonical form: like terms added up, zeros left out, the leading one first.
    fn from_terms(mut terms: Vec<Term>) -> Self {
        terms.sort_unstable_by(|a, b| (b.degree, &b.factors).cmp(&(a.degree, &a.factors)));
        let mut merged: Vec<Term> = Vec::with_capacity(terms.len());
        for term in terms {
            match merged.last_mut().filter(|last| last.factors == term.factors) {
                Some(last) => match last.coefficient.checked_add(term.coefficient) {
                    Some(sum) => last.coefficient = sum,
                    None => return Self(Form::Excessive),
                },
                None => merged.push(term),
            }
        }
        merged.retain(|term| term.coefficient != 0);
        if merged.len() > MOST_TERMS || merged.iter().any(|term| term.degree > MOST_FACTORS) {
            return Self(Form::Excessive);
        }
        match merged.as_slice() {
            [] => Self::number(0),
            [Term { factors, coefficient, .. }] if factors.is_empty() => Self::number(*coefficient),
            _ => {
                let depth = merged.iter().flat_map(|term| &term.factors).map(Factor::depth).max().unwrap_or(0);
                Self(Form::Open(Arc::new(Polynomial { terms: merged, depth })))
            }
        }
    }

    fn written(&self, name: &dyn Fn(&str) -> String) -> String {
        let Some(terms) = self.all_terms() else { return "too long".into() };
        let mut text = String::new();
        for (at, term) in terms.iter().enumerate() {
            let sign = match (at, term.coefficient < 0) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            };
            text.push_str(sign);
            let number = term.coefficient.unsigned_abs();
            let number = (number != 1 || term.factors.is_empty()).then(|| number.to_string());
            let factors = term.factors.iter().map(|factor| factor.written(name));
            text.push_str(&number.into_iter().chain(factors).collect::<Vec<String>>().join("*"));
        }
        if text.is_empty() { "0".into() } else { text }
    }
}

impl Factor {
    fn depth(&self) -> usize {
        match self {
            Self::Symbol(_) => 0,
            Self::Quotient(a, b) | Self::Minimum(a, b) => 1 + a.depth().max(b.depth()),
        }
    }

    fn written(&self, name: &dyn Fn(&str) -> String) -> String {
        match self {
            Self::Symbol(symbol) => name(symbol),
            Self::Quotient(a, b) => format!("floor(({})/({}))", a.written(name), b.written(name)),
            Self::Minimum(a, b) => format!("min({}, {})", a.written(name), b.written(name)),
        }
    }
}

impl From<usize> for Length {
    fn from(value: usize) -> Self {
        i64::try_from(value).map_or(Self(Form::Excessive), Self::number)
    }
}

impl From<&usize> for Length {
    fn from(value: &usize) -> Self {
        (*value).into()
    }
}

impl From<&Length> for Length {
    fn from(value: &Length) -> Self {
        value.clone()
    }
}

impl PartialEq<usize> for Length {
    fn eq(&self, other: &usize) -> bool {
        self.fixed() == Some(*other)
    }
}

/// Names are foreign: cut and escaped.
impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written(&|name| shown(name)))
    }
}

impl std::fmt::Debug for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The lengths as numbers, where all of them are.
pub fn fixed_lengths(lengths: &[Length]) -> Option<Vec<usize>> {
    lengths.iter().map(Length::fixed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(value: usize) -> Length {
        value.into()
    }

    #[test]
    fn expressions_that_are_equal_are_one_value() {
        let (a, b, c) = (Length::named("a"), Length::named("b"), Length::named("c"));
        let rows: Vec<(Length, Length, &str)> = vec![
            (&a + &b, &b + &a, "b + a"),
            ((&a + 1) * (&a - 1), &a * &a - 1, "a*a - 1"),
            (&a * &b * 2 - &b * &a, &a * &b, "a*b"),
            (&a - &a, n(0), "0"),
            ((&a * 4 + 7).quotient(&n(2)), &a * 2 + 3, "2*a + 3"),
            ((&a * 2 + 3).quotient(&n(4)), (&a + 1).quotient(&n(2)), "floor((a + 1)/(2))"),
            (((&a + 1) * &b * 64).quotient(&((&a + 1) * &b)), n(64), "64"),
            ((&a * &b * &c * 6).quotient(&(&b * 3)), &a * &c * 2, "2*a*c"),
            (a.minimum(&n(512)), n(512).minimum(&a), "min(512, a)"),
            (a.minimum(&n(1)), n(1), "1"),
            (a.minimum(&Length::number(i64::MAX)), a.clone(), "a"),
            ((&a + 3).minimum(&(&a + 1)), &a + 1, "a + 1"),
            (n(0).minimum(&(n(40) - &a)), a.minimum(&n(40)) - &a, "min(40, a) - a"),
            ((&a - 40).minimum(&n(0)), a.minimum(&n(40)) - 40, "min(40, a) - 40"),
            (n(40) - (n(40) - a.minimum(&n(40))).minimum(&n(40)), n(40).minimum(&a), "min(40, a)"),
            ((a.minimum(&n(40)) + 1).minimum(&a), a.minimum(&n(41)), "min(41, a)"),
            ((&a * 2).minimum(&(&a + 7)), a.minimum(&n(7)) + &a, "min(7, a) + a"),
            ((&a + &b).with(&|name| (name == "a").then(|| n(4))), &b + 4, "b + 4"),
            (a.quotient_up(2).with(&|_| Some(n(5))), n(3), "3"),
            (Length::number(-7).quotient(&n(2)), Length::number(-4), "-4"),
        ];
        for (one, other, text) in rows {
            assert_eq!((&one, one.to_string().as_str()), (&other, text), "{other}");
        }
    }

    #[test]
    fn bounds_hold_for_all_lengths_from_one_on() {
        let (a, b) = (Length::named("a"), Length::named("b"));
        assert!((&a - 1).is_at_least(0) && !(&a - 2).is_at_least(0) && !(&a - &b).is_at_least(0));
        assert!((&a * 2 + &b).is_at_least(3) && !(&a * 2 + &b).is_at_least(4));
        assert!((&a - a.minimum(&n(3))).is_at_least(0) && a.minimum(&n(3)).is_at_least(1));
        assert!((&a * &b).agrees_with(&(a.minimum(&n(512)) * &b)) && !a.agrees_with(&a.minimum(&b)));
        assert_eq!([&a, &(&a + 3).minimum(&n(512)), &a.minimum(&n(1))].map(Length::cut_at), [None, Some(512), None]);
        assert!(a.agrees_with(&a.minimum(&n(512))) && !a.agrees_with(&b) && !n(512).agrees_with(&a.minimum(&n(512))));
    }

    #[test]
    fn what_grows_without_end_is_excessive_and_stays_so() {
        let names: Vec<Length> = (0..12).map(|at| Length::named(&format!("x{at}"))).collect();
        let sum: Length = names.iter().sum();
        let long = &sum * &sum;
        assert!(long.is_excessive() && (&long - &long).is_excessive() && !sum.is_excessive());
        let nested = (0..100).fold(Length::named("a"), |length, _| (length * 3 + 1).minimum(&Length::named("b")));
        assert!(nested.is_excessive());
        assert!((n(1 << 40) * n(1 << 40)).is_excessive());
    }
}
