//! Spreads the values of each channel over the whole range.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image_facts::ImageFacts;
use crate::image_transform::ImageTransform;
use crate::options::Options;
use crate::random::Random;
use crate::steps::ImageStep;
use crate::steps::whole;
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "equalize",
    summary: "Equalizes the histogram of each channel, half of the time unless stated otherwise.",
    documentation: "Each channel by itself, at 256 levels, as Pillow's `ImageOps.equalize` and torchvision's \
        `RandomEqualize`: a level becomes the share of the pixels that are darker. The histogram is that of the image at \
        this place of the list, all of it: put it after a crop, or the whole image is decoded for the crop.",
    targets: Target::PIXELS,
    changes_label: None,
    samples: &["{}", r#"{"probability": 1}"#],
    probability: Some(0.5),
    build: Build::image::<Equalize>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Equalize {}

impl Options for Equalize {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl ImageTransform for Equalize {
    fn is_random(&self) -> bool {
        false
    }

    fn draw(&self, _: &ImageFacts, _: &mut Random, steps: &mut Vec<ImageStep>) {
        steps.push(whole::Equalize {}.into());
    }
}
