//! Carrying out drawn steps: neighbours fused, one resampling, then one pass over the values.
//!
//! A drawing is cut into segments: a run of geometric steps, then a run of steps on values ([`segments`]). Each run of
//! geometric steps is composed into one map and one plan ([`plan`]); the values are finished row by row while they are
//! in the cache ([`finish`]). Between segments there are 8-bit pixels.
//! The slow and obvious twin is `reference`, in tests.

mod area;
mod finish;
mod noise;
mod pixels;
mod plan;
#[cfg(test)]
mod reference;
mod resample;
mod sampled;
mod segments;
mod vector;
mod warp;

use fast_image_resize::Resizer;

use crate::error::TransformError;
use crate::image_drawing::{DecodeRequest, ImageDrawing, RgbImage, SourceImage};
use crate::image_facts::{ImageFacts, LARGEST_SIDE};
use segments::{Segment, segments};

/// Buffers that rendering needs, kept from image to image. One for each thread.
#[derive(Default)]
pub struct Scratch {
    resizer: Resizer,
    /// The pixels that are sampled: resized to the output, or for a warp.
    pixels: Vec<u8>,
    /// The image between two segments.
    between: RgbImage,
    between_values: Vec<f32>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

impl ImageDrawing {
    /// The part of the source that rendering uses, and how much finer it is than the output.
    ///
    /// # Errors
    /// An image of another size than it was drawn for, or a step with impossible parameters.
    pub fn decode_request(&self, facts: &ImageFacts) -> Result<DecodeRequest, TransformError> {
        if !self.steps.first().is_some_and(plan::is_geometric) {
            self.check(facts)?;
            return Ok(DecodeRequest::whole(facts));
        }
        let plan = &self.segments(facts)?[0].plan;
        let [left, top, width, height] = plan.region;
        Ok(DecodeRequest { left, top, width, height, shrink: plan.shrink })
    }

    /// The most bytes that rendering holds beyond the source and the output: pixels while they are resized, and the image
    /// between two resamplings. What a few numbers for each row and column take is not counted.
    ///
    /// 0 for a drawing that rendering refuses.
    pub fn memory(&self, facts: &ImageFacts) -> u64 {
        let Ok(segments) = self.segments(facts) else { return 0 };
        let resized = segments.iter().map(|segment| segment.plan.buffer_bytes()).max();
        // three values of 4 bytes, then three of 1
        let between = |Segment { plan, .. }: &Segment<'_>| 15 * u64::from(plan.width) * u64::from(plan.height);
        let between = segments.iter().rev().skip(1).map(between).max();
        resized.unwrap_or(0).saturating_add(between.unwrap_or(0))
    }

    /// Renders the whole of a decoded image into `out`: channel, row, column; red first. Values are 0 to 1, or
    /// normalized if the drawing says so.
    ///
    /// # Errors
    /// `out` has another length than 3 × height × width of [`output_size`](Self::output_size), the image has another
    /// size than it was drawn for or another number of bytes than its size says, or a step has impossible parameters.
    pub fn render(&self, image: &RgbImage, scratch: &mut Scratch, out: &mut [f32]) -> Result<(), TransformError> {
        self.render_part(&image.into(), scratch, out)
    }

    /// As [`render`](Self::render), from the decoded part of an image. The same bytes as from the whole image.
    ///
    /// # Errors
    /// As [`render`](Self::render), or the part lacks pixels of the [`decode_request`](Self::decode_request).
    pub fn render_part(
        &self,
        source: &SourceImage<'_>,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), TransformError> {
        let segments = self.segments(&source.facts)?;
        let (width, height) = self.output_size(&source.facts);
        let wanted = value_count(width, height);
        if out.len() != wanted {
            return Err(TransformError::OutputLength { width, height, wanted, got: out.len() });
        }
        render(&segments, source, scratch, out, true)
    }

    /// Renders for people: 8-bit pixels, `Normalize` left out.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_rgb8(&self, image: &RgbImage, scratch: &mut Scratch) -> Result<RgbImage, TransformError> {
        self.render_part_rgb8(&image.into(), scratch)
    }

    /// As [`render_rgb8`](Self::render_rgb8), from the decoded part of an image.
    ///
    /// # Errors
    /// As [`render_part`](Self::render_part).
    pub fn render_part_rgb8(
        &self,
        source: &SourceImage<'_>,
        scratch: &mut Scratch,
    ) -> Result<RgbImage, TransformError> {
        let segments = self.segments(&source.facts)?;
        let (width, height) = self.output_size(&source.facts);
        let mut values = vec![0.0; value_count(width, height)];
        render(&segments, source, scratch, &mut values, false)?;
        let mut image = RgbImage::default();
        finish::to_rgb8(&values, width, height, &mut image);
        Ok(image)
    }

    /// The plan, once the drawing and its image have been checked: nothing is allocated for impossible sizes.
    fn segments(&self, facts: &ImageFacts) -> Result<Vec<Segment<'_>>, TransformError> {
        self.check(facts)?;
        segments(facts, &self.steps)
    }

    fn check(&self, facts: &ImageFacts) -> Result<(), TransformError> {
        check_size(facts)?;
        if self.source == *facts {
            return Ok(());
        }
        Err(TransformError::OtherImage { wanted: self.source, got: *facts })
    }
}

fn render(
    segments: &[Segment<'_>],
    source: &SourceImage<'_>,
    scratch: &mut Scratch,
    out: &mut [f32],
    normalize: bool,
) -> Result<(), TransformError> {
    check_pixels(source.image)?;
    let Scratch { resizer, pixels, between, between_values } = scratch;
    let mut origin = None;
    for (index, Segment { plan, values, origin: next }) in segments.iter().enumerate() {
        let view = match origin {
            None => plan.view(source.image, [source.left, source.top])?,
            Some(origin) => plan.view(between, origin)?,
        };
        let rows = resample::prepare(plan, view, resizer, pixels)?;
        if index + 1 == segments.len() {
            finish::finish(&rows, plan, values, normalize, out);
        } else {
            between_values.resize(value_count(plan.width, plan.height), 0.0);
            finish::finish(&rows, plan, values, normalize, between_values);
            finish::to_rgb8(between_values, plan.width, plan.height, between);
        }
        origin = Some(*next);
    }
    Ok(())
}

fn value_count(width: u32, height: u32) -> usize {
    3 * width as usize * height as usize
}

/// Refuses images without pixels, and larger ones than can be rendered.
pub(crate) fn check_size(facts: &ImageFacts) -> Result<(), TransformError> {
    let ImageFacts { width, height } = *facts;
    let sides = 1..=LARGEST_SIDE;
    if sides.contains(&width) && sides.contains(&height) {
        return Ok(());
    }
    Err(TransformError::ImageSize { width, height, limit: LARGEST_SIDE })
}

fn check_pixels(image: &RgbImage) -> Result<(), TransformError> {
    check_size(&image.facts())?;
    let RgbImage { width, height, pixels } = image;
    let wanted = value_count(*width, *height);
    if pixels.len() == wanted {
        return Ok(());
    }
    Err(TransformError::PixelCount { width: *width, height: *height, wanted, got: pixels.len() })
}
