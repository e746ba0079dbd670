/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
    /// 16-bit floating point (IEEE).
    F16,
    /// 16-bit floating point (bfloat16).
    Bf16,
    /// Signed bytes.
    I8,
    /// Signed 16-bit integers.
    I16,
    /// Signed 32-bit integers.
    I32,
    /// Signed 64-bit integers.
    I64,
    /// Bytes.
    U8,
    /// Unsigned 16-bit integers.
    U16,
    /// Unsigned 32-bit integers.
    U32,
    /// Unsigned 64-bit integers.
    U64,
    /// Truth values, a byte each.
    Bool,
}

/// One row a type: its number in `onnx.proto` (`TensorProto.DataType`), its name, bytes an element.
const TABLE: [(ElementType, i32, &str, usize); 13] = [
    (ElementType::F32, 1, "float32", 4),
    (ElementType::U8, 2, "uint8", 1),
    (ElementType::I8, 3, "int8", 1),
    (ElementType::U16, 4, "uint16", 2),
    (ElementType::I16, 5, "int16", 2),
    (ElementType::I32, 6, "int32", 4),
    (ElementType::I64, 7, "int64", 8),
    (ElementType::Bool, 9, "bool", 1),
    (ElementType::F16, 10, "float16", 2),
    (ElementType::F64, 11, "float64", 8),
    (ElementType::U32, 12, "uint32", 4),
    (ElementType::U64, 13, "uint64", 8),
    (ElementType::Bf16, 16, "bfloat16", 2),
];

/// Element types of `onnx.proto` that no tensor here has, by their numbers.
const OTHERS: [(i64, &str); 13] = [
    (8, "string"),
    (14, "complex64"),
    (15, "complex128"),
    (17, "float8e4m3fn"),
    (18, "float8e4m3fnuz"),
    (19, "float8e5m2"),
    (20, "float8e5m2fnuz"),
    (21, "uint4"),
    (22, "int4"),
    (23, "float4e2m1"),
    (24, "float8e8m0"),
    (25, "uint2"),
    (26, "int2"),
];

impl ElementType {
    /// From the number in `onnx.proto`, as a file states it.
    ///
    /// # Errors
    /// There is no such type here: what it is, and what to do.
    pub(crate) fn stated(number: i64) -> Result<Self, String> {
        if let Some(found) = i32::try_from(number).ok().and_then(Self::from_onnx) {
            return Ok(found);
        }
        let name = OTHERS.iter().find(|(other, _)| *other == number).map(|(_, name)| *name);
        let advice = match number {
            17..=20 | 23 | 24 => "; export the model in 16-bit or 32-bit floats, or quantized to 8-bit integers",
            21 | 22 | 25 | 26 => "; export the model quantized to 8-bit integers, or not quantized",
            _ => "",
        };
        Err(match name {
            Some(name) => format!("{name} (element type {number}), which is not supported{advice}"),
            None => format!("element type {number}, which is not supported"),
        })
    }

    /// From the number in `onnx.proto`.
    pub fn from_onnx(number: i32) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == number).map(|row| row.0)
    }

    fn row(self) -> &'static (Self, i32, &'static str, usize) {
        TABLE.iter().find(|row| row.0 == self).expect("the table has a row for every type")
    }

    /// The number in `onnx.proto`.
    pub fn to_onnx(self) -> i32 {
        self.row().1
    }

    /// Name, for example `float32`.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Bytes an element.
    pub fn bytes(self) -> usize {
        self.row().3
    }

    /// Whether gradients can flow through it.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::Bf16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_is_not_supported_is_told_by_its_name_with_what_to_do() {
        assert_eq!(ElementType::stated(16), Ok(ElementType::Bf16));
        for (number, wanted) in [
            (17, "float8e4m3fn (element type 17), which is not supported; export the model in 16-bit or 32-bit floats"),
            (22, "int4 (element type 22), which is not supported; export the model quantized to 8-bit integers"),
            (23, "float4e2m1 (element type 23)"),
            (99, "element type 99, which is not supported"),
            (i64::MIN, "element type -9223372036854775808, which is not supported"),
        ] {
            let told = ElementType::stated(number).unwrap_err();
            assert!(told.starts_with(wanted), "{told}");
        }
    }
}
