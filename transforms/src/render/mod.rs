//! Carrying out drawn steps: neighbours fused, one resampling, then one pass over the values.
//!
//! One plan is made for an image ([`plan`]): each run of maps is composed into one way to sample what was before it
//! ([`map_run`]); steps on points are carried out row by row while the values are in the cache ([`finish`]). Between
//! stages there are 8-bit pixels, or floats where the image has other values or more than four channels.
//! The slow and obvious twin is `reference`, in tests.

mod clips;
#[cfg(test)]
mod depths;
mod finish;
mod legs;
mod map;
mod map_run;
mod nearest;
pub(crate) mod noise;
mod packed;
mod pixels;
mod plan;
#[cfg(test)]
pub(crate) mod reference;
mod resample;
mod sampled;
mod spread;
pub(crate) mod vector;
mod warp;
mod weighted;
#[cfg(test)]
mod windows;

use fast_image_resize::Resizer;
use millstream_schemas::ImageLayout;

use crate::error::TransformError;
use crate::image_drawing::{DecodeRequest, ImageDrawing};
use crate::image_facts::ImageFacts;
use crate::image_limits::check_size;
use crate::raster::{RgbImage, SampleSlice, SourceImage};
use crate::steps::filter::Neighbours;
use crate::steps::point::PointStep;
pub(crate) use map::{ended_pictures, seen_beyond};
use map_run::MapRun;
pub(crate) use nearest::nearest;
pub use packed::{ImageTensor, PixelValues};
use pixels::Pixels;
pub use plan::ImagePlan;
use plan::{Effect, Stage, Wide};
use resample::Resample;

/// Buffers that rendering needs, kept from image to image. One for each thread.
#[derive(Default)]
pub struct Scratch {
    resizer: Resizer,
    bytes: Samples<u8>,
    floats: Samples<f32>,
    /// The source as floats.
    converted: Vec<f32>,
    /// Values while they are made, and before a filter.
    values: Vec<f32>,
    /// Values after a filter.
    filtered: Vec<f32>,
}

/// Buffers of images of one kind of values.
#[derive(Default)]
struct Samples<S> {
    /// The pixels that are sampled: resized to the output, or for a warp.
    pixels: Vec<S>,
    /// The image between two stages.
    between: Vec<S>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

impl ImageDrawing {
    /// The plan for an image with these facts, from which all else follows: nothing is allocated for impossible sizes.
    ///
    /// # Errors
    /// An image with other facts than it was drawn for, or a step with impossible parameters.
    pub fn plan(&self, facts: &ImageFacts) -> Result<ImagePlan<'_>, TransformError> {
        check_size(facts)?;
        if self.source != *facts {
            return Err(TransformError::OtherImage { wanted: self.source, got: *facts });
        }
        ImagePlan::new(facts, &self.steps)
    }

    /// The part of the source that rendering uses, and how much finer it is than the output.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn decode_request(&self, facts: &ImageFacts) -> Result<DecodeRequest, TransformError> {
        Ok(self.plan(facts)?.decode_request())
    }

    /// The most bytes that rendering holds; see [`ImagePlan::memory`]. 0 for a drawing that rendering refuses.
    pub fn memory(&self, facts: &ImageFacts) -> u64 {
        self.plan(facts).map_or(0, |plan| plan.memory())
    }

    /// Renders the whole of a decoded image; see [`ImagePlan::render`].
    ///
    /// # Errors
    /// As [`plan`](Self::plan) and [`ImagePlan::render`].
    pub fn render<'a>(
        &self,
        image: impl Into<SourceImage<'a>>,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), TransformError> {
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
        self.plan(&source.facts)?.render(source, scratch, out)
    }

    /// Renders for people: 8-bit pixels, values for models left out.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_rgb8<'a>(
        &self,
        image: impl Into<SourceImage<'a>>,
        scratch: &mut Scratch,
    ) -> Result<RgbImage, TransformError> {
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
        let plan = self.plan(&source.facts)?;
        let mut values = vec![0.0; plan.output.value_count()];
        plan.carry_out(source, scratch, &mut Output::Planes(&mut values), true)?;
        Ok(finish::to_rgb8(&values, &plan.output))
    }
}

impl ImagePlan<'_> {
    /// Renders a decoded image, or the decoded part of one, into `out`: channel, row, column; red first. Values are 0 to
    /// 1, or normalized if the drawing says so.
    ///
    /// # Errors
    /// `out` has another length than channels × height × width of the [`output`](Self::output), the image has other
    /// facts than the plan was made for or another number of values than its size says, or it lacks pixels of the
    /// [`decode_request`](Self::decode_request).
    pub fn render(
        &self,
        source: &SourceImage<'_>,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), TransformError> {
        self.carry_out(source, scratch, &mut Output::Planes(out), false)
    }

    /// As [`render`](Self::render), in the order of axes and as the values that a model takes. Normalized values have no place in
    /// bytes: they are cut off at 0 and 255.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_tensor(
        &self,
        source: &SourceImage<'_>,
        scratch: &mut Scratch,
        out: &mut ImageTensor<'_>,
    ) -> Result<(), TransformError> {
        match out {
            ImageTensor { layout: ImageLayout::ChannelsFirst, values: PixelValues::F32(out) } => {
                self.render(source, scratch, out)
            }
            out => self.carry_out(source, scratch, &mut Output::Packed(out), false),
        }
    }

    fn carry_out(
        &self,
        source: &SourceImage<'_>,
        scratch: &mut Scratch,
        out: &mut Output<'_, '_>,
        for_people: bool,
    ) -> Result<(), TransformError> {
        let (wanted, got) = (self.output.value_count(), out.len());
        if got != wanted {
            let ImageFacts { width, height, channels, .. } = self.output;
            return Err(TransformError::OutputLength { width, height, channels, wanted, got });
        }
        if source.facts != self.source {
            return Err(TransformError::OtherImage { wanted: self.source, got: source.facts });
        }
        check_samples(source)?;
        let run = &self.stages[0].run;
        let (stride, channels) = (source.width as usize, source.facts.channels as usize);
        let [left, top] = start(run, source)?;
        let mut bytes = std::mem::take(&mut scratch.bytes);
        let mut floats = std::mem::take(&mut scratch.floats);
        let mut converted = std::mem::take(&mut scratch.converted);
        let done = match source.samples {
            SampleSlice::U8(values) if run.is_bytes() => {
                let pixels = Pixels { values, channels, stride, left, top };
                self.render_stages(pixels, &mut bytes, scratch, out, for_people)
            }
            SampleSlice::F32(values) => {
                let pixels = Pixels { values, channels, stride, left, top };
                self.render_stages(pixels, &mut floats, scratch, out, for_people)
            }
            SampleSlice::U8(values) => {
                let pixels = Pixels { values, channels, stride, left, top };
                let pixels = convert(run, &pixels, |value| f32::from(value) * (1.0 / 255.0), &mut converted);
                self.render_stages(pixels, &mut floats, scratch, out, for_people)
            }
            SampleSlice::U16(values) => {
                let pixels = Pixels { values, channels, stride, left, top };
                let pixels = convert(run, &pixels, |value| f32::from(value) * (1.0 / 65535.0), &mut converted);
                self.render_stages(pixels, &mut floats, scratch, out, for_people)
            }
        };
        (scratch.bytes, scratch.floats, scratch.converted) = (bytes, floats, converted);
        done
    }

    fn render_stages<S: Resample>(
        &self,
        source: Pixels<'_, S>,
        samples: &mut Samples<S>,
        scratch: &mut Scratch,
        out: &mut Output<'_, '_>,
        for_people: bool,
    ) -> Result<(), TransformError> {
        let Samples { pixels, between } = samples;
        let channels = source.channels;
        for (index, stage) in self.stages.iter().enumerate() {
            let before = match index {
                0 => source,
                _ => Pixels { values: between, channels, stride: stage.run.region[2] as usize, left: 0, top: 0 },
            };
            let rows = resample::prepare(&stage.run, before, &mut scratch.resizer, pixels)?;
            let Some(next) = self.stages.get(index + 1) else {
                let (first, rest) = (&mut scratch.values, &mut scratch.filtered);
                match out {
                    Output::Planes(out) => render_stage(&rows, stage, for_people, Some(out), first, rest),
                    Output::Packed(out) if stage.effects.is_empty() => {
                        finish::finish_by_rows(&rows, stage, &shown(&stage.points, for_people), first, out);
                    }
                    Output::Packed(out) => {
                        render_stage(&rows, stage, for_people, None, first, rest);
                        out.put_planes(first, channels, self.output.height as usize);
                    }
                }
                break;
            };
            render_stage(&rows, stage, for_people, None, &mut scratch.values, &mut scratch.filtered);
            finish::interleave(&scratch.values, stage.made(), next.run.region, between);
        }
        Ok(())
    }
}

/// Where an image is rendered into.
enum Output<'a, 'b> {
    /// Floats: channel, row, column.
    Planes(&'a mut [f32]),
    /// Anything else.
    Packed(&'a mut ImageTensor<'b>),
}

impl Output<'_, '_> {
    fn len(&self) -> usize {
        match self {
            Self::Planes(values) => values.len(),
            Self::Packed(tensor) => tensor.len(),
        }
    }
}

/// Renders the window of a stage into `out`, or else into `values`.
fn render_stage<S: Resample>(
    rows: &resample::Rows<'_, S>,
    stage: &Stage<'_>,
    for_people: bool,
    mut out: Option<&mut [f32]>,
    values: &mut Vec<f32>,
    filtered: &mut Vec<f32>,
) {
    let channels = stage.image.channels as usize;
    let count = |[.., width, height]: [u32; 4]| channels * width as usize * height as usize;
    let mut filters = stage.filters();
    let mut part = stage.run.window;
    // only a filter needs another place for what it makes
    let mut at_end = filters == 0;
    let now = target(&mut out, at_end, values, count(part));
    finish::finish(rows, stage, &shown(&stage.points, for_people), now);
    for Effect { step, window, points } in &stage.effects {
        match step {
            Wide::Filter(step) => {
                S::quantize(values);
                filters -= 1;
                at_end = filters == 0;
                let made = target(&mut out, at_end, filtered, count(*window));
                let size = [stage.image.width, stage.image.height];
                for (values, made) in planes(values, channels).zip(planes(made, channels)) {
                    step.filter(&Neighbours { values, part, size }, *window, made);
                }
                if !(at_end && out.is_some()) {
                    std::mem::swap(values, filtered);
                }
            }
            Wide::Whole(step) => {
                let now = target(&mut out, at_end, values, count(part));
                S::quantize(now);
                step.apply(&mut planes(now, channels).collect::<Vec<_>>());
            }
        }
        part = *window;
        let now = target(&mut out, at_end, values, count(part));
        finish::apply(&shown(points, for_people), part, &stage.image, now);
    }
}

/// The output where it is given and the time has come for it, or else the buffer at this length.
fn target<'a>(out: &'a mut Option<&mut [f32]>, at_end: bool, values: &'a mut Vec<f32>, count: usize) -> &'a mut [f32] {
    match out {
        Some(out) if at_end => out,
        _ => {
            values.resize(count, 0.0);
            values
        }
    }
}

/// The values of each channel.
fn planes(values: &mut [f32], channels: usize) -> impl Iterator<Item = &mut [f32]> {
    let plane = values.len() / channels;
    values.chunks_exact_mut(plane)
}

/// Those whose effect is shown: people see no values for models.
fn shown<'a>(points: &[&'a dyn PointStep], for_people: bool) -> Vec<&'a dyn PointStep> {
    points.iter().copied().filter(|step| !(for_people && step.leaves_range())).collect()
}

/// Where the region of a run begins within a decoded image.
fn start(run: &MapRun, source: &SourceImage<'_>) -> Result<[u32; 2], TransformError> {
    let [x, y, width, height] = run.region;
    let SourceImage { left, top, .. } = *source;
    let there = x >= left
        && y >= top
        && u64::from(x) + u64::from(width) <= u64::from(left) + u64::from(source.width)
        && u64::from(y) + u64::from(height) <= u64::from(top) + u64::from(source.height);
    if there {
        return Ok([x - left, y - top]);
    }
    let shown = |[left, top, width, height]: [u32; 4]| {
        DecodeRequest { left, top, width, height, channels: source.facts.channels, shrink: 1.0 }.to_string()
    };
    let got = shown([left, top, source.width, source.height]);
    Err(TransformError::MissingRegion { wanted: shown(run.region), got })
}

/// The region of a run as floats, without gaps.
fn convert<'a, T: Copy>(
    run: &MapRun,
    source: &Pixels<'_, T>,
    value: impl Fn(T) -> f32,
    converted: &'a mut Vec<f32>,
) -> Pixels<'a, f32> {
    let [.., across, down] = run.region;
    let stride = across as usize;
    converted.clear();
    for y in 0..down as usize {
        converted.extend(source.row(y, stride).iter().map(|sample| value(*sample)));
    }
    Pixels { values: converted, channels: source.channels, stride, left: 0, top: 0 }
}

fn check_samples(source: &SourceImage<'_>) -> Result<(), TransformError> {
    let SourceImage { facts, width, height, samples, .. } = source;
    let part = facts.resized(*width, *height);
    check_size(&part)?;
    if samples.depth() != facts.depth {
        let got = ImageFacts { depth: samples.depth(), ..*facts };
        return Err(TransformError::OtherImage { wanted: *facts, got });
    }
    let (wanted, got) = (part.value_count(), samples.len());
    if wanted == got {
        return Ok(());
    }
    Err(TransformError::PixelCount { width: *width, height: *height, channels: facts.channels, wanted, got })
}
