//! Enlarges or shrinks to a stated size.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image_facts::{ImageFacts, LARGEST_SIDE};
use crate::image_transform::ImageTransform;
use crate::matrix::Matrix;
use crate::options::{Options, Size, side};
use crate::random::Random;
use crate::steps::map::{Border, Project};
use crate::steps::{ImageStep, Kernel};
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "resize",
    summary: "Enlarges or shrinks to a stated size.",
    documentation: "Give one of: `size` (exactly this, whatever the shape was), `shorter_side` (the shape is kept, as \
        torchvision's `Resize` with one number), or `width` and `height` (one alone keeps the shape). Antialiased when \
        shrinking, with every kernel but `nearest`.",
    targets: Target::PLACES,
    changes_label: None,
    samples: &[
        r#"{"size": 32}"#,
        r#"{"size": [40, 20], "kernel": "lanczos3"}"#,
        r#"{"shorter_side": 24, "kernel": "cubic"}"#,
        r#"{"width": 30}"#,
        r#"{"width": 30, "height": 10, "kernel": "nearest"}"#,
    ],
    probability: None,
    build: Build::image::<Resize>(),
};

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resize {
    /// Size afterwards, in pixels: one number for a square, or [width, height].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<Size>,
    /// Length of the shorter side afterwards, in pixels; the shape is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = LARGEST_SIDE))]
    shorter_side: Option<u32>,
    /// Width afterwards, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = LARGEST_SIDE))]
    width: Option<u32>,
    /// Height afterwards, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = LARGEST_SIDE))]
    height: Option<u32>,
    /// How pixels are weighted.
    #[serde(default)]
    kernel: Kernel,
}

impl Options for Resize {
    fn validate(&self) -> Result<(), String> {
        if let Some(size) = self.size {
            size.validate()?;
        }
        for (name, value) in [("shorter_side", self.shorter_side), ("width", self.width), ("height", self.height)] {
            value.map_or(Ok(()), |value| side(name, value))?;
        }
        let ways = [self.size.is_some(), self.shorter_side.is_some(), self.width.is_some() || self.height.is_some()];
        match ways.iter().filter(|given| **given).count() {
            1 => Ok(()),
            0 => Err("give size, shorter_side, width or height".into()),
            _ => Err("give only one of size, shorter_side, or width and height".into()),
        }
    }
}

impl Resize {
    fn target(&self, facts: &ImageFacts) -> ImageFacts {
        let ImageFacts { width, height, .. } = *facts;
        let in_proportion = |length: u32, over: u32, to: u32| {
            let exact = u64::from(length) * u64::from(to) / u64::from(over.max(1));
            exact.clamp(1, u64::from(LARGEST_SIDE)) as u32
        };
        let (width, height) = match (self.size, self.shorter_side, self.width, self.height) {
            (Some(size), ..) => (size.width(), size.height()),
            (_, Some(short), ..) if width <= height => (short, in_proportion(height, width, short)),
            (_, Some(short), ..) => (in_proportion(width, height, short), short),
            (.., Some(across), Some(down)) => (across, down),
            (.., Some(across), None) => (across, in_proportion(height, width, across)),
            (.., None, Some(down)) => (in_proportion(width, height, down), down),
            (.., None, None) => (width, height),
        };
        facts.resized(width, height)
    }
}

impl ImageTransform for Resize {
    fn is_random(&self) -> bool {
        false
    }

    fn draw(&self, facts: &ImageFacts, _: &mut Random, steps: &mut Vec<ImageStep>) {
        let ImageFacts { width, height, .. } = self.target(facts);
        let (x, y) = (f64::from(facts.width) / f64::from(width), f64::from(facts.height) / f64::from(height));
        let matrix = Matrix::scale_then_move(x, y, 0.0, 0.0);
        steps.push(Project { matrix, width, height, fill: [0; 3], border: Border::Fill, kernel: self.kernel }.into());
    }

    fn output_size(&self, input: Option<ImageFacts>) -> Option<ImageFacts> {
        match (self.size, self.width, self.height) {
            (Some(_), ..) | (_, Some(_), Some(_)) => Some(self.target(&ImageFacts::new(1, 1))),
            _ => input.map(|facts| self.target(&facts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_say_the_size() {
        for (options, wanted) in [
            (r#"{"size": 7}"#, (7, 7)),
            (r#"{"size": [7, 9]}"#, (7, 9)),
            (r#"{"shorter_side": 256}"#, (341, 256)),
            (r#"{"width": 100}"#, (100, 75)),
            (r#"{"height": 75}"#, (100, 75)),
            (r#"{"width": 3, "height": 4}"#, (3, 4)),
        ] {
            let resize: Resize = serde_json::from_str(options).unwrap();
            resize.validate().unwrap();
            let ImageFacts { width, height, .. } = resize.target(&ImageFacts::new(500, 375));
            assert_eq!((width, height), wanted, "{options}");
        }
        let thin = Resize { shorter_side: Some(100), ..Resize::default() };
        assert_eq!(thin.target(&ImageFacts::new(60_000, 1)).width, LARGEST_SIDE);
    }

    #[test]
    fn contradictions_are_refused() {
        for (options, message) in [
            ("{}", "give size, shorter_side, width or height"),
            (r#"{"size": 4, "width": 4}"#, "give only one of size, shorter_side, or width and height"),
            (r#"{"size": 0}"#, "size is between 1 and 16384 pixels, got 0"),
        ] {
            assert_eq!(serde_json::from_str::<Resize>(options).unwrap().validate(), Err(message.into()));
        }
    }
}
