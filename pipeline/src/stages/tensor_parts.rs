//! Tensors of a batch in parts that different threads write.

use millstream_schemas::{
    Buffer, BufferPart, BufferPool, Element, ElementType, Tensor, TensorData, TensorRole, TensorSpec,
};

use crate::encodings::{RowElements, RowTensor};

/// Some consecutive rows of one tensor.
#[derive(Debug)]
pub(crate) enum TensorPart {
    F32(BufferPart<f32>),
    I64(BufferPart<i64>),
    U8(BufferPart<u8>),
    Text(Vec<String>),
    /// Rows whose lengths are their own.
    AnyLengthF32(Vec<Vec<f32>>),
    /// Rows whose lengths are their own.
    AnyLengthI64(Vec<Vec<i64>>),
}

/// A tensor of a batch.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) tensor: Tensor,
    /// How long each row is, where rows have lengths of their own.
    pub(crate) lengths: Option<Vec<usize>>,
}

/// Whether batches can have such a tensor.
pub(crate) fn is_supported(spec: &TensorSpec) -> bool {
    let any_length = spec.shape.iter().filter(|length| length.is_none()).count();
    match spec.element_type {
        ElementType::F32 | ElementType::I64 => any_length == 0 || any_length == 1 && spec.shape[0].is_none(),
        ElementType::U8 => any_length == 0,
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
    /// All rows; in those behind `rows` zeros, or of integers the padding.
    pub(crate) fn whole(spec: &TensorSpec, capacity: usize, rows: usize, pool: &BufferPool) -> Self {
        fn buffer<T: Element>(pool: &BufferPool, elements: usize, from: usize, padding: T) -> BufferPart<T> {
            let mut buffer = pool.take(elements);
            buffer[from..].fill(padding);
            BufferPart::whole(buffer)
        }
        let elements = row_elements(spec);
        match (spec.element_type, elements) {
            (ElementType::F32, Some(row)) => Self::F32(buffer(pool, capacity * row, rows * row, 0.0)),
            (ElementType::I64, Some(row)) => Self::I64(buffer(pool, capacity * row, rows * row, spec.padding)),
            (ElementType::U8, Some(row)) => Self::U8(buffer(pool, capacity * row, rows * row, 0)),
            (ElementType::F32, None) => Self::AnyLengthF32(Vec::new()),
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
            Self::AnyLengthF32(_) => Self::AnyLengthF32(Vec::with_capacity(rows)),
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
            Self::AnyLengthF32(rows) => {
                rows.resize(index + 1, Vec::new());
                RowElements::AnyLengthF32(&mut rows[index])
            }
            Self::AnyLengthI64(rows) => {
                rows.resize(index + 1, Vec::new());
                RowElements::AnyLengthI64(&mut rows[index])
            }
        };
        RowTensor { spec, values }
    }

    /// The tensor of all its parts, each with its first slot. Rows of any length are padded to the longest; in inputs slots
    /// without a row are like the first row, so that no row is empty, and in targets they are padding.
    pub(crate) fn join(spec: &TensorSpec, capacity: usize, parts: Vec<(usize, Self)>, pool: &BufferPool) -> Joined {
        let mut shape = vec![capacity];
        shape.extend(spec.shape.iter().map(|length| length.unwrap_or(0)));
        let (mut f32s, mut i64s, mut u8s) = (Vec::new(), Vec::new(), Vec::new());
        let mut texts = vec![String::new(); if spec.element_type == ElementType::Text { capacity } else { 0 }];
        let (mut float_rows, mut integer_rows) = (Vec::new(), Vec::new());
        for (first_slot, part) in parts {
            match part {
                Self::F32(part) => f32s.push(part),
                Self::I64(part) => i64s.push(part),
                Self::U8(part) => u8s.push(part),
                Self::Text(part) => place(&mut texts, first_slot, part),
                Self::AnyLengthF32(part) => {
                    float_rows.resize(capacity, Vec::new());
                    place(&mut float_rows, first_slot, part);
                }
                Self::AnyLengthI64(part) => {
                    integer_rows.resize(capacity, Vec::new());
                    place(&mut integer_rows, first_slot, part);
                }
            }
        }
        let mut lengths = None;
        let data = match (spec.element_type, row_elements(spec)) {
            (ElementType::F32, Some(_)) => TensorData::F32(joined(f32s)),
            (ElementType::U8, _) => TensorData::U8(joined(u8s)),
            (ElementType::I64, Some(_)) => TensorData::I64(joined(i64s)),
            (ElementType::F32, None) => {
                float_rows.resize(capacity, Vec::new());
                let padded = padded(&float_rows, spec, 0.0, pool);
                (shape[1], lengths) = (padded.longest, Some(padded.lengths));
                TensorData::F32(padded.values)
            }
            (ElementType::I64, None) => {
                integer_rows.resize(capacity, Vec::new());
                let padded = padded(&integer_rows, spec, spec.padding, pool);
                (shape[1], lengths) = (padded.longest, Some(padded.lengths));
                TensorData::I64(padded.values)
            }
            _ => TensorData::Text(texts),
        };
        Joined { tensor: Tensor::new(shape, data), lengths }
    }
}

/// Puts rows where they belong.
fn place<T>(slots: &mut [T], first: usize, rows: Vec<T>) {
    slots[first..first + rows.len()].iter_mut().zip(rows).for_each(|(slot, row)| *slot = row);
}

fn joined<T: Element>(parts: Vec<BufferPart<T>>) -> Buffer<T> {
    BufferPart::join(parts).expect("a batch has the part behind its rows at least")
}

/// Rows that were made equally long.
struct Padded<T: Element> {
    /// How long they are now.
    longest: usize,
    /// How long each was.
    lengths: Vec<usize>,
    values: Buffer<T>,
}

/// Rows as long as the longest.
fn padded<T: Element>(rows: &[Vec<T>], spec: &TensorSpec, padding: T, pool: &BufferPool) -> Padded<T> {
    let of_entry = spec.shape.iter().flatten().product::<usize>().max(1);
    let most = spec.longest().unwrap_or(0);
    let longest = rows.iter().map(|row| row.len() / of_entry).max().unwrap_or(0).max(1);
    let longest = longest.next_multiple_of(spec.multiple_of.max(1)).min(most.max(longest));
    let first = rows.iter().find(|row| !row.is_empty() && spec.role == TensorRole::Input);
    let rows = rows.iter().map(|row| if row.is_empty() { first.unwrap_or(row) } else { row });
    let mut values = pool.take::<T>(rows.len() * longest * of_entry);
    for (row, out) in rows.clone().zip(values.chunks_exact_mut(longest * of_entry)) {
        out[..row.len()].copy_from_slice(row);
        out[row.len()..].fill(padding);
    }
    Padded { longest, lengths: rows.map(|row| row.len() / of_entry).collect(), values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(role: TensorRole, multiple_of: usize, most_elements: usize) -> TensorSpec {
        let shape = vec![None];
        TensorSpec {
            role,
            shape,
            multiple_of,
            most_elements,
            padding: 9,
            ..TensorSpec::fixed("ids", ElementType::I64, &[])
        }
    }

    #[test]
    fn rows_of_any_length_are_padded_to_the_longest_and_empty_slots_are_like_the_first() {
        let pool = BufferPool::new(2);
        for (multiple_of, most, length) in [(1, 8, 3), (4, 8, 4), (8, 6, 6), (0, 3, 3)] {
            let parts = vec![
                (2, TensorPart::AnyLengthI64(vec![vec![5, 6, 7]])),
                (0, TensorPart::AnyLengthI64(vec![vec![1, 2], vec![]])),
            ];
            let Joined { tensor, lengths } =
                TensorPart::join(&spec(TensorRole::Input, multiple_of, most), 4, parts, &pool);
            assert_eq!(tensor.shape, [4, length]);
            let rows = [&[1, 2][..], &[1, 2], &[5, 6, 7], &[1, 2]].map(|row| {
                let mut row = row.to_vec();
                row.resize(length, 9);
                row
            });
            assert_eq!(tensor.as_i64().unwrap(), rows.concat());
            assert_eq!(lengths.unwrap(), [2, 2, 3, 2]);
        }
        // No row at all.
        let tensor = TensorPart::join(&spec(TensorRole::Input, 1, 8), 2, Vec::new(), &pool).tensor;
        assert_eq!((tensor.shape.as_slice(), tensor.as_i64().unwrap()), (&[2, 1][..], &[9, 9][..]));
    }

    #[test]
    fn the_first_row_does_not_count_twice_where_targets_have_lengths_of_their_own() {
        let parts = vec![(0, TensorPart::AnyLengthI64(vec![vec![1, 2], vec![]]))];
        let Joined { tensor, lengths } =
            TensorPart::join(&spec(TensorRole::Target, 1, 8), 3, parts, &BufferPool::new(1));
        assert_eq!(tensor.as_i64().unwrap(), [1, 2, 9, 9, 9, 9]);
        assert_eq!(lengths.unwrap(), [2, 0, 0]);
    }

    #[test]
    fn rows_of_vectors_are_padded_by_whole_vectors() {
        let shape = vec![None, Some(2)];
        let spec =
            TensorSpec { shape, multiple_of: 4, most_elements: 6, ..TensorSpec::fixed("sound", ElementType::F32, &[]) };
        assert!(is_supported(&spec) && spec.longest() == Some(3));
        let parts = vec![(0, TensorPart::AnyLengthF32(vec![vec![1.0, 2.0], vec![3.0, 4.0, 5.0, 6.0]]))];
        let Joined { tensor, lengths } = TensorPart::join(&spec, 3, parts, &BufferPool::new(1));
        assert_eq!(tensor.shape, [3, 3, 2]);
        let rows = [[1.0, 2.0, 0.0, 0.0, 0.0, 0.0], [3.0, 4.0, 5.0, 6.0, 0.0, 0.0], [1.0, 2.0, 0.0, 0.0, 0.0, 0.0]];
        assert_eq!(tensor.as_f32().unwrap(), rows.concat());
        assert_eq!(lengths.unwrap(), [1, 2, 1]);
    }
}
