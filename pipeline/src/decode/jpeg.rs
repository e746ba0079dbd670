//! JPEG through zune-jpeg.

use image::metadata::Orientation;
use millstream_transforms::ImageFacts;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{DecodeError, Format, Header, damaged, orientation};

/// What stands before the first scan.
struct Start {
    width: u16,
    height: u16,
    components: u8,
    progressive: bool,
    orientation: Orientation,
    /// Where the first scan begins.
    scan: usize,
}

pub(super) fn header(bytes: &[u8]) -> Result<Header, DecodeError> {
    let start = start(bytes)?;
    let stored = (u32::from(start.width), u32::from(start.height));
    let pixels = u64::from(stored.0) * u64::from(stored.1);
    let turned = start.orientation != Orientation::NoTransforms;
    let memory = pixels * if turned { 6 } else { 3 }
        + if start.progressive { pixels * 2 * u64::from(start.components) } else { 0 }
        + bytes_of_rows(stored.0);
    let (width, height) = orientation::size(stored.0, stored.1, start.orientation);
    let facts = ImageFacts { width, height };
    Ok(Header { facts, format: Format::Jpeg, memory, orientation: start.orientation, stored })
}

/// A few rows of blocks in three colours, as the decoder keeps them.
fn bytes_of_rows(width: u32) -> u64 {
    u64::from(width) * 3 * 2 * 32
}

pub(super) fn decode(bytes: &[u8], header: &Header, pixels: &mut Vec<u8>) -> Result<(), DecodeError> {
    let scan = start(bytes)?.scan;
    // The decoder itself only notices a missing end in some places. Between the start of a scan and the end of the
    // image the two bytes of this marker cannot stand for anything else.
    if !bytes[scan..].windows(2).rev().any(|pair| pair == [0xff, 0xd9]) {
        let reason = "it has no end-of-image marker".into();
        return Err(DecodeError::Truncated { format: Format::Jpeg.name(), reason });
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| damaged(Format::Jpeg, &error))?;
    let (width, height) = header.stored;
    let wanted = width as usize * height as usize * 3;
    if decoder.output_buffer_size() != Some(wanted) {
        return Err(damaged(Format::Jpeg, &"it has two frames of different size"));
    }
    pixels.resize(wanted, 0);
    decoder.decode_into(pixels).map_err(|error| damaged(Format::Jpeg, &error))
}

fn start(bytes: &[u8]) -> Result<Start, DecodeError> {
    let truncated = || DecodeError::Truncated { format: "JPEG", reason: "it ends within its header".into() };
    let mut frame = None;
    let mut turn = Orientation::NoTransforms;
    let mut at = 2;
    loop {
        // Like other readers, skip what is no marker.
        at += bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)).ok_or_else(truncated)?;
        at += bytes[at..].iter().position(|&byte| byte != 0xff).ok_or_else(truncated)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            0xd9 => return Err(damaged(Format::Jpeg, &"it ends before the first scan")),
            _ => {}
        }
        let length = bytes.get(at..at + 2).ok_or_else(truncated)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length < 2 {
            return Err(damaged(Format::Jpeg, &"a header segment is shorter than its own length"));
        }
        let segment = bytes.get(at + 2..at + length).ok_or_else(truncated)?;
        match marker {
            0xc0..=0xc2 => {
                let [_, h1, h0, w1, w0, components, ..] = *segment else {
                    return Err(damaged(Format::Jpeg, &"the frame header is too short"));
                };
                frame = Some((u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]), components, marker == 0xc2));
            }
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(DecodeError::Format("lossless, hierarchical or arithmetic JPEG".into()));
            }
            0xe1 if segment.starts_with(b"Exif\0\0") => {
                turn = Orientation::from_exif_chunk(&segment[6..]).unwrap_or(turn);
            }
            0xda => {
                let no_frame = || damaged(Format::Jpeg, &"it has no frame header before its first scan");
                let (width, height, components, progressive) = frame.ok_or_else(no_frame)?;
                let scan = at + length;
                return Ok(Start { width, height, components, progressive, orientation: turn, scan });
            }
            _ => {}
        }
        at += length;
    }
}
