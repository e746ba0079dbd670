//! What is known of expressions whatever their names stand for.

use super::{DEEPEST, ENDLESS, Factor, Form, Length, Term};

/// Bounds that are put into each other to compare two expressions.
const MOST_ESTIMATES: usize = 4;

impl Length {
    /// Whether it is no less than a number whatever the names stand for; false also where that is not known.
    pub fn is_at_least(&self, least: i64) -> bool {
        self.is_at_least_within(least, MOST_ESTIMATES)
    }

    fn is_at_least_within(&self, least: i64, estimates: usize) -> bool {
        if self.lower_bound().is_some_and(|bound| bound >= least) {
            return true;
        }
        let smaller = |term: &Term| (estimates > 0).then(|| term.smaller()).filter(|smaller| !smaller.is_empty());
        let Some((term, smaller)) = self.terms().iter().find_map(|term| Some((term, smaller(term)?))) else {
            return false;
        };
        let rest = self - Self::from_terms(vec![term.clone()]);
        smaller.iter().any(|smaller| (&rest + smaller).is_at_least_within(least, estimates - 1))
    }

    /// The least that it can be, where each name is at least one.
    fn lower_bound(&self) -> Option<i64> {
        if let Some(number) = self.as_number() {
            return Some(number);
        }
        if self.terms().is_empty() {
            return None;
        }
        self.terms().iter().try_fold(0i64, |sum, term| {
            let bound = match (term.factors.is_empty(), term.coefficient > 0) {
                (true, _) => Some(1),
                (false, true) => term.factors.iter().try_fold(1i64, |product, factor| {
                    factor.lower_bound().filter(|bound| *bound >= 0).and_then(|bound| product.checked_mul(bound))
                }),
                (false, false) => None,
            };
            sum.checked_add(bound?.checked_mul(term.coefficient)?)
        })
    }

    /// The smaller of both.
    #[must_use]
    pub fn minimum(&self, other: &Self) -> Self {
        if [self, other].iter().any(|side| side.0 == Form::Excessive) {
            return Self(Form::Excessive);
        }
        for (a, b) in [(self, other), (other, self)] {
            if a.as_number().is_some_and(|number| number >= ENDLESS) || (a - b).is_at_least(0) {
                return b.clone();
            }
        }
        if let Some(simpler) = self.minimum_of_nested(other).or_else(|| other.minimum_of_nested(self)) {
            return simpler;
        }
        let Some(shared) = self.shared_with(other) else { return Self(Form::Excessive) };
        let (a, b) = (self - &shared, other - &shared);
        if shared != Self::number(0) {
            return shared + a.minimum(&b);
        }
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        let depth = 1 + first.depth().max(second.depth());
        Self::of_factor(Factor::Minimum(first, second), depth)
    }

    /// Where this is a minimum and something more, of which one side is never less than `other`: the smaller of the other side and `other`.
    fn minimum_of_nested(&self, other: &Self) -> Option<Self> {
        self.terms().iter().find_map(|term| {
            let ([Factor::Minimum(a, b)], 1) = (term.factors.as_slice(), term.coefficient) else { return None };
            let rest = self - Self::from_terms(vec![term.clone()]);
            let sides = [a + &rest, b + &rest];
            let beyond = sides.iter().position(|side| (side - other).is_at_least(0))?;
            Some(sides[1 - beyond].minimum(other))
        })
    }

    /// What is taken out of a minimum of two, so that neither side has less than none of anything: equal minima are one value then.
    fn shared_with(&self, other: &Self) -> Option<Self> {
        let (own, others) = (self.all_terms()?, other.all_terms()?);
        let coefficient = |terms: &[Term], of: &Term| {
            terms.iter().find(|term| term.factors == of.factors).map_or(0, |term| term.coefficient)
        };
        let mut shared: Vec<Term> = Vec::new();
        for term in own.iter().chain(&others) {
            let least = coefficient(&own, term).min(coefficient(&others, term));
            let least = if term.factors.is_empty() { least.min(0) } else { least };
            if least != 0 && shared.iter().all(|seen| seen.factors != term.factors) {
                shared.push(Term { coefficient: least, ..term.clone() });
            }
        }
        Some(Self::from_terms(shared))
    }

    /// Whether both are the same wherever a run gets by: they are equal, but for minima with a number above one. ONNX
    /// Runtime refuses lengths that such a minimum cuts where it meets the whole.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self == other || self.uncut() == other.uncut()
    }

    /// Whether a minimum with a number above one may make it less than it would be.
    pub(crate) fn is_cut(&self) -> bool {
        self.uncut() != *self
    }

    /// The least of the numbers that such minima cut it at.
    pub(crate) fn cut_at(&self) -> Option<usize> {
        let bound = |factor: &Factor| match factor {
            Factor::Minimum(a, b) => [a, b].into_iter().filter_map(|side| side.fixed()).find(|at| *at > 1),
            _ => None,
        };
        self.terms().iter().flat_map(|term| &term.factors).filter_map(bound).min()
    }

    /// Without the minima with numbers above one, also those that appear where others are gone.
    fn uncut(&self) -> Self {
        let mut whole = self.clone();
        for _ in 0..DEEPEST {
            let next = whole.without_cuts();
            if next == whole {
                break;
            }
            whole = next;
        }
        whole
    }

    fn without_cuts(&self) -> Self {
        if self.depth() == 0 {
            return self.clone();
        }
        let is_bound = |side: &Self| side.fixed().is_some_and(|at| at > 1);
        let whole = |factor: &Factor| match factor {
            Factor::Minimum(bound, whole) | Factor::Minimum(whole, bound) if is_bound(bound) => whole.without_cuts(),
            Factor::Minimum(a, b) => a.without_cuts().minimum(&b.without_cuts()),
            Factor::Quotient(a, b) => a.without_cuts().quotient(&b.without_cuts()),
            Factor::Symbol(_) => Self::of_factor(factor.clone(), 0),
        };
        let term = |term: &Term| term.factors.iter().map(whole).product::<Self>() * Self::number(term.coefficient);
        self.terms().iter().map(term).sum()
    }
}

impl Term {
    /// What is no more than this term, for a factor that is bounded by what it is made of.
    fn smaller(&self) -> Vec<Length> {
        match self.factors.as_slice() {
            [Factor::Minimum(a, b)] if self.coefficient < 0 => {
                [a, b].into_iter().map(|side| side * Length::number(self.coefficient)).collect()
            }
            [Factor::Quotient(a, b)] => match b.as_number() {
                // d · floor(a / d) lies between a − d + 1 and a
                Some(by) if by > 0 && self.coefficient % by == 0 => {
                    let rounding = if self.coefficient > 0 { by - 1 } else { 0 };
                    vec![(a - Length::number(rounding)) * Length::number(self.coefficient / by)]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

impl Factor {
    fn lower_bound(&self) -> Option<i64> {
        match self {
            Self::Symbol(_) => Some(1),
            Self::Quotient(a, b) => {
                let least = a.lower_bound().filter(|least| *least >= 0)?;
                Some(b.as_number().filter(|by| *by > 0).map_or(0, |by| least / by))
            }
            Self::Minimum(a, b) => Some(a.lower_bound()?.min(b.lower_bound()?)),
        }
    }
}
