//! Mirrors left to right.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image_facts::ImageFacts;
use crate::image_transform::ImageTransform;
use crate::matrix::Matrix;
use crate::options::Options;
use crate::random::Random;
use crate::steps::ImageStep;
use crate::steps::map::{Border, Project};
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "horizontal_flip",
    summary: "Mirrors the image left to right, half of the time unless stated otherwise.",
    documentation: "For pictures in which left and right mean nothing, such as most photographs; not for writing. With `probability` 1 every image is mirrored.",
    targets: Target::PLACES,
    changes_label: None,
    samples: &["{}", r#"{"probability": 1}"#],
    probability: Some(0.5),
    build: Build::image::<HorizontalFlip>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HorizontalFlip {}

impl Options for HorizontalFlip {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl ImageTransform for HorizontalFlip {
    fn is_random(&self) -> bool {
        false
    }

    fn draw(&self, facts: &ImageFacts, _: &mut Random, steps: &mut Vec<ImageStep>) {
        let matrix = Matrix::scale_then_move(-1.0, 1.0, f64::from(facts.width), 0.0);
        steps.push(Project::within(matrix, facts, Border::Fill, [0; 3]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_transform::draw;

    #[test]
    fn mirrors_about_the_middle() {
        let steps = draw(&HorizontalFlip {}, 10, 5, 0);
        let Some(Project { matrix, .. }) = steps[0].get() else { panic!("{steps:?}") };
        assert_eq!(matrix.apply(3.0, 2.0), (7.0, 2.0));
    }
}
