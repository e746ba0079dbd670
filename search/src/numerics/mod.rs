//! What the proposers compute with: matrices of some hundred rows, the normal distribution, a sequence that fills space evenly,
//! and a minimizer. Logarithms and their like are those of `libm`, whose bits are the same on every machine.

mod cholesky;
mod minimization;
pub(crate) mod normal;
mod sobol_directions;
mod sobol_sequence;
mod symmetric_eigen;

pub(crate) use cholesky::Cholesky;
pub(crate) use minimization::{Ending, minimize};
pub(crate) use sobol_sequence::SobolSequence;
pub(crate) use symmetric_eigen::symmetric_eigen;

/// Sum of the products of two rows.
pub(crate) fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}
