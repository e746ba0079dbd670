//! Takes each output pixel from where a matrix says.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::border::Border;
use super::map_step::{MapStep, Place};
use crate::image_facts::{ImageFacts, LARGEST_SIDE};
use crate::matrix::{Matrix, corners};
use crate::steps::image_step::ImageStep;
use crate::steps::kernel::Kernel;
use crate::steps::step::Step;
use crate::steps::step_row::StepRow;

pub(crate) const STEP: StepRow = StepRow::of::<Project>(
    "project",
    &[
        r#"{"matrix": [1, 0, 4, 0, 1, 3, 0, 0, 1], "width": 24, "height": 19, "fill": [9, 8, 7], "kernel": "bilinear"}"#,
        r#"{"matrix": [-1, 0, 31, 0, 1, -2, 0, 0, 1], "width": 30, "height": 26, "fill": [0, 90, 200], "kernel": "cubic"}"#,
        r#"{"matrix": [1.4, 0, 1, 0, 1.7, 2, 0, 0, 1], "width": 20, "height": 12, "fill": [0, 0, 0], "kernel": "lanczos3"}"#,
        r#"{"matrix": [0.9, -0.3, 5, 0.3, 0.9, -4, 0, 0, 1], "width": 28, "height": 28, "fill": [5, 5, 5], "kernel": "bilinear"}"#,
        r#"{"matrix": [1, 0, 9, 0, 1, 6, 0, 0, 1], "width": 14, "height": 11, "fill": [0, 0, 0], "kernel": "bilinear"}"#,
        r#"{"matrix": [1, 0, -5, 0, 1, 4, 0, 0, 1], "width": 20, "height": 17, "fill": [9, 99, 9], "border": "picture", "kernel": "bilinear"}"#,
        r#"{"matrix": [1, 0, -7, 0, -1, 21, 0, 0, 1], "width": 26, "height": 20, "fill": [9, 99, 9], "border": "picture", "kernel": "bilinear"}"#,
        r#"{"matrix": [0.8, 0.5, -3, -0.5, 0.8, 7, 0, 0, 1], "width": 22, "height": 25, "fill": [70, 0, 70], "border": "picture", "kernel": "bilinear"}"#,
        r#"{"matrix": [1, 0, -6, 0, 1, 3, 0, 0, 1], "width": 29, "height": 27, "fill": [0, 0, 0], "border": "edge", "kernel": "bilinear"}"#,
        r#"{"matrix": [1, 0, -6, 0, 1, 3, 0, 0, 1], "width": 29, "height": 27, "fill": [0, 0, 0], "border": "reflect", "kernel": "bilinear"}"#,
        r#"{"matrix": [0.9, -0.4, 5, 0.4, 0.9, -4, 0, 0, 1], "width": 28, "height": 28, "fill": [5, 5, 5], "border": "reflect", "kernel": "bilinear"}"#,
        r#"{"matrix": [1, 0, -6, 0, 1, 3, 0, 0, 1], "width": 29, "height": 27, "fill": [0, 0, 0], "border": "wrap", "kernel": "bilinear"}"#,
    ],
);

/// Rounding that maps are allowed, in pixels.
const SLACK: f64 = 1e-6;

/// Takes each output pixel from where the matrix says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// From the output's coordinates to the input's.
    pub matrix: Matrix,
    /// Of the output, in pixels.
    pub width: u32,
    /// Of the output, in pixels.
    pub height: u32,
    /// Red, green, blue where there is no input.
    pub fill: [u8; 3],
    /// What is seen there; `fill` where a drawing says nothing.
    #[serde(default, skip_serializing_if = "Border::is_fill")]
    pub border: Border,
    /// How pixels are weighted.
    pub kernel: Kernel,
}

impl Project {
    /// The step that makes an image of this size, and takes each pixel from where the matrix says.
    pub(crate) fn within(matrix: Matrix, facts: &ImageFacts, border: Border, fill: [u8; 3]) -> ImageStep {
        Self { matrix, width: facts.width, height: facts.height, fill, border, kernel: Kernel::Bilinear }.into()
    }
}

impl From<Project> for ImageStep {
    fn from(step: Project) -> Self {
        Self::Map(Arc::new(step))
    }
}

impl Step for Project {
    fn name(&self) -> &'static str {
        STEP.name
    }

    fn check(&self, _: &ImageFacts) -> Result<(), String> {
        let Self { matrix, width, height, .. } = self;
        let sides = 1..=LARGEST_SIDE;
        if !sides.contains(width) || !sides.contains(height) {
            return Err(format!("{width}×{height} pixels; 1 to {LARGEST_SIDE} a side is possible"));
        }
        let sane = matrix.0.iter().all(|value| value.abs() < 1e9)
            && corners(*width, *height).iter().all(|(x, y)| matrix.depth(*x, *y) > SLACK)
            && matrix.inverse().is_some();
        if sane { Ok(()) } else { Err("the matrix maps the image to nothing".into()) }
    }

    fn caption(&self) -> String {
        let Self { matrix, width, height, .. } = self;
        let [a, b, x, c, d, y, ..] = matrix.0;
        if !matrix.is_affine() {
            return format!("perspective → {width}×{height}");
        }
        if matrix.is_axis_aligned() {
            if a.abs() == 1.0 && d.abs() == 1.0 {
                let mirrored = a < 0.0 || d < 0.0;
                let start = |scale: f64, length: u32| if scale < 0.0 { f64::from(length) } else { 0.0 };
                let whole = x == start(a, *width) && y == start(d, *height);
                return match (mirrored, whole) {
                    (true, true) => String::new(),
                    (false, false) => format!("{width}×{height} at ({}, {})", rounded(x), rounded(y)),
                    (true, false) | (false, true) => format!("{width}×{height}"),
                };
            }
            let [left, top, right, bottom] = matrix.bounds(*width, *height);
            let size = format!("{}×{}", rounded(right - left), rounded(bottom - top));
            if (left, top) == (0.0, 0.0) {
                return format!("{size} → {width}×{height}");
            }
            return format!("{size} at ({}, {}) → {width}×{height}", rounded(left), rounded(top));
        }
        let area = (a * d - b * c).abs().sqrt();
        let angle = format!("{:.1}°", c.atan2(a).to_degrees());
        if (area - 1.0).abs() > 1e-9 { format!("{angle}, ×{:.2}", 1.0 / area) } else { angle }
    }
}

impl MapStep for Project {
    fn output(&self, input: &ImageFacts) -> ImageFacts {
        input.resized(self.width, self.height)
    }

    fn place(&self) -> Place {
        Place::Projected(self.matrix)
    }

    fn fill(&self) -> [u8; 3] {
        self.fill
    }

    fn border(&self) -> Border {
        self.border
    }

    fn kernel(&self) -> Kernel {
        self.kernel
    }

    fn forward(&self, x: f64, y: f64) -> (f64, f64) {
        self.matrix.inverse().map_or((f64::NAN, f64::NAN), |forward| forward.apply(x, y))
    }
}

fn rounded(value: f64) -> f64 {
    let tenths = (value * 10.0).round() / 10.0;
    if tenths == 0.0 { 0.0 } else { tenths }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::image_step::DrawnStep;

    #[test]
    fn captions() {
        let project = |matrix, width, height| {
            let step = Project { matrix, width, height, fill: [0; 3], border: Border::Fill, kernel: Kernel::Bilinear };
            DrawnStep { transform: "x".into(), step: step.into() }.to_string()
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
    }
}
