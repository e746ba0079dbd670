//! Moves the image sideways and up or down.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image_facts::ImageFacts;
use crate::image_transform::ImageTransform;
use crate::matrix::Matrix;
use crate::options::{Options, between};
use crate::random::Random;
use crate::steps::ImageStep;
use crate::steps::map::{Border, Project};
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "translate",
    summary: "Moves the image by a random share of its size.",
    documentation: "The distance is uniform between −`fraction` and +`fraction` of width and height, rounded to whole \
        pixels as in torchvision's `RandomAffine`. What comes from outside is what `border` says: after a crop, the picture \
        around it, and where that ends the colour `fill`.",
    targets: Target::PLACES,
    changes_label: None,
    samples: &[
        r#"{"fraction": [0.1, 0.1]}"#,
        r#"{"fraction": [0, 0.5], "border": "wrap", "fill": [9, 9, 9], "probability": 0.9}"#,
    ],
    probability: Some(1.0),
    build: Build::image::<Translate>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Translate {
    /// Largest distance either way as a share of [width, height] (0 to 1).
    #[schemars(inner(range(min = 0, max = 1)))]
    fraction: [f64; 2],
    /// What is seen beyond the edges.
    #[serde(default = "Border::picture")]
    border: Border,
    /// Red, green, blue (0 to 255) for what comes from outside.
    #[serde(default)]
    fill: [u8; 3],
}

impl Options for Translate {
    fn validate(&self) -> Result<(), String> {
        self.fraction.iter().try_for_each(|fraction| between("fraction", *fraction, 0.0, 1.0))
    }
}

impl ImageTransform for Translate {
    fn is_random(&self) -> bool {
        self.fraction != [0.0; 2]
    }

    fn draw(&self, facts: &ImageFacts, random: &mut Random, steps: &mut Vec<ImageStep>) {
        let mut distance = |fraction: f64, length: u32| {
            let most = fraction * f64::from(length);
            random.uniform_in(-most..most).round_ties_even()
        };
        let (x, y) = (distance(self.fraction[0], facts.width), distance(self.fraction[1], facts.height));
        steps.push(Project::within(Matrix::scale_then_move(1.0, 1.0, -x, -y), facts, self.border, self.fill));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_transform::draw;

    #[test]
    fn whole_pixels_within_the_share() {
        let translate = Translate { fraction: [0.25, 0.0], border: Border::Fill, fill: [0; 3] };
        let mut far = 0.0f64;
        for row in 0..300 {
            let steps = draw(&translate, 40, 20, row);
            let Some(Project { matrix, .. }) = steps[0].get() else { panic!("{steps:?}") };
            assert_eq!(matrix.0[5].abs(), 0.0);
            assert_eq!(matrix.0[2].fract(), 0.0);
            far = far.max(matrix.0[2].abs());
        }
        assert_eq!(far, 10.0);
    }
}
