use std::fmt;

use serde::{Deserialize, Serialize};

use crate::image_facts::ImageFacts;
use crate::steps::DrawnStep;

/// The part of an image that a drawing uses. Decoders may return more; what lies outside never changes the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecodeRequest {
    /// First column used.
    pub left: u32,
    /// First row used.
    pub top: u32,
    /// Columns used.
    pub width: u32,
    /// Rows used.
    pub height: u32,
    /// Values of a pixel: 1 for grey, 3 for red, green, blue.
    pub channels: u32,
    /// Source pixels an output pixel, along the axis that is shrunk less. 1 or less: every pixel counts; 2: half the
    /// resolution would do.
    pub shrink: f64,
}

impl DecodeRequest {
    /// All of an image at full resolution.
    pub fn whole(facts: &ImageFacts) -> Self {
        let ImageFacts { width, height, channels, .. } = *facts;
        Self { left: 0, top: 0, width, height, channels, shrink: 1.0 }
    }
}

impl fmt::Display for DecodeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{} at ({}, {})", self.width, self.height, self.left, self.top)
    }
}

/// Everything that happens to one image. JSON and back is exact, and renders the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageDrawing {
    /// The image it was drawn for. Rendering refuses images of another size: the matrices would not fit them.
    pub source: ImageFacts,
    /// In order.
    pub steps: Vec<DrawnStep>,
}

impl ImageDrawing {
    /// The rendered image of an image.
    pub fn output(&self, facts: &ImageFacts) -> ImageFacts {
        self.steps.iter().fold(*facts, |facts, drawn| drawn.step.output(&facts))
    }

    /// Width and height of the rendered image.
    pub fn output_size(&self, facts: &ImageFacts) -> (u32, u32) {
        let ImageFacts { width, height, .. } = self.output(facts);
        (width, height)
    }

    /// The transform whose step makes values that are no colours: numbers of any size, for models alone. None where all stay
    /// colours.
    pub fn leaves_range(&self) -> Option<&str> {
        let drawn = self.steps.iter().find(|drawn| drawn.step.is_for_models());
        drawn.map(|drawn| &*drawn.transform)
    }

    /// Whether it is a mirror image at a point of the source: left and right of what is seen there are exchanged. Two mirrors
    /// undo each other.
    pub fn mirrors(&self, x: f64, y: f64) -> bool {
        let (mut point, mut mirrored) = ((x, y), false);
        for drawn in &self.steps {
            mirrored ^= drawn.step.mirrors(point.0, point.1);
            point = drawn.step.forward(point.0, point.1);
        }
        mirrored
    }

    /// Where a point of the source (continuous coordinates; the centre of the first pixel is (½, ½)) is in the output.
    ///
    /// It may lie outside. Boxes and key points follow the image this way. Not a number where a step is a perspective
    /// that takes the point to infinity, or has a matrix without inverse (rendering refuses such a step).
    pub fn project_point(&self, x: f64, y: f64) -> (f64, f64) {
        self.steps.iter().fold((x, y), |(x, y), drawn| drawn.step.forward(x, y))
    }
}
