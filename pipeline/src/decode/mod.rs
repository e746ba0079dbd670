//! Encoded images to RGB pixels: header first, limits before memory, EXIF orientation applied.

mod decode_error;
mod header;
mod jpeg;
mod orientation;
mod raster;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use millstream_schemas::recipe::TransparencyPolicy;
use millstream_transforms::{DecodeRequest, LARGEST_SIDE, RgbImage, SourceImage};

use decode_error::damaged;
pub use decode_error::{DecodeError, MOST_PIXELS};
pub use header::{Format, Header};

use crate::error::panic_message;

/// Buffers that decoding reuses from image to image.
#[derive(Debug, Default)]
pub struct DecodeScratch {
    /// An encoded image whose header states fewer rows.
    shortened: Vec<u8>,
    turned: Vec<u8>,
}

/// Reads the header only; allocates nothing that depends on the image's size.
///
/// # Errors
/// See [`DecodeError`]; a truncated image may still have a whole header.
pub fn header(bytes: &[u8]) -> Result<Header, DecodeError> {
    caught("image", || {
        let header = match image::guess_format(bytes) {
            _ if bytes.is_empty() => return Err(DecodeError::Empty),
            Ok(image::ImageFormat::Jpeg) => jpeg::header(bytes)?,
            Ok(format) => raster::header(bytes, format)?,
            Err(_) => {
                let start: String = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                return Err(DecodeError::Format(format!("it starts with the bytes {start}")));
            }
        };
        let (width, height) = header.stored;
        let sides = 1..=LARGEST_SIDE;
        let fits =
            sides.contains(&width) && sides.contains(&height) && u64::from(width) * u64::from(height) <= MOST_PIXELS;
        if fits { Ok(header) } else { Err(DecodeError::Size { width, height }) }
    })
}

/// Decodes the whole of an image to RGB, 8 bits a channel; grey, palette, 16 bit and CMYK are converted.
///
/// # Errors
/// See [`DecodeError`]. What a decoder can see of damage is refused: a JPEG without an end, or with data that cannot be
/// read, where other readers fill the rest with grey or go on with noise.
pub fn decode(bytes: &[u8], transparency: TransparencyPolicy) -> Result<RgbImage, DecodeError> {
    let mut image = RgbImage::default();
    let header = header(bytes)?;
    let whole = DecodeRequest::whole(&header.facts);
    decode_into(bytes, &header, &whole, transparency, &mut DecodeScratch::default(), &mut image)?;
    Ok(image)
}

/// Decodes what is requested of an image, or more, into a buffer that is used again; `header` is the answer of
/// [`header`](header()) for the same bytes. The pixels are those of [`decode`].
///
/// A baseline JPEG is decoded down to the last row that is needed (with EXIF orientation: the last as stored). Damage
/// below it goes unnoticed, until a request needs those rows; a missing end is always noticed. All other images are
/// decoded whole. None is decoded at a smaller scale, whatever [`DecodeRequest::shrink`] says: the decoders cannot.
///
/// # Errors
/// As [`decode`]; the image's content is then unspecified.
pub fn decode_into<'a>(
    bytes: &[u8],
    header: &Header,
    request: &DecodeRequest,
    transparency: TransparencyPolicy,
    scratch: &mut DecodeScratch,
    image: &'a mut RgbImage,
) -> Result<SourceImage<'a>, DecodeError> {
    caught(header.format.name(), || {
        let Header { facts, orientation: turn, stored: (width, height), .. } = *header;
        let rows = match header.format {
            Format::Jpeg => {
                let rows = orientation::stored_rows(request, height, turn);
                jpeg::decode(bytes, header, rows, &mut scratch.shortened, &mut image.pixels)?
            }
            _ => {
                raster::decode(bytes, header, transparency, &mut image.pixels)?;
                height
            }
        };
        if turn != Orientation::NoTransforms {
            orientation::turn(&image.pixels, width, rows, turn, &mut scratch.turned);
            std::mem::swap(&mut image.pixels, &mut scratch.turned);
        }
        (image.width, image.height) = orientation::size(width, rows, turn);
        let (left, top) = orientation::start(height - rows, turn);
        Ok(SourceImage::rgb_part(facts, [left, top], image))
    })
}

/// Decoders of foreign bytes may panic; that is the image's fault as far as the user is concerned.
fn caught<T>(format: &'static str, work: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        Err(DecodeError::Damaged { format, reason: format!("the decoder gave up: {}", panic_message(&*payload)) })
    })
}
