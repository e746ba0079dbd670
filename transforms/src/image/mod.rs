//! Transforms of images: what is drawn for each.

mod center_crop;
mod color_jitter;
mod elastic;
mod equalize;
mod gaussian_blur;
mod gaussian_noise;
mod horizontal_flip;
mod normalize;
mod random_resized_crop;
mod resize;
mod rotate;
mod translate;
mod vertical_flip;

use crate::transform::Transform;

pub(crate) const TABLE: &[Transform] = &[
    center_crop::TRANSFORM,
    color_jitter::TRANSFORM,
    elastic::TRANSFORM,
    equalize::TRANSFORM,
    gaussian_blur::TRANSFORM,
    gaussian_noise::TRANSFORM,
    horizontal_flip::TRANSFORM,
    normalize::TRANSFORM,
    random_resized_crop::TRANSFORM,
    resize::TRANSFORM,
    rotate::TRANSFORM,
    translate::TRANSFORM,
    vertical_flip::TRANSFORM,
];
