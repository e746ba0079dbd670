//! The reverse pass: from the loss back to the trainable values. It knows no operator by name.

mod context;
mod expansion;
mod reverse_pass;
mod side_by_side;

pub use context::Backward;
pub(crate) use expansion::AttentionParts;
pub use expansion::Expansion;
pub(crate) use reverse_pass::TrainedPath;
pub use reverse_pass::{gradients, gradients_behind};
