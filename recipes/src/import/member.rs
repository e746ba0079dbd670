use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use flate2::CrcReader;
use flate2::read::DeflateDecoder;

use super::unpacked::{Unpacked, most_unpacked};
use crate::RecipeError;
use crate::folder_files::{LARGEST_FILE, read_bounded};

/// A file in an archive.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Its path in the archive, with `/` and without detours.
    pub(super) name: String,
    pub(super) place: MemberPlace,
}

/// Where the bytes of a member lie.
#[derive(Clone, Debug)]
pub(super) struct MemberPlace {
    pub(super) archive: Arc<Path>,
    /// Bytes before it, and its own in the archive.
    pub(super) start: u64,
    pub(super) stored: u64,
    /// Of a member of a zip, what it becomes.
    pub(super) zipped: Option<Zipped>,
}

/// How a member of a zip is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zipped {
    pub(super) deflated: bool,
    pub(super) size: u64,
    pub(super) crc: u32,
}

impl MemberPlace {
    /// All its bytes.
    ///
    /// # Errors
    /// They cannot be read, are too many, or are not those that the archive says; in words.
    pub(super) fn read(&self) -> Result<Vec<u8>, String> {
        let size = self.zipped.map_or(self.stored, |zipped| zipped.size);
        if size > LARGEST_FILE {
            return Err(format!("it has more than {LARGEST_FILE} bytes"));
        }
        let stored = self.open().map_err(|error| error.to_string())?;
        let Some(zipped) = self.zipped else { return read_bounded(stored) };
        self.require_likely_size()?;
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        zipped.unpack(stored).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// Its bytes, one after another; where there is an end they are those that the archive says.
    ///
    /// # Errors
    /// It cannot be read, or says that it becomes so large as no data do.
    pub(super) fn stream(&self) -> io::Result<Box<dyn Read>> {
        self.require_likely_size().map_err(io::Error::other)?;
        let stored = self.open()?;
        match self.zipped {
            Some(zipped) => Ok(Box::new(zipped.unpack(stored))),
            None => Ok(Box::new(stored)),
        }
    }

    /// Its bytes, to be gone through. What is compressed is unpacked beside the result first.
    ///
    /// # Errors
    /// It cannot be read, or cannot be unpacked.
    pub(super) fn seekable(&self, unpacked: &Unpacked) -> Result<Section, RecipeError> {
        let failed = |error: io::Error| RecipeError::io("read", &*self.archive)(error);
        match self.zipped {
            Some(zipped) if zipped.deflated => {
                let path = unpacked.once((Arc::clone(&self.archive), self.start), |to| {
                    if zipped.size > most_unpacked(self.stored) {
                        return Err(io::Error::other("it says that it becomes so large as no table does"));
                    }
                    io::copy(&mut zipped.unpack(self.open()?), to)?;
                    Ok(())
                });
                let path = path.map_err(failed)?;
                let length = path.metadata().map_err(failed)?.len();
                Section::open(&path, 0, length).map_err(failed)
            }
            _ => self.open().map_err(failed),
        }
    }

    /// Refuses a small member that says it becomes huge: what is read of it is held in memory.
    fn require_likely_size(&self) -> Result<(), &'static str> {
        match self.zipped {
            Some(zipped) if zipped.size > most_in_memory(self.stored) => {
                Err("it says that it becomes so large as no data do")
            }
            _ => Ok(()),
        }
    }

    fn open(&self) -> io::Result<Section> {
        Section::open(&self.archive, self.start, self.stored)
    }
}

/// Bytes that so many may become in memory, at most, where many are unpacked at the same time.
fn most_in_memory(packed: u64) -> u64 {
    packed.saturating_mul(200).saturating_add(64 << 20)
}

impl Zipped {
    fn unpack(self, stored: Section) -> Unzipped {
        let bytes: Box<dyn Read> = if self.deflated { Box::new(DeflateDecoder::new(stored)) } else { Box::new(stored) };
        // never more than what was said before, whatever comes out of it
        let bytes = bytes.take(self.size.saturating_add(1));
        Unzipped { bytes: CrcReader::new(bytes), size: 0, said: self }
    }
}

/// What a member of a zip becomes, held against what the archive says of it.
struct Unzipped {
    bytes: CrcReader<io::Take<Box<dyn Read>>>,
    /// How many there were.
    size: u64,
    said: Zipped,
}

impl Read for Unzipped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let damaged = |kind, why: &dyn std::fmt::Display| io::Error::new(kind, format!("it is damaged: {why}"));
        let read = self.bytes.read(buffer).map_err(|error| damaged(error.kind(), &error))?;
        self.size += read as u64;
        let is_end = read == 0 && !buffer.is_empty();
        if is_end && (self.size, self.bytes.crc().sum()) != (self.said.size, self.said.crc) {
            let why = "its bytes are not those that the archive says";
            return Err(damaged(io::ErrorKind::InvalidData, &why));
        }
        Ok(read)
    }
}

/// A part of a file.
pub(super) struct Section {
    file: File,
    start: u64,
    length: u64,
    at: u64,
}

impl Section {
    fn open(path: &Path, start: u64, length: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Self { file, start, length, at: 0 })
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.at);
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..most])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Section {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::End(by) => (self.length, by),
            SeekFrom::Current(by) => (self.at, by),
        };
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "a place outside of the file");
        let at = from.checked_add_signed(by).ok_or_else(outside)?;
        self.file.seek(SeekFrom::Start(self.start.checked_add(at).ok_or_else(outside)?))?;
        self.at = at;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    #[test]
    fn a_small_member_that_says_it_becomes_huge_takes_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let text = vec![b'a'; 1 << 20];
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&text).unwrap();
        let packed = packed.finish().unwrap();
        std::fs::write(&path, &packed).unwrap();
        let archive: Arc<Path> = path.into();
        let mut crc = flate2::Crc::new();
        crc.update(&text);
        let stored = packed.len() as u64;
        let place = |size: u64, crc: u32| {
            let zipped = Some(Zipped { deflated: true, size, crc });
            MemberPlace { archive: Arc::clone(&archive), start: 0, stored, zipped }
        };
        let (size, most) = (text.len() as u64, most_in_memory(stored));
        assert!(size > stored * 200 && place(size, crc.sum()).read().unwrap() == text);
        let other = "it is damaged: its bytes are not those that the archive says";
        for (size, crc, wanted) in [
            (most + 1, crc.sum(), "it says that it becomes so large as no data do"),
            (most, crc.sum(), other),
            (size - 1, crc.sum(), other),
            (size, !crc.sum(), other),
        ] {
            assert_eq!(place(size, crc).read().unwrap_err(), wanted);
        }
        // what is read bit by bit is held against the archive as well
        let all = |place: &MemberPlace| io::copy(&mut place.stream().unwrap(), &mut io::sink());
        assert_eq!(all(&place(size, crc.sum())).unwrap(), size);
        assert_eq!(all(&place(size, !crc.sum())).unwrap_err().to_string(), other);
        let refused = place(most + 1, crc.sum()).stream().err().expect("it says that it becomes huge");
        assert_eq!(refused.to_string(), "it says that it becomes so large as no data do");
    }
}
