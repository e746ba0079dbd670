//! Keeps the middle of the image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image_facts::ImageFacts;
use crate::image_transform::ImageTransform;
use crate::matrix::Matrix;
use crate::options::{Options, Size};
use crate::random::Random;
use crate::steps::ImageStep;
use crate::steps::map::{Border, Project};
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "center_crop",
    summary: "Keeps the middle of the image, at a stated size.",
    documentation: "Cuts the middle `size` pixels out, to the whole pixel, as torchvision's `CenterCrop`. An image that \
        is smaller gets a border of the colour `fill`, or what `border` says.",
    targets: Target::PLACES,
    changes_label: None,
    samples: &[r#"{"size": 20}"#, r#"{"size": [90, 12], "fill": [255, 0, 0]}"#, r#"{"size": 70, "border": "reflect"}"#],
    probability: None,
    build: Build::image::<CenterCrop>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CenterCrop {
    /// Size afterwards, in pixels: one number for a square, or [width, height].
    size: Size,
    /// What is seen around an image that is smaller; `fill` unless it is said.
    #[serde(default, skip_serializing_if = "Border::is_fill")]
    border: Border,
    /// Red, green, blue (0 to 255) around an image that is smaller.
    #[serde(default)]
    fill: [u8; 3],
}

impl Options for CenterCrop {
    fn validate(&self) -> Result<(), String> {
        self.size.validate()
    }
}

impl ImageTransform for CenterCrop {
    fn is_random(&self) -> bool {
        false
    }

    fn draw(&self, facts: &ImageFacts, _: &mut Random, steps: &mut Vec<ImageStep>) {
        let size = facts.resized(self.size.width(), self.size.height());
        let before = |whole: u32, part: u32| match part.checked_sub(whole) {
            // torchvision's border: of an odd number of pixels, the fewer are in front
            Some(border) => 0.0 - f64::from(border / 2),
            None => ((f64::from(whole) - f64::from(part)) / 2.0).round_ties_even(),
        };
        let matrix =
            Matrix::scale_then_move(1.0, 1.0, before(facts.width, size.width), before(facts.height, size.height));
        steps.push(Project::within(matrix, &size, self.border, self.fill));
    }

    fn output_size(&self, _: Option<ImageFacts>) -> Option<ImageFacts> {
        Some(ImageFacts::new(self.size.width(), self.size.height()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_transform::draw;

    #[test]
    fn an_image_that_is_smaller_by_3_is_where_torchvision_puts_it() {
        // what CenterCrop(size) pads in front, and cuts off in front of what is larger: int(round((whole − part) / 2.0))
        for (whole, part, before) in [
            (1, 4, -1.0),
            (2, 4, -1.0),
            (3, 4, 0.0),
            (4, 4, 0.0),
            (3, 10, -3.0),
            (4, 10, -3.0),
            (5, 16, -5.0),
            (5, 4, 0.0),
            (7, 4, 2.0),
            (9, 4, 2.0),
            (11, 4, 4.0),
        ] {
            let crop = CenterCrop { size: Size::Square(part), border: Border::Fill, fill: [0; 3] };
            let steps = draw(&crop, whole, whole, 0);
            let Some(Project { matrix, .. }) = steps[0].get() else { panic!("{steps:?}") };
            assert_eq!((matrix.0[2], matrix.0[5]), (before, before), "{whole} to {part}");
        }
    }

    #[test]
    fn middle_or_border() {
        let crop = CenterCrop { size: Size::Square(4), border: Border::Fill, fill: [9; 3] };
        for (width, height, left, top) in [(10, 4, 3.0, 0.0), (2, 7, -1.0, 2.0), (5, 5, 0.0, 0.0)] {
            let steps = draw(&crop, width, height, 0);
            let Some(Project { matrix, width: 4, height: 4, .. }) = steps[0].get() else { panic!("{steps:?}") };
            assert_eq!((matrix.0[2], matrix.0[5]), (left, top), "{width}×{height}");
        }
    }
}
