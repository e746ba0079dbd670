//! Changes brightness, contrast, saturation and hue.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image_facts::ImageFacts;
use crate::image_transform::ImageTransform;
use crate::options::{Options, between};
use crate::random::Random;
use crate::steps::ImageStep;
use crate::steps::point::{Brightness, Contrast, Hue, Saturation};
use crate::steps::whole::ContrastAboutMean;
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "color_jitter",
    summary: "Changes brightness, contrast, saturation and hue at random, in random order.",
    documentation: "As torchvision's `ColorJitter`. `brightness`, `contrast` and `saturation` of b draw a factor uniform \
        between max(0, 1 − b) and 1 + b; `hue` of h (0 to 0.5) turns the hues by a share of a turn uniform between −h and \
        h, in the hexagon of HSV. Brightness multiplies the values, saturation their distance from the pixel's grey (ITU-R \
        BT.601 luma), contrast their distance from one grey; each clips to black and white. That grey is the mean of the \
        image at this place of the list (`contrast_about: mean`, as in torchvision), or half way between black and white \
        (`middle`). For the mean the whole image is decoded even where a crop follows; everything else costs no more than \
        the crop. Images of one channel have no saturation and no hue: both leave them alone.",
    targets: Target::PIXELS,
    changes_label: None,
    samples: &[
        r#"{"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}"#,
        r#"{"brightness": 0.2, "contrast": 0.3, "contrast_about": "middle", "saturation": 0.5}"#,
        r#"{"hue": 0.5, "probability": 0.8}"#,
    ],
    probability: Some(1.0),
    build: Build::image::<ColorJitter>(),
};

const MOST: f64 = 100.0;

/// The grey that contrast moves values away from, or towards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ContrastAbout {
    /// The mean of the image.
    #[default]
    Mean,
    /// Half way between black and white.
    Middle,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ColorJitter {
    /// Brightness changes by a factor of 1 − this to 1 + this.
    #[schemars(range(min = 0, max = MOST))]
    brightness: f64,
    /// Contrast changes by a factor of 1 − this to 1 + this.
    #[schemars(range(min = 0, max = MOST))]
    contrast: f64,
    /// The grey that contrast moves values away from, or towards.
    contrast_about: ContrastAbout,
    /// Saturation changes by a factor of 1 − this to 1 + this.
    #[schemars(range(min = 0, max = MOST))]
    saturation: f64,
    /// Hues turn by so much of a turn either way, at most 0.5.
    #[schemars(range(min = 0, max = 0.5))]
    hue: f64,
}

impl Options for ColorJitter {
    fn validate(&self) -> Result<(), String> {
        between("brightness", self.brightness, 0.0, MOST)?;
        between("contrast", self.contrast, 0.0, MOST)?;
        between("saturation", self.saturation, 0.0, MOST)?;
        between("hue", self.hue, 0.0, 0.5)?;
        if self.is_random() { Ok(()) } else { Err("give brightness, contrast, saturation or hue".into()) }
    }
}

#[derive(Clone, Copy)]
enum Change {
    Brightness,
    Contrast,
    Saturation,
    Hue,
}

impl ImageTransform for ColorJitter {
    fn is_random(&self) -> bool {
        [self.brightness, self.contrast, self.saturation, self.hue].iter().any(|amount| *amount > 0.0)
    }

    fn check_channels(&self, channels: u32) -> Result<(), String> {
        if matches!(channels, 1 | 3) || (self.saturation == 0.0 && self.hue == 0.0) {
            return Ok(());
        }
        Err(format!("saturation and hue are of images of 1 or 3 channels, and these have {channels}"))
    }

    fn draw(&self, facts: &ImageFacts, random: &mut Random, steps: &mut Vec<ImageStep>) {
        let mut order = [Change::Brightness, Change::Contrast, Change::Saturation, Change::Hue];
        random.shuffle(&mut order);
        for change in order {
            let amount = match change {
                Change::Brightness => self.brightness,
                Change::Contrast => self.contrast,
                Change::Saturation => self.saturation,
                Change::Hue => self.hue,
            };
            if amount == 0.0 {
                continue;
            }
            let mut factor = || random.uniform_in((1.0 - amount).max(0.0)..1.0 + amount) as f32;
            let has_colours = facts.channels != 1;
            steps.extend(match change {
                Change::Brightness => Some(Brightness { factor: factor() }.into()),
                Change::Contrast => Some(match self.contrast_about {
                    ContrastAbout::Mean => ContrastAboutMean { factor: factor() }.into(),
                    ContrastAbout::Middle => Contrast { factor: factor() }.into(),
                }),
                Change::Saturation => has_colours.then_some(Saturation { factor: factor() }.into()),
                Change::Hue => {
                    let turn = random.uniform_in(-amount..amount) as f32;
                    has_colours.then_some(Hue { turn }.into())
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DrawKey;

    fn names(options: &ColorJitter, channels: u32, row: u64) -> Vec<&'static str> {
        let mut steps = Vec::new();
        let facts = ImageFacts::new(8, 8).with_channels(channels);
        options.draw(&facts, &mut DrawKey { seed: 0, epoch: 0, row }.random("x", 0), &mut steps);
        steps.iter().map(|step| step.step().name()).collect()
    }

    #[test]
    fn all_orders_occur_and_grey_has_no_colours() {
        let options =
            ColorJitter { brightness: 0.1, contrast: 0.1, saturation: 0.1, hue: 0.1, ..ColorJitter::default() };
        let orders: std::collections::HashSet<_> = (0..500).map(|row| names(&options, 3, row)).collect();
        assert_eq!(orders.len(), 24);
        let mut grey = names(&options, 1, 0);
        grey.sort_unstable();
        assert_eq!(grey, ["brightness", "contrast_about_mean"]);
    }

    #[test]
    fn nothing_at_all_is_refused() {
        let message = "give brightness, contrast, saturation or hue";
        assert_eq!(ColorJitter::default().validate(), Err(message.into()));
    }
}
