//! Blurs the image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image_facts::ImageFacts;
use crate::image_transform::ImageTransform;
use crate::options::{Options, range};
use crate::random::Random;
use crate::steps::ImageStep;
use crate::steps::filter::{self, LEAST_SIGMA, MOST_SIGMA};
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "gaussian_blur",
    summary: "Blurs with a Gaussian of random width.",
    documentation: "The standard deviation is uniform between the two numbers of `sigma`, in pixels of the image at this \
        place of the list. The Gaussian is cut at three standard deviations (radius `⌈3·sigma⌉`), and beyond its edges \
        the image is mirrored about the outermost pixels, as in torchvision's `GaussianBlur`, which asks for the size \
        of the kernel instead. Of an image that is cropped afterwards only the crop and its margin are blurred.",
    targets: Target::PIXELS,
    changes_label: None,
    samples: &[r#"{"sigma": [0.1, 2]}"#, r#"{"sigma": [1.5, 1.5], "probability": 0.5}"#],
    probability: Some(1.0),
    build: Build::image::<GaussianBlur>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GaussianBlur {
    /// Smallest and largest standard deviation, in pixels.
    #[schemars(inner(range(min = LEAST_SIGMA, max = MOST_SIGMA)))]
    sigma: [f64; 2],
}

impl Options for GaussianBlur {
    fn validate(&self) -> Result<(), String> {
        range("sigma", self.sigma, LEAST_SIGMA, MOST_SIGMA)
    }
}

impl ImageTransform for GaussianBlur {
    fn is_random(&self) -> bool {
        self.sigma[0] < self.sigma[1]
    }

    fn draw(&self, _: &ImageFacts, random: &mut Random, steps: &mut Vec<ImageStep>) {
        let sigma = random.uniform_in(self.sigma[0]..self.sigma[1]);
        steps.push(filter::GaussianBlur { sigma }.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_transform::draw;

    #[test]
    fn widths_fill_the_range() {
        let blur = GaussianBlur { sigma: [0.5, 2.0] };
        let width = |row| draw(&blur, 20, 20, row)[0].get::<filter::GaussianBlur>().unwrap().sigma;
        let widths: Vec<f64> = (0..500).map(width).collect();
        assert!(widths.iter().all(|sigma| (0.5..=2.0).contains(sigma)));
        assert!(widths.iter().any(|sigma| *sigma < 0.55) && widths.iter().any(|sigma| *sigma > 1.95));
    }
}
