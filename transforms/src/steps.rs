use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image_facts::ImageFacts;
use crate::matrix::Matrix;

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

/// The distribution of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoiseKind {
    /// Normal, independent for each value.
    Gaussian,
}

/// One thing that happens to an image, with exact parameters. A closed set: renderers know all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ImageStep {
    /// Adds noise to each value and clips to the range of the image.
    AddNoise {
        /// Its distribution.
        kind: NoiseKind,
        /// Standard deviation, where the image's range is 0 to 1.
        strength: f32,
        /// Which noise.
        seed: u64,
    },
    /// Subtracts the mean and divides by the standard deviation, per channel, where the image's range is 0 to 1.
    Normalize {
        /// Of red, green, blue.
        mean: [f32; 3],
        /// Of red, green, blue.
        std: [f32; 3],
    },
    /// Takes each output pixel from where the matrix says.
    Project {
        /// From the output's coordinates to the input's.
        matrix: Matrix,
        /// Of the output, in pixels.
        width: u32,
        /// Of the output, in pixels.
        height: u32,
        /// Red, green, blue where there is no input.
        fill: [u8; 3],
        /// How pixels are weighted.
        kernel: Kernel,
    },
}

impl ImageStep {
    /// The step that keeps the size, and takes each pixel from where the matrix says.
    pub(crate) fn project(matrix: Matrix, facts: &ImageFacts, fill: [u8; 3]) -> Self {
        Self::Project { matrix, width: facts.width, height: facts.height, fill, kernel: Kernel::Bilinear }
    }
}

/// A step, and the transform that drew it. Displays as a caption: `rotate 12.3°`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnStep {
    /// Registered name of the transform.
    pub transform: Cow<'static, str>,
    /// What happens.
    pub step: ImageStep,
}

impl fmt::Display for DrawnStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.transform)?;
        let detail = self.step.to_string();
        if detail.is_empty() { Ok(()) } else { write!(f, " {detail}") }
    }
}

/// The parameters for people; empty for a plain mirror image.
impl fmt::Display for ImageStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddNoise { strength, .. } => write!(f, "σ {strength:.3}"),
            Self::Normalize { mean: [a, b, c], std: [d, e, g] } => {
                write!(f, "mean {a:.3} {b:.3} {c:.3}, std {d:.3} {e:.3} {g:.3}")
            }
            Self::Project { matrix, width, height, .. } => describe_projection(f, matrix, *width, *height),
        }
    }
}

fn describe_projection(f: &mut fmt::Formatter<'_>, matrix: &Matrix, width: u32, height: u32) -> fmt::Result {
    let [a, b, x, c, d, y, ..] = matrix.0;
    if !matrix.is_affine() {
        return write!(f, "perspective → {width}×{height}");
    }
    if matrix.is_axis_aligned() {
        if a.abs() == 1.0 && d.abs() == 1.0 {
            let mirrored = a < 0.0 || d < 0.0;
            let whole =
                x == if a < 0.0 { f64::from(width) } else { 0.0 } && y == if d < 0.0 { f64::from(height) } else { 0.0 };
            return match (mirrored, whole) {
                (true, true) => Ok(()),
                (false, false) => write!(f, "{width}×{height} at ({}, {})", rounded(x), rounded(y)),
                _ => write!(f, "{width}×{height}"),
            };
        }
        let [left, top, right, bottom] = matrix.bounds(width, height);
        write!(f, "{}×{}", rounded(right - left), rounded(bottom - top))?;
        if (left, top) != (0.0, 0.0) {
            write!(f, " at ({}, {})", rounded(left), rounded(top))?;
        }
        return write!(f, " → {width}×{height}");
    }
    let area = (a * d - b * c).abs().sqrt();
    write!(f, "{:.1}°", c.atan2(a).to_degrees())?;
    if (area - 1.0).abs() > 1e-9 { write!(f, ", ×{:.2}", 1.0 / area) } else { Ok(()) }
}

fn rounded(value: f64) -> f64 {
    let tenths = (value * 10.0).round() / 10.0;
    if tenths == 0.0 { 0.0 } else { tenths }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions() {
        let project = |matrix, width, height| {
            let step = ImageStep::Project { matrix, width, height, fill: [0; 3], kernel: Kernel::Bilinear };
            DrawnStep { transform: "x".into(), step }.to_string()
        };
        let (sin, cos) = crate::elementary::sin_cos_degrees(12.3);
        for (matrix, caption) in [
            (Matrix([-1.0, 0.0, 20.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]), "x"),
            (Matrix::scale_then_move(2.0, 3.0, 4.0, 7.0), "x 40×30 at (4, 7) → 20×10"),
            (Matrix::scale_then_move(2.0, 3.0, 0.0, 0.0), "x 40×30 → 20×10"),
            (Matrix::scale_then_move(1.0, 1.0, -3.0, 2.0), "x 20×10 at (-3, 2)"),
            (Matrix([cos, -sin, 1.0, sin, cos, 2.0, 0.0, 0.0, 1.0]), "x 12.3°"),
        ] {
            assert_eq!(project(matrix, 20, 10), caption);
        }
        let noise = ImageStep::AddNoise { kind: NoiseKind::Gaussian, strength: 0.05, seed: 1 };
        assert_eq!(noise.to_string(), "σ 0.050");
    }
}
