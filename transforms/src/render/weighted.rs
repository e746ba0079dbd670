//! Resizing by weighted means in floats: the kernel `area` of bytes, and every kernel of other values.
//!
//! With `area` each output pixel is the mean of the source it covers, whatever part of a source pixel that is.

use std::ops::Range;

use super::pixels::Pixels;
use super::sampled::Sample;
use crate::elementary::sin_cos_degrees;
use crate::steps::Kernel;

/// A value that a weighted mean is rounded to.
pub(super) trait Rounded: Sample {
    fn rounded(raw: f32) -> Self;
}

impl Rounded for u8 {
    fn rounded(raw: f32) -> Self {
        // decides sums that are halves but for rounding, so that a mirrored image gives mirrored bytes
        const ROUNDING: f32 = 0.5 + 1.0 / 1024.0;
        (raw + ROUNDING) as u8
    }
}

impl Rounded for f32 {
    fn rounded(raw: f32) -> Self {
        raw
    }
}

/// The source pixels that each output pixel is made of, along one axis.
struct Covered {
    pixels: Vec<Range<usize>>,
    /// Share of the output pixel that each has, one after the other.
    shares: Vec<f32>,
}

impl Covered {
    /// Of `outputs` pixels that lie side by side from `start` on and are `length` source pixels long together.
    fn new(kernel: Kernel, start: f64, length: f64, outputs: u32, source: u32) -> Self {
        let mut covered = Self { pixels: Vec::with_capacity(outputs as usize), shares: Vec::new() };
        let scale = length / f64::from(outputs);
        let stretched = scale.max(1.0);
        for output in 0..outputs {
            let (low, high) = (start + f64::from(output) * scale, start + f64::from(output + 1) * scale);
            let center = start + (f64::from(output) + 0.5) * scale;
            let reach = support(kernel) * stretched;
            let (from, to) = match kernel {
                Kernel::Area => (low, high),
                Kernel::Nearest => (center.floor(), center.floor() + 1.0),
                Kernel::Bilinear | Kernel::Cubic | Kernel::Lanczos3 => (center - reach, center + reach),
            };
            let first = from.floor().clamp(0.0, f64::from(source - 1)) as usize;
            let last = to.ceil().clamp(first as f64 + 1.0, f64::from(source)) as usize;
            let weight = |pixel: usize| match kernel {
                Kernel::Area => (high.min(pixel as f64 + 1.0) - low.max(pixel as f64)).max(0.0),
                Kernel::Nearest => 1.0,
                Kernel::Bilinear | Kernel::Cubic | Kernel::Lanczos3 => {
                    value(kernel, (pixel as f64 + 0.5 - center) / stretched)
                }
            };
            let whole: f64 = (first..last).map(weight).sum();
            covered.shares.extend((first..last).map(|pixel| (weight(pixel) / whole) as f32));
            covered.pixels.push(first..last);
        }
        covered
    }

    /// Of each output pixel in turn, the source pixels and their shares.
    fn iter(&self) -> impl Iterator<Item = (Range<usize>, &[f32])> {
        let mut rest = &self.shares[..];
        self.pixels.iter().map(move |pixels| {
            let (shares, after) = rest.split_at(pixels.len());
            rest = after;
            (pixels.clone(), shares)
        })
    }
}

/// How far a kernel looks either way, in output pixels when shrinking.
fn support(kernel: Kernel) -> f64 {
    match kernel {
        Kernel::Area | Kernel::Nearest => 0.5,
        Kernel::Bilinear => 1.0,
        Kernel::Cubic => 2.0,
        Kernel::Lanczos3 => 3.0,
    }
}

/// A kernel's value at a distance.
fn value(kernel: Kernel, distance: f64) -> f64 {
    let x = distance.abs();
    match kernel {
        Kernel::Area | Kernel::Nearest => f64::from(u8::from(x <= 0.5)),
        Kernel::Bilinear => (1.0 - x).max(0.0),
        Kernel::Cubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        Kernel::Cubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        Kernel::Lanczos3 if x < 3.0 => sinc(x) * sinc(x / 3.0),
        Kernel::Cubic | Kernel::Lanczos3 => 0.0,
    }
}

/// sin πx / πx.
fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { sin_cos_degrees(180.0 * x).0 / (std::f64::consts::PI * x) }
}

/// Resizes the box `crop` (left, top, width, height) of a source of `size` pixels to `across` × `down` pixels.
pub(super) fn resize<S: Rounded>(
    source: &Pixels<'_, S>,
    size: [u32; 2],
    [left, top, width, height]: [f64; 4],
    [across, down]: [u32; 2],
    kernel: Kernel,
    target: &mut [S],
) {
    let channels = source.channels;
    let columns = Covered::new(kernel, left, width, across, size[0]);
    let rows = Covered::new(kernel, top, height, down, size[1]);
    let mut means = vec![0.0f32; size[0] as usize * channels];
    for (target, (covered, shares)) in target.chunks_exact_mut(across as usize * channels).zip(rows.iter()) {
        means.fill(0.0);
        for (row, share) in covered.zip(shares) {
            let values = source.row(row, size[0] as usize);
            means.iter_mut().zip(values).for_each(|(mean, value)| *mean += share * value.raw());
        }
        for (pixel, (covered, shares)) in target.chunks_exact_mut(channels).zip(columns.iter()) {
            let means = &means[covered.start * channels..covered.end * channels];
            for (channel, value) in pixel.iter_mut().enumerate() {
                let weighted = means.iter().skip(channel).step_by(channels).zip(shares);
                *value = S::rounded(weighted.fold(0.0f32, |sum, (mean, share)| sum + share * mean));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_pixels_become_two_and_neither_is_favoured() {
        let covered = Covered::new(Kernel::Area, 0.0, 3.0, 2, 3);
        assert_eq!(covered.pixels, [0..2, 1..3]);
        let third = 1.0 / 3.0;
        assert_eq!(covered.shares, [2.0 * third, third, third, 2.0 * third]);
        let bytes = [30, 0, 3, 60, 0, 3, 90, 0, 3];
        let mut target = [0; 6];
        let source = Pixels { values: &bytes, channels: 3, stride: 3, left: 0, top: 0 };
        resize(&source, [3, 1], [0.0, 0.0, 3.0, 1.0], [2, 1], Kernel::Area, &mut target);
        assert_eq!(target, [40, 0, 3, 80, 0, 3]);
    }
}
