//! The rows of the output: pixels to planes of values, then everything that happens to points, while a row is in the
//! cache.

use super::legs::Points;
use super::packed::ImageTensor;
use super::plan::Stage;
use super::resample::{Resample, Rows};
use super::warp;
use crate::ImageFacts;
use crate::raster::RgbImage;
use crate::steps::point::{PointStep, RowPlace};

/// Fills `out` (channel, row, column) with the window of a stage's run, row by row.
pub(super) fn finish<S: Resample>(rows: &Rows<'_, S>, stage: &Stage<'_>, points: &[&dyn PointStep], out: &mut [f32]) {
    let mut way = Points::default();
    each_row(out, stage.run.window, &stage.image, |place, row| one_row(rows, stage, points, &mut way, place, row));
}

/// The same, each row put into the tensor of a model's input while it is in the cache.
pub(super) fn finish_by_rows<S: Resample>(
    rows: &Rows<'_, S>,
    stage: &Stage<'_>,
    points: &[&dyn PointStep],
    buffer: &mut Vec<f32>,
    out: &mut ImageTensor<'_>,
) {
    let [left, top, width, height] = stage.run.window;
    let mut way = Points::default();
    buffer.resize(width as usize * stage.image.channels as usize, 0.0);
    let mut row: Vec<&mut [f32]> = buffer.chunks_exact_mut(width as usize).collect();
    for y in top..top + height {
        let place = RowPlace { left, y, width: stage.image.width, height: stage.image.height };
        one_row(rows, stage, points, &mut way, &place, &mut row);
        out.put_row((y - top) as usize, height as usize, &row);
    }
}

fn one_row<S: Resample>(
    rows: &Rows<'_, S>,
    stage: &Stage<'_>,
    points: &[&dyn PointStep],
    way: &mut Points,
    place: &RowPlace,
    row: &mut [&mut [f32]],
) {
    let [left, top, width, height] = stage.run.window;
    let y = (place.y - top) as usize;
    match rows {
        Rows::Straight { pixels, mirror_x, mirror_y } => {
            let from = if *mirror_y { height as usize - 1 - y } else { y };
            S::spread(pixels.row(from, width as usize), *mirror_x, row);
        }
        Rows::Warped { image, matrix, nearest } => {
            warp::row(image, matrix, *nearest, &stage.run.clips, y, row);
        }
        Rows::Bent { image, legs, fields, matrix, nearest } => {
            warp::bent_row(image, legs, fields, matrix, *nearest, [left, place.y], way, row);
        }
    }
    points.iter().for_each(|step| step.apply(place, row));
}

/// Carries steps on points out, on a window of an image.
pub(super) fn apply(points: &[&dyn PointStep], window: [u32; 4], image: &ImageFacts, values: &mut [f32]) {
    if !points.is_empty() {
        each_row(values, window, image, |place, row| points.iter().for_each(|step| step.apply(place, row)));
    }
}

/// Hands over each row of a window of planes.
fn each_row(
    values: &mut [f32],
    [left, top, width, height]: [u32; 4],
    image: &ImageFacts,
    mut work: impl FnMut(&RowPlace, &mut [&mut [f32]]),
) {
    let plane = width as usize * height as usize;
    let mut planes: Vec<_> =
        values.chunks_exact_mut(plane).map(|plane| plane.chunks_exact_mut(width as usize)).collect();
    let mut row = Vec::with_capacity(planes.len());
    for y in top..top + height {
        row.clear();
        row.extend(planes.iter_mut().filter_map(Iterator::next));
        work(&RowPlace { left, y, width: image.width, height: image.height }, &mut row);
    }
}

/// Values 0 to 1, by channel, of a window of an image, to interleaved samples of a part of it.
pub(super) fn interleave<S: Resample>(
    values: &[f32],
    [left, top, width, height]: [u32; 4],
    part: [u32; 4],
    samples: &mut Vec<S>,
) {
    let (plane, width) = (width as usize * height as usize, width as usize);
    let channels = values.len() / plane;
    let (across, down) = (part[2] as usize, part[3] as usize);
    let (from_left, from_top) = ((part[0] - left) as usize, (part[1] - top) as usize);
    samples.resize(across * down * channels, S::default());
    for (y, row) in samples.chunks_exact_mut(across * channels).enumerate() {
        let start = (from_top + y) * width + from_left;
        for (index, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (channel, sample) in pixel.iter_mut().enumerate() {
                *sample = S::of_value(values[channel * plane + start + index]);
            }
        }
    }
}

/// Values 0 to 1, by channel, to an image for people: of one or two channels the first as grey, of more the first three.
pub(super) fn to_rgb8(values: &[f32], facts: &ImageFacts) -> RgbImage {
    let plane = facts.width as usize * facts.height as usize;
    let mut pixels = vec![0; plane * 3];
    for (index, pixel) in pixels.chunks_exact_mut(3).enumerate() {
        for (channel, byte) in pixel.iter_mut().enumerate() {
            let channel = if facts.channels < 3 { 0 } else { channel };
            *byte = u8::of_value(values[channel * plane + index]);
        }
    }
    RgbImage { width: facts.width, height: facts.height, pixels }
}
