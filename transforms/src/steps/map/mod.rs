//! Steps that say where each output pixel comes from.

mod border;
mod displace;
mod map_step;
mod project;

use super::step_row::StepRow;

pub use border::Border;
pub use displace::Displace;
pub(crate) use displace::{LEAST_SIGMA, MOST_SIGMA, most_alpha};
pub use map_step::{Displacement, Displacer, MapStep, Place};
pub use project::Project;

pub(crate) const TABLE: &[StepRow] = &[
    displace::STEP, //
    project::STEP,
];
