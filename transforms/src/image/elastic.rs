//! Bends the image like rubber.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image_facts::ImageFacts;
use crate::image_transform::ImageTransform;
use crate::options::{Options, between};
use crate::random::Random;
use crate::steps::ImageStep;
use crate::steps::map::{Border, Displace, LEAST_SIGMA, MOST_SIGMA, most_alpha};
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "elastic",
    summary: "Displaces pixels by a smooth random field, as if the image were rubber.",
    documentation: "The elastic distortion of Simard, Steinkraus and Platt, \"Best practices for convolutional neural \
        networks applied to visual document analysis\" (2003): noise uniform in [−1, 1], smoothed by a Gaussian of \
        `sigma` pixels and multiplied by `alpha` pixels, moves each pixel; by about 0.16·alpha/sigma pixels (standard \
        deviation along either axis). Here the field is a cubic B-spline over a grid of normal numbers with that \
        deviation and smoothness, so that any part of it can be made without the rest. `alpha` is at most 2·sigma², \
        beyond which the image would fold over itself. Both numbers mean what they mean in torchvision's \
        `ElasticTransform`. What comes from outside is what `border` says: after a crop, the picture around it, and where \
        that ends the colour `fill`.",
    targets: Target::PLACES,
    changes_label: None,
    samples: &[
        r#"{"alpha": 50, "sigma": 5}"#,
        r#"{"alpha": 20, "sigma": 4, "border": "reflect", "fill": [9, 9, 9], "probability": 0.5}"#,
    ],
    probability: Some(1.0),
    build: Build::image::<Elastic>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Elastic {
    /// Strength, in pixels before smoothing; at most 2·sigma².
    #[schemars(range(min = 0))]
    alpha: f64,
    /// Smoothness, in pixels.
    #[schemars(range(min = LEAST_SIGMA, max = MOST_SIGMA))]
    sigma: f64,
    /// What is seen beyond the edges.
    #[serde(default = "Border::picture")]
    border: Border,
    /// Red, green, blue (0 to 255) for what comes from outside.
    #[serde(default)]
    fill: [u8; 3],
}

impl Options for Elastic {
    fn validate(&self) -> Result<(), String> {
        between("sigma", self.sigma, LEAST_SIGMA, MOST_SIGMA)?;
        let most = most_alpha(self.sigma);
        between(&format!("alpha (with a sigma of {})", self.sigma), self.alpha, 0.0, most)
    }
}

impl ImageTransform for Elastic {
    fn is_random(&self) -> bool {
        self.alpha > 0.0
    }

    fn draw(&self, _: &ImageFacts, random: &mut Random, steps: &mut Vec<ImageStep>) {
        let Self { alpha, sigma, border, fill } = *self;
        if alpha > 0.0 {
            steps.push(Displace { alpha, sigma, seed: random.next_u64(), fill, border }.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_folds_the_image_is_refused() {
        let elastic = Elastic { alpha: 60.0, sigma: 5.0, border: Border::Fill, fill: [0; 3] };
        let message = "alpha (with a sigma of 5) is between 0 and 50, got 60";
        assert_eq!(elastic.validate(), Err(message.into()));
    }
}
