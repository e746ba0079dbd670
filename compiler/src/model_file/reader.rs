//! A model's file, read in pieces: each large weight into memory of its own, aligned as any allocation is, so that it can be
//! handed on without a copy.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Take, Write};
use std::path::Path;

use bytes::Bytes;
use millstream_schemas::{Fingerprint, FingerprintWriter};
use prost::Message;
use prost::encoding::encode_varint;

use super::onnx::ModelProto;

/// Data of so many bytes is taken out of the file before the rest is decoded.
const LARGE: u64 = 4 << 10;

/// The messages on the way to the data of an initializer: the model's graph, its initializers, their bytes.
const WAY: [u32; 3] = [7, 5, 9];

/// The model in a file as protobuf decodes it, and the fingerprint of the file; `None` where that is no model.
pub(super) fn read(path: &Path) -> io::Result<Option<(ModelProto, Fingerprint)>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(None);
    }
    let file = Fingerprinted { file: file.take(length), read: FingerprintWriter::default() };
    let mut reader = Reader { file: BufReader::new(file), initializers: 0, large: Vec::new() };
    let small = match reader.message(length, 0) {
        Ok(small) => small,
        Err(Obstacle::System(error)) => return Err(error),
        Err(Obstacle::Malformed) => return Ok(None),
    };
    let Ok(mut model) = ModelProto::decode(Bytes::from(small)) else { return Ok(None) };
    let Some(graph) = &mut model.graph else { return Ok(None) };
    for (initializer, bytes) in reader.large {
        graph.initializer[initializer].raw_data = Some(bytes);
    }
    Ok(Some((model, reader.file.into_inner().read.finish())))
}

/// Bytes of a file, with the fingerprint of those that were read.
struct Fingerprinted {
    file: Take<File>,
    read: FingerprintWriter,
}

impl Read for Fingerprinted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.write_all(&buffer[..count])?;
        Ok(count)
    }
}

enum Obstacle {
    System(io::Error),
    Malformed,
}

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof { Self::Malformed } else { Self::System(error) }
    }
}

struct Reader {
    file: BufReader<Fingerprinted>,
    /// Begun so far.
    initializers: usize,
    /// Data that was taken out, each with the number of its initializer.
    large: Vec<(usize, Bytes)>,
}

impl Reader {
    /// The next `length` bytes, a message so far along the way, without the large data in it.
    fn message(&mut self, mut length: u64, depth: usize) -> Result<Vec<u8>, Obstacle> {
        let mut kept = Vec::new();
        while length > 0 {
            let key = self.varint(&mut length)?;
            let (field, wire) = (u32::try_from(key >> 3).map_err(|_| Obstacle::Malformed)?, key & 7);
            encode_varint(key, &mut kept);
            match wire {
                0 => {
                    let value = self.varint(&mut length)?;
                    encode_varint(value, &mut kept);
                }
                1 => self.copy(8, &mut length, &mut kept)?,
                5 => self.copy(4, &mut length, &mut kept)?,
                2 => {
                    let inside = self.varint(&mut length)?;
                    let rest = length.checked_sub(inside).ok_or(Obstacle::Malformed)?;
                    if WAY.get(depth) != Some(&field) {
                        encode_varint(inside, &mut kept);
                        self.copy(inside, &mut length, &mut kept)?;
                        continue;
                    }
                    if depth + 1 == WAY.len() {
                        // of several the last counts
                        let number = self.initializers - 1;
                        self.large.pop_if(|(initializer, _)| *initializer == number);
                        if inside < LARGE {
                            encode_varint(inside, &mut kept);
                            self.copy(inside, &mut length, &mut kept)?;
                            continue;
                        }
                        encode_varint(0, &mut kept);
                        let bytes = self.bytes(inside)?;
                        self.large.push((number, bytes.into()));
                    } else {
                        self.initializers += usize::from(depth + 2 == WAY.len());
                        let message = self.message(inside, depth + 1)?;
                        encode_varint(message.len() as u64, &mut kept);
                        kept.extend(message);
                    }
                    length = rest;
                }
                _ => return Err(Obstacle::Malformed),
            }
        }
        Ok(kept)
    }

    fn varint(&mut self, length: &mut u64) -> Result<u64, Obstacle> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            *length = length.checked_sub(1).ok_or(Obstacle::Malformed)?;
            let mut byte = [0];
            self.file.read_exact(&mut byte)?;
            value |= u64::from(byte[0] & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(Obstacle::Malformed)
    }

    fn copy(&mut self, count: u64, length: &mut u64, kept: &mut Vec<u8>) -> Result<(), Obstacle> {
        *length = length.checked_sub(count).ok_or(Obstacle::Malformed)?;
        if (&mut self.file).take(count).read_to_end(kept)? as u64 == count { Ok(()) } else { Err(Obstacle::Malformed) }
    }

    /// No more than the file has, since every length was held against that of what it lies in.
    fn bytes(&mut self, count: u64) -> Result<Vec<u8>, Obstacle> {
        let mut bytes = Vec::new();
        let count = usize::try_from(count).map_err(|_| Obstacle::Malformed)?;
        bytes.try_reserve_exact(count).map_err(io::Error::from)?;
        bytes.resize(count, 0);
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::encoding::{WireType, encode_key};

    use crate::handmade::{graph, model, node, value, weight};

    fn field(number: u32, inside: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(number, WireType::LengthDelimited, &mut bytes);
        encode_varint(inside.len() as u64, &mut bytes);
        bytes.extend(inside);
        bytes
    }

    #[test]
    fn a_file_read_in_pieces_is_the_model_that_protobuf_decodes_in_one() {
        let weights = vec![weight("small", &[3]), weight("large", &[40, 50]), weight("next", &[64, 64])];
        let nodes = vec![node("MatMul", &["x", "large"], &["y"])];
        let plain = model(graph(nodes, weights, vec![value("x", &[2, 40])], vec![value("y", &[2, 50])]));
        let plain = plain.proto.encode_to_vec();
        let data = |bytes: &[u8]| field(9, bytes);
        let (a, b, short) = (vec![1; 5000], vec![2; 6000], vec![3; 10]);
        let of = |data: &[Vec<u8>]| field(7, &field(5, &data.concat()));
        // a message that comes twice is one, and of a value that comes twice the second counts
        let rows: [Vec<u8>; 8] = [
            plain.clone(),
            [of(&[data(&a)]), of(&[data(&b)]), plain.clone()].concat(),
            of(&[data(&a), data(&b)]),
            of(&[data(&a), data(&short)]),
            of(&[data(&short), data(&a)]),
            of(&[field(8, b"name"), data(&a), field(8, b"other")]),
            plain[..plain.len() - 1].to_vec(),
            [&plain[..], &[0x0b]].concat(),
        ];
        let path = std::env::temp_dir().join(format!("millstream-reader-{}.onnx", std::process::id()));
        for (number, bytes) in rows.into_iter().enumerate() {
            std::fs::write(&path, &bytes).unwrap();
            let fingerprint = Fingerprint::of_bytes(&bytes);
            let wanted = ModelProto::decode(Bytes::from(bytes)).ok().map(|model| (model, fingerprint));
            let got = read(&path).unwrap();
            assert_eq!(got, wanted, "row {number}");
            assert_eq!(got.is_none(), number >= 6, "row {number}");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn no_length_makes_more_memory_than_the_file_has() {
        let path = std::env::temp_dir().join(format!("millstream-lengths-{}.onnx", std::process::id()));
        for claimed in [1u64 << 20, 1 << 40, u64::MAX] {
            let mut bytes = Vec::new();
            for number in WAY {
                encode_key(number, WireType::LengthDelimited, &mut bytes);
                encode_varint(claimed, &mut bytes);
            }
            std::fs::write(&path, bytes).unwrap();
            assert!(read(&path).unwrap().is_none());
        }
        std::fs::remove_file(&path).unwrap();
    }
}
