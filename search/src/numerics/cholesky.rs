/// A symmetric positive definite matrix as L·Lᵀ.
#[derive(Clone, Debug)]
pub(crate) struct Cholesky {
    size: usize,
    /// Row by row; what stands above the diagonal is not looked at.
    lower: Vec<f64>,
}

impl Cholesky {
    /// Of a matrix of `size` rows, row by row, of which the part at and below the diagonal counts. `None` where it is not
    /// positive definite.
    pub(crate) fn new(mut matrix: Vec<f64>, size: usize) -> Option<Self> {
        for row in 0..size {
            for column in 0..=row {
                let (before, rest) = matrix.split_at_mut(row * size);
                let above = if column == row { &rest[..column] } else { &before[column * size..][..column] };
                let sum = rest[column] - super::dot(&rest[..column], above);
                rest[column] = if row == column {
                    // A comparison that a NaN fails too.
                    if !(sum > 0.0 && sum.is_finite()) {
                        return None;
                    }
                    sum.sqrt()
                } else {
                    sum / before[column * size + column]
                };
            }
        }
        Some(Self { size, lower: matrix })
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.lower[row * self.size..][..self.size]
    }

    /// L⁻¹·b, in place.
    pub(crate) fn solve_lower(&self, b: &mut [f64]) {
        for row in 0..self.size {
            let left = self.row(row);
            b[row] = (b[row] - super::dot(&left[..row], &b[..row])) / left[row];
        }
    }

    /// L⁻ᵀ·b, in place.
    pub(crate) fn solve_upper(&self, b: &mut [f64]) {
        for row in (0..self.size).rev() {
            let left = self.row(row);
            b[row] /= left[row];
            let value = b[row];
            for (b, left) in b[..row].iter_mut().zip(left) {
                *b -= left * value;
            }
        }
    }

    /// The matrix' inverse times b, in place.
    pub(crate) fn solve(&self, b: &mut [f64]) {
        self.solve_lower(b);
        self.solve_upper(b);
    }

    /// L·x.
    pub(crate) fn lower_times(&self, x: &[f64]) -> Vec<f64> {
        (0..self.size).map(|row| super::dot(&self.row(row)[..=row], x)).collect()
    }

    /// The matrix' inverse, row by row.
    pub(crate) fn inverse(&self) -> Vec<f64> {
        let size = self.size;
        let mut inverse = vec![0.0; size * size];
        for (column, row) in inverse.chunks_exact_mut(size.max(1)).enumerate() {
            row[column] = 1.0;
            self.solve(row);
        }
        inverse
    }

    /// Logarithm of the matrix' determinant.
    pub(crate) fn log_determinant(&self) -> f64 {
        2.0 * (0..self.size).map(|row| libm::log(self.row(row)[row])).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;
    use crate::numerics::dot;

    fn positive_definite(size: usize) -> Vec<f64> {
        let mut random = Random::of(size as u64, 0, "matrix");
        let half: Vec<f64> = (0..size * size).map(|_| random.normal()).collect();
        let rows: Vec<&[f64]> = half.chunks_exact(size).collect();
        (0..size * size)
            .map(|at| dot(rows[at / size], rows[at % size]) + f64::from(u8::from(at / size == at % size)))
            .collect()
    }

    #[test]
    fn what_is_solved_gives_the_right_side_again() {
        for size in [1, 2, 7, 40] {
            let matrix = positive_definite(size);
            let factor = Cholesky::new(matrix.clone(), size).unwrap();
            let right: Vec<f64> = (0..size).map(|row| row as f64 - 3.0).collect();
            let mut solved = right.clone();
            factor.solve(&mut solved);
            let inverse = factor.inverse();
            for row in 0..size {
                assert!((dot(&matrix[row * size..][..size], &solved) - right[row]).abs() < 1e-8, "{size}");
                assert!((dot(&inverse[row * size..][..size], &right) - solved[row]).abs() < 1e-8, "{size}");
            }
            let mut again = factor.lower_times(&right);
            factor.solve_lower(&mut again);
            assert!(again.iter().zip(&right).all(|(a, b)| (a - b).abs() < 1e-9));
        }
    }

    #[test]
    fn the_determinant_is_that_of_the_matrix_and_others_are_refused() {
        let factor = Cholesky::new(vec![4.0, 0.0, 2.0, 5.0], 2).unwrap();
        assert!((factor.log_determinant() - 16f64.ln()).abs() < 1e-12);
        for matrix in [[1.0, 0.0, 2.0, 1.0], [0.0, 0.0, 0.0, 1.0], [f64::NAN, 0.0, 0.0, 1.0], [-1.0, 0.0, 0.0, 1.0]] {
            assert!(Cholesky::new(matrix.to_vec(), 2).is_none(), "{matrix:?}");
        }
        assert!(Cholesky::new(Vec::new(), 0).unwrap().inverse().is_empty());
    }
}
