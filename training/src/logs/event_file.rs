//! Event files: events in the frames of a TFRecord file.
//!
//! A frame is the length of its data (u64), the masked CRC-32C of these eight bytes (u32), the data, and the masked CRC-32C
//! of the data (u32), all little-endian. Masked is ((crc ≫ 15) | (crc ≪ 17)) + 0xa282ead8, modulo 2³²
//! (TensorFlow, `core/lib/io/record_writer.cc` and `core/lib/hash/crc32c.h`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use prost::Message;

use super::event_messages::{Event, What};

/// What the first event of a file says of its format.
const VERSION: &str = "brain.Event:2";

/// An event file that grows.
pub(super) struct EventFile(File);

impl EventFile {
    /// Makes a file, which must not be there yet; its first event says which format it has.
    pub(super) fn begin(path: &Path, time: f64) -> io::Result<Self> {
        let mut this = Self(OpenOptions::new().write(true).create_new(true).open(path)?);
        let what = Some(What::FileVersion(VERSION.into()));
        this.append(&Event { wall_time: time, step: 0, what })?;
        Ok(this)
    }

    /// Appends an event in one piece.
    pub(super) fn append(&mut self, event: &Event) -> io::Result<()> {
        self.0.write_all(&frame(&event.encode_to_vec()))
    }
}

fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut frame = Vec::with_capacity(data.len() + 16);
    frame.extend(length);
    frame.extend(masked(crc32c(&length)).to_le_bytes());
    frame.extend(data);
    frame.extend(masked(crc32c(data)).to_le_bytes());
    frame
}

/// The event that a text of frames begins with, and where its frame ends; `None` where it is torn or damaged.
pub(super) fn first(text: &[u8]) -> Option<(Event, usize)> {
    let (length, rest) = text.split_first_chunk::<8>()?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*check) != masked(crc32c(length)) {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let data = rest.get(..length)?;
    let check = rest[length..].first_chunk::<4>()?;
    if u32::from_le_bytes(*check) != masked(crc32c(data)) {
        return None;
    }
    Some((Event::decode(data).ok()?, length + 16))
}

/// Cuts a file at the first event that does not stay, or that is torn; returns whether all stay.
pub(super) fn cut(path: &Path, mut stays: impl FnMut(&Event) -> bool) -> io::Result<bool> {
    let text = std::fs::read(path)?;
    let mut kept = 0;
    while let Some((_, end)) = first(&text[kept..]).filter(|(event, _)| stays(event)) {
        kept += end;
    }
    if kept < text.len() {
        OpenOptions::new().write(true).open(path)?.set_len(kept as u64)?;
    }
    Ok(kept == text.len())
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bits reversed: RFC 3720, appendix B.4.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        for (bytes, wanted) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&rising, 0x46dd_794e),
            (&falling, 0x113f_db5c),
            (b"123456789", 0xe306_9283),
        ] {
            assert_eq!(crc32c(bytes), wanted, "{bytes:?}");
        }
    }

    /// `tensorboard.summary.writer.record_writer.RecordWriter` of tensorboard 2.21 writes these bytes for the version event
    /// at 1.5 seconds.
    #[test]
    fn a_file_begins_with_the_bytes_that_tensorboard_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        EventFile::begin(&path, 1.5).unwrap();
        let hex: String = std::fs::read(&path).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c");
    }

    #[test]
    fn damaged_and_torn_frames_end_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let mut file = EventFile::begin(&path, 1.0).unwrap();
        for step in 1..=3 {
            file.append(&Event { wall_time: 2.0, step, what: None }).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        assert!(cut(&path, |_| true).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        let mut at = 0;
        let ends = [(); 4].map(|()| {
            at += first(&whole[at..]).unwrap().1;
            at
        });
        assert_eq!(at, whole.len());
        let left = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            assert_eq!(cut(&path, |_| true).unwrap(), text.len() == ends[2]);
            std::fs::metadata(&path).unwrap().len() as usize
        };
        // A byte that is lost or another takes its event with it, and those behind it.
        for at in ends[2]..whole.len() {
            assert_eq!(left(&whole[..at]), ends[2], "{at}");
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            assert_eq!(left(&damaged), ends[2], "{at}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(!cut(&path, |event| event.step < 2).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().len() as usize, ends[1]);
    }
}
