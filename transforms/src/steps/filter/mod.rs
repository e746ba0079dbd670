//! Steps that need the pixels within a radius.

mod filter_step;
mod gaussian_blur;

use super::step_row::StepRow;

pub use filter_step::{FilterStep, Neighbours};
pub use gaussian_blur::GaussianBlur;
pub(crate) use gaussian_blur::{LEAST_SIGMA, MOST_SIGMA};

pub(crate) const TABLE: &[StepRow] = &[
    gaussian_blur::STEP, //
];
