//! Adds noise to every value.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image_facts::ImageFacts;
use crate::image_transform::ImageTransform;
use crate::options::{Options, between};
use crate::random::Random;
use crate::steps::ImageStep;
use crate::steps::point::{AddNoise, NoiseKind};
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "gaussian_noise",
    summary: "Adds normal noise to every value of every channel.",
    documentation: "`sigma` is the standard deviation where black is 0 and white is 1 (0.05 is about 13 of 255). The sum \
        is clipped to that range. A geometric transform that stands after it resamples the noise with the image.",
    targets: Target::PIXELS,
    changes_label: None,
    samples: &[r#"{"sigma": 0.05}"#, r#"{"sigma": 0.2, "probability": 0.5}"#],
    probability: Some(1.0),
    build: Build::image::<GaussianNoise>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GaussianNoise {
    /// Standard deviation; black is 0 and white is 1.
    #[schemars(range(min = 0, max = 1))]
    sigma: f32,
}

impl Options for GaussianNoise {
    fn validate(&self) -> Result<(), String> {
        between("sigma (black is 0, white is 1)", self.sigma, 0.0, 1.0)
    }
}

impl ImageTransform for GaussianNoise {
    fn is_random(&self) -> bool {
        self.sigma > 0.0
    }

    fn draw(&self, _: &ImageFacts, random: &mut Random, steps: &mut Vec<ImageStep>) {
        if self.sigma > 0.0 {
            let seed = random.next_u64();
            steps.push(AddNoise { kind: NoiseKind::Gaussian, strength: self.sigma, seed }.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_transform::draw;

    #[test]
    fn wrong_unit_is_refused() {
        let options = GaussianNoise { sigma: 12.5 };
        let message = "sigma (black is 0, white is 1) is between 0 and 1, got 12.5";
        assert_eq!(options.validate(), Err(message.into()));
    }

    #[test]
    fn each_row_has_its_noise() {
        let noise = GaussianNoise { sigma: 0.1 };
        assert_ne!(draw(&noise, 4, 4, 0), draw(&noise, 4, 4, 1));
    }
}
