use std::collections::HashMap;
use std::io::Cursor;

use image::{DynamicImage, ExtendedColorType, GrayImage, ImageDecoder, ImageFormat, ImageReader, Luma};

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
    /// Of an image with this header: grey values of 8 bits or fewer, as they are stored, or the numbers of the colours of a palette.
    ///
    /// # Errors
    /// It is another image, in words that follow "is".
    pub fn read(header: &Header, bytes: &[u8]) -> Result<Self, String> {
        let refused =
            |what: &str| format!("is {what}; a mask is a grey image of 8 bits or fewer without loss, such as PNG");
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
            (DynamicImage::ImageLuma8(grey), None) => as_stored(grey, stored_bits(header.format, bytes)),
            _ => return Err(refused("an image of colours")),
        };
        let (width, height) = grey.dimensions();
        Ok(Self { width, height, numbers: grey.into_raw() })
    }
}

/// Bits of a pixel of a grey image, as stored.
fn stored_bits(format: Format, bytes: &[u8]) -> u8 {
    /// Behind the signature, the length and name of the first chunk, and both sides of the image.
    const BITS_OF_PNG: usize = 24;
    match format {
        Format::Png => bytes.get(BITS_OF_PNG).copied().unwrap_or(8),
        Format::Tiff if is_of_one_bit(bytes) => 1,
        _ => 8,
    }
}

/// Whether a TIFF is grey of one bit a pixel.
fn is_of_one_bit(bytes: &[u8]) -> bool {
    let decoder = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Tiff).into_decoder();
    decoder.is_ok_and(|decoder| decoder.original_color_type() == ExtendedColorType::L1)
}

/// The values that the pixels have in the file: the decoders make black and white of fewer bits 0 and 255.
fn as_stored(mut grey: GrayImage, bits: u8) -> GrayImage {
    let white = match bits {
        1 | 2 | 4 => (1_u8 << bits) - 1,
        _ => return grey,
    };
    grey.iter_mut().for_each(|value| *value /= u8::MAX / white);
    grey
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

    /// Numbers of so many bits one after another, in whole bytes.
    fn packed(bits: u8, numbers: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; (numbers.len() * usize::from(bits)).div_ceil(8)];
        for (at, number) in numbers.iter().enumerate() {
            let bit = at * usize::from(bits);
            bytes[bit / 8] |= number << (8 - usize::from(bits) - bit % 8);
        }
        bytes
    }

    /// A grey PNG of one row of pixels of so many bits, with its data as they are.
    fn grey_png(bits: u8, numbers: &[u8]) -> Vec<u8> {
        let chunk = |name: &[u8; 4], data: &[u8]| {
            let content = [&name[..], data].concat();
            [&(data.len() as u32).to_be_bytes()[..], &content, &crc32fast::hash(&content).to_be_bytes()].concat()
        };
        let row = [vec![0], packed(bits, numbers)].concat();
        let length = row.len() as u16;
        let (low, high) = row.iter().fold((1_u32, 0_u32), |(low, high), byte| {
            let low = (low + u32::from(*byte)) % 65_521;
            (low, (high + low) % 65_521)
        });
        let sum = high << 16 | low;
        let stored =
            [&[0x78_u8, 0x01, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &row, &sum.to_be_bytes()]
                .concat();
        let size = [(numbers.len() as u32).to_be_bytes(), 1_u32.to_be_bytes()].concat();
        let header = [&size[..], &[bits, 0, 0, 0, 0]].concat();
        [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", &stored), &chunk(b"IEND", &[])].concat()
    }

    /// A grey TIFF of one row of pixels of one bit, black being 0.
    fn grey_tiff(numbers: &[u8]) -> Vec<u8> {
        // Width, height, bits, compression, colours, where the pixels are, channels, rows, bytes.
        let tags: [(u16, u8); 9] = [
            (256, numbers.len() as u8),
            (257, 1),
            (258, 1),
            (259, 1),
            (262, 1),
            (273, 122),
            (277, 1),
            (278, 1),
            (279, numbers.len().div_ceil(8) as u8),
        ];
        let mut bytes = b"II*\0\x08\0\0\0\x09\0".to_vec();
        for (tag, value) in tags {
            bytes.extend(tag.to_le_bytes());
            bytes.extend([3, 0, 1, 0, 0, 0, value, 0, 0, 0]);
        }
        bytes.extend([0; 4]);
        bytes.extend(packed(1, numbers));
        bytes
    }

    #[test]
    fn class_1_of_a_grey_mask_of_few_bits_is_not_white() {
        let read = |bytes: &[u8]| PixelNumbers::read(&super::super::header(bytes).unwrap(), bytes).unwrap().numbers;
        for (bits, numbers) in
            [(1, [0, 1, 1, 0, 1]), (2, [0, 1, 2, 3, 1]), (4, [0, 1, 7, 15, 2]), (8, [0, 1, 2, 254, 255])]
        {
            assert_eq!(read(&grey_png(bits, &numbers)), numbers, "{bits} bits");
        }
        let numbers = [0, 1, 1, 0, 1, 0, 0, 0, 1, 1];
        assert_eq!(read(&grey_tiff(&numbers)), numbers);
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
