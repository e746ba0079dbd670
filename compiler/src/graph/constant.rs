use bytes::Bytes;

use super::half_precision::{f32_to_bf16, f32_to_f16};
use super::{ElementType, TensorType};

/// A tensor whose value is known: raw little-endian bytes, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Element type.
    pub dtype: ElementType,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The elements; as many bytes as type and shape say.
    pub bytes: Bytes,
}

impl Constant {
    /// Of 32-bit floats.
    pub fn f32(shape: impl Into<Vec<usize>>, values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::checked(ElementType::F32, shape.into(), bytes)
    }

    /// Of 64-bit integers.
    pub fn i64(shape: impl Into<Vec<usize>>, values: &[i64]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::checked(ElementType::I64, shape.into(), bytes)
    }

    /// A single number of some type, as near as that comes; without axes.
    pub(crate) fn number(dtype: ElementType, value: f32) -> Self {
        let bytes: Vec<u8> = match dtype {
            ElementType::F32 => value.to_le_bytes().into(),
            ElementType::F64 => f64::from(value).to_le_bytes().into(),
            ElementType::F16 => f32_to_f16(value).to_le_bytes().into(),
            ElementType::Bf16 => f32_to_bf16(value).to_le_bytes().into(),
            ElementType::U64 => (value as u64).to_le_bytes().into(),
            ElementType::Bool => vec![u8::from(value != 0.0)],
            // as many bytes as the type has hold any number that fits it
            _ => (value as i64).to_le_bytes()[..dtype.bytes()].into(),
        };
        Self::checked(dtype, vec![], bytes)
    }

    fn checked(dtype: ElementType, shape: Vec<usize>, bytes: Vec<u8>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>() * dtype.bytes(),
            bytes.len(),
            "shape {shape:?} does not fit the data"
        );
        Self { dtype, shape, bytes: bytes.into() }
    }

    /// Its type.
    pub fn tensor_type(&self) -> TensorType {
        TensorType::new(self.dtype, &self.shape)
    }

    /// The elements, if they are 32-bit floats.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let chunks = self.bytes.chunks_exact(4);
        (self.dtype == ElementType::F32)
            .then(|| chunks.map(|b| f32::from_le_bytes(b.try_into().expect("chunks of 4"))).collect())
    }

    /// The elements as integers, if they are integers or truth values.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        match self.dtype {
            ElementType::I64 => Some(
                self.bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("chunks of 8"))).collect(),
            ),
            ElementType::I32 => Some(
                self.bytes
                    .chunks_exact(4)
                    .map(|b| i64::from(i32::from_le_bytes(b.try_into().expect("chunks of 4"))))
                    .collect(),
            ),
            ElementType::Bool | ElementType::U8 => Some(self.bytes.iter().map(|b| i64::from(*b)).collect()),
            _ => None,
        }
    }
}
