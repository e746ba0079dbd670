//! Encoded images to RGB pixels: header first, limits before memory, EXIF orientation applied.

mod decode_error;
mod format;
mod header;
mod jpeg;
mod jpeg_start;
mod orientation;
mod palette;
mod pixel_numbers;
mod raster;
mod unread_format;
mod whole;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use millstream_schemas::recipe::TransparencyPolicy;
use millstream_transforms::{DecodeRequest, LARGEST_SIDE, Raster, RgbImage, Samples, SourceImage};

pub use decode_error::{DecodeError, MOST_PIXELS};
pub use format::Format;
pub use header::Header;
pub use pixel_numbers::PixelNumbers;
pub use unread_format::UnreadFormat;

use crate::error::panic_message;

/// Buffers that decoding reuses from image to image.
#[derive(Debug, Default)]
pub struct DecodeScratch {
    turned: Vec<u8>,
}

/// Reads the header only; allocates nothing that depends on the image's size.
///
/// # Errors
/// See [`DecodeError`]; a truncated image may still have a whole header.
pub fn header(bytes: &[u8]) -> Result<Header, DecodeError> {
    caught("image", || {
        if let Some(format) = UnreadFormat::of_bytes(bytes) {
            return Err(DecodeError::Format(format.to_string()));
        }
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

/// Refuses an image whose bytes end before its pixels do, where its format says that: all but TIFF. `header` is the answer of
/// [`header`](header()) for the same bytes. What may have all its pixels and yet no end is decoded.
///
/// # Errors
/// It is cut off, or damaged where that is seen.
pub fn require_end(bytes: &[u8], header: &Header) -> Result<(), DecodeError> {
    caught(header.format.name(), || whole::require_end(bytes, header))
}

/// Decodes the whole of an image to RGB, 8 bits a channel; grey, palette, 16 bit and CMYK are converted.
///
/// # Errors
/// See [`DecodeError`]. What a decoder can see of damage is refused: a JPEG without an end, or with data that cannot be
/// read, where other readers fill the rest with grey or go on with noise.
pub fn decode(bytes: &[u8], transparency: TransparencyPolicy) -> Result<RgbImage, DecodeError> {
    let mut image = Raster::default();
    let header = header(bytes)?;
    let whole = DecodeRequest::whole(&header.facts);
    decode_into(bytes, &header, &whole, transparency, &mut DecodeScratch::default(), &mut image)?;
    Ok(RgbImage { width: image.width, height: image.height, pixels: image.take_bytes() })
}

/// Decodes what is requested of an image, or more, into a buffer that is used again; `header` is the answer of
/// [`header`](header()) for the same bytes. The pixels are those of [`decode`].
///
/// To one channel where that is requested: the grey of a colour is its luma (ITU-R BT.601,
/// [`luma`](millstream_transforms::luma)), of a JPEG the luma that it holds; the two differ by rounding. A grey image of
/// which three channels are requested has three equal ones.
///
/// A baseline JPEG is decoded down to the last row that is needed (with EXIF orientation: the last as stored). Damage
/// below it goes unnoticed, until a request needs those rows; a missing end is always noticed. All other images are
/// decoded whole. None is decoded at a smaller scale, whatever [`DecodeRequest::shrink`] says: the decoders cannot.
///
/// # Errors
/// As [`decode`], or another number of channels than 1 and 3 is requested; the image's content is then unspecified.
pub fn decode_into<'a>(
    bytes: &[u8],
    header: &Header,
    request: &DecodeRequest,
    transparency: TransparencyPolicy,
    scratch: &mut DecodeScratch,
    image: &'a mut Raster,
) -> Result<SourceImage<'a>, DecodeError> {
    let grey = match request.channels {
        1 => true,
        3 => false,
        wanted => return Err(DecodeError::Channels { wanted }),
    };
    caught(header.format.name(), || {
        let Header { facts, orientation: turn, stored: (width, height), .. } = *header;
        let mut pixels = image.take_bytes();
        let rows = match &header.jpeg {
            Some(start) => {
                let rows = orientation::stored_rows(request, height, turn);
                jpeg::decode(bytes, start, rows, grey, &mut pixels)?
            }
            None => {
                raster::decode(bytes, header, transparency, grey, &mut pixels)?;
                height
            }
        };
        if turn != Orientation::NoTransforms {
            let turned = &mut scratch.turned;
            match grey {
                true => orientation::turn::<1>(&pixels, width, rows, turn, turned),
                false => orientation::turn::<3>(&pixels, width, rows, turn, turned),
            }
            std::mem::swap(&mut pixels, turned);
        }
        (image.width, image.height) = orientation::size(width, rows, turn);
        (image.channels, image.samples) = (request.channels, Samples::U8(pixels));
        let start = orientation::start(height - rows, turn);
        Ok(SourceImage::part(facts.with_channels(request.channels), start.into(), image))
    })
}

/// Decoders of foreign bytes may panic; that is the image's fault as far as the user is concerned.
fn caught<T>(format: &'static str, work: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        Err(DecodeError::Damaged { format, reason: format!("the decoder gave up: {}", panic_message(&*payload)) })
    })
}
