//! Matrices of sines and cosines that a module computes once: Fourier and cosine transforms as a product or a convolution.

use std::f64::consts::PI;

use crate::graph::{Constant, ElementType, Node};

/// How much higher than its highest sample a wave may be: one whose samples miss the top. A ramp is a piece of a far higher one.
const OVER_SAMPLES: f64 = 1.25;

/// What the samples of one line of a table are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Zeros, as the sine of frequency 0 has them.
    Empty,
    /// One number, or one with alternating signs: frequencies 0 and ½.
    Level,
    Wave,
    Other,
}

/// Whether an input of a node is a matrix, or a kernel, that a table of waves may stand in the place of.
pub(super) fn may_be_fourier_table(node: &Node, input: usize) -> bool {
    match node.operator.as_str() {
        "MatMul" | "FusedMatMul" | "Gemm" => input < 2,
        "Conv" | "ConvTranspose" => input == 1,
        "Einsum" => true,
        _ => false,
    }
}

/// Whether a matrix, or a kernel of one channel and one long axis, is that of a Fourier or cosine transform or its inverse: each line along
/// one of its axes is a constant times the sine or cosine of place · frequency + phase, all of them perhaps times the window that the
/// line of frequency 0 has. All numbers are held against that, to the rounding of 32-bit floats.
pub(super) fn is_fourier_table(constant: &Constant) -> bool {
    let long: Vec<usize> = constant.shape.iter().copied().filter(|length| *length != 1).collect();
    let [rows, columns] = *long.as_slice() else { return false };
    if rows * columns < 8 {
        return false;
    }
    // the first lines tell almost any other matrix, so that no more of it is read
    let (places, []) = constant.bytes.as_chunks::<4>() else { return false };
    if constant.dtype != ElementType::F32 || places.len() != rows * columns {
        return false;
    }
    let number = |four: &[u8; 4]| f64::from(f32::from_le_bytes(*four));
    let row = |at: usize| places[at * columns..][..columns].iter().map(number).collect::<Vec<f64>>();
    let column = |at: usize| places[at..].iter().step_by(columns).map(number).collect::<Vec<f64>>();
    are_waves(rows, columns, &row) || are_waves(columns, rows, &column)
}

/// Whether `lines` lines of so many samples are waves.
fn are_waves(lines: usize, samples: usize, line: &dyn Fn(usize) -> Vec<f64>) -> bool {
    if lines < 2 || samples < 4 {
        return false;
    }
    let even = vec![1.0; samples];
    if hold(lines, &even, line) {
        return true;
    }
    let first = line(0);
    let is_window = first.iter().all(|value| *value >= 0.0) && first.iter().any(|value| *value != first[0]);
    is_window && hold(lines, &first, line)
}

/// As [`are_waves`], behind a window.
fn hold(lines: usize, window: &[f64], line: &dyn Fn(usize) -> Vec<f64>) -> bool {
    let samples = window.len();
    let (mut waves, mut highest) = (0, 0.0_f64);
    let mut sizes: Vec<f64> = Vec::new();
    for at in 0..lines {
        let own = line(at);
        let top = peak(&own);
        match kind(&own, window) {
            // the sine of half the samples a turn is zero but for the rounding of its angles
            Line::Other if top > 1e-6 * samples as f64 * highest => return false,
            Line::Empty | Line::Other => {}
            Line::Level => highest = highest.max(top),
            Line::Wave => {
                highest = highest.max(top);
                waves += 1;
            }
        }
        if sizes.len() < 2 {
            let magnitudes = own.iter().map(|value| value.abs()).filter(|size| *size > 1e-3 * top);
            for size in magnitudes {
                if sizes.iter().all(|known| (known - size).abs() > 1e-4 * size) {
                    sizes.push(size);
                }
            }
        }
    }
    // a line has a frequency, a height and a phase of its own; of numbers of one size, as binary weights are, lines are waves by chance
    let told = waves * (samples - 3);
    let is_coarse = sizes.len() < 2;
    waves >= 2 && told >= 3 && (!is_coarse || lines * samples >= 64)
}

fn peak(line: &[f64]) -> f64 {
    line.iter().fold(0.0, |highest, value| highest.max(value.abs()))
}

/// What a line is behind a window.
fn kind(line: &[f64], window: &[f64]) -> Line {
    let (top, samples) = (peak(line), line.len());
    if line.iter().all(|value| *value == 0.0) {
        return Line::Empty;
    }
    // angles up to a turn a place were computed in 32 bits
    let allowed = 1e-6 * (samples + 4) as f64 * top;
    let widest = peak(window);
    let scale = |sign: f64| {
        let signs = (0..samples).map(|at| if at % 2 == 0 { 1.0 } else { sign });
        let all = || line.iter().zip(window).zip(signs.clone());
        let factor = all().map(|((value, own), sign)| value * own * sign).sum::<f64>()
            / window.iter().map(|own| own * own).sum::<f64>();
        all().all(|((value, own), sign)| (value - factor * own * sign).abs() <= allowed)
    };
    if scale(1.0) || scale(-1.0) {
        return Line::Level;
    }
    // neighbours of a wave add up to twice the cosine of its frequency times it; not where the window is too low to tell
    let seen = |at: usize| window[at] > 0.05 * widest;
    let bare = |at: usize| line[at] / window[at];
    let (mut product, mut square) = (0.0, 0.0);
    for at in (1..samples - 1).filter(|at| seen(at - 1) && seen(*at) && seen(at + 1)) {
        product += bare(at) * (bare(at - 1) + bare(at + 1));
        square += bare(at) * bare(at);
    }
    let frequency = (product / square / 2.0).clamp(-1.0, 1.0).acos();
    // of windows the highest place of the line need not be that of the wave
    let bound = OVER_SAMPLES * (0..samples).filter(|at| seen(*at)).map(|at| bare(at).abs()).fold(0.0, f64::max);
    if fits(line, window, frequency, (allowed, bound)) { Line::Wave } else { Line::Other }
}

/// Whether a line is a wave of about this frequency, which is fitted to it by least squares.
fn fits(line: &[f64], window: &[f64], mut frequency: f64, (allowed, bound): (f64, f64)) -> bool {
    let middle = (line.len() - 1) as f64 / 2.0;
    for _ in 0..8 {
        let angle = |at: usize| frequency * (at as f64 - middle);
        let cosines: Vec<f64> = (0..line.len()).map(|at| window[at] * angle(at).cos()).collect();
        let sines: Vec<f64> = (0..line.len()).map(|at| window[at] * angle(at).sin()).collect();
        let Some((cosine, sine)) = projected(line, &cosines, &sines) else { return false };
        let rest: Vec<f64> = (0..line.len()).map(|at| line[at] - cosine * cosines[at] - sine * sines[at]).collect();
        if peak(&rest) <= allowed && rest.iter().all(|value| value.is_finite()) {
            return cosine.hypot(sine) <= bound && frequency > 0.0 && frequency < PI;
        }
        // how the wave changes with its frequency, apart from what height and phase make up for
        let moved: Vec<f64> =
            (0..line.len()).map(|at| (at as f64 - middle) * (sine * cosines[at] - cosine * sines[at])).collect();
        let Some((own, other)) = projected(&moved, &cosines, &sines) else { return false };
        let moved: Vec<f64> = (0..line.len()).map(|at| moved[at] - own * cosines[at] - other * sines[at]).collect();
        frequency += dot(&rest, &moved) / dot(&moved, &moved);
        if !frequency.is_finite() {
            return false;
        }
    }
    false
}

/// How much of two others a line is; nothing where those are one.
fn projected(line: &[f64], first: &[f64], second: &[f64]) -> Option<(f64, f64)> {
    let (aa, ab, bb) = (dot(first, first), dot(first, second), dot(second, second));
    let determinant = aa * bb - ab * ab;
    let (a, b) = (dot(line, first), dot(line, second));
    let are_two = determinant > 1e-12 * (aa + bb) * (aa + bb);
    are_two.then(|| ((a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant))
}

fn dot(first: &[f64], second: &[f64]) -> f64 {
    first.iter().zip(second).map(|(own, other)| own * other).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize, columns: usize, value: &dyn Fn(f64, f64) -> f64) -> Constant {
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row as f64, column as f64)));
        let values: Vec<f32> = places.map(|(row, column)| value(row, column) as f32).collect();
        Constant::f32([rows, columns], &values)
    }

    #[test]
    fn matrices_of_fourier_and_cosine_transforms_are_told_and_matrices_that_may_be_learned_are_not() {
        let wave = |k: f64, n: f64, length: f64| 2.0 * PI * k * n / length;
        let hann = |n: f64, length: f64| 0.5 - 0.5 * (2.0 * PI * n / length).cos();
        let random = |k: f64, n: f64| ((k * 31.0 + n * 7.0 + 1.0) * 12.9898).sin() * 43.7 % 1.0;
        let in_32_bits = |k: f64, n: f64| f64::from((2.0 * std::f32::consts::PI * (k * n) as f32 / 512.0).cos());
        let stacked = |k: f64, n: f64| {
            hann(n, 64.0) * if k < 33.0 { wave(k, n, 64.0).cos() } else { -wave(k - 33.0, n, 64.0).sin() }
        };
        type Case<'a> = (&'a str, usize, usize, &'a dyn Fn(f64, f64) -> f64, bool);
        let rows: [Case<'_>; 22] = [
            ("cosines", 3, 8, &|k, n| wave(k, n, 8.0).cos(), true),
            ("sines", 3, 8, &|k, n| wave(k, n, 8.0).sin(), true),
            ("turned", 8, 3, &|n, k| wave(k, n, 8.0).sin(), true),
            ("all frequencies", 16, 16, &|k, n| -wave(k, n, 16.0).sin(), true),
            ("inverse", 16, 9, &|n, k| if k % 8.0 == 0.0 { 0.0625 } else { 0.125 } * wave(k, n, 16.0).cos(), true),
            ("long", 257, 512, &in_32_bits, true),
            ("of odd length", 7, 7, &|k, n| wave(k, n, 7.0).cos(), true),
            ("padded", 33, 40, &|k, n| wave(k, n, 64.0).cos(), true),
            ("cosine transform", 8, 8, &|k, n| 0.5 * (PI * (n + 0.5) * k / 8.0).cos(), true),
            ("cosine transform of four", 4, 4, &|k, n| (PI * (n + 0.5) * k / 4.0).cos(), true),
            ("fourth kind", 8, 8, &|k, n| (PI * (n + 0.5) * (k + 0.5) / 8.0).cos(), true),
            ("behind a window", 16, 6, &|n, k| hann(n, 16.0) * wave(k, n, 16.0).cos(), true),
            ("windowed, both", 66, 64, &stacked, true),
            (
                "one number nudged",
                16,
                16,
                &|k, n| wave(k, n, 16.0).cos() + f64::from(k == 5.0 && n == 3.0) * 1e-3,
                false,
            ),
            ("random", 16, 16, &random, false),
            ("identity", 8, 8, &|k, n| f64::from(k == n), false),
            ("zeros", 8, 8, &|_, _| 0.0, false),
            ("ones", 8, 8, &|_, _| 1.0, false),
            ("ramps", 8, 8, &|k, n| k + n * (k + 1.0), false),
            ("bells", 64, 64, &|k, n| (-(k - n) * (k - n) / 200.0).exp(), false),
            ("too few", 2, 2, &|k, n| wave(k, n, 8.0).cos(), false),
            ("binary", 4, 4, &|k, n| wave(k, n, 4.0).cos() + wave(k, n, 4.0).sin(), false),
        ];
        for (what, rows, columns, value, wanted) in rows {
            assert_eq!(is_fourier_table(&table(rows, columns, value)), wanted, "{what}");
        }
        let not_numbers = Constant::f32([8, 8], &[f32::NAN; 64]);
        assert!(!is_fourier_table(&not_numbers));
        let mut kernel = table(66, 64, &stacked);
        kernel.shape = vec![66, 1, 64];
        assert!(is_fourier_table(&kernel), "the kernel of a spectrogram");
        kernel.shape = vec![66, 8, 8];
        assert!(!is_fourier_table(&kernel));
        let integers = Constant::i64([4, 8], &[1; 32]);
        assert!(!is_fourier_table(&integers), "integers");
    }
}
