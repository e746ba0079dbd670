//! What can happen to an image: a small set of steps in four families, one file a step.
//!
//! *map*: where each output pixel comes from; *point*: a function of one pixel and its place; *filter*: needs the pixels
//! within a radius; *whole*: needs the whole image. Renderers ask the family, and the step what it says about itself.

pub mod filter;
mod image_step;
mod kernel;
pub mod map;
pub mod point;
mod reading;
mod step;
mod step_row;
pub mod whole;

pub use image_step::{DrawnStep, ImageStep};
pub use kernel::Kernel;
#[cfg(test)]
pub(crate) use reading::rows;
pub use step::Step;
pub use step_row::StepRow;
