//! Turns and mirrors pixels as EXIF says.

use image::metadata::Orientation;

/// Size after turning.
pub(super) fn size(width: u32, height: u32, orientation: Orientation) -> (u32, u32) {
    match orientation {
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => (width, height),
        _ => (height, width),
    }
}

/// RGB pixels of a stored size, turned into `turned`.
pub(super) fn turn(pixels: &[u8], width: u32, height: u32, orientation: Orientation, turned: &mut Vec<u8>) {
    let (out_width, out_height) = size(width, height, orientation);
    let (right, bottom) = (width as usize - 1, height as usize - 1);
    turned.clear();
    turned.reserve(pixels.len());
    for y in 0..out_height as usize {
        for x in 0..out_width as usize {
            let (from_x, from_y) = match orientation {
                Orientation::NoTransforms => (x, y),
                Orientation::FlipHorizontal => (right - x, y),
                Orientation::Rotate180 => (right - x, bottom - y),
                Orientation::FlipVertical => (x, bottom - y),
                Orientation::Rotate90FlipH => (y, x),
                Orientation::Rotate90 => (y, bottom - x),
                Orientation::Rotate270FlipH => (right - y, bottom - x),
                Orientation::Rotate270 => (right - y, x),
            };
            let from = (from_y * width as usize + from_x) * 3;
            turned.extend_from_slice(&pixels[from..from + 3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, RgbImage};

    use super::*;

    #[test]
    fn agrees_with_the_image_crate() {
        let pixels: Vec<u8> = (0..7 * 5 * 3).map(|value| value as u8).collect();
        for value in 1..=8 {
            let orientation = Orientation::from_exif(value).unwrap();
            let mut wanted = DynamicImage::ImageRgb8(RgbImage::from_raw(7, 5, pixels.clone()).unwrap());
            wanted.apply_orientation(orientation);
            let mut turned = Vec::new();
            turn(&pixels, 7, 5, orientation, &mut turned);
            assert_eq!(size(7, 5, orientation), (wanted.width(), wanted.height()), "{value}");
            assert_eq!(turned, wanted.into_rgb8().into_raw(), "{value}");
        }
    }
}
