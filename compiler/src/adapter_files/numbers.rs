use crate::graph::{bf16_to_f32, f16_to_f32};

/// Types of numbers that adapters are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    F32,
    F16,
    Bf16,
}

impl Stored {
    /// Bytes of one number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The numbers, little-endian; what is left behind the last whole one is none.
    pub(super) fn floats(self, bytes: &[u8]) -> Vec<f32> {
        let of_two = |read: fn(u16) -> f32| {
            bytes.chunks_exact(2).map(|pair| read(u16::from_le_bytes([pair[0], pair[1]]))).collect()
        };
        match self {
            Self::F32 => {
                bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
            }
            Self::F16 => of_two(f16_to_f32),
            Self::Bf16 => of_two(bf16_to_f32),
        }
    }
}
