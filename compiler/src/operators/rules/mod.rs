//! Rules that several operators share: axes, folding, reductions, sliding windows, convolutions.

pub(crate) mod axes;
pub(crate) mod convolutions;
pub(crate) mod folding;
pub(crate) mod reductions;
pub(crate) mod windows;
