//! Transforms that choose among other transforms.

mod one_of;
mod sequence;
mod sometimes;

use crate::transform::Transform;

pub(crate) const TABLE: &[Transform] = &[
    one_of::TRANSFORM, //
    sequence::TRANSFORM,
    sometimes::TRANSFORM,
];
