//! Values of columns in memory.

use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, Float64Array, Int64Array, StringViewArray, UInt64Array,
};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
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
    /// Lists of any of these, structs of them, and lists of such: boxes, points, spans.
    Lists,
}

/// Lists in lists that are read, at most.
const DEEPEST: usize = 8;

impl Holds {
    /// What a column of this type holds; `None` for what is not read.
    pub fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            data_type if is_text(data_type) => Some(Self::Text),
            data_type if holds_class_numbers(data_type) => Some(Self::Numbers),
            data_type if image_storage(data_type).is_some() => Some(Self::Bytes),
            data_type => is_nested(data_type, DEEPEST).then_some(Self::Lists),
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "images",
            Self::Text => "strings",
            Self::Numbers => "numbers",
            Self::Lists => "lists",
        }
    }
}

/// Whether it is a list or struct with something in it that is read.
fn is_nested(data_type: &DataType, deepest: usize) -> bool {
    let read = |field: &arrow_schema::FieldRef| match field.data_type() {
        nested if is_list(nested) || matches!(nested, DataType::Struct(_)) => {
            deepest > 0 && is_nested(nested, deepest - 1)
        }
        leaf => Holds::of(leaf).is_some(),
    };
    match data_type {
        list if is_list(list) => list_field(list).is_some_and(read),
        DataType::Struct(fields) => image_storage(data_type).is_some() || fields.iter().any(read),
        _ => false,
    }
}

/// Whether a column of this type has lists at its top.
fn is_list(data_type: &DataType) -> bool {
    list_field(data_type).is_some()
}

fn list_field(data_type: &DataType) -> Option<&arrow_schema::FieldRef> {
    match data_type {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => Some(field),
        _ => None,
    }
}

/// What the lists of a type hold.
pub(crate) fn element(data_type: &DataType) -> Option<&DataType> {
    list_field(data_type).map(|field| field.data_type())
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
    /// Several values.
    List(List<'a>),
    /// Values with names.
    Struct(Struct<'a>),
}

impl Value<'_> {
    /// The number, whichever kind it is; `None` for what is none.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Signed(number) => Some(number as f64),
            Self::Unsigned(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            Self::Null | Self::Bytes(_) | Self::Text(_) | Self::List(_) | Self::Struct(_) => None,
        }
    }
}

/// The values of a list.
#[derive(Clone, Copy)]
pub struct List<'a> {
    values: &'a ColumnValues,
    from: usize,
    until: usize,
}

impl<'a> List<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.until - self.from
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether its values are lists, by the column's type: they may all be null.
    pub fn holds_lists(&self) -> bool {
        matches!(self.values, ColumnValues::List { .. })
    }

    /// The values in their order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> + Clone {
        (self.from..self.until).map(move |index| self.values.get(index))
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for List<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// The values of a struct.
#[derive(Clone, Copy)]
pub struct Struct<'a> {
    fields: &'a [(String, ColumnValues)],
    index: usize,
}

impl<'a> Struct<'a> {
    /// The value of a field; `None` where there is none of that name, or one of a type that is not read.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, values)| values.get(self.index))
    }

    /// The fields that are read, in their order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.fields.iter().map(move |(name, values)| (name.as_str(), values.get(self.index)))
    }
}

impl fmt::Debug for Struct<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for Struct<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
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
    List {
        /// Where each list begins among the values, and where the last one ends.
        starts: Vec<usize>,
        nulls: Option<NullBuffer>,
        values: Box<ColumnValues>,
    },
    Struct {
        fields: Vec<(String, ColumnValues)>,
        nulls: Option<NullBuffer>,
    },
}

impl ColumnValues {
    pub(super) fn new(array: &ArrayRef) -> Result<Self, ParquetError> {
        // Their dictionaries hold views.
        if is_text(array.data_type()) {
            return Ok(Self::Text(text_views(array)?));
        }
        let array = without_dictionary(array)?;
        let list = |starts: Vec<usize>, values: &ArrayRef| {
            let (from, until) = (starts[0], starts[starts.len() - 1]);
            let starts = starts.into_iter().map(|start| start - from).collect();
            let values = Self::new(&values.slice(from, until - from))?;
            Ok::<_, ParquetError>(Self::List { starts, nulls: array.nulls().cloned(), values: Box::new(values) })
        };
        Ok(match array.data_type() {
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                list(lists.value_offsets().iter().map(|&start| start as usize).collect(), lists.values())?
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                list(lists.value_offsets().iter().map(|&start| start as usize).collect(), lists.values())?
            }
            DataType::FixedSizeList(..) => {
                let lists = array.as_fixed_size_list();
                let length = lists.value_length() as usize;
                list((0..=lists.len()).map(|index| index * length).collect(), lists.values())?
            }
            DataType::Struct(fields) if image_storage(array.data_type()).is_none() => {
                let columns = fields.iter().zip(array.as_struct().columns());
                let read = columns.filter(|(field, _)| Holds::of(field.data_type()).is_some());
                let fields = read.map(|(field, column)| Ok((field.name().clone(), Self::new(column)?)));
                let fields = fields.collect::<Result<_, ParquetError>>()?;
                Self::Struct { fields, nulls: array.nulls().cloned() }
            }
            DataType::Struct(_) => {
                let outer = array.as_struct();
                let bytes = outer.column_by_name("bytes");
                let bytes = bytes.ok_or_else(|| ParquetError::General("the image struct has no `bytes`".into()))?;
                Self::Bytes { bytes: binary_views(bytes)?, outer: outer.nulls().cloned() }
            }
            DataType::UInt64 => Self::Unsigned(array.as_primitive::<UInt64Type>().iter().collect()),
            data_type if data_type.is_floating() => Self::Float(floats(&array)?),
            data_type if holds_class_numbers(data_type) => Self::Signed(whole_numbers(&array)?),
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
            Self::List { nulls, starts, values } if is_there(nulls, index) => {
                Value::List(List { values, from: starts[index], until: starts[index + 1] })
            }
            Self::Struct { nulls, fields } if is_there(nulls, index) => Value::Struct(Struct { fields, index }),
            _ => Value::Null,
        }
    }

    /// Hands over the buffers that views point into; none for numbers, which each row has its own bytes for.
    pub(super) fn each_buffer(&self, each: &mut dyn FnMut(&Buffer)) {
        match self {
            Self::Bytes { bytes, .. } => bytes.data_buffers().iter().for_each(each),
            Self::Text(text) => text.data_buffers().iter().for_each(each),
            Self::Signed(_) | Self::Unsigned(_) | Self::Float(_) => {}
            Self::List { values, .. } => values.each_buffer(each),
            Self::Struct { fields, .. } => fields.iter().for_each(|(_, values)| values.each_buffer(each)),
        }
    }

    /// Bytes of what lists and structs hold, views and numbers, beside what views point to.
    pub(super) fn nested(&self) -> u64 {
        match self {
            Self::Bytes { .. } | Self::Text(_) | Self::Signed(_) | Self::Unsigned(_) | Self::Float(_) => 0,
            Self::List { starts, values, .. } => size_of_val(starts.as_slice()) as u64 + values.elements(),
            Self::Struct { fields, .. } => fields.iter().map(|(_, values)| values.elements()).sum(),
        }
    }

    /// Bytes of the values as such.
    fn elements(&self) -> u64 {
        match self {
            Self::Bytes { bytes, .. } => size_of_val::<[u128]>(bytes.views()) as u64,
            Self::Text(text) => size_of_val::<[u128]>(text.views()) as u64,
            Self::Signed(numbers) => size_of_val::<[i64]>(numbers.values()) as u64,
            Self::Unsigned(numbers) => size_of_val::<[u64]>(numbers.values()) as u64,
            Self::Float(numbers) => size_of_val::<[f64]>(numbers.values()) as u64,
            Self::List { .. } | Self::Struct { .. } => self.nested(),
        }
    }

    /// Bytes that views point to; values of a dictionary count as often as they occur.
    pub(super) fn pointed_to(&self) -> u64 {
        match self {
            Self::Bytes { bytes, .. } => pointed_to(bytes.views()),
            Self::Text(text) => pointed_to(text.views()),
            Self::Signed(_) | Self::Unsigned(_) | Self::Float(_) => 0,
            Self::List { values, .. } => values.pointed_to(),
            Self::Struct { fields, .. } => fields.iter().map(|(_, values)| values.pointed_to()).sum(),
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
            Self::List { starts, nulls, values } => Self::List { starts, nulls, values: Box::new(values.copied()?) },
            Self::Struct { fields, nulls } => {
                let fields = fields.into_iter().map(|(name, values)| Ok((name, values.copied()?)));
                Self::Struct { fields: fields.collect::<Result<_, ParquetError>>()?, nulls }
            }
        })
    }
}

fn is_there(nulls: &Option<NullBuffer>, index: usize) -> bool {
    nulls.as_ref().is_none_or(|nulls| nulls.is_valid(index))
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

fn text_views(array: &ArrayRef) -> Result<StringViewArray, ParquetError> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().into(),
        DataType::LargeUtf8 => array.as_string::<i64>().into(),
        DataType::Utf8View => array.as_string_view().clone(),
        // Values become views before they are repeated, so that their letters stay where they are.
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            taken(&text_views(dictionary.values())?, dictionary.keys())?.as_string_view().clone()
        }
        other => return Err(unreadable(other)),
    })
}

fn binary_views(array: &ArrayRef) -> Result<BinaryViewArray, ParquetError> {
    let array = without_dictionary(array)?;
    Ok(match array.data_type() {
        DataType::Binary => array.as_binary::<i32>().into(),
        DataType::LargeBinary => array.as_binary::<i64>().into(),
        DataType::BinaryView => array.as_binary_view().clone(),
        // Values of a fixed size become views on the way over those of any size.
        DataType::FixedSizeBinary(_) => (&array.as_fixed_size_binary().iter().collect::<BinaryArray>()).into(),
        other => return Err(unreadable(other)),
    })
}

fn floats(array: &ArrayRef) -> Result<Float64Array, ParquetError> {
    Ok(match array.data_type() {
        DataType::Float16 => array.as_primitive::<Float16Type>().unary(|value| value.to_f64()),
        DataType::Float32 => array.as_primitive::<Float32Type>().unary(f64::from),
        // Numbers are copied: they take little, and the pages they came in can go.
        DataType::Float64 => array.as_primitive::<Float64Type>().unary(|value| value),
        other => return Err(unreadable(other)),
    })
}

fn whole_numbers(array: &ArrayRef) -> Result<Int64Array, ParquetError> {
    Ok(match array.data_type() {
        DataType::Boolean => array.as_boolean().iter().map(|value| value.map(i64::from)).collect(),
        DataType::Int8 => array.as_primitive::<Int8Type>().unary(i64::from),
        DataType::Int16 => array.as_primitive::<Int16Type>().unary(i64::from),
        DataType::Int32 => array.as_primitive::<Int32Type>().unary(i64::from),
        DataType::Int64 => array.as_primitive::<Int64Type>().unary(|value| value),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().unary(i64::from),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().unary(i64::from),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().unary(i64::from),
        other => return Err(unreadable(other)),
    })
}

fn without_dictionary(array: &ArrayRef) -> Result<ArrayRef, ParquetError> {
    match array.as_any_dictionary_opt() {
        Some(dictionary) => taken(dictionary.values(), dictionary.keys()),
        None => Ok(Arc::clone(array)),
    }
}

fn taken(values: &dyn Array, keys: &dyn Array) -> Result<ArrayRef, ParquetError> {
    arrow_select::take::take(values, keys, None).map_err(|error| ParquetError::External(error.into()))
}

fn unreadable(data_type: &DataType) -> ParquetError {
    ParquetError::General(format!("values of the type {data_type} are not read"))
}

#[cfg(test)]
mod tests {
    use arrow_array::builder::FixedSizeBinaryBuilder;
    use arrow_array::{BooleanArray, Float32Array, LargeBinaryArray, LargeStringArray, StringArray, UInt32Array};
    use arrow_cast::{CastOptions, cast, cast_with_options};

    use super::*;

    /// Arrow's own conversion, which does all there are.
    fn by_arrow(array: &ArrayRef) -> ArrayRef {
        let plain = match array.data_type() {
            DataType::Dictionary(_, value) => cast(array, value).unwrap(),
            DataType::FixedSizeBinary(_) => cast(array, &DataType::Binary).unwrap(),
            _ => Arc::clone(array),
        };
        let wanted = match plain.data_type() {
            DataType::UInt64 => DataType::UInt64,
            data_type if is_text(data_type) => DataType::Utf8View,
            data_type if data_type.is_floating() => DataType::Float64,
            data_type if holds_class_numbers(data_type) => DataType::Int64,
            _ => DataType::BinaryView,
        };
        cast_with_options(&plain, &wanted, &CastOptions { safe: false, ..CastOptions::default() }).unwrap()
    }

    fn array_of(values: ColumnValues) -> ArrayRef {
        match values {
            ColumnValues::Bytes { bytes, .. } => Arc::new(bytes),
            ColumnValues::Text(text) => Arc::new(text),
            ColumnValues::Signed(numbers) => Arc::new(numbers),
            ColumnValues::Unsigned(numbers) => Arc::new(numbers),
            ColumnValues::Float(numbers) => Arc::new(numbers),
            nested @ (ColumnValues::List { .. } | ColumnValues::Struct { .. }) => panic!("{nested:?}"),
        }
    }

    #[test]
    fn values_of_every_type_are_those_that_arrow_converts_to() {
        let texts = || vec![Some("a"), None, Some("longer than twelve bytes"), Some(""), Some("a"), Some("ü")];
        let bytes = || texts().into_iter().map(|text| text.map(str::as_bytes)).collect::<Vec<_>>();
        let mut fixed = FixedSizeBinaryBuilder::new(3);
        fixed.append_value(b"abc").unwrap();
        fixed.append_null();
        fixed.append_value(b"xyz").unwrap();
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(texts())),
            Arc::new(LargeStringArray::from(texts())),
            Arc::new(StringViewArray::from(texts())),
            Arc::new(BinaryArray::from(bytes())),
            Arc::new(LargeBinaryArray::from(bytes())),
            Arc::new(BinaryViewArray::from(bytes())),
            Arc::new(fixed.finish()),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            Arc::new(UInt32Array::from(vec![Some(0), None, Some(u32::MAX)])),
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)])),
            Arc::new(UInt64Array::from(vec![Some(0), None, Some(u64::MAX)])),
            Arc::new(Float32Array::from(vec![Some(0.1), None, Some(f32::NEG_INFINITY)])),
            Arc::new(Float64Array::from(vec![Some(0.1), None, Some(f64::MAX)])),
        ];
        let whole = Int64Array::from(vec![Some(-128), None, Some(0), Some(127)]);
        let [smallest, largest] = [-1.0e-3, 2048.0];
        let real = Float64Array::from(vec![Some(smallest), None, Some(largest)]);
        for (wide, types) in [
            (&whole as &dyn Array, [DataType::Int8, DataType::Int16, DataType::Int32].as_slice()),
            (&Int64Array::from(vec![Some(0), None, Some(255)]), &[DataType::UInt8, DataType::UInt16]),
            (&real, &[DataType::Float16]),
        ] {
            arrays.extend(types.iter().map(|narrow| cast(wide, narrow).unwrap()));
        }
        let keyed = |values: &ArrayRef| {
            let keys = arrow_array::Int32Array::from(vec![Some(2), Some(0), None, Some(2), Some(1)]);
            Arc::new(arrow_array::DictionaryArray::new(keys, Arc::clone(values))) as ArrayRef
        };
        let keyed: Vec<ArrayRef> = arrays.iter().map(keyed).collect();
        for array in arrays.iter().chain(&keyed) {
            let got = array_of(ColumnValues::new(array).unwrap());
            assert_eq!(&got, &by_arrow(array), "{}", array.data_type());
        }
    }

    #[test]
    fn values_of_a_type_that_is_not_read_are_refused_by_its_name() {
        let array: ArrayRef = Arc::new(arrow_array::Date32Array::from(vec![1]));
        let message = ColumnValues::new(&array).unwrap_err().to_string();
        assert!(message.contains("Date32"), "{message}");
    }
}
