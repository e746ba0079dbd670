//! Getting the pixels ready that the output's rows are made of.

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::legs::Leg;
use super::map_run::{MapRun, Sampling};
use super::pixels::Pixels;
use super::sampled::{Line, PADDING, Sampled};
use super::weighted::{self, Rounded};
use super::{spread, vector};
use crate::TransformError;
use crate::matrix::Matrix;
use crate::steps::Kernel;
use crate::steps::map::{Displacer, Place};

/// What the rows of the output are made of.
pub(super) enum Rows<'a, S> {
    /// Each output row is a row of pixels, mirrored or not.
    Straight { pixels: Pixels<'a, S>, mirror_x: bool, mirror_y: bool },
    /// Output pixels are interpolated between those of an image that is followed by [`PADDING`] values.
    Warped { image: Sampled<'a, S>, matrix: Matrix, nearest: bool },
    /// The same by several legs; `matrix` leads from the source to the image.
    Bent {
        image: Sampled<'a, S>,
        legs: &'a [Leg],
        fields: Vec<Option<Box<dyn Displacer>>>,
        matrix: Matrix,
        nearest: bool,
    },
}

/// What images are made of while they are rendered: bytes of up to four channels, or floats.
pub(super) trait Resample: Rounded {
    /// Resizes a box (left, top, width, height) within a region of `size` pixels to `across` × `down` pixels.
    fn resize(
        source: &Pixels<'_, Self>,
        size: [u32; 2],
        crop: [f64; 4],
        target_size: [u32; 2],
        kernel: Kernel,
        resizer: &mut Resizer,
        target: &mut [Self],
    ) -> Result<(), String>;

    /// A row of pixels to a row of values 0 to 1 for each channel.
    fn spread(pixels: &[Self], mirrored: bool, row: &mut [&mut [f32]]);

    /// Interpolates the columns of `span` along a line.
    fn sample(image: &Sampled<'_, Self>, line: &Line, span: std::ops::Range<usize>, row: &mut [&mut [f32]]);

    /// The nearest of such values to one of 0 to 1.
    fn of_value(value: f32) -> Self;

    /// Brings values to the nearest that an image of such values can have.
    fn quantize(values: &mut [f32]);
}

impl Resample for u8 {
    fn resize(
        source: &Pixels<'_, Self>,
        size: [u32; 2],
        crop: [f64; 4],
        [across, down]: [u32; 2],
        kernel: Kernel,
        resizer: &mut Resizer,
        target: &mut [Self],
    ) -> Result<(), String> {
        let algorithm = match kernel {
            Kernel::Area => {
                weighted::resize(source, size, crop, [across, down], kernel, target);
                return Ok(());
            }
            Kernel::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Kernel::Cubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Kernel::Lanczos3 => ResizeAlg::Convolution(FilterType::Lanczos3),
            Kernel::Nearest => ResizeAlg::Nearest,
        };
        let pixel = match source.channels {
            1 => PixelType::U8,
            2 => PixelType::U8x2,
            3 => PixelType::U8x3,
            _ => PixelType::U8x4,
        };
        let [left, top, width, height] = crop;
        let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false).crop(left, top, width, height);
        let (columns, rows) = (source.stride, source.values.len() / source.channels / source.stride);
        let image = ImageRef::new(columns as u32, rows as u32, source.values, pixel).map_err(|e| e.to_string())?;
        let region = CroppedImage::new(&image, source.left, source.top, size[0], size[1]).map_err(|e| e.to_string())?;
        let mut target = Image::from_slice_u8(across, down, target, pixel).map_err(|e| e.to_string())?;
        resizer.resize(&region, &mut target, &options).map_err(|e| e.to_string())
    }

    fn spread(pixels: &[Self], mirrored: bool, row: &mut [&mut [f32]]) {
        vector::spread(pixels, mirrored, row);
    }

    fn sample(image: &Sampled<'_, Self>, line: &Line, span: std::ops::Range<usize>, row: &mut [&mut [f32]]) {
        vector::sample(image, line, span, row);
    }

    #[inline(always)]
    fn of_value(value: f32) -> Self {
        (value * 255.0 + 0.5) as u8
    }

    fn quantize(values: &mut [f32]) {
        vector::quantize(values);
    }
}

impl Resample for f32 {
    fn resize(
        source: &Pixels<'_, Self>,
        size: [u32; 2],
        crop: [f64; 4],
        target_size: [u32; 2],
        kernel: Kernel,
        _: &mut Resizer,
        target: &mut [Self],
    ) -> Result<(), String> {
        weighted::resize(source, size, crop, target_size, kernel, target);
        Ok(())
    }

    fn spread(pixels: &[Self], mirrored: bool, row: &mut [&mut [f32]]) {
        spread::spread(pixels, mirrored, row);
    }

    fn sample(image: &Sampled<'_, Self>, line: &Line, span: std::ops::Range<usize>, row: &mut [&mut [f32]]) {
        spread::sample(image, line, span, row);
    }

    #[inline(always)]
    fn of_value(value: f32) -> Self {
        value
    }

    fn quantize(_: &mut [f32]) {}
}

/// Resizes what has to be resized.
pub(super) fn prepare<'a, S: Resample>(
    run: &'a MapRun,
    source: Pixels<'a, S>,
    resizer: &mut Resizer,
    buffer: &'a mut Vec<S>,
) -> Result<Rows<'a, S>, TransformError> {
    match &run.sampling {
        Sampling::Copy { mirror_x, mirror_y } => {
            Ok(Rows::Straight { pixels: source, mirror_x: *mirror_x, mirror_y: *mirror_y })
        }
        Sampling::Resize { crop, mirror_x, mirror_y, kernel } => {
            let [.., width, height] = run.window;
            resize(run, &source, *crop, [width, height], *kernel, resizer, buffer)?;
            let stride = width as usize;
            let pixels = Pixels { values: buffer, channels: source.channels, stride, left: 0, top: 0 };
            Ok(Rows::Straight { pixels, mirror_x: *mirror_x, mirror_y: *mirror_y })
        }
        Sampling::Warp { resized, matrix, kernel } => {
            let image = gather(run, &source, *resized, *kernel, resizer, buffer)?;
            Ok(Rows::Warped { image, matrix: *matrix, nearest: *kernel == Kernel::Nearest })
        }
        Sampling::Bend { resized, legs, matrix, kernel } => {
            let image = gather(run, &source, *resized, *kernel, resizer, buffer)?;
            let field = |leg: &Leg| match &leg.place {
                Place::Displaced(field) => Some(field.over(leg.from)),
                Place::Projected(_) => None,
            };
            let fields = legs.iter().map(field).collect();
            Ok(Rows::Bent { image, legs, fields, matrix: *matrix, nearest: *kernel == Kernel::Nearest })
        }
    }
}

/// The region without gaps, resized where that is to be.
fn gather<'a, S: Resample>(
    run: &MapRun,
    source: &Pixels<'_, S>,
    [width, height]: [u32; 2],
    kernel: Kernel,
    resizer: &mut Resizer,
    buffer: &'a mut Vec<S>,
) -> Result<Sampled<'a, S>, TransformError> {
    let [.., across, down] = run.region;
    if [width, height] == [across, down] {
        buffer.clear();
        for y in 0..down as usize {
            buffer.extend_from_slice(source.row(y, across as usize));
        }
        buffer.extend_from_slice(&[S::default(); PADDING]);
    } else {
        let whole = [0.0, 0.0, f64::from(across), f64::from(down)];
        resize(run, source, whole, [width, height], kernel, resizer, buffer)?;
    }
    Ok(Sampled { values: buffer, width, height })
}

fn resize<S: Resample>(
    run: &MapRun,
    source: &Pixels<'_, S>,
    crop: [f64; 4],
    [across, down]: [u32; 2],
    kernel: Kernel,
    resizer: &mut Resizer,
    buffer: &mut Vec<S>,
) -> Result<(), TransformError> {
    let [.., width, height] = run.region;
    buffer.resize(across as usize * down as usize * source.channels + PADDING, S::default());
    let resized = S::resize(source, [width, height], crop, [across, down], kernel, resizer, buffer);
    resized.map_err(|got| {
        let [left, top, width, height] = crop;
        let wanted = format!("{width}×{height} at ({left}, {top}) of {:?}", run.region);
        TransformError::MissingRegion { wanted, got }
    })
}
