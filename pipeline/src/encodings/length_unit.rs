use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What places in an image are measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LengthUnit {
    /// Shares of the image's width and height: 0 to 1.
    #[default]
    Shares,
    /// Pixels; the centre of the first is ½.
    Pixels,
}

impl LengthUnit {
    /// What one is, in pixels across and down, in an image of this size.
    pub(super) fn in_pixels(self, (width, height): (u32, u32)) -> (f64, f64) {
        match self {
            Self::Shares => (f64::from(width), f64::from(height)),
            Self::Pixels => (1.0, 1.0),
        }
    }
}
