//! Transforms of whole batches.

mod mix_up;

use crate::transform::Transform;

pub(crate) const TABLE: &[Transform] = &[
    mix_up::TRANSFORM, //
];
