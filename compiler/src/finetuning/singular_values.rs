//! The largest singular values of a weight, and their vectors.

use crate::initializers::WeightRandom;

/// Up to so many rows or columns the decomposition is a full one.
const SMALL: usize = 128;
/// Vectors that are followed beside the wanted ones (N. Halko, P. Martinsson and J. Tropp, 2011, section 4.2).
const OVERSAMPLING: usize = 10;
/// How often the vectors go through the matrix and back; the error falls with the ratio of neighbouring values to the power of
/// twice as many and one (the same, theorem 10.6).
const ITERATIONS: usize = 8;
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
    /// The `count` largest ones of a matrix. Of a small matrix they are exact within rounding; of a large one they are found
    /// in the range of random vectors that went through it several times (Halko et al., algorithm 4.4). Which sign a pair of
    /// vectors has is left open.
    pub(crate) fn largest(matrix: Matrix<'_>, count: usize, random: &mut WeightRandom) -> Self {
        let shorter = matrix.rows.min(matrix.columns);
        let followed = (count + OVERSAMPLING).min(shorter);
        let mut all = if shorter <= SMALL.max(followed) { full(matrix) } else { in_range(matrix, followed, random) };
        all.values.truncate(count);
        all.left.truncate(count);
        all.right.truncate(count);
        all
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

/// Of a matrix that is large in both directions: the singular values of its part in the range of `followed` vectors.
fn in_range(matrix: Matrix<'_>, followed: usize, random: &mut WeightRandom) -> SingularValues {
    let drawn: Vec<Vec<f64>> = (0..followed).map(|_| (0..matrix.columns).map(|_| random.normal()).collect()).collect();
    let mut range = through(matrix, &drawn);
    at_right_angles(&mut range);
    for _ in 0..ITERATIONS {
        let mut back = through_transposed(matrix, &range);
        at_right_angles(&mut back);
        range = through(matrix, &back);
        at_right_angles(&mut range);
    }
    // Mᵀ·Q = P·R, so that M ≈ Q·Rᵀ·Pᵀ, and R is small
    let image = through_transposed(matrix, &range);
    let mut basis = image.clone();
    at_right_angles(&mut basis);
    let small: Vec<Vec<f64>> = basis.iter().map(|own| image.iter().map(|column| dot(own, column)).collect()).collect();
    // its rows are the columns of Rᵀ
    let inner = of_columns(small);
    let combined = |basis: &[Vec<f64>], weights: &[f64]| {
        let mut sum = vec![0.0; basis.first().map_or(0, Vec::len)];
        for (vector, weight) in basis.iter().zip(weights) {
            sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += weight * value);
        }
        sum
    };
    SingularValues {
        left: inner.left.iter().map(|weights| combined(&range, weights)).collect(),
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

/// Gram-Schmidt, each vector twice, which rounding asks for (L. Giraud et al., 2005). What lies in those before becomes zero.
fn at_right_angles(vectors: &mut [Vec<f64>]) {
    for at in 0..vectors.len() {
        let (before, behind) = vectors.split_at_mut(at);
        let own = &mut behind[0];
        let first = dot(own, own).sqrt();
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(own, other);
                own.iter_mut().zip(other).for_each(|(own, other)| *own -= along * other);
            }
        }
        let left = dot(own, own).sqrt();
        let factor = if left > 1e-13 * first { 1.0 / left } else { 0.0 };
        own.iter_mut().for_each(|value| *value *= factor);
    }
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
    fn the_range_of_random_vectors_holds_the_largest_ones_of_a_large_matrix() {
        let (rows, columns, count) = (180, 150, 6);
        // values fall by a tenth each, as those of trained weights do or faster
        let mut drawn = random();
        let mut frame = |length: usize| {
            let mut vectors: Vec<Vec<f64>> = (0..60).map(|_| (0..length).map(|_| drawn.normal()).collect()).collect();
            at_right_angles(&mut vectors);
            vectors
        };
        let values = (0..60).map(|at| 0.9_f64.powi(at)).collect();
        let known = SingularValues { values, left: frame(rows), right: frame(columns) };
        let stored: Vec<f32> = product(&known, rows, columns).iter().map(|value| *value as f32).collect();
        let found = SingularValues::largest(Matrix { rows, columns, values: &stored }, count, &mut random());
        assert_eq!(found.values.len(), count);
        assert!(largest_difference(&found.values, &known.values[..count]) < 1e-6, "{:?}", found.values);
        for at in 0..count {
            for (found, known) in [(&found.left, &known.left), (&found.right, &known.right)] {
                assert!((dot(&found[at], &known[at]).abs() - 1.0).abs() < 1e-9, "vector {at}");
            }
        }
        let again = SingularValues::largest(Matrix { rows, columns, values: &stored }, count, &mut random());
        assert_eq!(again.left, found.left, "the same each time");
    }
}
