use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest side of an image that is rendered, in pixels.
pub const LARGEST_SIDE: u32 = 1 << 14;

/// What is known of an image before it is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageFacts {
    /// Pixels across, after any EXIF orientation.
    pub width: u32,
    /// Pixels down, after any EXIF orientation.
    pub height: u32,
}

impl fmt::Display for ImageFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.width, self.height)
    }
}
