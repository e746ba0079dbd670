//! Brings values to the scale the model was trained on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image_facts::{ImageFacts, MOST_CHANNELS};
use crate::image_transform::ImageTransform;
use crate::options::{Options, between};
use crate::random::Random;
use crate::steps::ImageStep;
use crate::steps::point::Normalize as NormalizeStep;
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "normalize",
    summary: "Subtracts a mean and divides by a standard deviation, per channel.",
    documentation: "`(value − mean) / std`, where black is 0 and white is 1. Take the numbers the model was trained \
        with: most ImageNet models use mean 0.485, 0.456, 0.406 and std 0.229, 0.224, 0.225; others 0.5 and 0.5. Must be \
        the last transform. Without it the model sees values from 0 to 1.",
    targets: Target::PIXELS,
    changes_label: None,
    samples: &[
        r#"{"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}"#,
        r#"{"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}"#,
    ],
    probability: None,
    build: Build::image::<Normalize>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Normalize {
    /// Of each channel, such as red, green, blue; black is 0 and white is 1.
    #[schemars(length(min = 1, max = MOST_CHANNELS), inner(range(min = 0, max = 1)))]
    mean: Vec<f32>,
    /// Standard deviation of each channel, such as red, green, blue; black is 0 and white is 1.
    #[schemars(length(min = 1, max = MOST_CHANNELS), inner(range(min = 1e-6, max = 1)))]
    std: Vec<f32>,
}

impl Options for Normalize {
    fn validate(&self) -> Result<(), String> {
        let (mean, std) = (self.mean.len(), self.std.len());
        if mean != std {
            return Err(format!("mean has {mean} numbers and std {std}; give one of each for every channel"));
        }
        between("the length of mean", mean, 1, MOST_CHANNELS as usize)?;
        let unit = |name: &str, values: &[f32], least: f32| {
            values.iter().try_for_each(|value| between(name, *value, least, 1.0))
        };
        unit("mean (black is 0, white is 1)", &self.mean, 0.0)?;
        unit("std (black is 0, white is 1)", &self.std, 1e-6)
    }
}

impl ImageTransform for Normalize {
    fn is_random(&self) -> bool {
        false
    }

    fn draw(&self, _: &ImageFacts, _: &mut Random, steps: &mut Vec<ImageStep>) {
        steps.push(NormalizeStep { mean: self.mean.clone(), std: self.std.clone() }.into());
    }

    fn check_channels(&self, channels: u32) -> Result<(), String> {
        let numbers = self.mean.len();
        if numbers == channels as usize {
            return Ok(());
        }
        Err(format!("mean and std have {numbers} numbers each, and the images have {channels} channels"))
    }

    fn must_be_last(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_255_are_refused() {
        let options = Normalize { mean: vec![123.7, 116.3, 103.5], std: vec![58.4, 57.1, 57.4] };
        assert!(options.validate().unwrap_err().contains("got 123.7"));
        let uneven = Normalize { mean: vec![0.5], std: vec![0.5; 3] };
        let message = "mean has 1 numbers and std 3; give one of each for every channel";
        assert_eq!(uneven.validate(), Err(message.into()));
        let zero = Normalize { mean: vec![0.0; 3], std: vec![1.0, 0.0, 1.0] };
        assert!(zero.validate().is_err());
    }
}
