//! The nearest matrix with orthogonal rows, roughly: all singular values are brought near 1.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2};

use super::norms::{sum_of_squares, sum_of_squares_nodes};

/// X ← X/‖X‖, then so many times X ← a·X + (b·XXᵀ + c·(XXᵀ)²)·X, which maps each singular value s to a·s + b·s³ + c·s⁵.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewtonSchulz {
    pub(super) coefficients: [f32; 3],
    pub(super) iterations: u32,
    /// Least norm that a matrix is divided by.
    pub(super) epsilon: f32,
}

impl NewtonSchulz {
    /// Of a matrix of `rows` rows, row by row.
    pub(super) fn of(&self, matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        let [a, b, c] = self.coefficients;
        let view = ArrayView2::from_shape((rows, columns), matrix).expect("rows times columns elements");
        // The products of rows are those of the shorter side.
        let is_tall = rows > columns;
        let mut x = if is_tall { view.reversed_axes() } else { view }.as_standard_layout().into_owned();
        let norm = (sum_of_squares(matrix).sqrt() as f32).max(self.epsilon);
        x.mapv_inplace(|value| value / norm);
        let side = x.nrows();
        let (mut products, mut polynomial) = (Array2::zeros((side, side)), Array2::zeros((side, side)));
        let mut next = Array2::zeros(x.dim());
        for _ in 0..self.iterations {
            general_mat_mul(1.0, &x, &x.t(), 0.0, &mut products);
            polynomial.assign(&products);
            general_mat_mul(c, &products, &products, b, &mut polynomial);
            next.assign(&x);
            general_mat_mul(1.0, &polynomial, &x, a, &mut next);
            std::mem::swap(&mut x, &mut next);
        }
        let x = if is_tall { x.reversed_axes() } else { x };
        x.iter().copied().collect()
    }

    /// The same as nodes.
    pub(super) fn nodes(
        &self,
        graph: &mut Graph,
        matrix: ValueId,
        rows: usize,
        columns: usize,
    ) -> Result<ValueId, CompilerError> {
        let [a, b, c] = self.coefficients.map(|value| graph.scalar(value));
        let sum = sum_of_squares_nodes(graph, matrix)?;
        let norm = graph.add("Sqrt", &[sum], &[])?;
        let epsilon = graph.scalar(self.epsilon);
        let norm = graph.add("Max", &[norm, epsilon], &[])?;
        let mut x = graph.divided_by(matrix, norm)?;
        let is_tall = rows > columns;
        if is_tall {
            x = graph.transpose(x, &[1, 0])?;
        }
        for _ in 0..self.iterations {
            let transposed = graph.transpose(x, &[1, 0])?;
            let products = graph.add("MatMul", &[x, transposed], &[])?;
            let squared = graph.add("MatMul", &[products, products], &[])?;
            let (of_products, of_squared) = (graph.times(products, b)?, graph.times(squared, c)?);
            let polynomial = graph.plus(of_products, of_squared)?;
            let (kept, added) = (graph.times(x, a)?, graph.add("MatMul", &[polynomial, x], &[])?);
            x = graph.plus(kept, added)?;
        }
        if is_tall { graph.transpose(x, &[1, 0]) } else { Ok(x) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: NewtonSchulz = NewtonSchulz { coefficients: [3.4445, -4.775, 2.0315], iterations: 5, epsilon: 1e-7 };

    /// Of a diagonal the singular values are its elements, and each goes the way of the polynomial.
    #[test]
    fn singular_values_go_the_way_of_the_polynomial() {
        let diagonal = [3.0_f32, 0.4, 0.01];
        for (rows, columns) in [(3, 3), (3, 5), (5, 3)] {
            let mut matrix = vec![0.0_f32; rows * columns];
            (0..3).for_each(|i| matrix[i * columns + i] = diagonal[i]);
            let norm = diagonal.iter().map(|value| value * value).sum::<f32>().sqrt();
            let found = USUAL.of(&matrix, rows, columns);
            for row in 0..rows {
                for column in 0..columns {
                    let on_diagonal = row == column && row < 3;
                    let polynomial = |s: f64| 3.4445 * s - 4.775 * s.powi(3) + 2.0315 * s.powi(5);
                    let mut wanted = if on_diagonal { f64::from(diagonal[row] / norm) } else { 0.0 };
                    (0..5).for_each(|_| wanted = polynomial(wanted));
                    let got = f64::from(found[row * columns + column]);
                    assert!((got - wanted).abs() < 1e-5, "[{row}, {column}] of {rows} × {columns}: {got}, {wanted}");
                    assert!(!on_diagonal || (0.5..1.5).contains(&got), "{got}");
                }
            }
        }
    }

    #[test]
    fn nothing_stays_nothing() {
        assert_eq!(USUAL.of(&[0.0; 6], 2, 3), [0.0; 6]);
    }
}
