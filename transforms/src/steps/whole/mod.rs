//! Steps that need the whole image.

mod contrast_about_mean;
mod equalize;
mod whole_step;

use super::step_row::StepRow;

pub use contrast_about_mean::ContrastAboutMean;
pub use equalize::Equalize;
pub use whole_step::WholeStep;

pub(crate) const TABLE: &[StepRow] = &[
    contrast_about_mean::STEP, //
    equalize::STEP,
];
