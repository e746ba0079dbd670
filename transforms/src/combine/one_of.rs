//! Applies one of several transforms.

use millstream_schemas::Choice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::combination::{Chosen, Combination, Combine, Outcomes, Transforms};
use crate::options::Options;
use crate::random::Random;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "one_of",
    summary: "Applies one of several transforms, each with its weight.",
    documentation: "Chooses one transform of the list for each row. Without `weights` all are equally likely; with \
        them, each is taken in proportion to its weight. A list alone is short for `{apply: list}`; use `sequence` \
        inside to choose between groups.",
    targets: &[],
    changes_label: None,
    samples: &[
        r#"["horizontal_flip", {"rotate": {"degrees": 10}}]"#,
        r#"{"apply": [{"rotate": {"degrees": 30}}, {"gaussian_noise": {"sigma": 0.1}}], "weights": [3, 1]}"#,
    ],
    probability: None,
    build: Build::combination::<OneOf>(true),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneOf {
    /// The transforms to choose from.
    apply: Transforms,
    /// How likely each is, relative to the others; all equally when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(inner(range(min = 0)))]
    weights: Option<Vec<f64>>,
}

impl Options for OneOf {
    fn validate(&self) -> Result<(), String> {
        self.apply.validate()?;
        let Some(weights) = &self.weights else { return Ok(()) };
        if weights.len() != self.apply.len() {
            return Err(format!("weights has {} numbers for {} transforms", weights.len(), self.apply.len()));
        }
        if let Some(bad) = weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0)) {
            return Err(format!("weights are 0 or more, got {bad}"));
        }
        let total: f64 = weights.iter().sum();
        if total > 0.0 && total.is_finite() { Ok(()) } else { Err(format!("weights add up to {total}")) }
    }
}

/// The choices, after the transforms themselves were taken out.
impl Combine for OneOf {
    fn choose(&self, random: &mut Random) -> Chosen {
        let weights = self.weights.as_deref().unwrap_or_default();
        let mut left = random.uniform_f64() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return Chosen::One(index);
            }
            left -= weight;
        }
        Chosen::One(weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0))
    }

    fn is_random(&self) -> bool {
        self.weights.as_deref().unwrap_or_default().iter().filter(|weight| **weight > 0.0).count() > 1
    }

    fn outcomes(&self) -> Outcomes {
        Outcomes::OneOf
    }
}

impl Combination for OneOf {
    fn take(&mut self) -> Vec<Choice> {
        let specs = self.apply.take();
        self.weights.get_or_insert_with(|| vec![1.0; specs.len()]);
        specs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DrawKey;

    #[test]
    fn weights_are_kept() {
        let rule = OneOf { apply: Transforms::List(vec![]), weights: Some(vec![3.0, 0.0, 1.0]) };
        let mut counts = [0; 3];
        for row in 0..4000 {
            let Chosen::One(index) = rule.choose(&mut DrawKey { seed: 0, epoch: 0, row }.random("one_of", 0)) else {
                panic!("one_of chooses one")
            };
            counts[index] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((2850..3150).contains(&counts[0]), "{counts:?}");
    }
}
