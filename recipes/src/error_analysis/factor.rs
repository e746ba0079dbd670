use std::collections::{BTreeMap, HashSet};

use super::report::FactorOf;

/// Something that tells answers apart, with a value of each.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    pub(super) name: String,
    pub(super) of: FactorOf,
    pub(super) values: Values,
}

/// Of each answer one; none where there is none.
#[derive(Clone, Debug)]
pub(super) enum Values {
    Numbers(Vec<Option<f64>>),
    /// By the number of the name.
    Names(Vec<String>, Vec<Option<u32>>),
}

/// Names with more different values tell nothing apart.
pub(super) const MOST_NAMES: usize = 60;

impl Factor {
    pub(super) fn numbers(name: impl Into<String>, of: FactorOf, numbers: Vec<Option<f64>>) -> Self {
        let numbers = numbers.into_iter().map(|number| number.filter(|number| number.is_finite())).collect();
        Self { name: name.into(), of, values: Values::Numbers(numbers) }
    }

    /// None where there are more different names than tell anything apart.
    pub(super) fn names(name: impl Into<String>, of: FactorOf, values: Vec<Option<String>>) -> Option<Self> {
        let mut known: BTreeMap<&str, u32> = BTreeMap::new();
        for value in values.iter().flatten() {
            let next = known.len() as u32;
            known.entry(value).or_insert(next);
            if known.len() > MOST_NAMES {
                return None;
            }
        }
        let numbers = values.iter().map(|value| value.as_deref().map(|value| known[value])).collect();
        let mut names = vec![String::new(); known.len()];
        known.iter().for_each(|(name, at)| names[*at as usize] = (*name).to_owned());
        Some(Self { name: name.into(), of, values: Values::Names(names, numbers) })
    }

    /// Whether it means anything that there is no value: of what was drawn, another factor says whether it happened.
    pub(super) fn missing_tells(&self) -> bool {
        self.of != FactorOf::Draw
    }

    /// Whether at least two different values tell answers apart, a missing one counted. Numbers that differ by rounding alone do not.
    pub(super) fn tells_apart(&self) -> bool {
        match &self.values {
            Values::Numbers(numbers) => {
                let known: Vec<f64> = numbers.iter().flatten().copied().collect();
                let (low, high) = known.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
                    (low.min(*number), high.max(*number))
                });
                let differ = high - low > 1e-9 * low.abs().max(high.abs());
                differ || (self.missing_tells() && !known.is_empty() && known.len() < numbers.len())
            }
            Values::Names(_, numbers) => numbers.iter().collect::<HashSet<_>>().len() > 1,
        }
    }
}
