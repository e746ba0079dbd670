use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest side of an image that is rendered, in pixels.
pub const LARGEST_SIDE: u32 = 1 << 14;

/// The most channels of an image that is rendered.
pub const MOST_CHANNELS: u32 = 256;

/// How the values of an image are stored. Black is 0; white is the largest whole number, or 1 for floats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Whole numbers of 8 bits.
    #[default]
    U8,
    /// Whole numbers of 16 bits.
    U16,
    /// Floats of 32 bits.
    F32,
}

/// What is known of an image before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFacts {
    /// Pixels across, after any EXIF orientation.
    pub width: u32,
    /// Pixels down, after any EXIF orientation.
    pub height: u32,
    /// Values of a pixel: 3 for red, green, blue; 1 for grey.
    #[serde(default = "three", skip_serializing_if = "is_three")]
    pub channels: u32,
    /// How they are stored.
    #[serde(default, skip_serializing_if = "is_8_bit")]
    pub depth: Depth,
}

fn three() -> u32 {
    3
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_three(channels: &u32) -> bool {
    *channels == 3
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_8_bit(depth: &Depth) -> bool {
    *depth == Depth::U8
}

impl ImageFacts {
    /// Of an image of 8-bit red, green, blue.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height, channels: 3, depth: Depth::U8 }
    }

    /// The same channels and depth at another size.
    pub const fn resized(self, width: u32, height: u32) -> Self {
        Self { width, height, ..self }
    }

    /// The same with another number of channels.
    pub const fn with_channels(self, channels: u32) -> Self {
        Self { channels, ..self }
    }

    /// Values in all: width × height × channels.
    pub const fn value_count(&self) -> usize {
        self.width as usize * self.height as usize * self.channels as usize
    }
}

impl Default for ImageFacts {
    /// Of an image without pixels.
    fn default() -> Self {
        Self::new(0, 0)
    }
}

/// `WIDTH×HEIGHT`, and what is not as in most images.
impl fmt::Display for ImageFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.width, self.height)?;
        if self.channels != 3 {
            write!(f, "×{}", self.channels)?;
        }
        match self.depth {
            Depth::U8 => Ok(()),
            Depth::U16 => f.write_str(" 16-bit"),
            Depth::F32 => f.write_str(" float"),
        }
    }
}
