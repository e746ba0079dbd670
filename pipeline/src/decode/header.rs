use image::metadata::Orientation;
use millstream_transforms::ImageFacts;

use super::format::Format;
use super::jpeg_start::JpegStart;

/// What an image's first bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Size after EXIF orientation; of three channels, whatever the file has.
    pub facts: ImageFacts,
    /// How it is encoded.
    pub format: Format,
    /// Most bytes that decoding it holds at a time, the result included.
    pub memory: u64,
    pub(super) orientation: Orientation,
    /// What stands before the first scan of a JPEG.
    pub(super) jpeg: Option<JpegStart>,
    /// Size as stored.
    pub(super) stored: (u32, u32),
}
