//! Mirrors left to right.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ImageTransform, project};
use crate::options::{Options, half, probability};
use crate::random::Random;
use crate::table::{Build, Target, Transform, schema};
use crate::{ImageFacts, ImageStep, Matrix};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "horizontal_flip",
    summary: "Mirrors the image left to right, half of the time unless stated otherwise.",
    documentation: "For pictures in which left and right mean nothing, such as most photographs; not for writing. With `probability` 1 every image is mirrored.",
    targets: Target::PLACES,
    changes_label: None,
    samples: &["{}", r#"{"probability": 1}"#],
    schema: schema::<HorizontalFlip>(),
    build: Build::image::<HorizontalFlip>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HorizontalFlip {
    /// How often, from 0 (never) to 1 (always).
    #[serde(default = "half")]
    #[schemars(range(min = 0, max = 1))]
    probability: f64,
}

impl Options for HorizontalFlip {
    fn validate(&self) -> Result<(), String> {
        probability(self.probability)
    }
}

impl ImageTransform for HorizontalFlip {
    fn is_random(&self) -> bool {
        self.probability > 0.0 && self.probability < 1.0
    }

    fn draw(&self, facts: &ImageFacts, random: &mut Random, steps: &mut Vec<ImageStep>) {
        if random.bernoulli(self.probability) {
            let matrix = Matrix::scale_then_move(-1.0, 1.0, f64::from(facts.width), 0.0);
            steps.push(project(matrix, facts, [0; 3]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_about_the_middle() {
        let steps = super::super::draw(&HorizontalFlip { probability: 1.0 }, 10, 5, 0);
        let [ImageStep::Project { matrix, .. }] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(matrix.apply(3.0, 2.0), (7.0, 2.0));
        assert!(super::super::draw(&HorizontalFlip { probability: 0.0 }, 10, 5, 0).is_empty());
    }
}
