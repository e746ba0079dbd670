//! Mirrors top to bottom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ImageTransform, project};
use crate::options::{Options, half, probability};
use crate::random::Random;
use crate::table::{Build, Target, Transform, schema};
use crate::{ImageFacts, ImageStep, Matrix};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "vertical_flip",
    summary: "Mirrors the image top to bottom, half of the time unless stated otherwise.",
    documentation: "For pictures without an up and down, such as those through a microscope or from the air. With `probability` 1 every image is mirrored.",
    targets: Target::PLACES,
    changes_label: Some("an upside-down 6 is not a 6"),
    samples: &["{}", r#"{"probability": 1}"#],
    schema: schema::<VerticalFlip>(),
    build: Build::image::<VerticalFlip>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerticalFlip {
    /// How often, from 0 (never) to 1 (always).
    #[serde(default = "half")]
    #[schemars(range(min = 0, max = 1))]
    probability: f64,
}

impl Options for VerticalFlip {
    fn validate(&self) -> Result<(), String> {
        probability(self.probability)
    }
}

impl ImageTransform for VerticalFlip {
    fn is_random(&self) -> bool {
        self.probability > 0.0 && self.probability < 1.0
    }

    fn changes_label(&self) -> bool {
        self.probability > 0.0
    }

    fn draw(&self, facts: &ImageFacts, random: &mut Random, steps: &mut Vec<ImageStep>) {
        if random.bernoulli(self.probability) {
            let matrix = Matrix::scale_then_move(1.0, -1.0, 0.0, f64::from(facts.height));
            steps.push(project(matrix, facts, [0; 3]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_about_the_middle() {
        let steps = super::super::draw(&VerticalFlip { probability: 1.0 }, 10, 5, 0);
        let [ImageStep::Project { matrix, .. }] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(matrix.apply(3.0, 2.0), (3.0, 3.0));
        assert!(super::super::draw(&VerticalFlip { probability: 0.0 }, 10, 5, 0).is_empty());
    }
}
