use std::sync::Arc;

use super::border::Border;
use crate::image_facts::ImageFacts;
use crate::matrix::Matrix;
use crate::steps::kernel::Kernel;
use crate::steps::step::Step;

/// Rounding that maps are allowed, in pixels.
const SLACK: f64 = 1e-6;

/// A step that says where each output pixel comes from. Neighbouring maps are fused into one resampling.
pub trait MapStep: Step {
    /// The image afterwards.
    fn output(&self, input: &ImageFacts) -> ImageFacts;

    /// From the output's coordinates to the input's.
    fn place(&self) -> Place;

    /// Red, green, blue where there is no input.
    fn fill(&self) -> [u8; 3];

    /// What is seen where a pixel comes from outside of the input.
    fn border(&self) -> Border {
        Border::Fill
    }

    /// Whether every pixel of the output comes from inside the input.
    fn stays_inside(&self, input: &ImageFacts) -> bool {
        let Place::Projected(matrix) = self.place() else { return false };
        let output = self.output(input);
        let [left, top, right, bottom] = matrix.bounds(output.width, output.height);
        left >= -SLACK
            && top >= -SLACK
            && right <= f64::from(input.width) + SLACK
            && bottom <= f64::from(input.height) + SLACK
    }

    /// How pixels are weighted.
    fn kernel(&self) -> Kernel;

    /// Where a point of the input is in the output. Not a number where it goes nowhere.
    fn forward(&self, x: f64, y: f64) -> (f64, f64);

    /// Whether what is around a point of the input is a mirror image in the output: the map's functional determinant is
    /// negative there. Fields move points by little, and fold nothing over.
    fn mirrors(&self, x: f64, y: f64) -> bool {
        match self.place() {
            Place::Displaced(_) => false,
            Place::Projected(matrix) => matrix.inverse().is_some_and(|forward| forward.turns_over(x, y)),
        }
    }
}

/// Where the pixels of an output come from. Coordinates are those of [`Matrix`].
#[derive(Clone, Debug)]
pub enum Place {
    /// From beside where they are.
    Displaced(Arc<dyn Displacement>),
    /// From where a projective map leads.
    Projected(Matrix),
}

/// A field of vectors over the plane: the output at (x, y) comes from (x, y) + (dx, dy).
pub trait Displacement: std::fmt::Debug + Send + Sync {
    /// The vector at a point.
    fn at(&self, x: f64, y: f64) -> (f64, f64);

    /// No vector is longer than this along either axis, in pixels.
    fn reach(&self) -> f64;

    /// The field over a box (left, top, right, bottom), made ready to be asked often.
    fn over(&self, bounds: [f64; 4]) -> Box<dyn Displacer>;
}

/// A [`Displacement`] over a box.
pub trait Displacer: Send + Sync {
    /// Moves points by the vectors where they are; the same bits as [`Displacement::at`] for points within the box.
    fn displace(&self, xs: &mut [f64], ys: &mut [f64]);
}
