//! Turns and mirrors pixels as EXIF says.

use image::metadata::Orientation;
use millstream_transforms::DecodeRequest;

/// Size after turning.
pub(super) fn size(width: u32, height: u32, orientation: Orientation) -> (u32, u32) {
    match orientation {
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => (width, height),
        Orientation::Rotate90 | Orientation::Rotate90FlipH | Orientation::Rotate270 | Orientation::Rotate270FlipH => {
            (height, width)
        }
    }
}

/// How many rows of the stored image, from its first, hold what is requested of the turned one.
pub(super) fn stored_rows(request: &DecodeRequest, height: u32, orientation: Orientation) -> u32 {
    let rows = match orientation {
        Orientation::NoTransforms | Orientation::FlipHorizontal => request.top.saturating_add(request.height),
        Orientation::Rotate90FlipH | Orientation::Rotate270 => request.left.saturating_add(request.width),
        Orientation::Rotate180 | Orientation::FlipVertical => height.saturating_sub(request.top),
        Orientation::Rotate90 | Orientation::Rotate270FlipH => height.saturating_sub(request.left),
    };
    rows.clamp(1, height)
}

/// Where in the whole turned image the turned part begins, left and top, when the last `missing` stored rows are not
/// part of it.
pub(super) fn start(missing: u32, orientation: Orientation) -> (u32, u32) {
    match orientation {
        Orientation::NoTransforms
        | Orientation::FlipHorizontal
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270 => (0, 0),
        Orientation::Rotate180 | Orientation::FlipVertical => (0, missing),
        Orientation::Rotate90 | Orientation::Rotate270FlipH => (missing, 0),
    }
}

/// Pixels of so many channels and a stored size, turned into `turned`.
pub(super) fn turn<const CHANNELS: usize>(
    pixels: &[u8],
    width: u32,
    height: u32,
    orientation: Orientation,
    turned: &mut Vec<u8>,
) {
    let (columns, rows) = (width as usize, height as usize);
    let (right, bottom) = (columns - 1, (rows - 1) * columns);
    // Which stored pixel becomes the first, and the steps from it to the one that follows to the right and below.
    // A step back is one that wraps around.
    let (back, up) = (1usize.wrapping_neg(), columns.wrapping_neg());
    let (first, across, down) = match orientation {
        Orientation::NoTransforms => (0, 1, columns),
        Orientation::FlipHorizontal => (right, back, columns),
        Orientation::Rotate180 => (bottom + right, back, up),
        Orientation::FlipVertical => (bottom, 1, up),
        Orientation::Rotate90FlipH => (0, columns, 1),
        Orientation::Rotate90 => (bottom, up, 1),
        Orientation::Rotate270FlipH => (bottom + right, up, back),
        Orientation::Rotate270 => (right, columns, back),
    };
    let stored = pixels.as_chunks::<CHANNELS>().0;
    turned.resize(pixels.len(), 0);
    let line = size(width, height, orientation).0 as usize;
    let mut start = first;
    for row in turned.as_chunks_mut::<CHANNELS>().0.chunks_exact_mut(line) {
        let mut from = start;
        for pixel in row {
            *pixel = stored[from];
            from = from.wrapping_add(across);
        }
        start = start.wrapping_add(down);
    }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, RgbImage};

    use super::*;

    fn turned(pixels: &[u8], height: u32, orientation: Orientation) -> (RgbImage, RgbImage) {
        let image = RgbImage::from_raw(7, height, pixels.to_vec()).unwrap();
        let mut wanted = DynamicImage::ImageRgb8(image);
        wanted.apply_orientation(orientation);
        let mut turned = vec![1, 2, 3];
        turn::<3>(pixels, 7, height, orientation, &mut turned);
        let (across, down) = size(7, height, orientation);
        (RgbImage::from_raw(across, down, turned).unwrap(), wanted.into_rgb8())
    }

    #[test]
    fn agrees_with_the_image_crate() {
        let pixels: Vec<u8> = (0..7 * 5 * 3).map(|value| value as u8).collect();
        for value in 1..=8 {
            let (got, wanted) = turned(&pixels, 5, Orientation::from_exif(value).unwrap());
            assert_eq!(got, wanted, "{value}");
        }
    }

    #[test]
    fn the_first_stored_rows_hold_what_is_requested() {
        let pixels: Vec<u8> = (0..7 * 5 * 3).map(|value| value as u8).collect();
        for value in 1..=8 {
            let orientation = Orientation::from_exif(value).unwrap();
            let whole = turned(&pixels, 5, orientation).0;
            let mut fewer = 0;
            for (left, top) in [(0, 0), (1, 2), (3, 3)] {
                let request = DecodeRequest { left, top, width: 2, height: 2, channels: 3, shrink: 1.0 };
                let rows = stored_rows(&request, 5, orientation);
                let part = turned(&pixels[..rows as usize * 7 * 3], rows, orientation).0;
                let from = start(5 - rows, orientation);
                for (x, y) in [(left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)] {
                    assert_eq!(part.get_pixel(x - from.0, y - from.1), whole.get_pixel(x, y), "{value}: {request}");
                }
                fewer += u32::from(rows < 5);
            }
            assert!(fewer > 0, "{value}");
        }
    }
}
