//! Values that cannot be mixed, such as classes, through the maps of an image.

use fast_image_resize::Resizer;

use super::map_run::{MapRun, Sampling};
use super::pixels::Pixels;
use super::plan::{Stage, maps};
use super::{finish, resample};
use crate::error::TransformError;
use crate::image_drawing::ImageDrawing;
use crate::image_facts::{Depth, ImageFacts};
use crate::steps::Kernel;

/// Renders one value a pixel of an image, through the maps of its drawing alone: each output pixel gets the value of the
/// one pixel that it comes from, or `outside`.
pub(crate) fn nearest(
    drawing: &ImageDrawing,
    values: &[f32],
    outside: f32,
) -> Result<(Vec<f32>, ImageFacts), TransformError> {
    let source = ImageFacts { channels: 1, depth: Depth::F32, ..drawing.source };
    let maps = maps(&source, &drawing.steps)?;
    let output = maps.last().map_or(source, |map| map.output);
    let mut run = MapRun::new(&source, &maps, [0, 0, output.width, output.height], Some(Kernel::Nearest))?;
    run.clips.iter_mut().for_each(|clip| clip.fill = vec![outside]);
    if let Sampling::Bend { legs, .. } = &mut run.sampling {
        legs.iter_mut().for_each(|leg| leg.fill = vec![outside]);
    }
    let [left, top, ..] = run.region;
    let stride = source.width as usize;
    let pixels = Pixels { values, channels: 1, stride, left, top };
    let stage = Stage { run, points: Vec::new(), effects: Vec::new(), image: output };
    let mut out = vec![0.0; output.value_count()];
    let mut buffer = Vec::new();
    let rows = resample::prepare(&stage.run, pixels, &mut Resizer::default(), &mut buffer)?;
    finish::finish(&rows, &stage, &[], &mut out);
    Ok((out, output))
}
