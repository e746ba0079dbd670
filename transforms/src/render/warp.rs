//! One row of an output that is a general map of its source.

use super::plan::Clip;
use super::resample::Rows;
use super::sampled::{Line, Sampled, interpolate};
use super::vector;

/// Rounding that a pixel's centre is allowed at an edge, in pixels.
const SLACK: f64 = 1e-6;

/// Fills row `y` of each channel with values 0 to 1.
pub(super) fn row(rows: &Rows<'_>, clips: &[Clip], y: usize, row: &mut [&mut [f32]; 3]) {
    let Rows::Warped { bytes, width, height, matrix, nearest } = rows else { return };
    let image = Sampled { bytes, width: *width, height: *height };
    let span = fill_outside(clips, y, row);
    let [a, b, c, d, e, f, ..] = matrix.0;
    let y = y as f64 + 0.5;
    if matrix.is_affine() && !nearest {
        let (u, v) = (a * 0.5 + b * y + c - 0.5, d * 0.5 + e * y + f - 0.5);
        let line = Line { u: u as f32, v: v as f32, du: a as f32, dv: d as f32 };
        vector::sample(&image, &line, span, row);
        return;
    }
    for x in span {
        let (u, v) = matrix.apply(x as f64 + 0.5, y);
        let pixel = if *nearest { pick(&image, u, v) } else { interpolate(&image, (u - 0.5) as f32, (v - 0.5) as f32) };
        for (plane, value) in row.iter_mut().zip(pixel) {
            plane[x] = value;
        }
    }
}

/// Fills what comes from outside; the columns that are left.
fn fill_outside(clips: &[Clip], y: usize, row: &mut [&mut [f32]; 3]) -> std::ops::Range<usize> {
    let mut span = 0..row[0].len();
    for clip in clips {
        let inside = inside(clip, y, &span);
        for (plane, fill) in row.iter_mut().zip(clip.fill) {
            let value = f32::from(fill) * (1.0 / 255.0);
            plane[span.start..inside.start].fill(value);
            plane[inside.end..span.end].fill(value);
        }
        span = inside;
    }
    span
}

/// The columns of `span` whose centres come from inside; a convex set, so its ends are enough.
fn inside(clip: &Clip, y: usize, span: &std::ops::Range<usize>) -> std::ops::Range<usize> {
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

/// The pixel that covers a point.
fn pick(image: &Sampled<'_>, u: f64, v: f64) -> [f32; 3] {
    let column = (u.max(0.0) as usize).min(image.width as usize - 1);
    let row = (v.max(0.0) as usize).min(image.height as usize - 1);
    let start = (row * image.width as usize + column) * 3;
    [0, 1, 2].map(|channel| f32::from(image.bytes[start + channel]) * (1.0 / 255.0))
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
            let clip = Clip { matrix, width: 40.0, height: 25.0, fill: [0; 3] };
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
