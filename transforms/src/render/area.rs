//! The kernel `area`: each output pixel is the mean of the source it covers, whatever part of a source pixel that is.

use std::ops::Range;

use super::pixels::Pixels;

/// Decides sums that are halves but for rounding, so that a mirrored image gives mirrored bytes.
const ROUNDING: f32 = 0.5 + 1.0 / 1024.0;

/// The source pixels that each output pixel covers, along one axis.
struct Covered {
    pixels: Vec<Range<usize>>,
    /// Share of the output pixel that each has, one after the other.
    shares: Vec<f32>,
}

impl Covered {
    /// Of `outputs` pixels that lie side by side from `start` on and are `length` source pixels long together.
    fn new(start: f64, length: f64, outputs: u32, source: u32) -> Self {
        let mut covered = Self { pixels: Vec::with_capacity(outputs as usize), shares: Vec::new() };
        let scale = length / f64::from(outputs);
        for output in 0..outputs {
            let (low, high) = (start + f64::from(output) * scale, start + f64::from(output + 1) * scale);
            let first = low.floor().clamp(0.0, f64::from(source - 1)) as usize;
            let last = high.ceil().clamp(first as f64 + 1.0, f64::from(source)) as usize;
            let overlap = |pixel: usize| (high.min(pixel as f64 + 1.0) - low.max(pixel as f64)).max(0.0);
            let whole: f64 = (first..last).map(overlap).sum();
            covered.shares.extend((first..last).map(|pixel| (overlap(pixel) / whole) as f32));
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

/// Resizes the box `crop` (left, top, width, height) of a source of `size` pixels to `across` × `down` pixels.
pub(super) fn resize(
    source: &Pixels<'_>,
    size: [u32; 2],
    [left, top, width, height]: [f64; 4],
    [across, down]: [u32; 2],
    target: &mut [u8],
) {
    let columns = Covered::new(left, width, across, size[0]);
    let rows = Covered::new(top, height, down, size[1]);
    let mut means = vec![0.0f32; size[0] as usize * 3];
    for (target, (covered, shares)) in target.chunks_exact_mut(across as usize * 3).zip(rows.iter()) {
        means.fill(0.0);
        for (row, share) in covered.zip(shares) {
            let bytes = source.row(row, size[0] as usize);
            means.iter_mut().zip(bytes).for_each(|(mean, byte)| *mean += share * f32::from(*byte));
        }
        let (means, _) = means.as_chunks::<3>();
        for (pixel, (covered, shares)) in target.as_chunks_mut::<3>().0.iter_mut().zip(columns.iter()) {
            let weighted = means[covered].iter().zip(shares);
            let sum = weighted.fold([0.0f32; 3], |sum, (mean, share)| {
                [sum[0] + share * mean[0], sum[1] + share * mean[1], sum[2] + share * mean[2]]
            });
            *pixel = sum.map(|value| (value + ROUNDING) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_pixels_become_two_and_neither_is_favoured() {
        let covered = Covered::new(0.0, 3.0, 2, 3);
        assert_eq!(covered.pixels, [0..2, 1..3]);
        let third = 1.0 / 3.0;
        assert_eq!(covered.shares, [2.0 * third, third, third, 2.0 * third]);
        let bytes = [30, 0, 3, 60, 0, 3, 90, 0, 3];
        let mut target = [0; 6];
        let source = Pixels { bytes: &bytes, stride: 3, left: 0, top: 0 };
        resize(&source, [3, 1], [0.0, 0.0, 3.0, 1.0], [2, 1], &mut target);
        assert_eq!(target, [40, 0, 3, 80, 0, 3]);
    }
}
