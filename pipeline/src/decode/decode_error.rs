use image::error::{UnsupportedError, UnsupportedErrorKind};
use millstream_schemas::shown_up_to;
use millstream_transforms::LARGEST_SIDE;

use super::format::Format;

/// Images of more pixels are refused: 2²⁷, 402 MB as RGB.
pub const MOST_PIXELS: u64 = 1 << 27;

/// Why an image does not decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No bytes.
    #[error("the image is empty (0 bytes)")]
    Empty,
    /// Not an image, or of a format that is not read here.
    #[error("the image is of an unknown or unsupported format: {0}")]
    Format(String),
    /// More pixels than [`MOST_PIXELS`], or a side of zero or above [`LARGEST_SIDE`].
    #[error(
        "an image of {width}×{height} pixels is refused: a side has 1 to {LARGEST_SIDE}, the whole at most {MOST_PIXELS}"
    )]
    Size {
        /// As the header says.
        width: u32,
        /// As the header says.
        height: u32,
    },
    /// Neither grey nor red, green, blue is asked for.
    #[error("images are decoded to 1 channel (grey) or 3 (red, green, blue), not to {wanted}")]
    Channels {
        /// How many were asked for.
        wanted: u32,
    },
    /// The file ends before the image does.
    #[error("the {format} is cut off: {reason}")]
    Truncated {
        /// Its format.
        format: &'static str,
        /// What is missing.
        reason: String,
    },
    /// Its format is read, and not everything that may be in it.
    #[error("the {format} is of a kind that is not supported: {reason}")]
    Unsupported {
        /// Its format.
        format: &'static str,
        /// What is not supported.
        reason: String,
    },
    /// The decoder gave up.
    #[error("the {format} is damaged: {reason}")]
    Damaged {
        /// Its format.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
}

pub(super) fn unsupported(format: Format, error: &UnsupportedError) -> DecodeError {
    let reason = match error.kind() {
        UnsupportedErrorKind::Color(colour) => {
            format!("its colours, of {} bits a pixel, are none of those that are read", colour.bits_per_pixel())
        }
        UnsupportedErrorKind::GenericFeature(said) => sentence(&said).unwrap_or_else(|| NOT_TOLD.into()),
        _ => NOT_TOLD.into(),
    };
    DecodeError::Unsupported { format: format.name(), reason }
}

/// What is said where a decoder does not say it in words.
const NOT_TOLD: &str = "something in it";

pub(super) fn damaged(format: Format, reason: &dyn std::fmt::Display) -> DecodeError {
    DecodeError::Damaged { format: format.name(), reason: in_words(&reason.to_string()) }
}

fn in_words(said: &str) -> String {
    sentence(said).unwrap_or_else(|| "its data make no sense".into())
}

/// The decoder's sentence where it is one; names of types and fields mean nothing to whoever has the picture.
fn sentence(said: &str) -> Option<String> {
    let sentence = match said.split_once(": ") {
        Some((before, after)) if before.starts_with("Format error decoding") => after,
        _ => said,
    };
    let sentence = sentence.strip_prefix("Format error decoding ").unwrap_or(sentence);
    let is_code = |word: &str| {
        let inner = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        let camel = inner.chars().zip(inner.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase());
        camel || word.contains(['{', '}', '_']) || word.contains("::")
    };
    if sentence.is_empty() || sentence.split_whitespace().any(is_code) {
        return None;
    }
    Some(shown_up_to(sentence, 400))
}

#[cfg(test)]
mod tests {
    use image::error::ImageFormatHint;
    use image::{ExtendedColorType, ImageFormat};

    use super::*;

    #[test]
    fn a_tiff_of_colours_that_are_not_read_is_not_called_damaged() {
        for (kind, wanted) in [
            (UnsupportedErrorKind::Color(ExtendedColorType::Unknown(24)), "its colours, of 24 bits a pixel"),
            (UnsupportedErrorKind::GenericFeature("Unhandled sample format 2".into()), "Unhandled sample format 2"),
            (UnsupportedErrorKind::GenericFeature("Tag { PlanarConfig }".into()), NOT_TOLD),
        ] {
            let error = UnsupportedError::from_format_and_kind(ImageFormatHint::Exact(ImageFormat::Tiff), kind);
            let told = unsupported(Format::Tiff, &error).to_string();
            assert!(told.contains("not supported") && told.contains(wanted) && !told.contains("damaged"), "{told}");
        }
    }

    #[test]
    fn names_of_types_are_not_shown() {
        for (said, wanted) in [
            (
                "Format error decoding Png: Unrecognized critical chunk: ChunkType { type: IDA }",
                "its data make no sense",
            ),
            ("Format error decoding Png: CRC error: expected 0x1 have 0x2", "CRC error: expected 0x1 have 0x2"),
            ("Corrupt deflate stream. BadCodeLengthHuffmanTree", "its data make no sense"),
            ("unexpected end of file", "unexpected end of file"),
        ] {
            assert_eq!(in_words(said), wanted);
        }
    }
}
