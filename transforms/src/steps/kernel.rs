use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How pixels are weighted when an image changes its size. All but `nearest` are antialiased when shrinking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// Mean of the area covered (box).
    Area,
    /// Linear interpolation (triangle).
    #[default]
    Bilinear,
    /// Catmull-Rom.
    Cubic,
    /// Windowed sinc of three lobes.
    Lanczos3,
    /// The pixel at that place, unmixed.
    Nearest,
}
