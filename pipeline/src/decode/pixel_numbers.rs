use std::collections::HashMap;

use image::{DynamicImage, GrayImage, Luma};

use super::format::Format;
use super::header::Header;
use super::palette::palette;
use super::raster::without_metadata;

/// The numbers that are the pixels of a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PixelNumbers {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Row by row.
    pub numbers: Vec<u8>,
}

impl PixelNumbers {
    /// Of an image with this header: grey values of 8 bits, or the numbers of the colours of a palette.
    ///
    /// # Errors
    /// It is another image, in words that follow "is".
    pub fn read(header: &Header, bytes: &[u8]) -> Result<Self, String> {
        let refused = |what: &str| format!("is {what}; a mask is a grey image of 8 bits without loss, such as PNG");
        if !matches!(header.format, Format::Png | Format::Bmp | Format::Tiff) {
            return Err(refused(&format!("a {}", header.format.name())));
        }
        let bytes = &*without_metadata(bytes, header.format);
        let decoded = image::load_from_memory(bytes).map_err(|_| "does not decode".to_owned())?;
        let numbered = palette(bytes).map(|palette| of_palette(&decoded, &palette));
        let grey = match (decoded, numbered) {
            (_, Some(numbered)) => {
                numbered.ok_or_else(|| refused("an image whose colours are not each one number of its palette"))?
            }
            (DynamicImage::ImageLuma8(grey), None) => grey,
            _ => return Err(refused("an image of colours")),
        };
        let (width, height) = grey.dimensions();
        Ok(Self { width, height, numbers: grey.into_raw() })
    }
}

/// The numbers of the colours of an image's pixels; none where it is not clear which number a colour is.
fn of_palette(image: &DynamicImage, palette: &[[u8; 3]]) -> Option<GrayImage> {
    let mut numbers: HashMap<[u8; 3], Option<u8>> = HashMap::with_capacity(palette.len());
    for (number, colour) in palette.iter().enumerate() {
        let number = u8::try_from(number).ok()?;
        numbers.entry(*colour).and_modify(|known| *known = None).or_insert(Some(number));
    }
    let colours = image.to_rgb8();
    let mut grey = GrayImage::new(colours.width(), colours.height());
    // neighbours are of one colour mostly
    let mut last: Option<([u8; 3], u8)> = None;
    for (out, colour) in grey.pixels_mut().zip(colours.pixels()) {
        let number = match last {
            Some((known, number)) if known == colour.0 => number,
            _ => (*numbers.get(&colour.0)?)?,
        };
        last = Some((colour.0, number));
        *out = Luma([number]);
    }
    Some(grey)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    #[test]
    fn a_mask_that_lacks_the_chunk_behind_its_pixels_is_read_as_at_its_import() {
        let mask = GrayImage::from_fn(4, 3, |x, y| Luma([(x + y) as u8]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        mask.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        let mut bytes = bytes.into_inner();
        bytes.truncate(bytes.len() - 12);
        let header = super::super::header(&bytes).unwrap();
        assert_eq!(PixelNumbers::read(&header, &bytes).unwrap().numbers, mask.into_raw());
    }

    #[test]
    fn colours_of_a_palette_are_their_numbers_where_that_is_clear() {
        let image = DynamicImage::from(RgbImage::from_fn(5, 1, |x, _| Rgb([x as u8 / 2 % 2 * 128, 0, 0])));
        let numbers = |palette: &[[u8; 3]]| of_palette(&image, palette).map(GrayImage::into_raw);
        assert_eq!(numbers(&[[0, 0, 0], [9, 9, 9], [128, 0, 0], [9, 9, 9]]), Some(vec![0, 0, 2, 2, 0]));
        assert_eq!(numbers(&[[0, 0, 0], [128, 0, 0], [0, 0, 0]]), None);
        assert_eq!(numbers(&[[0, 0, 0]]), None);
    }
}
