//! All formats but JPEG, through the image crate.

use std::borrow::Cow;
use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use millstream_schemas::recipe::TransparencyPolicy;
use millstream_transforms::{ImageFacts, luma};

use super::decode_error::{DecodeError, MOST_PIXELS, damaged, unsupported};
use super::format::Format;
use super::header::Header;
use super::orientation;

pub(super) fn header(bytes: &[u8], format: ImageFormat) -> Result<Header, DecodeError> {
    let format = match format {
        ImageFormat::Bmp => Format::Bmp,
        ImageFormat::Gif => Format::Gif,
        ImageFormat::Png => Format::Png,
        ImageFormat::Pnm => Format::Pnm,
        ImageFormat::Tiff => Format::Tiff,
        ImageFormat::WebP => Format::WebP,
        other => return Err(DecodeError::Format(format!("{other:?} is not read; save it as PNG or JPEG"))),
    };
    let pixels_alone = without_metadata(bytes, format);
    let mut decoder = decoder(&pixels_alone, format, Limits::default())?;
    let stored = decoder.dimensions();
    let turn = turn(&mut decoder, format);
    let pixels = u64::from(stored.0) * u64::from(stored.1);
    // As decoded, a canvas of four channels that some formats need, as RGB, and turned; metadata, and the file without it.
    let memory = decoder.total_bytes().saturating_add(pixels.saturating_mul(4 + 3 + 3));
    let memory = memory.saturating_add(2 * bytes.len() as u64);
    let (width, height) = orientation::size(stored.0, stored.1, turn);
    Ok(Header { facts: ImageFacts::new(width, height), format, memory, orientation: turn, jpeg: None, stored })
}

pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    transparency: TransparencyPolicy,
    grey: bool,
    pixels: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(header.memory.clamp(1 << 20, MOST_PIXELS * 16));
    let pixels_alone = without_metadata(bytes, header.format);
    let decoder = decoder(&pixels_alone, header.format, limits)?;
    if decoder.dimensions() != header.stored {
        return Err(damaged(header.format, &"it decodes to another size than its header says"));
    }
    if decoder.color_type() == (if grey { ColorType::L8 } else { ColorType::Rgb8 }) {
        pixels.clear();
        pixels.resize(decoder.total_bytes() as usize, 0);
        return decoder.read_image(pixels).map_err(|error| refused(header.format, &error));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(|error| refused(header.format, &error))?;
    *pixels = match image.color().has_alpha() {
        false => image.into_rgb8().into_raw(),
        true => without_alpha(&image.into_rgba8().into_raw(), transparency),
    };
    if grey {
        *pixels = pixels.as_chunks::<3>().0.iter().map(|pixel| luma(*pixel)).collect();
    }
    Ok(())
}

/// Chunks of a PNG that are not decoded.
pub(super) const METADATA_OF_PNG: [&[u8; 4]; 4] = [b"iCCP", b"iTXt", b"tEXt", b"zTXt"];

/// The last chunk of a PNG.
const END_OF_PNG: [u8; 12] = *b"\0\0\0\0IEND\xAE\x42\x60\x82";

/// A PNG without its colour profile and texts: its reader would decompress them, a thousand times their size and more, and
/// nothing here uses them. Other formats keep such data as it is, so it takes no more than the file.
///
/// Where all chunks are whole and the last one alone is missing, it is there: the reader wants one behind the pixels.
pub(super) fn without_metadata(bytes: &[u8], format: Format) -> Cow<'_, [u8]> {
    const SIGNATURE: usize = 8;
    if format != Format::Png || bytes.len() < SIGNATURE {
        return Cow::Borrowed(bytes);
    }
    let mut kept: Option<Vec<u8>> = None;
    let mut at = SIGNATURE;
    let (mut has_pixels, mut lacks_end) = (false, true);
    while let Some((&[l3, l2, l1, l0, ref kind @ ..], _)) = bytes[at..].split_first_chunk::<8>() {
        // Its length, its kind, its data and a checksum.
        let whole = (u32::from_be_bytes([l3, l2, l1, l0]) as usize).saturating_add(12);
        let end = at.saturating_add(whole);
        lacks_end &= kind != b"IEND";
        if end > bytes.len() {
            lacks_end = false;
            break; // cut off: the decoder says it
        }
        has_pixels |= kind == b"IDAT";
        if METADATA_OF_PNG.contains(&kind) {
            kept.get_or_insert_with(|| bytes[..at].to_vec());
        } else if let Some(kept) = &mut kept {
            kept.extend_from_slice(&bytes[at..end]);
        }
        at = end;
    }
    if has_pixels && lacks_end {
        let mut ended = kept.unwrap_or_else(|| bytes[..at].to_vec());
        ended.extend_from_slice(&END_OF_PNG);
        return Cow::Owned(ended);
    }
    match kept {
        None => Cow::Borrowed(bytes),
        Some(mut kept) => {
            kept.extend_from_slice(&bytes[at..]);
            Cow::Owned(kept)
        }
    }
}

fn decoder(bytes: &[u8], format: Format, limits: Limits) -> Result<impl ImageDecoder + '_, DecodeError> {
    let kind = match format {
        Format::Bmp => ImageFormat::Bmp,
        Format::Gif => ImageFormat::Gif,
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::Pnm => ImageFormat::Pnm,
        Format::Tiff => ImageFormat::Tiff,
        Format::WebP => ImageFormat::WebP,
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), kind);
    reader.limits(limits);
    reader.into_decoder().map_err(|error| refused(format, &error))
}

fn turn(decoder: &mut impl ImageDecoder, format: Format) -> Orientation {
    if format == Format::Tiff {
        // There it is a tag of the image itself.
        return decoder.orientation().unwrap_or(Orientation::NoTransforms);
    }
    let exif = decoder.exif_metadata().ok().flatten().unwrap_or_default();
    // Some writers put JPEG's prefix before the block in other formats too.
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif);
    Orientation::from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms)
}

fn refused(format: Format, error: &ImageError) -> DecodeError {
    match error {
        ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format: format.name(), reason: "it ends too early".into() }
        }
        ImageError::Unsupported(error) => unsupported(format, error),
        error => damaged(format, error),
    }
}

fn without_alpha(rgba: &[u8], transparency: TransparencyPolicy) -> Vec<u8> {
    let background = match transparency {
        TransparencyPolicy::Drop => None,
        TransparencyPolicy::White => Some(255),
        TransparencyPolicy::Black => Some(0),
    };
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for &[r, g, b, alpha] in rgba.as_chunks::<4>().0 {
        let alpha = u32::from(alpha);
        let blend = |colour: u8| match background {
            None => colour,
            Some(background) => ((u32::from(colour) * alpha + background * (255 - alpha) + 127) / 255) as u8,
        };
        rgb.extend([r, g, b].map(blend));
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_is_dropped_or_blended() {
        let rgba = [200, 100, 0, 255, 200, 100, 0, 0, 200, 100, 0, 128];
        for (policy, wanted) in [
            (TransparencyPolicy::Drop, [200, 100, 0, 200, 100, 0, 200, 100, 0]),
            (TransparencyPolicy::White, [200, 100, 0, 255, 255, 255, 227, 177, 127]),
            (TransparencyPolicy::Black, [200, 100, 0, 0, 0, 0, 100, 50, 0]),
        ] {
            assert_eq!(without_alpha(&rgba, policy), wanted, "{policy:?}");
        }
    }

    /// A chunk; its checksum is right where it is one of the decoder's business.
    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u32).to_be_bytes();
        [&length[..], kind, data, &[0; 4]].concat()
    }

    #[test]
    fn a_colour_profile_and_texts_are_not_even_read() {
        let mut plain = Cursor::new(Vec::new());
        let red = image::RgbImage::from_pixel(3, 2, image::Rgb([255, 0, 0]));
        red.write_to(&mut plain, ImageFormat::Png).unwrap();
        let plain = plain.into_inner();
        let rest = 8 + 25; // behind the signature and the first chunk, which must stay the first
        // a profile that says it decompresses, and texts: none would pass a decoder that looks at them
        let profile = [&b"name\0\0"[..], &[0x78, 0x9c], &[0xff; 300]].concat();
        let odd =
            [chunk(b"iCCP", &profile), chunk(b"zTXt", &profile), chunk(b"tEXt", b""), chunk(b"iTXt", &[0xff; 40])];
        let bytes = [&plain[..rest], &odd.concat(), &plain[rest..]].concat();
        assert_eq!(without_metadata(&bytes, Format::Png), plain);
        assert!(matches!(without_metadata(&plain, Format::Png), Cow::Borrowed(_)));
        let image = crate::decode::decode(&bytes, TransparencyPolicy::Drop).unwrap();
        assert_eq!(image.pixels, [255, 0, 0].repeat(6));
        // cut anywhere, it is an error as before
        for length in 0..plain.len() - 12 {
            assert!(crate::decode::decode(&bytes[..length], TransparencyPolicy::Drop).is_err(), "{length}");
        }
    }

    /// A red pixel and a blue one to its right, as stored.
    fn tiff(orientation: u8) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0\x0a\0".to_vec();
        // Width, height, bits, compression, colours, where the pixels are, orientation, channels, rows, bytes.
        let short = |tag: u16, value: u8| (tag, 1, value);
        let tags = [
            short(256, 2),
            short(257, 1),
            (258, 3, 134),
            short(259, 1),
            short(262, 2),
            short(273, 140),
            short(274, orientation),
            short(277, 3),
            short(278, 1),
            short(279, 6),
        ];
        for (tag, count, value) in tags {
            bytes.extend(tag.to_le_bytes());
            bytes.extend([3, 0, count, 0, 0, 0, value, 0, 0, 0]);
        }
        bytes.extend([0, 0, 0, 0, 8, 0, 8, 0, 8, 0, 255, 0, 0, 0, 0, 255]);
        bytes
    }

    #[test]
    fn a_tiff_is_turned_as_its_tag_says() {
        let (red, blue) = ([255, 0, 0], [0, 0, 255]);
        for (orientation, wanted, size) in
            [(1, [red, blue], (2, 1)), (3, [blue, red], (2, 1)), (6, [red, blue], (1, 2)), (8, [blue, red], (1, 2))]
        {
            let image = crate::decode::decode(&tiff(orientation), TransparencyPolicy::Drop).unwrap();
            assert_eq!(((image.width, image.height), image.pixels), (size, wanted.concat()), "{orientation}");
        }
    }
}
