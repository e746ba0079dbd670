//! Mirrors top to bottom.

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
    name: "vertical_flip",
    summary: "Mirrors the image top to bottom, half of the time unless stated otherwise.",
    documentation: "For pictures without an up and down, such as those through a microscope or from the air. With `probability` 1 every image is mirrored.",
    targets: Target::PLACES,
    changes_label: Some("an upside-down 6 is not a 6"),
    samples: &["{}", r#"{"probability": 1}"#],
    probability: Some(0.5),
    build: Build::image::<VerticalFlip>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerticalFlip {}

impl Options for VerticalFlip {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl ImageTransform for VerticalFlip {
    fn is_random(&self) -> bool {
        false
    }

    fn changes_label(&self) -> bool {
        true
    }

    fn draw(&self, facts: &ImageFacts, _: &mut Random, steps: &mut Vec<ImageStep>) {
        let matrix = Matrix::scale_then_move(1.0, -1.0, 0.0, f64::from(facts.height));
        steps.push(Project::within(matrix, facts, Border::Fill, [0; 3]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_transform::draw;

    #[test]
    fn mirrors_about_the_middle() {
        let steps = draw(&VerticalFlip {}, 10, 5, 0);
        let Some(Project { matrix, .. }) = steps[0].get() else { panic!("{steps:?}") };
        assert_eq!(matrix.apply(3.0, 2.0), (3.0, 3.0));
    }
}
