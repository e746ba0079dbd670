//! What a JPEG says before its first scan, read once.

use image::metadata::Orientation;

use super::decode_error::{DecodeError, damaged};
use super::format::Format;

/// What stands before the first scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JpegStart {
    frame: Frame,
    pub(super) orientation: Orientation,
    /// The first scan holds all components.
    interleaved: bool,
    /// Where the first scan's data begins.
    scan: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    width: u16,
    height: u16,
    /// Where the height is written.
    height_at: usize,
    progressive: bool,
    components: u8,
    /// Whether the first component has as many values as any other.
    first_is_whole: bool,
    /// The largest sampling factors.
    across: u8,
    down: u8,
}

impl JpegStart {
    /// Size as stored.
    pub(super) fn stored(&self) -> (u32, u32) {
        (self.frame.width.into(), self.frame.height.into())
    }

    /// Where the height is written: two bytes, the higher first.
    pub(super) fn height_at(&self) -> usize {
        self.frame.height_at
    }

    /// Whether the first component can be read alone.
    pub(super) fn first_is_whole(&self) -> bool {
        self.frame.first_is_whole
    }

    /// All of the image is in the first scan.
    fn has_one_scan(&self) -> bool {
        self.interleaved && !self.frame.progressive
    }

    /// How many rows the decoder must be made to decode for the first `rows` to be right.
    pub(super) fn rows_to_decode(&self, rows: u32) -> u32 {
        let Frame { height, across, down, .. } = self.frame;
        if !self.has_one_scan() || across > 2 || down > 2 {
            return height.into();
        }
        // Where colours are stored at half the height, a row's are mixed with those of the next.
        let below = if down == 2 { 2 } else { 0 };
        (rows + below).next_multiple_of(8 * u32::from(down)).min(height.into())
    }

    /// Most bytes that decoding takes.
    pub(super) fn memory(&self, encoded: u64) -> u64 {
        let Frame { width, height, components, across, down, .. } = self.frame;
        let pixels = u64::from(width) * u64::from(height);
        let (columns, block_rows) = (8 * u64::from(across), 8 * u64::from(down));
        let (width, height) =
            (u64::from(width).next_multiple_of(columns), u64::from(height).next_multiple_of(block_rows));
        let (components, value) = (u64::from(components), size_of::<i16>() as u64);
        let result = pixels * if self.orientation == Orientation::NoTransforms { 3 } else { 6 };
        let planes = if self.has_one_scan() { 0 } else { width * height * components * value };
        // A row of blocks as decoded, at full size (with room to spare for some samplings), and rows between them.
        let rows = width * block_rows * components * value * 4;
        // Metadata are copied.
        result + planes + rows + encoded
    }

    /// The decoder itself notices a missing end, and data that is none, in some places only.
    pub(super) fn check_end(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut rest = &bytes[self.scan..];
        if !self.has_one_scan() {
            // Between the start of a scan and the end of the image these two bytes cannot stand for anything else.
            let ends = rest.windows(2).rev().any(|pair| pair == [0xff, 0xd9]);
            return if ends { Ok(()) } else { Err(endless()) };
        }
        loop {
            rest = from_marker(rest).ok_or_else(endless)?;
            match rest.split_first().ok_or_else(endless)? {
                (0x00 | 0xd0..=0xd7, after) => rest = after,
                (0xd9, _) => return Ok(()),
                (marker, _) => {
                    return Err(damaged(Format::Jpeg, &format!("marker ff{marker:02x} stands within its only scan")));
                }
            }
        }
    }
}

/// What follows the next 0xff, or more of them.
fn from_marker(mut bytes: &[u8]) -> Option<&[u8]> {
    // Many bytes at a time: in a scan there is one in some hundreds.
    while let Some((chunk, after)) = bytes.split_first_chunk::<32>()
        && !chunk.iter().fold(false, |found, &byte| found | (byte == 0xff))
    {
        bytes = after;
    }
    let marker = bytes.iter().position(|&byte| byte == 0xff)?;
    let fill = bytes[marker..].iter().position(|&byte| byte != 0xff)?;
    Some(&bytes[marker + fill..])
}

fn endless() -> DecodeError {
    DecodeError::Truncated { format: Format::Jpeg.name(), reason: "it has no end-of-image marker".into() }
}

/// Reads up to the first scan.
pub(super) fn start(bytes: &[u8]) -> Result<JpegStart, DecodeError> {
    let truncated = || DecodeError::Truncated { format: "JPEG", reason: "it ends within its header".into() };
    let mut frame = None;
    let mut turn = Orientation::NoTransforms;
    let mut at = 2;
    loop {
        // Like other readers, skip what is no marker.
        at = bytes.len() - bytes.get(at..).and_then(from_marker).ok_or_else(truncated)?.len();
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
            0xc0..=0xc2 => frame = Some(read_frame(segment, at + 2, marker == 0xc2)?),
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(DecodeError::Format("lossless, hierarchical or arithmetic JPEG".into()));
            }
            0xe1 if segment.starts_with(b"Exif\0\0") => {
                turn = Orientation::from_exif_chunk(&segment[6..]).unwrap_or(turn);
            }
            0xda => {
                let no_frame = || damaged(Format::Jpeg, &"it has no frame header before its first scan");
                let frame: Frame = frame.ok_or_else(no_frame)?;
                let interleaved = segment.first().is_some_and(|named| *named == frame.components);
                // The decoder takes the blocks of such scans for others, and says nothing.
                if !interleaved && !frame.progressive && frame.down > 1 {
                    let what = "a baseline JPEG of several scans, its colours stored at a part of the height";
                    return Err(DecodeError::Format(what.into()));
                }
                return Ok(JpegStart { frame, orientation: turn, interleaved, scan: at + length });
            }
            _ => {}
        }
        at += length;
    }
}

fn read_frame(segment: &[u8], at: usize, progressive: bool) -> Result<Frame, DecodeError> {
    let [_, h1, h0, w1, w0, components, ref samplings @ ..] = *segment else {
        return Err(damaged(Format::Jpeg, &"the frame header is too short"));
    };
    let factors = || samplings.as_chunks::<3>().0.iter().map(|component| component[1]);
    let across = factors().map(|factor| factor >> 4).max().unwrap_or(1).max(1);
    let down = factors().map(|factor| factor & 15).max().unwrap_or(1).max(1);
    Ok(Frame {
        width: u16::from_be_bytes([w1, w0]),
        height: u16::from_be_bytes([h1, h0]),
        height_at: at + 1,
        progressive,
        components,
        first_is_whole: factors().next().is_some_and(|factor| factor >> 4 == across && factor & 15 == down),
        across,
        down,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of an image of 64×64 pixels, up to its first scan, which names some components.
    fn begun(marker: u8, samplings: &[u8], named: u8) -> Vec<u8> {
        let count = samplings.len() as u8;
        let mut bytes = vec![0xff, 0xd8, 0xff, marker, 0, 8 + 3 * count, 8, 0, 64, 0, 64, count];
        samplings.iter().for_each(|sampling| bytes.extend([1, *sampling, 0]));
        bytes.extend([0xff, 0xda, 0, 6 + 2 * named, named]);
        bytes.resize(bytes.len() + 2 * usize::from(named) + 3, 0);
        bytes
    }

    #[test]
    fn planes_are_counted_where_the_decoder_keeps_them() {
        let (full, half) = ([0x11, 0x11, 0x11], [0x22, 0x11, 0x11]);
        for (marker, samplings, named, wanted) in [
            (0xc0, full, 3, Ok(false)),
            (0xc1, half, 3, Ok(false)),
            (0xc2, half, 3, Ok(true)),
            (0xc2, half, 1, Ok(true)),
            (0xc0, full, 1, Ok(true)),
            (0xc0, [0x21, 0x11, 0x11], 1, Ok(true)),
            (0xc0, half, 1, Err("a baseline JPEG of several scans")),
        ] {
            let header = start(&begun(marker, &samplings, named)).map(|start| start.memory(0));
            let whole = 64 * 64 * 3;
            match (&header, wanted) {
                (Ok(header), Ok(planes)) => {
                    let rows = 64 * 8 * 3 * 2 * 4 * if samplings == half { 2 } else { 1 };
                    let memory = whole + rows + if planes { whole * 2 } else { 0 };
                    assert_eq!(*header, memory, "{marker:x} {samplings:x?}");
                }
                (Err(error), Err(message)) => assert!(error.to_string().contains(message), "{error}"),
                _ => panic!("{marker:x} {samplings:x?}: {header:?}"),
            }
        }
    }

    #[test]
    fn no_more_rows_are_decoded_than_needed() {
        for (marker, samplings, rows, wanted) in [
            (0xc0, [0x11, 0x11, 0x11], 16, 16),
            (0xc0, [0x11, 0x11, 0x11], 17, 24),
            (0xc0, [0x21, 0x11, 0x11], 16, 16),
            (0xc0, [0x22, 0x11, 0x11], 14, 16),
            (0xc0, [0x22, 0x11, 0x11], 15, 32),
            (0xc0, [0x22, 0x11, 0x11], 60, 64),
            (0xc0, [0x41, 0x11, 0x11], 16, 64),
            (0xc2, [0x11, 0x11, 0x11], 16, 64),
        ] {
            let start = start(&begun(marker, &samplings, 3)).map_err(|error| error.to_string()).unwrap();
            assert_eq!(start.rows_to_decode(rows), wanted, "{marker:x} {samplings:x?}");
        }
    }
}
