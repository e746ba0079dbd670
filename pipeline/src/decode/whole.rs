//! Whether the bytes of an image go on to its end, without decoding them where they say so.

use millstream_schemas::recipe::TransparencyPolicy;

use super::decode_error::DecodeError;
use super::format::Format;
use super::header::Header;
use super::raster::{self, METADATA_OF_PNG};

/// What stands before the chunks of a PNG.
const PNG_SIGNATURE: usize = 8;

/// As [`require_end`](super::require_end()); decoders may panic.
///
/// # Errors
/// It is cut off, or damaged where that is seen.
pub(super) fn require_end(bytes: &[u8], header: &Header) -> Result<(), DecodeError> {
    match (&header.jpeg, header.format) {
        (Some(start), _) => start.check_end(bytes),
        (None, Format::Png) if end_of_png(bytes)? => Ok(()),
        (None, Format::Gif) if end_of_gif(bytes).is_some() => Ok(()),
        (None, Format::WebP) if holds(bytes, 4, 8) => Ok(()),
        (None, Format::Bmp) if holds(bytes, 2, 0) => Ok(()),
        (None, Format::Tiff | Format::Jpeg) => Ok(()),
        (None, _) => raster::decode(bytes, header, TransparencyPolicy::default(), false, &mut Vec::new()),
    }
}

/// Whether a file has the bytes that it says at a place, and so many more. Some writers leave it at zero, or say another number.
fn holds(bytes: &[u8], at: usize, more: u64) -> bool {
    let stated = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    stated.is_some_and(|stated| {
        let stated = u64::from(u32::from_le_bytes(*stated));
        stated > 0 && stated + more <= bytes.len() as u64
    })
}

/// Goes through the blocks up to the end of the first frame; none where the bytes end before, or another block than those known begins.
fn end_of_gif(bytes: &[u8]) -> Option<()> {
    const HEADER: usize = 13;
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = HEADER + table(*bytes.get(10)?);
    loop {
        let is_frame = match bytes.get(at)? {
            0x21 => {
                at += 2;
                false
            }
            0x2C => {
                // behind its place and size: the table, and the width of codes
                at += 10 + table(*bytes.get(at + 9)?) + 1;
                true
            }
            _ => return None,
        };
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
        if is_frame {
            return Some(());
        }
    }
}

/// Goes from chunk to chunk: four bytes of its length, four of its type, what it holds, and four of a sum. The pixels are all there, and
/// the decoder is done, where a chunk of another type begins behind theirs. False where only that is missing.
fn end_of_png(bytes: &[u8]) -> Result<bool, DecodeError> {
    let cut = |reason: String| DecodeError::Truncated { format: Format::Png.name(), reason };
    let mut rest = bytes.get(PNG_SIGNATURE..).unwrap_or_default();
    let mut has_pixels = false;
    loop {
        // no whole head of a chunk
        if has_pixels && rest.len() < 8 {
            return Ok(false);
        }
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return Err(cut("it has no chunk `IEND`".into()));
        };
        let whole = usize::try_from(u32::from_be_bytes(*length)).ok().and_then(|length| length.checked_add(8));
        let chunk = whole.and_then(|whole| after.split_at_checked(whole));
        match (after.first_chunk::<4>(), chunk) {
            (Some(b"IEND"), _) => return Ok(true),
            // the decoder does not see those
            (Some(kind), Some((_, behind))) if METADATA_OF_PNG.contains(&kind) => rest = behind,
            (Some(kind), _) if has_pixels && kind != b"IDAT" => return Ok(true),
            (Some(kind), Some((_, behind))) => {
                has_pixels |= kind == b"IDAT";
                rest = behind;
            }
            _ => return Err(cut(format!("a chunk goes on behind its {} bytes", bytes.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder as _, ImageFormat};

    use super::*;
    use crate::decode::{decode, header};

    fn pixels() -> Vec<u8> {
        (0..64 * 64 * 3_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    fn encoded(format: Format) -> Vec<u8> {
        let mut bytes = Vec::new();
        match format {
            Format::Png => image::codecs::png::PngEncoder::new(&mut bytes)
                .write_image(&pixels(), 64, 64, ExtendedColorType::Rgb8)
                .unwrap(),
            _ => image::codecs::jpeg::JpegEncoder::new(&mut bytes)
                .write_image(&pixels(), 64, 64, ExtendedColorType::Rgb8)
                .unwrap(),
        }
        bytes
    }

    #[test]
    fn what_is_cut_off_is_refused_without_decoding_and_what_is_whole_is_not() {
        for format in [Format::Png, Format::Jpeg] {
            let whole = encoded(format);
            require_end(&whole, &header(&whole).unwrap()).unwrap();
            // some write more behind the end
            let longer = [&whole[..], b"more"].concat();
            require_end(&longer, &header(&longer).unwrap()).unwrap();
            for length in [whole.len() / 2, whole.len() * 9 / 10] {
                let cut = &whole[..length];
                let error = require_end(cut, &header(cut).unwrap()).unwrap_err();
                assert!(error.to_string().contains("is cut off"), "{format:?} {length}: {error}");
                // it would be refused when it is trained on
                decode(cut, TransparencyPolicy::default()).unwrap_err();
            }
        }
    }

    #[test]
    fn a_png_that_is_cut_behind_its_pixels_is_refused_where_the_decoder_refuses_it_and_nowhere_else() {
        let whole = encoded(Format::Png);
        // the last chunk has no data
        let (front, end) = whole.split_at(whole.len() - 12);
        let chunk = |kind: &[u8; 4]| [&8_u32.to_be_bytes()[..], kind, b"whatever", b"sum."].concat();
        for kinds in [&[b"tEXt"][..], &[b"tEXt", b"tIME"], &[b"tIME", b"tEXt"], &[b"fcTL", b"fdAT", b"fcTL", b"fdAT"]] {
            let behind: Vec<u8> = kinds.iter().flat_map(|kind| chunk(kind)).collect();
            let longer = [front, &behind, end].concat();
            let (mut taken, mut refused) = (0, 0);
            for length in front.len() - 20..=longer.len() {
                let cut = &longer[..length];
                let is_decoded = decode(cut, TransparencyPolicy::default()).is_ok();
                let is_whole = require_end(cut, &header(cut).unwrap()).is_ok();
                assert_eq!(is_whole, is_decoded, "{kinds:?} {length}");
                if is_whole { taken += 1 } else { refused += 1 }
            }
            assert!(taken > 12 && refused == 20, "{kinds:?} {taken} {refused}");
        }
    }

    #[test]
    fn a_png_without_its_last_chunk_is_read_and_one_that_is_cut_between_two_chunks_of_pixels_is_not() {
        let whole = encoded(Format::Png);
        let cut = &whole[..whole.len() - 12];
        let policy = TransparencyPolicy::default();
        require_end(cut, &header(cut).unwrap()).unwrap();
        assert_eq!(decode(cut, policy).unwrap().pixels, decode(&whole, policy).unwrap().pixels);
        // the half of the data as a chunk of its own; the sums are not looked at before
        let at = whole.windows(4).position(|kind| kind == b"IDAT").unwrap() - 4;
        let mut half = whole[..at + 8 + 500].to_vec();
        half[at..at + 4].copy_from_slice(&500_u32.to_be_bytes());
        let sum = crc32(&half[at + 4..]);
        half.extend(sum.to_be_bytes());
        require_end(&half, &header(&half).unwrap()).unwrap_err();
        decode(&half, policy).unwrap_err();
    }

    /// The sum of a chunk, bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
        })
    }

    #[test]
    fn a_gif_webp_bmp_or_pnm_that_is_cut_off_is_refused_where_the_decoder_refuses_it_and_nowhere_else() {
        let picture = image::RgbImage::from_raw(64, 64, pixels()).unwrap();
        for format in [ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Pnm] {
            let mut whole = std::io::Cursor::new(Vec::new());
            image::DynamicImage::from(picture.clone()).write_to(&mut whole, format).unwrap();
            let whole = whole.into_inner();
            require_end(&whole, &header(&whole).unwrap()).unwrap();
            for length in [whole.len() / 2, whole.len() * 9 / 10, whole.len() - 2, whole.len() - 1, whole.len()] {
                let cut = &whole[..length];
                let is_decoded = decode(cut, TransparencyPolicy::default()).is_ok();
                let is_whole = require_end(cut, &header(cut).unwrap()).is_ok();
                assert_eq!(is_whole, is_decoded, "{format:?} {length} of {}", whole.len());
                assert!(is_whole || length < whole.len(), "{format:?}");
                assert!(!is_whole || length > whole.len() * 9 / 10, "{format:?} {length} of {}", whole.len());
            }
        }
    }

    #[test]
    fn a_length_that_no_file_has_is_no_reason_to_panic() {
        let mut bytes = encoded(Format::Png);
        let known = header(&bytes).unwrap();
        // the length of the first chunk
        bytes[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(require_end(&bytes, &known).unwrap_err().to_string().contains("a chunk goes on"));
        assert!(require_end(&bytes[..10], &known).is_err() && require_end(&[], &known).is_err());
    }
}
