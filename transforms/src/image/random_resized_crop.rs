//! Cuts out a random part and resizes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementary::{exp, ln};
use crate::image_facts::ImageFacts;
use crate::image_transform::ImageTransform;
use crate::matrix::Matrix;
use crate::options::{Options, Size, range};
use crate::random::Random;
use crate::steps::map::{Border, Project};
use crate::steps::{ImageStep, Kernel};
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "random_resized_crop",
    summary: "Cuts out a part of random area, shape and place, and resizes it.",
    documentation: "The usual augmentation for photographs (Szegedy et al. 2015), drawn as torchvision's \
        `RandomResizedCrop` does: up to ten tries of an area, uniform within `area` as a share of the image, and an \
        aspect ratio, log-uniform within `aspect_ratio`; the first that fits is placed uniformly. If none fits, the \
        largest central part whose aspect ratio is allowed. Cut and resize are one resampling, antialiased.",
    targets: Target::PLACES,
    changes_label: None,
    samples: &[
        r#"{"size": 32}"#,
        r#"{"size": [48, 24], "area": [0.5, 1], "aspect_ratio": [0.9, 1.1], "kernel": "area"}"#,
    ],
    probability: None,
    build: Build::image::<RandomResizedCrop>(),
};

const TRIES: usize = 10;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RandomResizedCrop {
    /// Size afterwards, in pixels: one number for a square, or [width, height].
    size: Size,
    /// Smallest and largest share of the image's area.
    #[serde(default = "default_area")]
    #[schemars(inner(range(min = 1e-6, max = 1)))]
    area: [f64; 2],
    /// Smallest and largest width divided by height.
    #[serde(default = "default_aspect_ratio")]
    #[schemars(inner(range(min = 0.01, max = 100)))]
    aspect_ratio: [f64; 2],
    /// How pixels are weighted.
    #[serde(default)]
    kernel: Kernel,
}

fn default_area() -> [f64; 2] {
    [0.08, 1.0]
}

fn default_aspect_ratio() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

impl Options for RandomResizedCrop {
    fn validate(&self) -> Result<(), String> {
        self.size.validate()?;
        range("area", self.area, 1e-6, 1.0)?;
        range("aspect_ratio", self.aspect_ratio, 0.01, 100.0)
    }
}

impl RandomResizedCrop {
    /// Left, top, width and height of the part.
    fn part(&self, facts: &ImageFacts, random: &mut Random) -> [u32; 4] {
        let (width, height) = (f64::from(facts.width), f64::from(facts.height));
        let [narrow, wide] = self.aspect_ratio;
        let ratios = ln(narrow)..ln(wide);
        for _ in 0..TRIES {
            let area = width * height * random.uniform_in(self.area[0]..self.area[1]);
            let ratio = exp(random.uniform_in(ratios.clone()));
            let across = (area * ratio).sqrt().round_ties_even();
            let down = (area / ratio).sqrt().round_ties_even();
            if across >= 1.0 && across <= width && down >= 1.0 && down <= height {
                let (across, down) = (across as u32, down as u32);
                let top = random.below(facts.height - down + 1);
                let left = random.below(facts.width - across + 1);
                return [left, top, across, down];
            }
        }
        let shape = width / height;
        let (across, down) = if shape < narrow {
            (facts.width, ((width / narrow).round_ties_even() as u32).clamp(1, facts.height))
        } else if shape > wide {
            (((height * wide).round_ties_even() as u32).clamp(1, facts.width), facts.height)
        } else {
            (facts.width, facts.height)
        };
        [(facts.width - across) / 2, (facts.height - down) / 2, across, down]
    }
}

impl ImageTransform for RandomResizedCrop {
    fn is_random(&self) -> bool {
        true
    }

    fn draw(&self, facts: &ImageFacts, random: &mut Random, steps: &mut Vec<ImageStep>) {
        let [left, top, across, down] = self.part(facts, random).map(f64::from);
        let (width, height) = (self.size.width(), self.size.height());
        let matrix = Matrix::scale_then_move(across / f64::from(width), down / f64::from(height), left, top);
        steps.push(Project { matrix, width, height, fill: [0; 3], border: Border::Fill, kernel: self.kernel }.into());
    }

    fn output_size(&self, _: Option<ImageFacts>) -> Option<ImageFacts> {
        Some(ImageFacts::new(self.size.width(), self.size.height()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DrawKey;

    fn part(options: &RandomResizedCrop, width: u32, height: u32, row: u64) -> [u32; 4] {
        options.part(&ImageFacts::new(width, height), &mut DrawKey { seed: 2, epoch: 0, row }.random("x", 0))
    }

    #[test]
    fn parts_keep_to_area_and_shape() {
        let options: RandomResizedCrop =
            serde_json::from_str(r#"{"size": 8, "area": [0.2, 0.6], "aspect_ratio": [0.8, 1.25]}"#).unwrap();
        let mut share = 0.0;
        for row in 0..2000 {
            let [left, top, across, down] = part(&options, 500, 375, row);
            assert!(left + across <= 500 && top + down <= 375);
            let area = f64::from(across * down) / (500.0 * 375.0);
            let ratio = f64::from(across) / f64::from(down);
            assert!((0.195..0.605).contains(&area) && (0.78..1.28).contains(&ratio), "{area} {ratio}");
            share += area / 2000.0;
        }
        assert!((share - 0.4).abs() < 0.02, "{share}");
    }

    #[test]
    fn shapes_that_never_fit_fall_back_to_the_centre() {
        let options: RandomResizedCrop = serde_json::from_str(r#"{"size": 8, "area": [0.9, 1]}"#).unwrap();
        assert_eq!(part(&options, 400, 100, 0), [133, 0, 133, 100]);
        assert_eq!(part(&options, 100, 400, 0), [0, 133, 100, 133]);
        assert_eq!(part(&options, 1, 1, 0), [0, 0, 1, 1]);
    }
}
