//! Whether the bytes of an image go on to its end, without decoding them.

use super::decode_error::DecodeError;
use super::format::Format;
use super::header::Header;
use super::raster::METADATA_OF_PNG;

/// What stands before the chunks of a PNG.
const PNG_SIGNATURE: usize = 8;

/// Refuses an image whose bytes end before its pixels do, where its format says that: JPEG and PNG. `header` is the answer of
/// [`header`](super::header()) for the same bytes.
///
/// # Errors
/// It is cut off, or damaged where that is seen at once.
pub fn require_end(bytes: &[u8], header: &Header) -> Result<(), DecodeError> {
    match (&header.jpeg, header.format) {
        (Some(start), _) => start.check_end(bytes),
        (None, Format::Png) => end_of_png(bytes),
        _ => Ok(()),
    }
}

/// Goes from chunk to chunk: four bytes of its length, four of its type, what it holds, and four of a sum. The pixels are all there, and
/// the decoder is done, where a chunk of another type begins behind theirs.
fn end_of_png(bytes: &[u8]) -> Result<(), DecodeError> {
    let cut = |reason: String| DecodeError::Truncated { format: Format::Png.name(), reason };
    let mut rest = bytes.get(PNG_SIGNATURE..).unwrap_or_default();
    let mut has_pixels = false;
    loop {
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return Err(cut("it has no chunk `IEND`".into()));
        };
        let whole = usize::try_from(u32::from_be_bytes(*length)).ok().and_then(|length| length.checked_add(8));
        let chunk = whole.and_then(|whole| after.split_at_checked(whole));
        match (after.first_chunk::<4>(), chunk) {
            (Some(b"IEND"), _) => return Ok(()),
            // the decoder does not see those
            (Some(kind), Some((_, behind))) if METADATA_OF_PNG.contains(&kind) => rest = behind,
            (Some(kind), _) if has_pixels && kind != b"IDAT" => return Ok(()),
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
    use image::{ExtendedColorType, ImageEncoder as _};

    use super::*;
    use crate::decode::{decode, header};
    use millstream_schemas::recipe::TransparencyPolicy;

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
            assert!(taken > 4 && refused >= 28, "{kinds:?} {taken} {refused}");
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
