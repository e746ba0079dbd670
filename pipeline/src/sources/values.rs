//! Values of columns in memory.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BinaryViewArray, Float64Array, Int64Array, StringViewArray, UInt64Array};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::DataType;
use millstream_schemas::features::{holds_class_numbers, image_storage, is_text};
use parquet::errors::ParquetError;

use super::pages::PageDamage;

/// What the values of a column are taken for, whichever way they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holds {
    /// Binary values, or structs with `bytes`: encoded images.
    Bytes,
    /// Strings.
    Text,
    /// Whole numbers, floats, booleans.
    Numbers,
}

impl Holds {
    /// What a column of this type holds; `None` for what is not read.
    pub fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            data_type if is_text(data_type) => Some(Self::Text),
            data_type if holds_class_numbers(data_type) => Some(Self::Numbers),
            data_type => image_storage(data_type).map(|_| Self::Bytes),
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "images",
            Self::Text => "strings",
            Self::Numbers => "numbers",
        }
    }
}

/// One value of a row, as stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// Binary.
    Bytes(&'a [u8]),
    /// A string.
    Text(&'a str),
    /// A whole number, or a boolean.
    Signed(i64),
    /// A whole number of a column of unsigned ones.
    Unsigned(u64),
    /// A float.
    Float(f64),
}

/// The values of some rows of one column.
#[derive(Debug)]
pub(crate) enum ColumnValues {
    /// The struct around the bytes may be null as well.
    Bytes {
        bytes: BinaryViewArray,
        outer: Option<NullBuffer>,
    },
    Text(StringViewArray),
    Signed(Int64Array),
    Unsigned(UInt64Array),
    Float(Float64Array),
}

impl ColumnValues {
    pub(super) fn new(array: &ArrayRef) -> Result<Self, ParquetError> {
        let array = without_dictionary(array)?;
        Ok(match array.data_type() {
            DataType::Struct(_) => {
                let outer = array.as_struct();
                let bytes = outer.column_by_name("bytes");
                let bytes = bytes.ok_or_else(|| ParquetError::General("the image struct has no `bytes`".into()))?;
                Self::Bytes { bytes: binary_views(bytes)?, outer: outer.nulls().cloned() }
            }
            data_type if is_text(data_type) => {
                Self::Text(converted(&array, &DataType::Utf8View)?.as_string_view().clone())
            }
            // Numbers are copied: they take little, and the pages they came in can go.
            DataType::UInt64 => Self::Unsigned(array.as_primitive::<UInt64Type>().iter().collect()),
            data_type if data_type.is_floating() => {
                let numbers = converted(&array, &DataType::Float64)?;
                Self::Float(numbers.as_primitive::<Float64Type>().iter().collect())
            }
            data_type if holds_class_numbers(data_type) => {
                let numbers = converted(&array, &DataType::Int64)?;
                Self::Signed(numbers.as_primitive::<Int64Type>().iter().collect())
            }
            _ => Self::Bytes { bytes: binary_views(&array)?, outer: None },
        })
    }

    pub(crate) fn get(&self, index: usize) -> Value<'_> {
        match self {
            Self::Bytes { outer: Some(outer), .. } if outer.is_null(index) => Value::Null,
            Self::Bytes { bytes, .. } if bytes.is_valid(index) => Value::Bytes(bytes.value(index)),
            Self::Text(text) if text.is_valid(index) => Value::Text(text.value(index)),
            Self::Signed(numbers) if numbers.is_valid(index) => Value::Signed(numbers.value(index)),
            Self::Unsigned(numbers) if numbers.is_valid(index) => Value::Unsigned(numbers.value(index)),
            Self::Float(numbers) if numbers.is_valid(index) => Value::Float(numbers.value(index)),
            _ => Value::Null,
        }
    }

    /// The buffers that views point into; none for numbers, which each row has its own bytes for.
    pub(super) fn buffers(&self) -> &[Buffer] {
        match self {
            Self::Bytes { bytes, .. } => bytes.data_buffers(),
            Self::Text(text) => text.data_buffers(),
            Self::Signed(_) | Self::Unsigned(_) | Self::Float(_) => &[],
        }
    }

    /// Bytes that views point to; values of a dictionary count as often as they occur.
    pub(super) fn pointed_to(&self) -> u64 {
        match self {
            Self::Bytes { bytes, .. } => pointed_to(bytes.views()),
            Self::Text(text) => pointed_to(text.views()),
            Self::Signed(_) | Self::Unsigned(_) | Self::Float(_) => 0,
        }
    }

    /// The same in a buffer of its own, so that the pages can go.
    pub(super) fn copied(self) -> Result<Self, ParquetError> {
        let arrow = |error: arrow_schema::ArrowError| ParquetError::External(error.into());
        Ok(match self {
            Self::Bytes { bytes, outer } => {
                let (views, buffers, nulls) = bytes.into_parts();
                let (views, buffer) = copied(&views, &buffers)?;
                let bytes = BinaryViewArray::try_new(views, Vec::from_iter(buffer), nulls).map_err(arrow)?;
                Self::Bytes { bytes, outer }
            }
            Self::Text(text) => {
                let (views, buffers, nulls) = text.into_parts();
                let (views, buffer) = copied(&views, &buffers)?;
                Self::Text(StringViewArray::try_new(views, Vec::from_iter(buffer), nulls).map_err(arrow)?)
            }
            numbers @ (Self::Signed(_) | Self::Unsigned(_) | Self::Float(_)) => numbers,
        })
    }
}

/// A view has the length in its lowest 32 bits; when that is above 12, it has the buffer's number and the place in it in its
/// two highest.
const INLINE: u128 = 12;
const LOW: u128 = u32::MAX as u128;

fn pointed_to(views: &[u128]) -> u64 {
    views.iter().map(|&view| if view & LOW > INLINE { (view & LOW) as u64 } else { 0 }).sum()
}

/// Views into one new buffer.
fn copied(views: &[u128], buffers: &[Buffer]) -> Result<(ScalarBuffer<u128>, Option<Buffer>), ParquetError> {
    let length = |view: u128| (view & LOW) as usize;
    let total = pointed_to(views);
    // A place in a buffer has 32 bits.
    if total > u64::from(u32::MAX) {
        return Err(
            PageDamage(format!("{} rows together have {total} bytes; at most 4 GiB are copied", views.len())).into()
        );
    }
    let mut packed: Vec<u8> = Vec::with_capacity(total as usize);
    let moved = views.iter().map(|&view| {
        if view & LOW <= INLINE {
            return view;
        }
        let (buffer, offset) = ((view >> 64 & LOW) as usize, (view >> 96) as usize);
        let place = packed.len() as u128;
        packed.extend_from_slice(&buffers[buffer][offset..offset + length(view)]);
        view & (LOW << 32 | LOW) | place << 96
    });
    let moved: Vec<u128> = moved.collect();
    Ok((moved.into(), (!packed.is_empty()).then(|| packed.into())))
}

fn binary_views(array: &ArrayRef) -> Result<BinaryViewArray, ParquetError> {
    let array = without_dictionary(array)?;
    // Values of a fixed size become views on the way over those of any size.
    let array = match array.data_type() {
        DataType::FixedSizeBinary(_) => converted(&array, &DataType::Binary)?,
        _ => array,
    };
    Ok(converted(&array, &DataType::BinaryView)?.as_binary_view().clone())
}

fn without_dictionary(array: &ArrayRef) -> Result<ArrayRef, ParquetError> {
    match array.data_type() {
        DataType::Dictionary(_, value) if is_text(value) => converted(array, &DataType::Utf8View),
        DataType::Dictionary(_, value) => converted(array, value),
        _ => Ok(Arc::clone(array)),
    }
}

/// Refuses what the wanted type cannot hold, instead of making nulls of it.
fn converted(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ParquetError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, wanted, &options).map_err(|error| ParquetError::External(error.into()))
}
