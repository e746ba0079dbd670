use std::fmt;

use serde::{Deserialize, Serialize};

use crate::image_facts::ImageFacts;
use crate::matrix::Matrix;
use crate::steps::{DrawnStep, ImageStep};

/// An image of 8-bit red, green, blue, row by row from the top left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RgbImage {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Width × height × 3 bytes.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// Its size.
    pub fn facts(&self) -> ImageFacts {
        ImageFacts { width: self.width, height: self.height }
    }
}

/// A decoded image, or the decoded part of one.
#[derive(Clone, Copy, Debug)]
pub struct SourceImage<'a> {
    /// Size of the whole image.
    pub facts: ImageFacts,
    /// Column of the whole image at which `image` begins.
    pub left: u32,
    /// Row of the whole image at which `image` begins.
    pub top: u32,
    /// The pixels; covers at least the [`DecodeRequest`].
    pub image: &'a RgbImage,
}

impl<'a> From<&'a RgbImage> for SourceImage<'a> {
    fn from(image: &'a RgbImage) -> Self {
        Self { facts: image.facts(), left: 0, top: 0, image }
    }
}

/// The part of an image that a drawing uses. Decoders may return more; what lies outside never changes the result.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodeRequest {
    /// First column used.
    pub left: u32,
    /// First row used.
    pub top: u32,
    /// Columns used.
    pub width: u32,
    /// Rows used.
    pub height: u32,
    /// Source pixels an output pixel, along the axis that is shrunk less. 1 or less: every pixel counts; 2: half the
    /// resolution would do.
    pub shrink: f64,
}

impl DecodeRequest {
    /// All of an image at full resolution.
    pub fn whole(facts: &ImageFacts) -> Self {
        Self { left: 0, top: 0, width: facts.width, height: facts.height, shrink: 1.0 }
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
    /// Width and height of the rendered image.
    pub fn output_size(&self, facts: &ImageFacts) -> (u32, u32) {
        let last = self.steps.iter().rev().find_map(|drawn| match drawn.step {
            ImageStep::Project { width, height, .. } => Some((width, height)),
            _ => None,
        });
        last.unwrap_or((facts.width, facts.height))
    }

    /// Where a point of the source (continuous coordinates; the centre of the first pixel is (½, ½)) is in the output.
    ///
    /// It may lie outside. Boxes and key points follow the image this way. Not a number where a step is a perspective
    /// that takes the point to infinity, or has a matrix without inverse (rendering refuses such a step).
    pub fn project_point(&self, x: f64, y: f64) -> (f64, f64) {
        self.steps.iter().fold((x, y), |(x, y), drawn| match &drawn.step {
            ImageStep::Project { matrix, .. } => {
                matrix.inverse().map_or((f64::NAN, f64::NAN), |forward: Matrix| forward.apply(x, y))
            }
            _ => (x, y),
        })
    }
}
