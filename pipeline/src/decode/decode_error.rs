use millstream_schemas::shown_up_to;
use millstream_transforms::LARGEST_SIDE;

use super::Format;

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
    DecodeError::Damaged { format: format.name(), reason: shown_up_to(reason.to_string(), 400) }
}
