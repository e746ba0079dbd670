//! Displaces each pixel by a smooth random field.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::border::Border;
use super::map_step::{Displacement, Displacer, MapStep, Place};
use crate::elementary::{ln, sin_cos_degrees};
use crate::image_facts::ImageFacts;
use crate::random::philox;
use crate::steps::image_step::ImageStep;
use crate::steps::kernel::Kernel;
use crate::steps::step::Step;
use crate::steps::step_row::StepRow;

pub(crate) const STEP: StepRow = StepRow::of::<Displace>(
    "displace",
    &[
        r#"{"alpha": 20, "sigma": 5, "seed": 9, "fill": [30, 60, 90]}"#,
        r#"{"alpha": 40, "sigma": 5, "seed": 8, "fill": [30, 60, 90], "border": "picture"}"#,
        r#"{"alpha": 40, "sigma": 5, "seed": 7, "fill": [30, 60, 90], "border": "reflect"}"#,
    ],
);

/// Smallest smoothness, in pixels.
pub(crate) const LEAST_SIGMA: f64 = 1.0;
/// Largest smoothness, in pixels.
pub(crate) const MOST_SIGMA: f64 = 1000.0;

/// Displaces each pixel by a smooth random field.
///
/// The field is a cubic B-spline over a grid of normal numbers, √3·σ pixels apart: a kernel with the variance of a
/// Gaussian of σ. It has the standard deviation of what Simard, Steinkraus and Platt (2003) take, noise uniform in
/// [−1, 1] smoothed by a Gaussian of σ and multiplied by α: about 0.16·α/σ pixels. Unlike theirs it can be asked at any
/// point without the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Displace {
    /// Strength α, in pixels before smoothing.
    pub alpha: f64,
    /// Smoothness σ, in pixels.
    pub sigma: f64,
    /// Which field.
    pub seed: u64,
    /// Red, green, blue where there is no input.
    pub fill: [u8; 3],
    /// What is seen there; `fill` where a drawing says nothing.
    #[serde(default, skip_serializing_if = "Border::is_fill")]
    pub border: Border,
}

/// Normal numbers beyond this many standard deviations are cut, so that the field has a bound.
const MOST_DEVIATIONS: f64 = 3.0;

/// The largest `alpha` for a smoothness: a pixel's displacement then differs from its neighbour's by less than one pixel
/// with four standard deviations to spare, so that the image does not fold over itself.
pub(crate) fn most_alpha(sigma: f64) -> f64 {
    2.0 * sigma * sigma
}

impl Displace {
    fn field(&self) -> Field {
        // noise uniform in [−1, 1] has variance 1/3, and 1/(4πσ²) of it is left by the smoothing; the mean of the sum of
        // squares of a spline's four weights is 151/315 along either axis
        let smoothed = (1.0 / 3.0 / (4.0 * std::f64::consts::PI)).sqrt() / self.sigma;
        let deviation = self.alpha * smoothed / (151.0 / 315.0);
        Field { spacing: 3.0f64.sqrt() * self.sigma, deviation, seed: self.seed }
    }
}

impl From<Displace> for ImageStep {
    fn from(step: Displace) -> Self {
        Self::Map(Arc::new(step))
    }
}

impl Step for Displace {
    fn name(&self) -> &'static str {
        STEP.name
    }

    fn check(&self, _: &ImageFacts) -> Result<(), String> {
        let Self { alpha, sigma, .. } = self;
        if !(LEAST_SIGMA..=MOST_SIGMA).contains(sigma) {
            return Err(format!("sigma is between {LEAST_SIGMA} and {MOST_SIGMA} pixels, got {sigma}"));
        }
        let most = most_alpha(*sigma);
        if (0.0..=most).contains(alpha) { Ok(()) } else { Err(format!("alpha is between 0 and {most}, got {alpha}")) }
    }

    fn caption(&self) -> String {
        format!("α {:.1}, σ {:.1}", self.alpha, self.sigma)
    }
}

impl MapStep for Displace {
    fn output(&self, input: &ImageFacts) -> ImageFacts {
        *input
    }

    fn place(&self) -> Place {
        Place::Displaced(Arc::new(self.field()))
    }

    fn fill(&self) -> [u8; 3] {
        self.fill
    }

    fn border(&self) -> Border {
        self.border
    }

    fn kernel(&self) -> Kernel {
        Kernel::Bilinear
    }

    /// By going back and forth until the output's point comes from this one.
    fn forward(&self, x: f64, y: f64) -> (f64, f64) {
        const ROUNDS: usize = 100;
        let field = self.field();
        let (mut u, mut v) = (x, y);
        for _ in 0..ROUNDS {
            let (dx, dy) = field.at(u, v);
            let (right, down) = (x - dx - u, y - dy - v);
            // where the field is steep, whole steps would swing to and fro
            (u, v) = (u + 0.7 * right, v + 0.7 * down);
            if right.abs().max(down.abs()) < 1e-6 {
                break;
            }
        }
        (u, v)
    }
}

/// The field of a [`Displace`].
#[derive(Clone, Debug)]
struct Field {
    /// Of the grid, in pixels.
    spacing: f64,
    /// Standard deviation of the numbers on the grid.
    deviation: f64,
    seed: u64,
}

impl Field {
    /// The two numbers at a point of the grid.
    fn knot(&self, column: i64, row: i64) -> [f64; 2] {
        let (column, row) = (column as i32 as u32, row as i32 as u32);
        let words = philox([column, row, 0, 0], [self.seed as u32, (self.seed >> 32) as u32]);
        let uniform = |word: u32| (f64::from(word) + 0.5) / 4_294_967_296.0;
        let radius = (-2.0 * ln(uniform(words[0]))).sqrt().min(MOST_DEVIATIONS);
        let (sin, cos) = sin_cos_degrees(360.0 * uniform(words[1]));
        [self.deviation * radius * cos, self.deviation * radius * sin]
    }
}

impl Displacement for Field {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let ((column, horizontal), (row, vertical)) = (self.cell(x), self.cell(y));
        let blended =
            [-1, 0, 1, 2].map(|right| blend(vertical, |below| self.knot(column + right, row + below as i64 - 1)));
        let [dx, dy] = blend(horizontal, |right| blended[right]);
        (dx, dy)
    }

    fn reach(&self) -> f64 {
        MOST_DEVIATIONS * self.deviation
    }

    fn over(&self, [left, top, right, bottom]: [f64; 4]) -> Box<dyn Displacer> {
        let first = [self.cell(left).0 - 1, self.cell(top).0 - 1];
        let size = [self.cell(right).0 + 3 - first[0], self.cell(bottom).0 + 3 - first[1]];
        let rows = first[1]..first[1] + size[1];
        let knots = rows.flat_map(|row| (first[0]..first[0] + size[0]).map(move |column| self.knot(column, row)));
        Box::new(Lattice { field: self.clone(), first, size: size.map(|side| side as usize), knots: knots.collect() })
    }
}

impl Field {
    /// The knot before a place along one axis, and the weights of the four knots around it.
    fn cell(&self, place: f64) -> (i64, [f64; 4]) {
        let at = place / self.spacing;
        // rounded down; a call of `floor` would take longer than all the rest
        let toward_zero = at as i64;
        let before = toward_zero - i64::from(toward_zero as f64 > at);
        (before, spline(at - before as f64))
    }
}

/// The numbers of a field that a box needs.
struct Lattice {
    field: Field,
    /// Column and row of the first.
    first: [i64; 2],
    /// Columns and rows.
    size: [usize; 2],
    knots: Vec<[f64; 2]>,
}

impl Lattice {
    /// The first of the four columns (or rows) around a cell; points beside the box get what is at its edge.
    fn start(&self, axis: usize, before: i64) -> usize {
        (before - 1 - self.first[axis]).clamp(0, self.size[axis] as i64 - 4) as usize
    }

    /// The knots of a column, blended between four rows.
    fn blended(&self, column: usize, row: usize, vertical: [f64; 4]) -> [f64; 2] {
        blend(vertical, |below| self.knots[(row + below) * self.size[0] + column])
    }
}

impl Displacer for Lattice {
    fn displace(&self, xs: &mut [f64], ys: &mut [f64]) {
        let Some(&level) = ys.first() else { return };
        // along a row of pixels that nothing turned, the rows of knots are blended once
        let is_level = ys.iter().all(|y| *y == level);
        let (row, vertical) = self.field.cell(level);
        let row = self.start(1, row);
        let line: Vec<_> = match is_level {
            true => (0..self.size[0]).map(|column| self.blended(column, row, vertical)).collect(),
            false => Vec::new(),
        };
        for (x, y) in xs.iter_mut().zip(ys) {
            let (column, horizontal) = self.field.cell(*x);
            let column = self.start(0, column);
            let [dx, dy] = if is_level {
                blend(horizontal, |right| line[column + right])
            } else {
                let (row, vertical) = self.field.cell(*y);
                let row = self.start(1, row);
                blend(horizontal, |right| self.blended(column + right, row, vertical))
            };
            (*x, *y) = (*x + dx, *y + dy);
        }
    }
}

/// The sum of four vectors with their weights.
fn blend(weights: [f64; 4], vector: impl Fn(usize) -> [f64; 2]) -> [f64; 2] {
    weights.iter().enumerate().fold([0.0; 2], |sum, (index, weight)| {
        let [x, y] = vector(index);
        [sum[0] + weight * x, sum[1] + weight * y]
    })
}

/// The weights of the four knots around a place between two, which is 0 at the left one and 1 at the right.
fn spline(t: f64) -> [f64; 4] {
    let s = 1.0 - t;
    let middle = |t: f64| (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0;
    [s * s * s / 6.0, middle(t), middle(s), t * t * t / 6.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(alpha: f64, sigma: f64) -> Displace {
        Displace { alpha, sigma, seed: 77, fill: [0; 3], border: Border::Fill }
    }

    /// The standard deviation, against noise that is smoothed as in the paper, and the bound.
    #[test]
    fn the_field_is_as_strong_as_smoothed_noise() {
        let field = step(40.0, 5.0).field();
        let mut sum = 0.0;
        for index in 0..40_000 {
            let (dx, dy) = field.at(f64::from(index % 200) * 3.1, f64::from(index / 200) * 3.7);
            assert!(dx.abs() <= field.reach() && dy.abs() <= field.reach());
            sum += dx * dx + dy * dy;
        }
        let (mut noise, side, radius) = (crate::Random::new(1, 0), 64, 15);
        let grid: Vec<f64> = (0..side * side).map(|_| noise.uniform_in(-1.0..1.0)).collect();
        let weight = |offset: i32| (-f64::from(offset * offset) / 50.0).exp();
        let total: f64 = (-radius..=radius).map(weight).sum();
        let (mut squares, mut count) = (0.0, 0.0);
        for y in radius..side - radius {
            for x in radius..side - radius {
                let taps = (-radius..=radius).flat_map(|i| (-radius..=radius).map(move |j| (i, j)));
                let value: f64 =
                    taps.map(|(i, j)| weight(i) * weight(j) * grid[((y + i) * side + x + j) as usize]).sum();
                squares += (40.0 * value / total / total).powi(2);
                count += 1.0;
            }
        }
        let (got, wanted) = ((sum / 80_000.0).sqrt(), (squares / count).sqrt());
        assert!((got / wanted - 1.0).abs() < 0.25, "{got} {wanted}");
    }

    #[test]
    fn a_prepared_field_gives_the_same_bits() {
        let field = step(30.0, 6.0).field();
        let prepared = field.over([-20.0, -10.0, 90.0, 70.0]);
        let mut random = crate::Random::new(2, 0);
        for turned in [false, true] {
            let mut xs: Vec<f64> = (0..200).map(|_| random.uniform_in(-20.0..90.0)).collect();
            let mut ys: Vec<f64> =
                (0..200).map(|_| if turned { random.uniform_in(-10.0..70.0) } else { 31.5 }).collect();
            let before: Vec<_> = xs.iter().copied().zip(ys.iter().copied()).collect();
            prepared.displace(&mut xs, &mut ys);
            for ((x, y), after) in before.into_iter().zip(xs.into_iter().zip(ys)) {
                let (dx, dy) = field.at(x, y);
                assert_eq!((x + dx, y + dy), after);
            }
        }
    }

    #[test]
    fn points_go_where_they_are_taken_from() {
        let step = step(most_alpha(6.0), 6.0);
        let field = step.field();
        for index in 0..400 {
            let (x, y) = (f64::from(index % 20) * 4.3, f64::from(index / 20) * 3.9);
            let (u, v) = step.forward(x, y);
            let (dx, dy) = field.at(u, v);
            assert!((u + dx - x).abs() < 1e-3 && (v + dy - y).abs() < 1e-3, "{x} {y}: {u} {v}");
        }
    }
}
