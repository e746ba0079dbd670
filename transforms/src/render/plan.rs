//! One plan for an image: which part of it is decoded, how much memory that takes, and how it is rendered.
//!
//! A drawing is cut into stages: a run of maps, which is one resampling; steps on points, in one pass with it; then
//! filters and steps on the whole image, each followed by steps on points. A new stage begins where a map follows any
//! of those, and where a map makes finer again what one before it made coarser: one resampling would bring the lost
//! detail back.
//!
//! What the end needs is passed back from stage to stage: a step on points needs the pixels it makes, a filter as many
//! more as its radius, a step on the whole image all of them, a run of maps its region of what was before it.

use millstream_schemas::ImageLayout;

use super::map::{Map, unchecked_maps};
use super::map_run::MapRun;
use crate::image_limits::check_size;
use crate::steps::filter::FilterStep;
use crate::steps::point::PointStep;
use crate::steps::whole::WholeStep;
use crate::{DecodeRequest, DrawnStep, ImageFacts, ImageStep, TransformError};

/// Everything that rendering an image needs to know before it begins.
#[derive(Debug)]
pub struct ImagePlan<'a> {
    /// The image that it is for.
    pub(super) source: ImageFacts,
    /// The image at the end.
    pub(super) output: ImageFacts,
    /// At least one.
    pub(super) stages: Vec<Stage<'a>>,
}

/// One resampling, then steps on points, then other effects.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) run: MapRun,
    pub(super) points: Vec<&'a dyn PointStep>,
    pub(super) effects: Vec<Effect<'a>>,
    /// The whole image after the run, of which its window is made.
    pub(super) image: ImageFacts,
}

/// What needs more than the pixel it makes, then steps on points.
#[derive(Debug)]
pub(super) struct Effect<'a> {
    pub(super) step: Wide<'a>,
    /// Left, top, width and height of what is made of the image.
    pub(super) window: [u32; 4],
    pub(super) points: Vec<&'a dyn PointStep>,
}

/// A step that needs more than the pixel it makes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wide<'a> {
    Filter(&'a dyn FilterStep),
    Whole(&'a dyn WholeStep),
}

impl<'a> ImagePlan<'a> {
    /// Plans the rendering of drawn steps from an image with these facts.
    pub(super) fn new(source: &ImageFacts, steps: &'a [DrawnStep]) -> Result<Self, TransformError> {
        Self::within(source, steps, true)
    }

    /// As [`new`](Self::new); with `narrow` no more is made of each stage's image than is used.
    fn within(source: &ImageFacts, steps: &'a [DrawnStep], narrow: bool) -> Result<Self, TransformError> {
        check_size(source)?;
        let parts = parts(source, steps)?;
        let output = parts.last().map_or(*source, |part| part.output);
        let mut stages = Vec::with_capacity(parts.len());
        let mut used = [0, 0, output.width, output.height];
        for Part { input, output, maps, points, mut effects } in parts.into_iter().rev() {
            let whole = [0, 0, output.width, output.height];
            let mut wanted = if narrow { used } else { whole };
            for effect in effects.iter_mut().rev() {
                effect.window = wanted;
                wanted = match effect.step {
                    Wide::Filter(step) => widened(wanted, step.radius(), &output),
                    Wide::Whole(_) => {
                        effect.window = whole;
                        whole
                    }
                };
            }
            let run = MapRun::new(&input, &maps, wanted, None)?;
            used = run.region;
            stages.push(Stage { run, points, effects, image: output });
        }
        stages.reverse();
        Ok(Self { source: *source, output, stages })
    }

    /// As [`new`](Self::new), but all of every image between is made: the slow twin.
    #[cfg(test)]
    pub(super) fn without_windows(source: &ImageFacts, steps: &'a [DrawnStep]) -> Result<Self, TransformError> {
        Self::within(source, steps, false)
    }

    /// The rendered image.
    pub fn output(&self) -> ImageFacts {
        self.output
    }

    /// The part of the source that rendering uses, and how much finer it is than the output.
    pub fn decode_request(&self) -> DecodeRequest {
        let MapRun { region: [left, top, width, height], shrink, .. } = self.stages[0].run;
        DecodeRequest { left, top, width, height, channels: self.source.channels, shrink }
    }

    /// The most bytes that rendering holds beyond the source and the output: pixels while they are resized, values while
    /// they are filtered, and the image between two stages. What a few numbers for each row and column take is not
    /// counted.
    pub fn memory(&self) -> u64 {
        let values = |[.., width, height]: [u32; 4]| {
            u64::from(width).saturating_mul(u64::from(height)).saturating_mul(u64::from(self.source.channels))
        };
        // the values of the source as floats, where they are converted first
        let first = &self.stages[0].run;
        let converted = if first.is_bytes() { 0 } else { values(first.region).saturating_mul(4) };
        let resized = self.stages.iter().map(|stage| stage.run.buffer_bytes()).max();
        let last = self.stages.len() - 1;
        let (mut own, mut spare, mut between) = (0, 0, 0);
        for (index, stage) in self.stages.iter().enumerate() {
            let (mut made, mut filters) = (values(stage.run.window), stage.filters());
            let mut held = 0;
            for effect in stage.effects.iter().filter(|effect| matches!(effect.step, Wide::Filter(_))) {
                filters -= 1;
                held = std::cmp::max(held, made);
                made = values(effect.window);
                if index != last || filters > 0 {
                    spare = std::cmp::max(spare, 4 * made);
                }
            }
            if index != last {
                held = std::cmp::max(held, made);
                between = std::cmp::max(between, values(self.stages[index + 1].run.region) * stage.run.sample_size());
            }
            own = std::cmp::max(own, 4 * held);
        }
        [converted, own, spare, between].iter().fold(resized.unwrap_or(0), |sum, bytes| sum.saturating_add(*bytes))
    }

    /// The most bytes that rendering into a model's input holds beyond [`memory`](Self::memory): what is not made row by row is made as
    /// planes first.
    pub fn tensor_memory(&self, layout: ImageLayout, is_bytes: bool) -> u64 {
        let is_direct = layout == ImageLayout::ChannelsFirst && !is_bytes;
        let by_rows = self.stages.last().is_none_or(|stage| stage.effects.is_empty());
        if is_direct || by_rows { 0 } else { self.output.value_count() as u64 * 4 * 2 }
    }
}

impl Stage<'_> {
    /// How many of the effects are filters.
    pub(super) fn filters(&self) -> usize {
        self.effects.iter().filter(|effect| matches!(effect.step, Wide::Filter(_))).count()
    }

    /// What is made of the stage's image in the end.
    pub(super) fn made(&self) -> [u32; 4] {
        self.effects.last().map_or(self.run.window, |effect| effect.window)
    }
}

/// A window and so many pixels around it, within an image.
fn widened([left, top, width, height]: [u32; 4], radius: u32, image: &ImageFacts) -> [u32; 4] {
    let span = |start: u32, length: u32, most: u32| {
        let from = start.saturating_sub(radius);
        // what lies beyond one edge is mirrored, and may reach further within than the radius does
        let beyond = (radius.saturating_sub(start)).max((start + length + radius).saturating_sub(most));
        let to = (start + length).saturating_add(radius).min(most);
        let (from, to) = (from.min(most.saturating_sub(beyond + 1)), to.max((beyond + 1).min(most)));
        (from, to - from)
    };
    let ((left, width), (top, height)) = (span(left, width, image.width), span(top, height, image.height));
    [left, top, width, height]
}

/// The steps of a stage, and the images before and after them.
struct Part<'a> {
    input: ImageFacts,
    output: ImageFacts,
    maps: Vec<Map<'a>>,
    points: Vec<&'a dyn PointStep>,
    effects: Vec<Effect<'a>>,
}

impl Part<'_> {
    fn of(input: ImageFacts) -> Self {
        Self { input, output: input, maps: Vec::new(), points: Vec::new(), effects: Vec::new() }
    }
}

/// The maps among checked steps.
pub(super) fn maps<'a>(source: &ImageFacts, steps: &'a [DrawnStep]) -> Result<Vec<Map<'a>>, TransformError> {
    check_size(source)?;
    let maps = unchecked_maps(source, steps);
    maps.iter().try_for_each(|map| steps[map.index].check(map.index, &map.input))?;
    Ok(maps)
}

/// Cuts checked steps into stages.
fn parts<'a>(source: &ImageFacts, steps: &'a [DrawnStep]) -> Result<Vec<Part<'a>>, TransformError> {
    let mut parts = Vec::new();
    let (mut part, mut detail) = (Part::of(*source), None);
    for (index, drawn) in steps.iter().enumerate() {
        let before = part.output;
        drawn.check(index, &before)?;
        match &drawn.step {
            ImageStep::Filter(step) => {
                detail = None;
                part.effects.push(Effect { step: Wide::Filter(&**step), window: [0; 4], points: Vec::new() });
            }
            ImageStep::Map(step) => {
                let map = Map::new(&**step, drawn, index, before, &mut detail);
                if map.begins && index > 0 {
                    parts.push(std::mem::replace(&mut part, Part::of(before)));
                }
                part.output = map.output;
                part.maps.push(map);
            }
            ImageStep::Point(step) => {
                detail = None;
                part.effects.last_mut().map_or(&mut part.points, |effect| &mut effect.points).push(&**step);
            }
            ImageStep::Whole(step) => {
                detail = None;
                part.effects.push(Effect { step: Wide::Whole(&**step), window: [0; 4], points: Vec::new() });
            }
        }
    }
    parts.push(part);
    Ok(parts)
}

impl DrawnStep {
    /// Refuses parameters that cannot be rendered; `index` is the step's position in its drawing.
    fn check(&self, index: usize, input: &ImageFacts) -> Result<(), TransformError> {
        self.step.step().check(input).map_err(|message| {
            let transform = self.transform.to_string();
            TransformError::Step { index, transform, message }
        })
    }
}
