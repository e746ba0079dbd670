//! Getting the pixels ready that the output's rows are made of.

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::area;
use super::pixels::Pixels;
use super::plan::{Plan, Sampling};
use crate::{Kernel, Matrix, TransformError};

/// Bytes behind the last pixel that a warp may read and never uses.
pub(super) const PADDING: usize = 4;

/// What the rows of the output are made of.
pub(super) enum Rows<'a> {
    /// Each output row is a row of pixels, mirrored or not.
    Straight { pixels: Pixels<'a>, mirror_x: bool, mirror_y: bool },
    /// Output pixels are interpolated between those of an image of this size, stored without gaps and followed by
    /// [`PADDING`] bytes.
    Warped { bytes: &'a [u8], width: u32, height: u32, matrix: Matrix, nearest: bool },
}

/// Resizes what has to be resized.
pub(super) fn prepare<'a>(
    plan: &Plan,
    source: Pixels<'a>,
    resizer: &mut Resizer,
    buffer: &'a mut Vec<u8>,
) -> Result<Rows<'a>, TransformError> {
    let [.., across, down] = plan.region;
    match plan.sampling {
        Sampling::Copy { mirror_x, mirror_y } => Ok(Rows::Straight { pixels: source, mirror_x, mirror_y }),
        Sampling::Resize { crop, mirror_x, mirror_y, kernel } => {
            resize(plan, source, crop, [plan.width, plan.height], kernel, resizer, buffer)?;
            let pixels = Pixels { bytes: buffer, stride: plan.width as usize, left: 0, top: 0 };
            Ok(Rows::Straight { pixels, mirror_x, mirror_y })
        }
        Sampling::Warp { resized, matrix, kernel } => {
            if resized == [across, down] {
                copy(plan, source, buffer);
            } else {
                let whole = [0.0, 0.0, f64::from(across), f64::from(down)];
                resize(plan, source, whole, resized, kernel, resizer, buffer)?;
            }
            let [width, height] = resized;
            Ok(Rows::Warped { bytes: buffer, width, height, matrix, nearest: kernel == Kernel::Nearest })
        }
    }
}

/// Copies the region without gaps.
fn copy(plan: &Plan, source: Pixels<'_>, buffer: &mut Vec<u8>) {
    let [.., across, down] = plan.region;
    buffer.clear();
    for y in 0..down as usize {
        buffer.extend_from_slice(source.row(y, across as usize));
    }
    buffer.extend_from_slice(&[0; PADDING]);
}

fn resize(
    plan: &Plan,
    source: Pixels<'_>,
    [left, top, width, height]: [f64; 4],
    [across, down]: [u32; 2],
    kernel: Kernel,
    resizer: &mut Resizer,
    buffer: &mut Vec<u8>,
) -> Result<(), TransformError> {
    let refused = |error: &dyn std::fmt::Display| TransformError::MissingRegion {
        wanted: format!("{width}×{height} at ({left}, {top}) of {:?}", plan.region),
        got: error.to_string(),
    };
    let [.., region_width, region_height] = plan.region;
    buffer.resize(across as usize * down as usize * 3 + PADDING, 0);
    let algorithm = match kernel {
        Kernel::Area => {
            let (size, crop) = ([region_width, region_height], [left, top, width, height]);
            area::resize(&source, size, crop, [across, down], buffer);
            return Ok(());
        }
        Kernel::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Kernel::Cubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Kernel::Lanczos3 => ResizeAlg::Convolution(FilterType::Lanczos3),
        Kernel::Nearest => ResizeAlg::Nearest,
    };
    let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false).crop(left, top, width, height);
    let (columns, rows) = (source.stride as u32, (source.bytes.len() / 3 / source.stride) as u32);
    let image = ImageRef::new(columns, rows, source.bytes, PixelType::U8x3).map_err(|error| refused(&error))?;
    let region = CroppedImage::new(&image, source.left, source.top, region_width, region_height)
        .map_err(|error| refused(&error))?;
    let mut target = Image::from_slice_u8(across, down, buffer, PixelType::U8x3).map_err(|error| refused(&error))?;
    resizer.resize(&region, &mut target, &options).map_err(|error| refused(&error))
}
