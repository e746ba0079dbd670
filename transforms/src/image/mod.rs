//! Transforms of images: what is drawn for each.

mod center_crop;
mod gaussian_noise;
mod horizontal_flip;
mod normalize;
mod random_resized_crop;
mod resize;
mod rotate;
mod translate;
mod vertical_flip;

use crate::random::Random;
use crate::table::Transform;
use crate::{ImageFacts, ImageStep, Kernel, Matrix};

pub(crate) const TABLE: &[Transform] = &[
    center_crop::TRANSFORM,
    gaussian_noise::TRANSFORM,
    horizontal_flip::TRANSFORM,
    normalize::TRANSFORM,
    random_resized_crop::TRANSFORM,
    resize::TRANSFORM,
    rotate::TRANSFORM,
    translate::TRANSFORM,
    vertical_flip::TRANSFORM,
];

/// A transform of images with its options.
pub trait ImageTransform: Send + Sync {
    /// Whether two draws can differ.
    fn is_random(&self) -> bool;

    /// Whether, with these options, it can do to the label what its row states.
    fn changes_label(&self) -> bool {
        false
    }

    /// Appends what happens to an image of this size; nothing, if it is left alone this time.
    fn draw(&self, facts: &ImageFacts, random: &mut Random, steps: &mut Vec<ImageStep>);

    /// The size afterwards, where it follows from the size before.
    fn output_size(&self, input: Option<ImageFacts>) -> Option<ImageFacts> {
        input
    }

    /// Whether what it returns is no image any more.
    fn must_be_last(&self) -> bool {
        false
    }
}

/// The step that keeps the size, and takes each pixel from where the matrix says.
fn project(matrix: Matrix, facts: &ImageFacts, fill: [u8; 3]) -> ImageStep {
    ImageStep::Project { matrix, width: facts.width, height: facts.height, fill, kernel: Kernel::Bilinear }
}

#[cfg(test)]
fn draw(transform: &dyn ImageTransform, width: u32, height: u32, row: u64) -> Vec<ImageStep> {
    let mut steps = Vec::new();
    let mut random = crate::DrawKey { seed: 11, epoch: 0, row }.random("test", 0);
    transform.draw(&ImageFacts { width, height }, &mut random, &mut steps);
    steps
}
