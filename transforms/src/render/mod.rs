//! Carrying out drawn steps: neighbours fused, one resampling, then one pass over the values.
//!
//! A drawing is cut into segments: a run of geometric steps, then a run of steps on values. Each run of geometric
//! steps is composed into one map and one plan ([`plan`]); the values are finished row by row while they are in the
//! cache ([`finish`]). Only a geometric step *after* noise begins a new segment, with 8-bit pixels between.
//! The slow and obvious twin is `reference`, in tests.

mod finish;
mod noise;
mod plan;
#[cfg(test)]
mod reference;
mod resample;
mod vector;
mod warp;

use fast_image_resize::Resizer;

use crate::drawing::{DecodeRequest, ImageDrawing, ImageFacts, RgbImage, SourceImage};
use crate::{DrawnStep, ImageStep, TransformError};
use plan::{Clip, Plan, Sampling};

/// The longest side of an image that is rendered, in pixels.
pub const LARGEST_SIDE: u32 = 1 << 14;

/// Buffers that rendering needs, kept from image to image. One for each thread.
#[derive(Default)]
pub struct Scratch {
    resizer: Resizer,
    clips: Vec<Clip>,
    /// The pixels that are sampled: resized to the output, or shrunk for a warp.
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

/// Some pixels of a larger image: where they begin, and what is known of the whole.
#[derive(Clone, Copy)]
struct Pixels<'a> {
    bytes: &'a [u8],
    /// Pixels from one row to the next.
    stride: usize,
    left: u32,
    top: u32,
}

impl ImageDrawing {
    /// The part of the source that rendering uses, and how much finer it is than the output.
    ///
    /// # Errors
    /// A step with impossible parameters.
    pub fn decode_request(&self, facts: &ImageFacts) -> Result<DecodeRequest, TransformError> {
        let geometric = self.steps.iter().take_while(|drawn| is_geometric(drawn)).count();
        if geometric == 0 {
            return Ok(DecodeRequest::whole(facts));
        }
        let plan = Plan::new(facts, &self.steps[..geometric], 0, &mut Vec::new())?;
        let [left, top, width, height] = plan.region;
        Ok(DecodeRequest { left, top, width, height, shrink: plan.shrink })
    }

    /// The most bytes that rendering holds beyond the source and the output: pixels while they are resized, and the image
    /// between two runs of geometric steps. What a few numbers for each row and column take is not counted.
    ///
    /// Steps with impossible parameters need none: they are refused.
    pub fn memory(&self, facts: &ImageFacts) -> u64 {
        let (mut facts, mut from) = (*facts, 0);
        let (mut pixels, mut between) = (0u64, 0u64);
        loop {
            let rest = &self.steps[from..];
            let geometric = rest.iter().take_while(|drawn| is_geometric(drawn)).count();
            let values = rest[geometric..].iter().take_while(|drawn| !is_geometric(drawn)).count();
            let Ok(plan) = Plan::new(&facts, &rest[..geometric], from, &mut Vec::new()) else { break };
            pixels = pixels.max(plan.buffer_bytes());
            from += geometric + values;
            if from == self.steps.len() {
                break;
            }
            facts = ImageFacts { width: plan.width, height: plan.height };
            // three values of 4 bytes, then three of 1
            between = between.max(u64::from(plan.width).saturating_mul(u64::from(plan.height)).saturating_mul(15));
        }
        pixels.saturating_add(between)
    }

    /// Renders the whole of a decoded image into `out`: channel, row, column; red first. Values are 0 to 1, or
    /// normalized if the drawing says so.
    ///
    /// # Errors
    /// `out` has another length than 3 × height × width of [`output_size`](Self::output_size), the image has another
    /// number of bytes than its size says, or a step has impossible parameters.
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
        self.render_steps(source, scratch, out, true)
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
        let (width, height) = self.output_size(&source.facts);
        let mut values = vec![0.0; value_count(width, height)];
        self.render_steps(source, scratch, &mut values, false)?;
        let mut image = RgbImage::default();
        finish::to_rgb8(&values, width, height, &mut image);
        Ok(image)
    }

    fn render_steps(
        &self,
        source: &SourceImage<'_>,
        scratch: &mut Scratch,
        out: &mut [f32],
        normalize: bool,
    ) -> Result<(), TransformError> {
        check_source(source)?;
        let (width, height) = self.output_size(&source.facts);
        let wanted = value_count(width, height);
        if out.len() != wanted {
            return Err(TransformError::OutputLength { width, height, wanted, got: out.len() });
        }
        let Scratch { resizer, clips, pixels, between, between_values } = scratch;
        let mut facts = source.facts;
        let (mut from, mut first) = (0, true);
        loop {
            let rest = &self.steps[from..];
            let geometric = rest.iter().take_while(|drawn| is_geometric(drawn)).count();
            let values = rest[geometric..].iter().take_while(|drawn| !is_geometric(drawn)).count();
            let plan = Plan::new(&facts, &rest[..geometric], from, clips)?;
            let (image, left, top) = if first { (source.image, source.left, source.top) } else { (&*between, 0, 0) };
            let view = plan.view(image, left, top)?;
            let steps = &rest[geometric..geometric + values];
            check_value_steps(steps, from + geometric)?;
            let last = geometric + values == rest.len();
            let target = if last {
                &mut *out
            } else {
                between_values.resize(value_count(plan.width, plan.height), 0.0);
                &mut between_values[..]
            };
            let rows = resample::prepare(&plan, view, resizer, pixels)?;
            finish::finish(&rows, &plan, clips, steps, normalize, target);
            if last {
                return Ok(());
            }
            finish::to_rgb8(between_values, plan.width, plan.height, between);
            facts = between.facts();
            from += geometric + values;
            first = false;
        }
    }
}

fn is_geometric(drawn: &DrawnStep) -> bool {
    matches!(drawn.step, ImageStep::Project { .. })
}

fn value_count(width: u32, height: u32) -> usize {
    3 * width as usize * height as usize
}

fn check_source(source: &SourceImage<'_>) -> Result<(), TransformError> {
    let RgbImage { width, height, pixels } = source.image;
    let (width, height) = (*width, *height);
    let sides = 1..=LARGEST_SIDE;
    for (width, height) in [(width, height), (source.facts.width, source.facts.height)] {
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(TransformError::ImageSize { width, height, limit: LARGEST_SIDE });
        }
    }
    let wanted = value_count(width, height);
    if pixels.len() != wanted {
        return Err(TransformError::PixelCount { width, height, wanted, got: pixels.len() });
    }
    Ok(())
}

fn check_value_steps(steps: &[DrawnStep], before: usize) -> Result<(), TransformError> {
    for (index, drawn) in steps.iter().enumerate() {
        let sane = match &drawn.step {
            ImageStep::AddNoise { strength, .. } => (0.0..=1.0).contains(strength),
            ImageStep::Normalize { mean, std } => {
                mean.iter().all(|value| value.is_finite()) && std.iter().all(|value| value.is_normal())
            }
            ImageStep::Project { .. } => true,
        };
        if !sane {
            let (index, transform) = (before + index, drawn.transform.to_string());
            let message = format!("impossible parameters: {}", drawn.step);
            return Err(TransformError::Step { index, transform, message });
        }
    }
    Ok(())
}
