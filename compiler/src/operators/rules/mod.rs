//! Rules that several operators share: axes, element by element, maxima and minima, folding, reductions, sliding windows, convolutions.

pub(crate) mod axes;
pub(crate) mod convolutions;
pub(crate) mod elementwise;
pub(crate) mod extremes;
pub(crate) mod folding;
pub(crate) mod reductions;
pub(crate) mod windows;
