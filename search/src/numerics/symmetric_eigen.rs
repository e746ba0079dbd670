/// Eigenvalues of a symmetric matrix of `size` rows, and the eigenvectors as the columns of a matrix, both matrices row by row;
/// in no particular order. By Jacobi's rotations, which suit some ten rows.
pub(crate) fn symmetric_eigen(matrix: &[f64], size: usize) -> (Vec<f64>, Vec<f64>) {
    const SWEEPS: usize = 60;
    let mut matrix = matrix.to_vec();
    let mut vectors = vec![0.0; size * size];
    for row in 0..size {
        vectors[row * size + row] = 1.0;
    }
    for _ in 0..SWEEPS {
        let square = |at: usize| matrix[at] * matrix[at];
        let beside: f64 = (0..size * size).filter(|at| at / size != at % size).map(square).sum();
        let on: f64 = (0..size).map(|row| square(row * size + row)).sum();
        if beside <= 1e-30 * on || beside.is_nan() {
            break;
        }
        for left in 0..size {
            for right in left + 1..size {
                rotate(&mut matrix, &mut vectors, size, left, right);
            }
        }
    }
    ((0..size).map(|row| matrix[row * size + row]).collect(), vectors)
}

/// Makes the element at (left, right) zero.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], size: usize, left: usize, right: usize) {
    let off = matrix[left * size + right];
    if off == 0.0 {
        return;
    }
    let theta = (matrix[right * size + right] - matrix[left * size + left]) / (2.0 * off);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    let turn = |values: &mut [f64], first: usize, second: usize| {
        let (a, b) = (values[first], values[second]);
        values[first] = cosine * a - sine * b;
        values[second] = sine * a + cosine * b;
    };
    for other in 0..size {
        turn(matrix, other * size + left, other * size + right);
    }
    for other in 0..size {
        turn(matrix, left * size + other, right * size + other);
        turn(vectors, other * size + left, other * size + right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    #[test]
    fn a_matrix_is_its_eigenvectors_scaled_by_the_eigenvalues() {
        for size in [1, 2, 5, 12] {
            let mut random = Random::of(size as u64, 1, "eigen");
            let mut matrix = vec![0.0; size * size];
            for row in 0..size {
                for column in 0..=row {
                    let value = random.normal();
                    matrix[row * size + column] = value;
                    matrix[column * size + row] = value;
                }
            }
            let (values, vectors) = symmetric_eigen(&matrix, size);
            for row in 0..size {
                for column in 0..size {
                    let made = (0..size)
                        .map(|k| vectors[row * size + k] * values[k] * vectors[column * size + k])
                        .sum::<f64>();
                    assert!((made - matrix[row * size + column]).abs() < 1e-10);
                    let product = (0..size).map(|k| vectors[k * size + row] * vectors[k * size + column]).sum::<f64>();
                    assert!((product - f64::from(u8::from(row == column))).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_ends_it() {
        let (values, _) = symmetric_eigen(&[f64::NAN; 4], 2);
        assert!(values.iter().all(|value| value.is_nan()));
    }
}
