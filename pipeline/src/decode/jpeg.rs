//! JPEG through zune-jpeg.

use millstream_transforms::{ImageFacts, luma};
use zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZSeekFrom};
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::decode_error::{DecodeError, damaged};
use super::format::Format;
use super::header::Header;
use super::jpeg_start::{JpegStart, start};
use super::orientation;

pub(super) fn header(bytes: &[u8]) -> Result<Header, DecodeError> {
    let start = start(bytes)?;
    let stored = start.stored();
    let (width, height) = orientation::size(stored.0, stored.1, start.orientation);
    let (facts, memory) = (ImageFacts::new(width, height), start.memory(bytes.len() as u64));
    let orientation = start.orientation;
    Ok(Header { facts, format: Format::Jpeg, memory, orientation, jpeg: Some(start), stored })
}

/// Decodes the first `rows` rows as stored, or more, to grey where `grey` says so, and says how many rows. They are the
/// same as of the whole image.
///
/// The grey of a colour image is the luma that the file itself holds, where it does, or else that of [`luma`].
pub(super) fn decode(
    bytes: &[u8],
    start: &JpegStart,
    rows: u32,
    grey: bool,
    pixels: &mut Vec<u8>,
) -> Result<u32, DecodeError> {
    start.check_end(bytes)?;
    let (width, height) = start.stored();
    let decoded = start.rows_to_decode(rows);
    // The decoder cannot be told to stop, but below the height it read it only looks for the next marker.
    let stated = (decoded as u16).to_be_bytes();
    let file = StatedHeight { bytes, position: 0, height_at: start.height_at(), stated };
    let channels = decode_rows(file, width, decoded, grey && start.first_is_whole(), pixels)?;
    let rows = if decoded == height { height } else { rows };
    pixels.truncate(width as usize * rows as usize * channels);
    if grey && channels == 3 {
        for pixel in 0..pixels.len() / 3 {
            pixels[pixel] = luma([pixels[pixel * 3], pixels[pixel * 3 + 1], pixels[pixel * 3 + 2]]);
        }
        pixels.truncate(pixels.len() / 3);
    }
    Ok(rows)
}

/// Decodes to one channel where that is asked for and the file holds luma, or else to three; says to how many.
fn decode_rows(
    file: StatedHeight<'_>,
    width: u32,
    height: u32,
    luma: bool,
    pixels: &mut Vec<u8>,
) -> Result<usize, DecodeError> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(file, options);
    decoder.decode_headers().map_err(|error| damaged(Format::Jpeg, &error))?;
    let holds_luma = matches!(decoder.input_colorspace(), Some(ColorSpace::YCbCr | ColorSpace::Luma));
    let channels = if luma && holds_luma { 1 } else { 3 };
    if channels == 1 {
        decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::Luma));
    }
    let wanted = width as usize * height as usize * channels;
    if decoder.output_buffer_size() != Some(wanted) {
        return Err(damaged(Format::Jpeg, &"it has two frames of different size"));
    }
    // Not all that the decoder accepts makes it write every row, and nothing may stay of the image before.
    pixels.clear();
    pixels.resize(wanted, 0);
    decoder.decode_into(pixels).map_err(|error| damaged(Format::Jpeg, &error))?;
    Ok(channels)
}

/// A file in memory whose header states another height than it does: its bytes are not copied for that.
struct StatedHeight<'a> {
    bytes: &'a [u8],
    position: usize,
    height_at: usize,
    stated: [u8; 2],
}

impl StatedHeight<'_> {
    /// Reads what is there; how many bytes that is.
    #[inline(always)]
    fn peek(&self, buffer: &mut [u8]) -> usize {
        let start = self.position.min(self.bytes.len());
        let end = self.position.saturating_add(buffer.len()).min(self.bytes.len());
        let there = &self.bytes[start..end];
        buffer[..there.len()].copy_from_slice(there);
        // nearly all of the file lies behind
        if start < self.height_at + 2 {
            for (at, byte) in (self.height_at..).zip(self.stated) {
                if (start..end).contains(&at) {
                    buffer[at - start] = byte;
                }
            }
        }
        there.len()
    }
}

impl ZByteReaderTrait for StatedHeight<'_> {
    #[inline(always)]
    fn read_byte_no_error(&mut self) -> u8 {
        let mut byte = [0];
        self.peek(&mut byte);
        self.position = self.position.saturating_add(1);
        byte[0]
    }

    #[inline(always)]
    fn read_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        self.peek_exact_bytes(buffer)?;
        self.position += buffer.len();
        Ok(())
    }

    #[inline(always)]
    fn read_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let read = self.peek(buffer);
        self.position += read;
        Ok(read)
    }

    #[inline(always)]
    fn peek_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        Ok(self.peek(buffer))
    }

    #[inline(always)]
    fn peek_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        let read = self.peek(buffer);
        if read == buffer.len() { Ok(()) } else { Err(ZByteIoError::NotEnoughBytes(read, buffer.len())) }
    }

    #[inline(always)]
    fn z_seek(&mut self, from: ZSeekFrom) -> Result<u64, ZByteIoError> {
        let (base, offset) = match from {
            ZSeekFrom::Start(position) => (Some(0), i64::try_from(position).ok()),
            ZSeekFrom::End(offset) => (i64::try_from(self.bytes.len()).ok(), Some(offset)),
            ZSeekFrom::Current(offset) => (i64::try_from(self.position).ok(), Some(offset)),
        };
        let position = base.zip(offset).and_then(|(base, offset)| usize::try_from(base.checked_add(offset)?).ok());
        self.position = position.ok_or(ZByteIoError::SeekError("outside of what a file can have"))?;
        Ok(self.position as u64)
    }

    #[inline(always)]
    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        Ok(self.position >= self.bytes.len())
    }

    #[inline(always)]
    fn z_position(&mut self) -> Result<u64, ZByteIoError> {
        Ok(self.position as u64)
    }

    fn read_remaining(&mut self, sink: &mut Vec<u8>) -> Result<usize, ZByteIoError> {
        let start = sink.len();
        sink.resize(start + self.bytes.len().saturating_sub(self.position), 0);
        self.read_bytes(&mut sink[start..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However it is read, the two bytes are those that are stated, and all others those of the file.
    #[test]
    fn a_stated_height_is_all_that_differs() {
        let bytes: Vec<u8> = (0..40).collect();
        let mut wanted = bytes.clone();
        wanted[11..13].copy_from_slice(&[100, 101]);
        for start in 0..45usize {
            for length in 0..8 {
                let mut file = StatedHeight { bytes: &bytes, position: 0, height_at: 11, stated: [100, 101] };
                file.z_seek(ZSeekFrom::Start(start as u64)).unwrap();
                let expected = wanted.get(start..(start + length).min(40)).unwrap_or_default();
                let mut buffer = vec![0; length];
                assert_eq!(file.peek_exact_bytes(&mut buffer).is_ok(), expected.len() == length);
                assert_eq!(file.read_bytes(&mut buffer).unwrap(), expected.len());
                assert_eq!(&buffer[..expected.len()], expected);
                assert_eq!(file.z_position().unwrap() as usize, start + expected.len());
                assert_eq!(file.read_byte_no_error(), wanted.get(start + expected.len()).copied().unwrap_or(0));
            }
            let mut file = StatedHeight { bytes: &bytes, position: start, height_at: 11, stated: [100, 101] };
            let mut rest = vec![7];
            file.read_remaining(&mut rest).unwrap();
            assert_eq!(rest[1..], *wanted.get(start..).unwrap_or_default());
            assert!(file.is_eof().unwrap());
            assert!(file.z_seek(ZSeekFrom::Current(-100)).is_err());
        }
    }
}
