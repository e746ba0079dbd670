//! Steps that are a function of one pixel and its place.

mod add_noise;
mod brightness;
mod contrast;
mod hue;
mod normalize;
mod point_step;
mod saturation;

use super::step_row::StepRow;

pub use add_noise::{AddNoise, NoiseKind};
pub use brightness::Brightness;
pub use contrast::Contrast;
pub use hue::Hue;
pub use normalize::Normalize;
pub use point_step::{PointStep, RowPlace};
pub use saturation::Saturation;

pub(crate) const TABLE: &[StepRow] =
    &[add_noise::STEP, brightness::STEP, contrast::STEP, hue::STEP, normalize::STEP, saturation::STEP];
