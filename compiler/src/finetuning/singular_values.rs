//! The largest singular values of a weight, and their vectors.

use crate::initializers::WeightRandom;

/// Up to so many rows or columns the decomposition is a full one.
const SMALL: usize = 128;
/// Vectors that are drawn at first: as many values may be equal and all are found.
const DRAWN: usize = 4;
/// How far M·v may be from σ·u, over the largest σ.
const TOLERANCE: f64 = 1e-10;
/// Sweeps over all pairs of columns; a dozen is usual.
const MOST_SWEEPS: usize = 60;

/// A matrix, row by row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) values: &'a [f32],
}

/// Singular values, the largest first, with their vectors of length 1. The vectors of a value of zero are zero.
#[derive(Clone, Debug)]
pub(crate) struct SingularValues {
    pub(crate) values: Vec<f64>,
    /// As long as there are rows.
    pub(crate) left: Vec<Vec<f64>>,
    /// As long as there are columns.
    pub(crate) right: Vec<Vec<f64>>,
}

impl SingularValues {
    /// The `count` largest ones of a matrix, exact within rounding, as a full decomposition has them. Which sign a pair of vectors
    /// has is left open.
    pub(crate) fn largest(matrix: Matrix<'_>, count: usize, random: &mut WeightRandom) -> Self {
        let shorter = matrix.rows.min(matrix.columns);
        let mut all = if shorter <= SMALL { full(matrix) } else { in_range(matrix, count.min(shorter), random) };
        all.truncate(count);
        all
    }

    fn truncate(&mut self, count: usize) {
        self.values.truncate(count);
        self.left.truncate(count);
        self.right.truncate(count);
    }

    fn turned(self) -> Self {
        Self { values: self.values, left: self.right, right: self.left }
    }
}

fn full(matrix: Matrix<'_>) -> SingularValues {
    let at = |row: usize, column: usize| f64::from(matrix.values[row * matrix.columns + column]);
    if matrix.rows < matrix.columns {
        let rows = (0..matrix.rows).map(|row| (0..matrix.columns).map(|column| at(row, column)).collect());
        of_columns(rows.collect()).turned()
    } else {
        let columns = (0..matrix.columns).map(|column| (0..matrix.rows).map(|row| at(row, column)).collect());
        of_columns(columns.collect())
    }
}

/// One-sided Jacobi (M. Hestenes, 1958): pairs of columns are turned until all are at right angles; then their lengths are the
/// singular values, and the turns make the right vectors.
fn of_columns(mut columns: Vec<Vec<f64>>) -> SingularValues {
    let count = columns.len();
    let unit = |at: usize| (0..count).map(|other| f64::from(u8::from(other == at))).collect();
    let mut turns: Vec<Vec<f64>> = (0..count).map(unit).collect();
    for _ in 0..MOST_SWEEPS {
        let mut is_done = true;
        for first in 0..count {
            for second in first + 1..count {
                let (a, b) = (dot(&columns[first], &columns[first]), dot(&columns[second], &columns[second]));
                let both = dot(&columns[first], &columns[second]);
                if both.abs() <= f64::EPSILON * (a * b).sqrt() {
                    continue;
                }
                is_done = false;
                let ratio = (b - a) / (2.0 * both);
                let tangent = ratio.signum() / (ratio.abs() + (1.0 + ratio * ratio).sqrt());
                let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
                turn(&mut columns, first, second, (cosine, cosine * tangent));
                turn(&mut turns, first, second, (cosine, cosine * tangent));
            }
        }
        if is_done {
            break;
        }
    }
    let mut order: Vec<(usize, f64)> = columns.iter().map(|column| dot(column, column).sqrt()).enumerate().collect();
    order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let scaled = |column: &[f64], length: f64| -> Vec<f64> {
        let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
        column.iter().map(|value| value * factor).collect()
    };
    SingularValues {
        values: order.iter().map(|(_, length)| *length).collect(),
        left: order.iter().map(|(at, length)| scaled(&columns[*at], *length)).collect(),
        right: order.iter().map(|(at, length)| scaled(&turns[*at], if *length > 0.0 { 1.0 } else { 0.0 })).collect(),
    }
}

fn turn(columns: &mut [Vec<f64>], first: usize, second: usize, (cosine, sine): (f64, f64)) {
    let (before, behind) = columns.split_at_mut(second);
    for (a, b) in before[first].iter_mut().zip(&mut behind[0]) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

/// Of a matrix that is large in both directions: the largest ones of its part in the range of drawn vectors that go through it and
/// back again and again (C. Musco and C. Musco, "Randomized Block Krylov Methods", 2015), all of which are kept: as many as
/// it takes until what is found are singular values of the matrix itself.
fn in_range(matrix: Matrix<'_>, count: usize, random: &mut WeightRandom) -> SingularValues {
    let shorter = matrix.rows.min(matrix.columns);
    let (mut range, mut image): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
    let mut followed = (2 * count + SMALL).min(shorter);
    loop {
        let is_whole = !follow(matrix, followed, (&mut range, &mut image), random) || followed == shorter;
        let found = of_image(&range, &image, count);
        let through = through(matrix, &found.right);
        let most = TOLERANCE * found.values.first().copied().unwrap_or(0.0);
        let is_found = |at: usize| {
            let differences = through[at].iter().zip(&found.left[at]).map(|(made, u)| made - found.values[at] * u);
            differences.map(|difference| difference * difference).sum::<f64>().sqrt() <= most
        };
        if is_whole || (0..through.len()).all(is_found) {
            return found;
        }
        followed = (2 * followed).min(shorter);
    }
}

/// Adds vectors at right angles until there are `count`, and what the transposed matrix makes of them; whether there are so many
/// in the range of the matrix.
fn follow(
    matrix: Matrix<'_>,
    count: usize,
    (range, image): (&mut Vec<Vec<f64>>, &mut Vec<Vec<f64>>),
    random: &mut WeightRandom,
) -> bool {
    while range.len() < count {
        let back = range.len().checked_sub(DRAWN).and_then(|at| image.get(at));
        let again = back.map(|back| through(matrix, std::slice::from_ref(back)).remove(0));
        let joined = again.and_then(|own| at_right_angles_to(range, own)).or_else(|| {
            let drawn: Vec<f64> = (0..matrix.columns).map(|_| random.normal()).collect();
            at_right_angles_to(range, through(matrix, &[drawn]).remove(0))
        });
        let Some(own) = joined else { return false };
        image.extend(through_transposed(matrix, std::slice::from_ref(&own)));
        range.push(own);
    }
    true
}

/// The `count` largest ones of Q·(Mᵀ·Q)ᵀ.
fn of_image(range: &[Vec<f64>], image: &[Vec<f64>], count: usize) -> SingularValues {
    // Mᵀ·Q = P·R, so that M ≈ Q·Rᵀ·Pᵀ, and R is small
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(image.len());
    for column in image {
        let own = at_right_angles_to(&basis, column.clone());
        basis.push(own.unwrap_or_else(|| vec![0.0; column.len()]));
    }
    let small: Vec<Vec<f64>> = basis.iter().map(|own| image.iter().map(|column| dot(own, column)).collect()).collect();
    // its rows are the columns of Rᵀ
    let mut inner = of_columns(small);
    inner.truncate(count);
    let combined = |basis: &[Vec<f64>], weights: &[f64]| {
        let mut sum = vec![0.0; basis.first().map_or(0, Vec::len)];
        for (vector, weight) in basis.iter().zip(weights) {
            sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += weight * value);
        }
        sum
    };
    SingularValues {
        left: inner.left.iter().map(|weights| combined(range, weights)).collect(),
        right: inner.right.iter().map(|weights| combined(&basis, weights)).collect(),
        values: inner.values,
    }
}

/// M·v of each vector v.
fn through(matrix: Matrix<'_>, vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let rows = || matrix.values.chunks_exact(matrix.columns.max(1));
    let product = |row: &[f32], vector: &[f64]| row.iter().zip(vector).map(|(a, b)| f64::from(*a) * b).sum();
    vectors.iter().map(|vector| rows().map(|row| product(row, vector)).collect()).collect()
}

/// Mᵀ·v of each vector v.
fn through_transposed(matrix: Matrix<'_>, vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let rows = || matrix.values.chunks_exact(matrix.columns.max(1));
    let product = |vector: &Vec<f64>| {
        let mut sum = vec![0.0; matrix.columns];
        for (row, weight) in rows().zip(vector) {
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * f64::from(*value));
        }
        sum
    };
    vectors.iter().map(product).collect()
}

/// Gram-Schmidt, twice, which rounding asks for (L. Giraud et al., 2005); nothing where the vector lies in those before.
fn at_right_angles_to(others: &[Vec<f64>], mut own: Vec<f64>) -> Option<Vec<f64>> {
    let first = dot(&own, &own).sqrt();
    for _ in 0..2 {
        for other in others {
            let along = dot(&own, other);
            own.iter_mut().zip(other).for_each(|(own, other)| *own -= along * other);
        }
    }
    let left = dot(&own, &own).sqrt();
    own.iter_mut().for_each(|value| *value /= left);
    (left > 1e-13 * first).then_some(own)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> WeightRandom {
        WeightRandom::new(3, "test")
    }

    /// Σ σ·u·vᵀ of the values that were found.
    fn product(found: &SingularValues, rows: usize, columns: usize) -> Vec<f64> {
        let mut sum = vec![0.0; rows * columns];
        for ((value, left), right) in found.values.iter().zip(&found.left).zip(&found.right) {
            for row in 0..rows {
                for column in 0..columns {
                    sum[row * columns + column] += value * left[row] * right[column];
                }
            }
        }
        sum
    }

    fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn all_values_together_are_the_matrix_and_vectors_are_at_right_angles() {
        for (rows, columns) in [(9, 5), (5, 9), (6, 6), (1, 4), (4, 1)] {
            let values = random().normals(rows * columns, 1.0);
            let matrix = Matrix { rows, columns, values: &values };
            let shorter = rows.min(columns);
            let found = SingularValues::largest(matrix, shorter, &mut random());
            let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            assert!(largest_difference(&product(&found, rows, columns), &values) < 1e-13, "{rows} by {columns}");
            assert!(found.values.is_sorted_by(|a, b| a >= b));
            for vectors in [&found.left, &found.right] {
                for (at, vector) in vectors.iter().enumerate() {
                    for (other, second) in vectors.iter().enumerate() {
                        let wanted = f64::from(u8::from(at == other));
                        assert!((dot(vector, second) - wanted).abs() < 1e-13, "{rows} by {columns}");
                    }
                }
            }
        }
    }

    #[test]
    fn values_of_a_matrix_that_is_known() {
        // numpy.linalg.svd of [[3, 0], [4, 5]]: √45 and √5
        let matrix = Matrix { rows: 2, columns: 2, values: &[3.0, 0.0, 4.0, 5.0] };
        let found = SingularValues::largest(matrix, 2, &mut random());
        assert!(largest_difference(&found.values, &[45.0_f64.sqrt(), 5.0_f64.sqrt()]) < 1e-14, "{found:?}");
        let zero = SingularValues::largest(Matrix { rows: 2, columns: 2, values: &[0.0; 4] }, 2, &mut random());
        assert_eq!(product(&zero, 2, 2), [0.0; 4]);
    }

    #[test]
    fn the_largest_ones_of_a_large_matrix_are_exact_whether_values_fall_fast_slowly_or_not_at_all() {
        let (rows, columns, count) = (280, 256, 16);
        let mut drawn = random();
        let mut frame = |length: usize| {
            let mut vectors: Vec<Vec<f64>> = Vec::new();
            for _ in 0..columns {
                vectors.extend(at_right_angles_to(&vectors, (0..length).map(|_| drawn.normal()).collect()));
            }
            vectors
        };
        let (left, right) = (frame(rows), frame(columns));
        let slowly = move |at: usize| 1.0 - at as f64 / columns as f64;
        type Spectrum = Box<dyn Fn(usize) -> f64>;
        let cases: [(&str, Spectrum); 5] = [
            ("fast", Box::new(|at| 0.9_f64.powi(at as i32))),
            ("slowly, as those of a matrix that was drawn", Box::new(slowly)),
            ("three and three alike", Box::new(move |at| slowly(at / 3 * 3 + usize::from(at >= count)))),
            ("fewer than wanted", Box::new(|at| f64::from(u8::from(at < 9)))),
            ("in steps", Box::new(move |at| if at < count { 2.0 } else { 1.0 })),
        ];
        for (name, value) in cases {
            let known =
                SingularValues { values: (0..columns).map(value).collect(), left: left.clone(), right: right.clone() };
            let stored: Vec<f32> = product(&known, rows, columns).iter().map(|value| *value as f32).collect();
            let matrix = Matrix { rows, columns, values: &stored };
            let found = SingularValues::largest(matrix, count, &mut random());
            assert!(largest_difference(&found.values, &known.values[..count]) < 1e-6, "{name}: {:?}", found.values);
            let mut wanted = known;
            wanted.truncate(count);
            let [found_part, part] = [&found, &wanted].map(|of| product(of, rows, columns));
            let differences: Vec<f64> = found_part.iter().zip(&part).map(|(a, b)| a - b).collect();
            // rounding to 32 bits turns the vectors of values that lie 1/256 apart by some 1e-5
            let relative = (dot(&differences, &differences) / dot(&part, &part)).sqrt();
            assert!(relative < 1e-4, "{name}: {relative}");
            let again = SingularValues::largest(matrix, count, &mut random());
            assert_eq!(again.left, found.left, "{name}: the same each time");
        }
    }
}
