//! The inner loops, compiled for the vector instructions the processor has.
//!
//! Every version does the same operations in the same order without fused multiply-add, so all give the same bits.
//! The only module of this crate with `unsafe`: calls of functions that were compiled for AVX2 or AVX-512, after asking
//! the processor, and gathers at indices that were clamped just before.
#![expect(unsafe_code, reason = "vector instructions beyond the baseline; see the SAFETY lines")]

use std::ops::Range;

use super::noise;
use super::sampled::{Line, Sampled, interpolate};

/// Interleaved bytes to three rows of values 0 to 1.
pub(super) fn spread(pixels: &[u8], mirrored: bool, row: &mut [&mut [f32]; 3]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::spread(pixels, mirrored, row) };
    }
    spread_row(pixels, mirrored, row);
}

/// Adds noise to one row of values; `number` counts the rows of all channels.
pub(super) fn add_noise(values: &mut [f32], strength: f32, seed: u64, number: u32) {
    #[cfg(target_arch = "x86_64")]
    if avx512::is_there() {
        // SAFETY: the processor has these parts of AVX-512.
        return unsafe { avx512::add_noise(values, strength, seed, number) };
    }
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::add_noise(values, strength, seed, number) };
    }
    noise::add_to_row(values, strength, seed, number);
}

/// Subtracts the mean from each value, then multiplies by the factor.
pub(super) fn normalize(values: &mut [f32], mean: f32, factor: f32) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::normalize(values, mean, factor) };
    }
    normalize_row(values, mean, factor);
}

/// Interpolates the columns of `span` along a line through an image.
pub(super) fn sample(image: &Sampled<'_>, line: &Line, span: Range<usize>, row: &mut [&mut [f32]; 3]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::sample(image, line, span, row) };
    }
    sample_row(image, line, span, row);
}

#[inline(always)]
fn spread_row(pixels: &[u8], mirrored: bool, [red, green, blue]: &mut [&mut [f32]; 3]) {
    let values = red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut());
    let unit = |byte: u8| f32::from(byte) * (1.0 / 255.0);
    let put = |(((red, green), blue), pixel): (((&mut f32, &mut f32), &mut f32), &[u8; 3])| {
        (*red, *green, *blue) = (unit(pixel[0]), unit(pixel[1]), unit(pixel[2]));
    };
    let (pixels, _) = pixels.as_chunks::<3>();
    if mirrored { values.zip(pixels.iter().rev()).for_each(put) } else { values.zip(pixels).for_each(put) }
}

#[inline(always)]
fn normalize_row(values: &mut [f32], mean: f32, factor: f32) {
    values.iter_mut().for_each(|value| *value = (*value - mean) * factor);
}

#[inline(always)]
fn sample_row(image: &Sampled<'_>, line: &Line, span: Range<usize>, row: &mut [&mut [f32]; 3]) {
    for x in span {
        let at = x as f32;
        let pixel = interpolate(image, line.u + at * line.du, line.v + at * line.dv);
        for (plane, value) in row.iter_mut().zip(pixel) {
            plane[x] = value;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256, __m256i, _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256, _mm256_cvtepi32_ps, _mm256_cvttps_epi32,
        _mm256_floor_ps, _mm256_i32gather_epi32, _mm256_max_epi32, _mm256_min_epi32, _mm256_mul_ps, _mm256_mullo_epi32,
        _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_si256, _mm256_srli_epi32,
        _mm256_storeu_ps, _mm256_sub_ps,
    };

    use super::{Line, Range, Sampled, noise, normalize_row, sample_row, spread_row};
    use crate::render::resample::PADDING;

    const LANES: usize = 8;

    #[target_feature(enable = "avx2")]
    pub(super) fn spread(pixels: &[u8], mirrored: bool, row: &mut [&mut [f32]; 3]) {
        spread_row(pixels, mirrored, row);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn add_noise(values: &mut [f32], strength: f32, seed: u64, number: u32) {
        noise::add_to_row(values, strength, seed, number);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn normalize(values: &mut [f32], mean: f32, factor: f32) {
        normalize_row(values, mean, factor);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn sample(image: &Sampled<'_>, line: &Line, span: Range<usize>, row: &mut [&mut [f32]; 3]) {
        let size = image.width as usize * image.height as usize * 3;
        // byte offsets are 32-bit with a sign
        if image.bytes.len() < size + PADDING || size > i32::MAX as usize || span.len() < LANES {
            return sample_row(image, line, span, row);
        }
        let last = span.end - LANES;
        // the last lanes overlap those before them: a column's value does not depend on the lane it is in
        for x in span.step_by(LANES).map(|x| x.min(last)) {
            let pixels = sample_lanes(image, line, x as i32);
            for (plane, values) in row.iter_mut().zip(pixels) {
                let target: &mut [f32] = &mut plane[x..x + LANES];
                // SAFETY: the slice has as many values as the vector; no alignment is asked for.
                unsafe { _mm256_storeu_ps(target.as_mut_ptr(), values) };
            }
        }
    }

    /// Eight columns from `x` on, red, green, blue.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn sample_lanes(image: &Sampled<'_>, line: &Line, x: i32) -> [__m256; 3] {
        let columns = _mm256_add_epi32(_mm256_set1_epi32(x), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        let at = _mm256_cvtepi32_ps(columns);
        let along =
            |start: f32, step: f32| _mm256_add_ps(_mm256_set1_ps(start), _mm256_mul_ps(at, _mm256_set1_ps(step)));
        let (u, v) = (along(line.u, line.du), along(line.v, line.dv));
        let (left, top) = (_mm256_floor_ps(u), _mm256_floor_ps(v));
        let (x, y) = (_mm256_sub_ps(u, left), _mm256_sub_ps(v, top));
        let one = _mm256_set1_epi32(1);
        let clamped = |index: __m256i, length: u32| {
            let last = _mm256_set1_epi32(length as i32 - 1);
            _mm256_min_epi32(_mm256_max_epi32(index, _mm256_setzero_si256()), last)
        };
        let (column, line) = (_mm256_cvttps_epi32(left), _mm256_cvttps_epi32(top));
        let three = _mm256_set1_epi32(3);
        let across = |column: __m256i| _mm256_mullo_epi32(clamped(column, image.width), three);
        let stride = _mm256_set1_epi32(image.width as i32 * 3);
        let down = |line: __m256i| _mm256_mullo_epi32(clamped(line, image.height), stride);
        let (here, right) = (across(column), across(_mm256_add_epi32(column, one)));
        let (above, below) = (down(line), down(_mm256_add_epi32(line, one)));
        let fetch = |line: __m256i, column: __m256i| {
            let offsets = _mm256_add_epi32(line, column);
            // SAFETY: row and column were clamped to the image, so offsets lie on pixels; the four bytes read from the
            // last pixel end within the padding, whose presence the caller checked.
            unsafe { _mm256_i32gather_epi32::<1>(image.bytes.as_ptr().cast(), offsets) }
        };
        let taps = [fetch(above, here), fetch(above, right), fetch(below, here), fetch(below, right)];
        let mix = |from: __m256, to: __m256, share: __m256| {
            _mm256_add_ps(from, _mm256_mul_ps(share, _mm256_sub_ps(to, from)))
        };
        let finish = |[a, b, c, d]: [__m256i; 4]| {
            let byte = |word: __m256i| _mm256_cvtepi32_ps(_mm256_and_si256(word, _mm256_set1_epi32(0xff)));
            let (high, low) = (mix(byte(a), byte(b), x), mix(byte(c), byte(d), x));
            _mm256_mul_ps(mix(high, low, y), _mm256_set1_ps(1.0 / 255.0))
        };
        [
            finish(taps),
            finish(taps.map(|word| _mm256_srli_epi32::<8>(word))),
            finish(taps.map(|word| _mm256_srli_epi32::<16>(word))),
        ]
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::noise;

    pub(super) fn is_there() -> bool {
        std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512vl")
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) fn add_noise(values: &mut [f32], strength: f32, seed: u64, number: u32) {
        noise::add_to_row(values, strength, seed, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_and_plain_code_give_the_same_bits() {
        let mut random = crate::DrawKey { seed: 8, epoch: 0, row: 0 }.random("vector", 0);
        for width in [1usize, 7, 8, 15, 33, 224] {
            let pixels: Vec<u8> = (0..width * 3).map(|_| random.next_u32() as u8).collect();
            for mirrored in [false, true] {
                both(
                    width,
                    |fast, row| if fast { spread(&pixels, mirrored, row) } else { spread_row(&pixels, mirrored, row) },
                );
            }
            for noise in noises() {
                both(width, |fast, row| {
                    let noise = if fast { noise } else { noise::add_to_row };
                    row.iter_mut().enumerate().for_each(|(channel, values)| noise(values, 0.3, 99, channel as u32));
                });
            }
            both(width, |fast, row| {
                let normalize = if fast { normalize } else { normalize_row };
                row.iter_mut().for_each(|values| normalize(values, 0.485, 1.0 / 0.229));
            });
            let mut bytes: Vec<u8> = (0..40 * 30 * 3).map(|_| random.next_u32() as u8).collect();
            bytes.extend([0; 4]);
            let image = Sampled { bytes: &bytes, width: 40, height: 30 };
            for (u, v, du, dv) in
                [(0.0, 0.0, 1.0, 0.0), (-3.7, 35.2, 0.81, -0.43), (60.0, -9.0, -1.3, 0.2), (3.5, 28.4, 0.11, 0.02)]
            {
                let line = Line { u, v, du, dv };
                let span = width / 5..width;
                both(width, |fast, row| {
                    let sample = if fast { sample } else { sample_row };
                    sample(&image, &line, span.clone(), row);
                });
            }
        }
    }

    type AddNoise = fn(&mut [f32], f32, u64, u32);

    /// Every version that this processor can run.
    fn noises() -> Vec<AddNoise> {
        let mut noises: Vec<AddNoise> = vec![add_noise];
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            noises.push(|values, strength, seed, number| unsafe { avx2::add_noise(values, strength, seed, number) });
        }
        noises
    }

    fn both(width: usize, fill: impl Fn(bool, &mut [&mut [f32]; 3])) {
        let [fast, plain] = [true, false].map(|fast| {
            let mut planes = vec![0.4; width * 3];
            let (red, rest) = planes.split_at_mut(width);
            let (green, blue) = rest.split_at_mut(width);
            fill(fast, &mut [red, green, blue]);
            planes
        });
        assert_eq!(fast, plain);
    }
}
