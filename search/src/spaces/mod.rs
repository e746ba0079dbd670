//! What may be chosen: distributions, some of which depend on what another chose, and the recipe that they were left open in.

mod assignment;
mod distribution;
mod extraction;
mod size;
mod space;
mod template;

pub use assignment::Assignment;
pub use distribution::{Distribution, Scale};
pub use size::Size;
pub use space::{Condition, Group, Parameter, Space};
pub use template::Template;
