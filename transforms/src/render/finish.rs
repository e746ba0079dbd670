//! The rows of the output: pixels to planes of values, then everything that happens to values, while a row is in the
//! cache.

use super::plan::Plan;
use super::resample::Rows;
use super::{vector, warp};
use crate::{DrawnStep, ImageStep, RgbImage};

/// Fills `out` (channel, row, column) row by row.
pub(super) fn finish(rows: &Rows<'_>, plan: &Plan, steps: &[DrawnStep], normalize: bool, out: &mut [f32]) {
    let (width, height) = (plan.width as usize, plan.height as usize);
    let (red, rest) = out.split_at_mut(width * height);
    let (green, blue) = rest.split_at_mut(width * height);
    let planes = red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(blue.chunks_exact_mut(width));
    for (y, ((red, green), blue)) in planes.enumerate() {
        let mut row = [red, green, blue];
        match rows {
            Rows::Straight { pixels, mirror_x, mirror_y } => {
                let from = if *mirror_y { height - 1 - y } else { y };
                vector::spread(pixels.row(from, width), *mirror_x, &mut row);
            }
            Rows::Warped { .. } => warp::row(rows, &plan.clips, y, &mut row),
        }
        for drawn in steps {
            apply(&drawn.step, normalize, y, height, &mut row);
        }
    }
}

/// One step on the values of one row of each channel.
fn apply(step: &ImageStep, normalize: bool, y: usize, height: usize, row: &mut [&mut [f32]; 3]) {
    match step {
        ImageStep::AddNoise { strength, seed, .. } => {
            for (channel, values) in row.iter_mut().enumerate() {
                vector::add_noise(values, *strength, *seed, (channel * height + y) as u32);
            }
        }
        ImageStep::Normalize { mean, std } if normalize => {
            for (values, (mean, std)) in row.iter_mut().zip(mean.iter().zip(std)) {
                let factor = 1.0 / std;
                vector::normalize(values, *mean, factor);
            }
        }
        ImageStep::Normalize { .. } | ImageStep::Project { .. } => {}
    }
}

/// Values 0 to 1, by channel, to interleaved bytes.
pub(super) fn to_rgb8(values: &[f32], width: u32, height: u32, image: &mut RgbImage) {
    let plane = width as usize * height as usize;
    image.width = width;
    image.height = height;
    image.pixels.clear();
    image.pixels.resize(plane * 3, 0);
    for (index, pixel) in image.pixels.chunks_exact_mut(3).enumerate() {
        for (channel, byte) in pixel.iter_mut().enumerate() {
            *byte = (values[channel * plane + index] * 255.0 + 0.5) as u8;
        }
    }
}
