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
    /// The decoder gave up.
    #[error("the {format} is damaged: {reason}")]
    Damaged {
        /// Its format.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
}

pub(super) fn damaged(format: Format, reason: &dyn std::fmt::Display) -> DecodeError {
    DecodeError::Damaged { format: format.name(), reason: in_words(&reason.to_string()) }
}

/// The decoder's sentence where it is one; names of types and fields mean nothing to whoever has the picture.
fn in_words(said: &str) -> String {
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
        return "its data make no sense".into();
    }
    shown_up_to(sentence, 400)
}

#[cfg(test)]
mod tests {
    use super::in_words;

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
