//! The inner loops, compiled for the vector instructions the processor has.
//!
//! Every version does the same operations in the same order without fused multiply-add, so all give the same bits.
//! The only module of this crate with `unsafe`: calls of functions that were compiled for AVX2 or AVX-512, after asking
//! the processor, and gathers at indices that were clamped just before.
#![expect(unsafe_code, reason = "vector instructions beyond the baseline; see the SAFETY lines")]

use std::ops::Range;

use super::noise;
use super::sampled::{Line, Sampled, interpolate};

/// Interleaved bytes to a row of values 0 to 1 for each channel.
pub(super) fn spread(pixels: &[u8], mirrored: bool, row: &mut [&mut [f32]]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::spread(pixels, mirrored, row) };
    }
    spread_row(pixels, mirrored, row);
}

/// Adds noise to one row of values, or a part of it that begins at column `left` of `width`; `number` counts the rows of
/// all channels.
pub(crate) fn add_noise(values: &mut [f32], strength: f32, seed: u64, number: u32, part: [u32; 2]) {
    #[cfg(target_arch = "x86_64")]
    if avx512::is_there() {
        // SAFETY: the processor has these parts of AVX-512.
        return unsafe { avx512::add_noise(values, strength, seed, number, part) };
    }
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::add_noise(values, strength, seed, number, part) };
    }
    noise::add_to_row(values, strength, seed, number, part);
}

/// Subtracts the mean from each value, then multiplies by the factor.
pub(crate) fn normalize(values: &mut [f32], mean: f32, factor: f32) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::normalize(values, mean, factor) };
    }
    normalize_row(values, mean, factor);
}

/// Multiplies each value by a factor, adds an offset, and clips to 0 … 1.
pub(crate) fn scale(values: &mut [f32], factor: f32, offset: f32) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::scale(values, factor, offset) };
    }
    scale_row(values, factor, offset);
}

/// Brings each value to the nearest that a byte can have.
pub(super) fn quantize(values: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::quantize(values) };
    }
    quantize_row(values);
}

/// Multiplies the distance of each colour from its grey, and clips.
pub(crate) fn saturate(red: &mut [f32], green: &mut [f32], blue: &mut [f32], factor: f32) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::saturate(red, green, blue, factor) };
    }
    saturate_row(red, green, blue, factor);
}

/// Turns the hue of each colour.
pub(crate) fn turn_hues(red: &mut [f32], green: &mut [f32], blue: &mut [f32], turn: f32) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::turn_hues(red, green, blue, turn) };
    }
    turn_hues_row(red, green, blue, turn);
}

/// Fills `out` with a row times the first weight, and the sums of pairs of rows times the others. All rows are at least
/// as long as `out`; `pair` is asked for 1 and on.
pub(crate) fn weigh<'a>(out: &mut [f32], weights: &[f32], middle: &[f32], pair: impl Fn(usize) -> [&'a [f32]; 2]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::weigh(out, weights, middle, pair) };
    }
    weigh_rows(out, weights, middle, pair);
}

/// Interpolates the columns of `span` along a line through an image of as many channels as the row, at most four.
pub(super) fn sample(image: &Sampled<'_, u8>, line: &Line, span: Range<usize>, row: &mut [&mut [f32]]) {
    match row {
        [a] => sample_channels(image, line, span, &mut [a]),
        [a, b] => sample_channels(image, line, span, &mut [a, b]),
        [a, b, c] => sample_channels(image, line, span, &mut [a, b, c]),
        [a, b, c, d] => sample_channels(image, line, span, &mut [a, b, c, d]),
        other => debug_assert!(other.is_empty(), "bytes have at most four channels"),
    }
}

fn sample_channels<const C: usize>(
    image: &Sampled<'_, u8>,
    line: &Line,
    span: Range<usize>,
    row: &mut [&mut [f32]; C],
) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::sample(image, line, span, row) };
    }
    sample_row(image, line, span, row);
}

#[inline(always)]
fn spread_row(pixels: &[u8], mirrored: bool, row: &mut [&mut [f32]]) {
    let unit = |byte: u8| f32::from(byte) * (1.0 / 255.0);
    match row {
        [grey] => {
            let put = |(value, byte): (&mut f32, &u8)| *value = unit(*byte);
            let values = grey.iter_mut();
            if mirrored { values.zip(pixels.iter().rev()).for_each(put) } else { values.zip(pixels).for_each(put) }
        }
        [red, green, blue] => {
            let values = red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut());
            let put = |(((red, green), blue), pixel): (((&mut f32, &mut f32), &mut f32), &[u8; 3])| {
                (*red, *green, *blue) = (unit(pixel[0]), unit(pixel[1]), unit(pixel[2]));
            };
            let (pixels, _) = pixels.as_chunks::<3>();
            if mirrored { values.zip(pixels.iter().rev()).for_each(put) } else { values.zip(pixels).for_each(put) }
        }
        row => {
            let channels = row.len();
            for (channel, values) in row.iter_mut().enumerate() {
                let put = |(value, byte): (&mut f32, &u8)| *value = unit(*byte);
                let bytes = pixels.iter().skip(channel).step_by(channels);
                if mirrored {
                    values.iter_mut().rev().zip(bytes).for_each(put)
                } else {
                    values.iter_mut().zip(bytes).for_each(put)
                }
            }
        }
    }
}

#[inline(always)]
fn normalize_row(values: &mut [f32], mean: f32, factor: f32) {
    values.iter_mut().for_each(|value| *value = (*value - mean) * factor);
}

#[inline(always)]
fn clipped(value: f32) -> f32 {
    let low = if value > 0.0 { value } else { 0.0 };
    if low < 1.0 { low } else { 1.0 }
}

#[inline(always)]
fn scale_row(values: &mut [f32], factor: f32, offset: f32) {
    values.iter_mut().for_each(|value| *value = clipped(*value * factor + offset));
}

#[inline(always)]
fn quantize_row(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = (clipped(*value) * 255.0 + 0.5).floor() * (1.0 / 255.0));
}

#[inline(always)]
fn saturate_row(red: &mut [f32], green: &mut [f32], blue: &mut [f32], factor: f32) {
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let grey = 0.299 * *red + 0.587 * *green + 0.114 * *blue;
        let apart = |value: f32| clipped(grey + factor * (value - grey));
        (*red, *green, *blue) = (apart(*red), apart(*green), apart(*blue));
    }
}

/// A hue is counted in sixths of a turn, from red. Each channel rises and falls over two sixths of the hexagon:
/// `white − spread · clip(|hue − its own| …)`; no branches, so that compilers make vector code of it.
#[inline(always)]
fn turn_hues_row(red: &mut [f32], green: &mut [f32], blue: &mut [f32], turn: f32) {
    let sixths = 6.0 * turn;
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let (r, g, b) = (*red, *green, *blue);
        let larger = |a: f32, b: f32| if a > b { a } else { b };
        let smaller = |a: f32, b: f32| if a < b { a } else { b };
        let (most, least) = (larger(larger(r, g), b), smaller(smaller(r, g), b));
        let spread = most - least;
        let over = if spread > 0.0 { 1.0 / spread } else { 0.0 };
        let from_red = (g - b) * over;
        let from_green = 2.0 + (b - r) * over;
        let from_blue = 4.0 + (r - g) * over;
        let hue = if most == r {
            from_red
        } else if most == g {
            from_green
        } else {
            from_blue
        };
        let hue = hue + sixths;
        // −1 … 5 turned by −3 … 3
        let hue = if hue < 0.0 { hue + 6.0 } else { hue };
        let hue = if hue >= 6.0 { hue - 6.0 } else { hue };
        // how far around the hexagon a channel's own hue is, 0 to 3
        let value = |own: f32| {
            let apart = (hue - own).abs();
            let apart = if apart > 3.0 { 6.0 - apart } else { apart };
            let share = 2.0 - apart;
            least + spread * clipped(share)
        };
        // red's own hue is 0 and 6
        (*red, *green, *blue) = (value(0.0), value(2.0), value(4.0));
    }
}

#[inline(always)]
fn weigh_rows<'a>(out: &mut [f32], weights: &[f32], middle: &[f32], pair: impl Fn(usize) -> [&'a [f32]; 2]) {
    out.iter_mut().zip(middle).for_each(|(sum, value)| *sum = weights[0] * value);
    for (offset, weight) in weights.iter().enumerate().skip(1) {
        let [one, other] = pair(offset);
        let pairs = one.iter().zip(other);
        out.iter_mut().zip(pairs).for_each(|(sum, (one, other))| *sum += weight * (one + other));
    }
}

#[inline(always)]
fn sample_row<const C: usize>(image: &Sampled<'_, u8>, line: &Line, span: Range<usize>, row: &mut [&mut [f32]; C]) {
    for x in span {
        let at = x as f32;
        let pixel = interpolate::<u8, C>(image, line.u + at * line.du, line.v + at * line.dv);
        for (plane, value) in row.iter_mut().zip(pixel) {
            plane[x] = value;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256, __m256i, _mm_cvtsi32_si128, _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256, _mm256_cvtepi32_ps,
        _mm256_cvttps_epi32, _mm256_floor_ps, _mm256_i32gather_epi32, _mm256_max_epi32, _mm256_min_epi32,
        _mm256_mul_ps, _mm256_mullo_epi32, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_ps,
        _mm256_setzero_si256, _mm256_srl_epi32, _mm256_storeu_ps, _mm256_sub_ps,
    };

    use super::{
        Line, Range, Sampled, noise, normalize_row, quantize_row, sample_row, saturate_row, scale_row, spread_row,
        turn_hues_row, weigh_rows,
    };
    use crate::render::sampled::PADDING;

    const LANES: usize = 8;

    #[target_feature(enable = "avx2")]
    pub(super) fn spread(pixels: &[u8], mirrored: bool, row: &mut [&mut [f32]]) {
        spread_row(pixels, mirrored, row);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn add_noise(values: &mut [f32], strength: f32, seed: u64, number: u32, part: [u32; 2]) {
        noise::add_to_row(values, strength, seed, number, part);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn normalize(values: &mut [f32], mean: f32, factor: f32) {
        normalize_row(values, mean, factor);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn scale(values: &mut [f32], factor: f32, offset: f32) {
        scale_row(values, factor, offset);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn quantize(values: &mut [f32]) {
        quantize_row(values);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn saturate(red: &mut [f32], green: &mut [f32], blue: &mut [f32], factor: f32) {
        saturate_row(red, green, blue, factor);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn turn_hues(red: &mut [f32], green: &mut [f32], blue: &mut [f32], turn: f32) {
        turn_hues_row(red, green, blue, turn);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn weigh<'a>(out: &mut [f32], weights: &[f32], middle: &[f32], pair: impl Fn(usize) -> [&'a [f32]; 2]) {
        weigh_rows(out, weights, middle, pair);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn sample<const C: usize>(
        image: &Sampled<'_, u8>,
        line: &Line,
        span: Range<usize>,
        row: &mut [&mut [f32]; C],
    ) {
        let size = image.width as usize * image.height as usize * C;
        // byte offsets are 32-bit with a sign
        if image.values.len() < size + PADDING || size > i32::MAX as usize || span.len() < LANES {
            return sample_row(image, line, span, row);
        }
        let last = span.end - LANES;
        // the last lanes overlap those before them: a column's value does not depend on the lane it is in
        for x in span.step_by(LANES).map(|x| x.min(last)) {
            let pixels = sample_lanes::<C>(image, line, x as i32);
            for (plane, values) in row.iter_mut().zip(pixels) {
                let target: &mut [f32] = &mut plane[x..x + LANES];
                // SAFETY: the slice has as many values as the vector; no alignment is asked for.
                unsafe { _mm256_storeu_ps(target.as_mut_ptr(), values) };
            }
        }
    }

    /// Eight columns from `x` on, channel by channel.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn sample_lanes<const C: usize>(image: &Sampled<'_, u8>, line: &Line, x: i32) -> [__m256; C] {
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
        let channels = _mm256_set1_epi32(C as i32);
        let across = |column: __m256i| _mm256_mullo_epi32(clamped(column, image.width), channels);
        let stride = _mm256_set1_epi32(image.width as i32 * C as i32);
        let down = |line: __m256i| _mm256_mullo_epi32(clamped(line, image.height), stride);
        let (here, right) = (across(column), across(_mm256_add_epi32(column, one)));
        let (above, below) = (down(line), down(_mm256_add_epi32(line, one)));
        let fetch = |line: __m256i, column: __m256i| {
            let offsets = _mm256_add_epi32(line, column);
            // SAFETY: row and column were clamped to the image, so offsets lie on pixels; the four bytes read from the
            // last pixel end within the padding, whose presence the caller checked.
            unsafe { _mm256_i32gather_epi32::<1>(image.values.as_ptr().cast(), offsets) }
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
        // a loop: what functions of the standard library call is not compiled for these instructions
        let mut channels = [_mm256_setzero_ps(); C];
        let [a, b, c, d] = taps;
        for (channel, values) in channels.iter_mut().enumerate() {
            let bits = _mm_cvtsi32_si128(8 * channel as i32);
            let byte = [
                _mm256_srl_epi32(a, bits),
                _mm256_srl_epi32(b, bits),
                _mm256_srl_epi32(c, bits),
                _mm256_srl_epi32(d, bits),
            ];
            *values = finish(byte);
        }
        channels
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
    pub(super) fn add_noise(values: &mut [f32], strength: f32, seed: u64, number: u32, part: [u32; 2]) {
        noise::add_to_row(values, strength, seed, number, part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_and_plain_code_give_the_same_bits() {
        let mut random = crate::DrawKey { seed: 8, epoch: 0, row: 0 }.random("vector", 0);
        for width in [1usize, 7, 8, 15, 33, 224] {
            let pixels: Vec<u8> = (0..width * 4).map(|_| random.next_u32() as u8).collect();
            for (mirrored, channels) in [false, true].into_iter().flat_map(|m| (1..=4).map(move |c| (m, c))) {
                let pixels = &pixels[..width * channels];
                both(width, channels, |fast, row| {
                    if fast { spread(pixels, mirrored, row) } else { spread_row(pixels, mirrored, row) }
                });
            }
            for noise in noises() {
                both(width, 3, |fast, row| {
                    let (noise, part) = (if fast { noise } else { noise::add_to_row }, [5, width as u32 + 9]);
                    (0..).zip(row).for_each(|(channel, values)| noise(values, 0.3, 99, channel, part));
                });
            }
            both(width, 3, |fast, row| {
                let bytes = (0..).map(|index| (index * 37 % 1301) as f32 / 1300.0 - 0.01);
                for values in row {
                    values.iter_mut().zip(bytes.clone()).for_each(|(value, other)| *value = 1.03 * other);
                    let bytes: Vec<f32> =
                        values.iter().map(|value| f32::from((value * 255.0 + 0.5) as u8) * (1.0 / 255.0)).collect();
                    if fast {
                        quantize(values)
                    } else {
                        quantize_row(values)
                    }
                    assert_eq!(**values, bytes);
                }
            });
            for factor in [0.0, 0.4, 1.7] {
                both(width, 3, |fast, row| {
                    let scale = if fast { scale } else { scale_row };
                    row.iter_mut().for_each(|values| scale(values, factor, 0.1));
                });
                both(width, 3, |fast, row| {
                    spread_row(&pixels, false, row);
                    let [red, green, blue] = row else { panic!("three channels") };
                    if fast { saturate(red, green, blue, factor) } else { saturate_row(red, green, blue, factor) }
                });
                both(width, 3, |fast, row| {
                    spread_row(&pixels, false, row);
                    let [red, green, blue] = row else { panic!("three channels") };
                    let turn = factor / 4.0;
                    if fast { turn_hues(red, green, blue, turn) } else { turn_hues_row(red, green, blue, turn) }
                });
            }
            let long: Vec<f32> = (0..width + 8).map(|_| random.uniform()).collect();
            let pair = |offset: usize| [&long[4 - offset..], &long[4 + offset..]];
            both(width, 1, |fast, row| match fast {
                true => weigh(row[0], &[0.4, 0.2, 0.1, 0.05], &long[4..], pair),
                false => weigh_rows(row[0], &[0.4, 0.2, 0.1, 0.05], &long[4..], pair),
            });
            both(width, 3, |fast, row| {
                let normalize = if fast { normalize } else { normalize_row };
                row.iter_mut().for_each(|values| normalize(values, 0.485, 1.0 / 0.229));
            });
            let mut bytes: Vec<u8> = (0..40 * 30 * 4).map(|_| random.next_u32() as u8).collect();
            bytes.extend([0; 4]);
            let image = Sampled { values: &bytes, width: 40, height: 30 };
            for (u, v, du, dv) in
                [(0.0, 0.0, 1.0, 0.0), (-3.7, 35.2, 0.81, -0.43), (60.0, -9.0, -1.3, 0.2), (3.5, 28.4, 0.11, 0.02)]
            {
                let line = Line { u, v, du, dv };
                let span = width / 5..width;
                sampled::<1>(&image, &line, span.clone());
                sampled::<2>(&image, &line, span.clone());
                sampled::<3>(&image, &line, span.clone());
                sampled::<4>(&image, &line, span);
            }
        }
    }

    fn sampled<const C: usize>(image: &Sampled<'_, u8>, line: &Line, span: Range<usize>) {
        both(span.end, C, |fast, row| {
            let row: &mut [&mut [f32]; C] = row.try_into().unwrap();
            if fast { sample(image, line, span.clone(), row) } else { sample_row(image, line, span.clone(), row) }
        });
    }

    type AddNoise = fn(&mut [f32], f32, u64, u32, [u32; 2]);

    /// Every version that this processor can run.
    fn noises() -> Vec<AddNoise> {
        let mut noises: Vec<AddNoise> = vec![add_noise];
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            noises.push(|values, strength, seed, number, part| unsafe {
                avx2::add_noise(values, strength, seed, number, part)
            });
        }
        noises
    }

    fn both(width: usize, channels: usize, fill: impl Fn(bool, &mut [&mut [f32]])) {
        let [fast, plain] = [true, false].map(|fast| {
            let mut planes = vec![0.4; width * channels];
            let mut row: Vec<&mut [f32]> = planes.chunks_exact_mut(width).collect();
            fill(fast, &mut row);
            planes
        });
        assert_eq!(fast, plain);
    }
}
