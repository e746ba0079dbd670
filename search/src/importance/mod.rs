//! How much each parameter matters: functional analysis of variance (Hutter, Hoos and Leyton-Brown, 2014) on a random forest.

mod forest;

use forest::{Conditions, Domain, Leaf, Region, grow};

use crate::spaces::{Condition, Parameter};
use crate::{Assignment, Random, Space};

/// How much a parameter matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// The parameter's name.
    pub parameter: String,
    /// Its share, 0 to 1, of what the parameters account for one by one. All shares add up to 1.
    pub share: f64,
}

const TREES: u64 = 64;

/// How much of the variation of a figure over the whole space each parameter accounts for by itself, most first. `None` where
/// fewer than two different figures were observed.
///
/// Where a parameter is not there nothing depends on it: only trials that have it tell of it, and its share is that over the whole
/// space, the parts without it included.
pub fn importance(space: &Space, observed: &[(&Assignment, f64)], seed: u64) -> Option<Vec<Importance>> {
    let domains: Vec<Domain> = space
        .parameters()
        .iter()
        .map(|parameter| match parameter.distribution.alternatives() {
            Some(values) => Domain::Choices(values.len()),
            None => Domain::Unit,
        })
        .collect();
    let conditions: Vec<Conditions> = space.parameters().iter().map(|parameter| conditions(space, parameter)).collect();
    let observed = observed.iter().filter(|(_, value)| value.is_finite());
    let (rows, values): (Vec<Vec<f64>>, Vec<f64>) =
        observed.map(|(assignment, value)| (features(space, assignment), *value)).unzip();
    if values.iter().all(|value| *value == values[0]) {
        return None;
    }
    let mut shares = vec![0.0; domains.len()];
    for tree in 0..TREES {
        let leaves = grow(&domains, &conditions, &rows, &values, &mut Random::of(seed, tree, "importance"));
        let whole: Vec<(f64, f64)> = leaves.iter().map(|leaf| (leaf.value, leaf.region.volume(None))).collect();
        let total = variance(&whole);
        if total > 0.0 {
            for (feature, share) in shares.iter_mut().enumerate() {
                *share += variance(&marginal(&leaves, feature)) / total;
            }
        }
    }
    let sum: f64 = shares.iter().sum();
    if sum <= 0.0 {
        return None;
    }
    let names = space.parameters().iter().map(|parameter| parameter.name.clone());
    let mut found: Vec<Importance> =
        names.zip(shares).map(|(parameter, share)| Importance { parameter, share: share / sum }).collect();
    found.sort_by(|a, b| b.share.total_cmp(&a.share));
    Some(found)
}

/// A parameter that is not there is no number.
fn features(space: &Space, assignment: &Assignment) -> Vec<f64> {
    let feature = |Parameter { name, distribution, .. }: &Parameter| match assignment.get(name) {
        Some(setting) if distribution.alternatives().is_some() => setting,
        Some(setting) => distribution.unit(setting),
        None => f64::NAN,
    };
    space.parameters().iter().map(feature).collect()
}

/// What others must have chosen so that a parameter is there, the outermost first.
fn conditions(space: &Space, parameter: &Parameter) -> Conditions {
    let mut found = Conditions::new();
    let mut when = parameter.when.as_ref();
    while let Some(Condition { parameter, alternative }) = when {
        let Some(place) = space.parameters().iter().position(|other| other.name == *parameter) else { break };
        found.push((place, *alternative as usize));
        when = space.parameters()[place].when.as_ref();
    }
    found.reverse();
    found
}

/// The mean prediction over all other features, for each part of a feature's domain, with the part's size.
fn marginal(leaves: &[Leaf], feature: usize) -> Vec<(f64, f64)> {
    let parts = Region::parts(leaves.iter().map(|leaf| &leaf.region), feature);
    let weighted: Vec<f64> = leaves.iter().map(|leaf| leaf.value * leaf.region.volume(Some(feature))).collect();
    let mean = |part: f64| {
        let there = leaves.iter().zip(&weighted).filter(|(leaf, _)| leaf.region.holds(feature, part));
        there.map(|(_, weighted)| weighted).sum::<f64>()
    };
    parts.into_iter().map(|(middle, size)| (mean(middle), size)).collect()
}

/// Of values with weights that add up to 1.
fn variance(values: &[(f64, f64)]) -> f64 {
    let mean: f64 = values.iter().map(|(value, weight)| value * weight).sum();
    values.iter().map(|(value, weight)| weight * (value - mean) * (value - mean)).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shares(recipe: serde_json::Value, count: u64, figure: impl Fn(&Assignment) -> f64) -> Vec<(String, f64)> {
        let space = Space::extract(&recipe).unwrap().0;
        let drawn: Vec<Assignment> = (0..count).map(|number| space.drawn(5, number)).collect();
        let observed: Vec<(&Assignment, f64)> =
            drawn.iter().map(|assignment| (assignment, figure(assignment))).collect();
        let found = importance(&space, &observed, 1).unwrap();
        assert!((found.iter().map(|importance| importance.share).sum::<f64>() - 1.0).abs() < 1e-9);
        found.into_iter().map(|importance| (importance.parameter, importance.share)).collect()
    }

    #[test]
    fn shares_are_those_of_the_function() {
        // A linear function: shares go with the squares, 9 : 1 : 0.
        let recipe = json!({"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}, "z": {"uniform": [0, 1]}});
        let found = shares(recipe, 300, |x| 3.0 * x.get("x").unwrap() + x.get("y").unwrap());
        assert_eq!([&found[0].0, &found[1].0], ["x", "y"]);
        assert!((found[0].1 - 0.9).abs() < 0.03 && found[2].1 < 0.01, "{found:?}");
    }

    #[test]
    fn choices_and_logarithms_count_by_their_values() {
        let recipe = json!({"a": {"choose": ["p", "q", "r", "s"]}, "b": {"log_uniform": [1e-6, 1]}});
        // One of four values is worse by 1: variance 3/16. A magnitude in 6 from 0 to 1: 1/12.
        let found = shares(recipe, 300, |x| {
            f64::from(u8::from(x.get("a") == Some(2.0))) + (x.get("b").unwrap().log10() + 6.0) / 6.0
        });
        let wanted = (3.0 / 16.0) / (3.0 / 16.0 + 1.0 / 12.0);
        assert_eq!(found[0].0, "a");
        assert!((found[0].1 - wanted).abs() < 0.05, "{found:?}, wanted {wanted}");
    }

    #[test]
    fn what_is_not_always_there_has_its_share() {
        let recipe = json!({"a": {"choose": ["p", {"q": {"uniform": [0, 1]}}]}, "b": {"uniform": [0, 1]}});
        let found = shares(recipe, 200, |x| x.get("a.q").map_or(0.0, |q| 4.0 * q));
        let share = |name: &str| found.iter().find(|(other, _)| other == name).unwrap().1;
        // The mean over all q is 0 or 2, that over both values of a is 2q: variances 1 and 1/3.
        assert!((share("a") - 0.75).abs() < 0.08 && share("b") < 0.02, "{found:?}");
    }

    #[test]
    fn of_few_trials_an_option_of_a_rare_alternative_does_not_matter_for_its_absence() {
        let options = |name: &str| json!({ name: {"rate": {"log_uniform": [1e-5, 1]}, "decay": {"uniform": [0, 1]}} });
        let recipe = json!({"method": {"choose": ["a", options("b"), options("c"), options("d")]}});
        // The method alone decides. What the others' options would have been says nothing.
        for count in [12, 20, 40] {
            let found = shares(recipe.clone(), count, |x| x.get("method").unwrap().sqrt());
            assert_eq!(found[0].0, "method");
            assert!(found[0].1 > 0.95, "{count} trials: {found:?}");
        }
    }

    #[test]
    fn nothing_follows_from_figures_that_are_all_the_same() {
        let space = Space::extract(&json!({"x": {"uniform": [0, 1]}})).unwrap().0;
        let drawn: Vec<Assignment> = (0..4).map(|number| space.drawn(0, number)).collect();
        for value in [1.0, f64::NAN, f64::INFINITY] {
            let observed: Vec<(&Assignment, f64)> = drawn.iter().map(|assignment| (assignment, value)).collect();
            assert_eq!(importance(&space, &observed, 0), None);
        }
        assert_eq!(importance(&space, &[], 0), None);
    }
}
