//! One row of an output that is a general map of its source.

use std::ops::Range;

use super::clips::Clip;
use super::legs::{Leg, Points};
use super::map::SLACK;
use super::resample::Resample;
use super::sampled::{Line, Sampled};
use super::spread::{interpolate, pick};
use crate::matrix::Matrix;
use crate::steps::map::{Displacer, Place};

/// Fills row `y` of each channel with values 0 to 1.
pub(super) fn row<S: Resample>(
    image: &Sampled<'_, S>,
    matrix: &Matrix,
    nearest: bool,
    clips: &[Clip],
    y: usize,
    row: &mut [&mut [f32]],
) {
    let span = fill_outside(clips, y, row);
    let [a, b, c, d, e, f, ..] = matrix.0;
    let y = y as f64 + 0.5;
    if matrix.is_affine() && !nearest {
        let (u, v) = (a * 0.5 + b * y + c - 0.5, d * 0.5 + e * y + f - 0.5);
        let line = Line { u: u as f32, v: v as f32, du: a as f32, dv: d as f32 };
        S::sample(image, &line, span, row);
        return;
    }
    for x in span {
        let (u, v) = matrix.apply(x as f64 + 0.5, y);
        if nearest {
            pick(image, u, v, x, row);
        } else {
            interpolate(image, (u - 0.5) as f32, (v - 0.5) as f32, x, row);
        }
    }
}

/// As [`row`], by several legs; `place` is the output's place of the row's first pixel, across and down.
#[expect(clippy::too_many_arguments, reason = "the fields of one kind of rows, and the row")]
pub(super) fn bent_row<S: Resample>(
    image: &Sampled<'_, S>,
    legs: &[Leg],
    fields: &[Option<Box<dyn Displacer>>],
    matrix: &Matrix,
    nearest: bool,
    place: [u32; 2],
    points: &mut Points,
    row: &mut [&mut [f32]],
) {
    let width = row.first().map_or(0, |plane| plane.len());
    points.begin(width, place);
    for (index, (leg, field)) in legs.iter().zip(fields).enumerate() {
        let Points { xs, ys, .. } = &mut *points;
        match (field, &leg.place) {
            (Some(field), _) => field.displace(xs, ys),
            (None, Place::Projected(matrix)) => {
                xs.iter_mut().zip(ys.iter_mut()).for_each(|(x, y)| (*x, *y) = matrix.apply(*x, *y));
            }
            (None, Place::Displaced(field)) => xs.iter_mut().zip(ys.iter_mut()).for_each(|(x, y)| {
                let (dx, dy) = field.at(*x, *y);
                (*x, *y) = (*x + dx, *y + dy);
            }),
        }
        points.look(index, leg);
    }
    let Points { xs, ys, left, .. } = points;
    for (column, ((x, y), left)) in xs.iter().zip(ys.iter()).zip(left.iter()).enumerate() {
        if let Some(leg) = left {
            row.iter_mut().zip(&legs[*leg].fill).for_each(|(plane, fill)| plane[column] = *fill);
            continue;
        }
        let (u, v) = matrix.apply(*x, *y);
        if nearest {
            pick(image, u, v, column, row);
        } else {
            interpolate(image, (u - 0.5) as f32, (v - 0.5) as f32, column, row);
        }
    }
}

/// Fills what comes from outside; the columns that are left.
fn fill_outside(clips: &[Clip], y: usize, row: &mut [&mut [f32]]) -> Range<usize> {
    let mut span = 0..row[0].len();
    for clip in clips {
        let inside = inside(clip, y, &span);
        for (plane, fill) in row.iter_mut().zip(&clip.fill) {
            plane[span.start..inside.start].fill(*fill);
            plane[inside.end..span.end].fill(*fill);
        }
        span = inside;
    }
    span
}

/// The columns of `span` whose centres come from inside; a convex set, so its ends are enough.
fn inside(clip: &Clip, y: usize, span: &Range<usize>) -> Range<usize> {
    let [a, b, c, d, e, f, g, h, i] = clip.matrix.0;
    let y = y as f64 + 0.5;
    // each edge is a condition `constant + slope · x ≥ 0`
    let (u, v, w) = (b * y + c, e * y + f, h * y + i);
    let (mut low, mut high) = (span.start as f64, span.end as f64);
    for (constant, slope) in [
        (u + SLACK * w, a + SLACK * g),
        ((clip.width + SLACK) * w - u, (clip.width + SLACK) * g - a),
        (v + SLACK * w, d + SLACK * g),
        ((clip.height + SLACK) * w - v, (clip.height + SLACK) * g - d),
    ] {
        let root = -constant / slope - 0.5;
        if slope > 0.0 {
            low = low.max(root.ceil());
        } else if slope < 0.0 {
            high = high.min(root.floor() + 1.0);
        } else if constant < 0.0 {
            high = low;
        }
    }
    let start = (low as usize).clamp(span.start, span.end);
    start..(high as usize).clamp(start, span.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;

    #[test]
    fn clipping_agrees_with_asking_each_pixel() {
        let mut random = crate::DrawKey { seed: 5, epoch: 0, row: 0 }.random("clip", 0);
        for case in 0..500 {
            let mut number = |size: f64| (random.uniform_f64() - 0.5) * size;
            let tilt = if case % 2 == 0 { 0.0 } else { 0.005 };
            let matrix = Matrix([
                number(3.0),
                number(3.0),
                number(60.0),
                number(3.0),
                number(3.0),
                number(60.0),
                number(tilt),
                number(tilt),
                1.0,
            ]);
            let clip = Clip { matrix, width: 40.0, height: 25.0, fill: vec![0.0; 3] };
            let y = (case % 30) as usize;
            let span = inside(&clip, y, &(0..50));
            for x in 0..50usize {
                let (u, v) = matrix.apply(x as f64 + 0.5, y as f64 + 0.5);
                let wanted = (0.0..=40.0).contains(&u) && (0.0..=25.0).contains(&v);
                assert_eq!(span.contains(&x), wanted, "case {case}, column {x}: ({u}, {v})");
            }
        }
    }
}
