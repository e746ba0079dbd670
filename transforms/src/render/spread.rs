//! Interleaved floats to a row of values for each channel: the plain twin of what `vector` does for bytes.

use std::ops::Range;

use super::sampled::{Line, Sample, Sampled, around, between};

/// A row of pixels to a row of values 0 to 1 for each channel.
pub(super) fn spread<S: Sample>(pixels: &[S], mirrored: bool, row: &mut [&mut [f32]]) {
    let channels = row.len();
    for (channel, values) in row.iter_mut().enumerate() {
        let put = |(value, sample): (&mut f32, &S)| *value = sample.raw() * S::UNIT;
        let samples = pixels.iter().skip(channel).step_by(channels);
        match mirrored {
            true => values.iter_mut().rev().zip(samples).for_each(put),
            false => values.iter_mut().zip(samples).for_each(put),
        }
    }
}

/// Interpolates the columns of `span` along a line.
pub(super) fn sample<S: Sample>(image: &Sampled<'_, S>, line: &Line, span: Range<usize>, row: &mut [&mut [f32]]) {
    for x in span {
        let at = x as f32;
        interpolate(image, line.u + at * line.du, line.v + at * line.dv, x, row);
    }
}

/// Fills column `x` of each channel from around a point that is counted from the centre of the first pixel.
pub(super) fn interpolate<S: Sample>(image: &Sampled<'_, S>, u: f32, v: f32, x: usize, row: &mut [&mut [f32]]) {
    let (starts, right, down) = around(image, row.len(), u, v);
    for (channel, plane) in row.iter_mut().enumerate() {
        plane[x] = between(starts.map(|start| image.values[start + channel]), right, down);
    }
}

/// Fills column `x` of each channel from the pixel that covers a point.
pub(super) fn pick<S: Sample>(image: &Sampled<'_, S>, u: f64, v: f64, x: usize, row: &mut [&mut [f32]]) {
    let column = (u.max(0.0) as usize).min(image.width as usize - 1);
    let line = (v.max(0.0) as usize).min(image.height as usize - 1);
    let start = (line * image.width as usize + column) * row.len();
    for (channel, plane) in row.iter_mut().enumerate() {
        plane[x] = image.values[start + channel].raw() * S::UNIT;
    }
}
