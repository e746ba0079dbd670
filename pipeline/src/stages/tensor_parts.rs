//! Tensors of a batch in parts that different threads write.

use millstream_schemas::{Buffer, BufferPart, BufferPool, Element, ElementType, Tensor, TensorData, TensorSpec};

use crate::encodings::{RowElements, RowTensor};

/// Some consecutive rows of one tensor.
#[derive(Debug)]
pub(crate) enum TensorPart {
    F32(BufferPart<f32>),
    I64(BufferPart<i64>),
    U8(BufferPart<u8>),
    Text(Vec<String>),
    /// Rows whose lengths are their own.
    AnyLengthI64(Vec<Vec<i64>>),
}

/// Whether batches can have such a tensor.
pub(crate) fn is_supported(spec: &TensorSpec) -> bool {
    let any_length = spec.shape.iter().filter(|length| length.is_none()).count();
    match spec.element_type {
        ElementType::F32 | ElementType::U8 => any_length == 0,
        ElementType::I64 => any_length == 0 || spec.shape.len() == 1,
        ElementType::Text => spec.shape.is_empty(),
        _ => false,
    }
}

/// Elements of a row; nothing where it differs from row to row.
fn row_elements(spec: &TensorSpec) -> Option<usize> {
    spec.shape.iter().copied().product()
}

/// Bytes of a row's elements before it is known: the most, or of a text an estimate.
pub(crate) fn row_bytes(spec: &TensorSpec) -> u64 {
    let of_element = if spec.element_type == ElementType::Text { 1 } else { spec.element_type.bytes() };
    (spec.most_elements as u64).saturating_mul(of_element as u64)
}

/// Bytes that a tensor takes.
pub(crate) fn tensor_bytes(tensor: &Tensor) -> u64 {
    match tensor.as_text() {
        Some(texts) => texts.iter().map(|text| text.capacity() as u64).sum(),
        None => tensor.data.len() as u64 * tensor.element_type().bytes() as u64,
    }
}

impl TensorPart {
    /// All rows, zeros in those behind `rows`.
    pub(crate) fn whole(spec: &TensorSpec, capacity: usize, rows: usize, pool: &BufferPool) -> Self {
        fn buffer<T: Element>(pool: &BufferPool, elements: usize, from: usize) -> BufferPart<T> {
            let mut buffer = pool.take(elements);
            buffer[from..].fill(T::default());
            BufferPart::whole(buffer)
        }
        let elements = row_elements(spec);
        match (spec.element_type, elements) {
            (ElementType::F32, Some(row)) => Self::F32(buffer(pool, capacity * row, rows * row)),
            (ElementType::I64, Some(row)) => Self::I64(buffer(pool, capacity * row, rows * row)),
            (ElementType::U8, Some(row)) => Self::U8(buffer(pool, capacity * row, rows * row)),
            (ElementType::I64, None) => Self::AnyLengthI64(Vec::new()),
            (ElementType::Text, _) => Self::Text(Vec::new()),
            _ => unreachable!("the plan refuses other tensors"),
        }
    }

    /// The first rows.
    pub(crate) fn take_front(&mut self, spec: &TensorSpec, rows: usize) -> Self {
        let elements = rows * row_elements(spec).unwrap_or(0);
        match self {
            Self::F32(part) => Self::F32(part.take_front(elements)),
            Self::I64(part) => Self::I64(part.take_front(elements)),
            Self::U8(part) => Self::U8(part.take_front(elements)),
            Self::Text(_) => Self::Text(Vec::with_capacity(rows)),
            Self::AnyLengthI64(_) => Self::AnyLengthI64(Vec::with_capacity(rows)),
        }
    }

    /// Where row `index` of this part is written; rows come in their order.
    pub(crate) fn row<'a>(&'a mut self, spec: &'a TensorSpec, index: usize) -> RowTensor<'a> {
        let elements = row_elements(spec).unwrap_or(0);
        let range = index * elements..(index + 1) * elements;
        let values = match self {
            Self::F32(part) => RowElements::F32(&mut part[range]),
            Self::I64(part) => RowElements::I64(&mut part[range]),
            Self::U8(part) => RowElements::U8(&mut part[range]),
            Self::Text(texts) => {
                texts.resize(index + 1, String::new());
                RowElements::Text(&mut texts[index])
            }
            Self::AnyLengthI64(rows) => {
                rows.resize(index + 1, Vec::new());
                RowElements::AnyLengthI64(&mut rows[index])
            }
        };
        RowTensor { spec, values }
    }

    /// The tensor of all its parts, each with its first slot. Rows of any length are padded to the longest; slots without
    /// a row are like the first row, so that no row is empty.
    pub(crate) fn join(spec: &TensorSpec, capacity: usize, parts: Vec<(usize, Self)>, pool: &BufferPool) -> Tensor {
        let mut shape = vec![capacity];
        shape.extend(spec.shape.iter().map(|length| length.unwrap_or(0)));
        let (mut f32s, mut i64s, mut u8s) = (Vec::new(), Vec::new(), Vec::new());
        let mut texts = vec![String::new(); if spec.element_type == ElementType::Text { capacity } else { 0 }];
        let mut rows: Vec<Vec<i64>> = Vec::new();
        for (first_slot, part) in parts {
            match part {
                Self::F32(part) => f32s.push(part),
                Self::I64(part) => i64s.push(part),
                Self::U8(part) => u8s.push(part),
                Self::Text(part) => {
                    texts[first_slot..first_slot + part.len()]
                        .iter_mut()
                        .zip(part)
                        .for_each(|(slot, text)| *slot = text);
                }
                Self::AnyLengthI64(part) => {
                    rows.resize(capacity, Vec::new());
                    rows[first_slot..first_slot + part.len()].iter_mut().zip(part).for_each(|(slot, row)| *slot = row);
                }
            }
        }
        let data = match spec.element_type {
            ElementType::F32 => TensorData::F32(joined(f32s)),
            ElementType::U8 => TensorData::U8(joined(u8s)),
            ElementType::I64 if row_elements(spec).is_some() => TensorData::I64(joined(i64s)),
            ElementType::I64 => {
                rows.resize(capacity, Vec::new());
                let (length, padded) = padded(&rows, spec, pool);
                shape[1] = length;
                TensorData::I64(padded)
            }
            _ => TensorData::Text(texts),
        };
        Tensor::new(shape, data)
    }
}

fn joined<T: Element>(parts: Vec<BufferPart<T>>) -> Buffer<T> {
    BufferPart::join(parts).expect("a batch has the part behind its rows at least")
}

/// Rows as long as the longest.
fn padded(rows: &[Vec<i64>], spec: &TensorSpec, pool: &BufferPool) -> (usize, Buffer<i64>) {
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let length = longest.next_multiple_of(spec.multiple_of.max(1)).min(spec.most_elements.max(longest));
    let first = rows.iter().find(|row| !row.is_empty());
    let mut values = pool.take::<i64>(rows.len() * length);
    for (row, out) in rows.iter().zip(values.chunks_exact_mut(length)) {
        let row = if row.is_empty() { first.unwrap_or(row) } else { row };
        out[..row.len()].copy_from_slice(row);
        out[row.len()..].fill(spec.padding);
    }
    (length, values)
}

#[cfg(test)]
mod tests {
    use millstream_schemas::TensorRole;

    use super::*;

    #[test]
    fn rows_of_any_length_are_padded_to_the_longest_and_empty_slots_are_like_the_first() {
        let spec = |multiple_of, most_elements| TensorSpec {
            name: "ids".into(),
            role: TensorRole::Input,
            element_type: ElementType::I64,
            shape: vec![None],
            most_elements,
            padding: 9,
            multiple_of,
        };
        let pool = BufferPool::new(2);
        for (multiple_of, most, length) in [(1, 8, 3), (4, 8, 4), (8, 6, 6), (0, 3, 3)] {
            let parts = vec![
                (2, TensorPart::AnyLengthI64(vec![vec![5, 6, 7]])),
                (0, TensorPart::AnyLengthI64(vec![vec![1, 2], vec![]])),
            ];
            let tensor = TensorPart::join(&spec(multiple_of, most), 4, parts, &pool);
            assert_eq!(tensor.shape, [4, length]);
            let rows = [&[1, 2][..], &[1, 2], &[5, 6, 7], &[1, 2]].map(|row| {
                let mut row = row.to_vec();
                row.resize(length, 9);
                row
            });
            assert_eq!(tensor.as_i64().unwrap(), rows.concat());
        }
        // No row at all.
        let tensor = TensorPart::join(&spec(1, 8), 2, Vec::new(), &pool);
        assert_eq!((tensor.shape.as_slice(), tensor.as_i64().unwrap()), (&[2, 1][..], &[9, 9][..]));
    }
}
