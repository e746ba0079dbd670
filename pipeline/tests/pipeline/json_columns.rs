//! Columns of any type from JSON.

use std::sync::Arc;

use arrow_array::builder::{Float32Builder, Float64Builder, Int64Builder, StringBuilder};
use arrow_array::{Array, ArrayRef, FixedSizeListArray, ListArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};
use serde_json::Value as Json;

/// A list of what this type is.
pub(crate) fn list(of: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", of, true)))
}

/// A list of always as many.
pub(crate) fn fixed(of: DataType, length: i32) -> DataType {
    DataType::FixedSizeList(Arc::new(Field::new("item", of, true)), length)
}

/// A struct of these fields.
pub(crate) fn fields(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(fields.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect::<Fields>())
}

/// One value a row; what JSON has not is null.
pub(crate) fn column(data_type: &DataType, rows: &[Json]) -> ArrayRef {
    let nulls = || Some(NullBuffer::from_iter(rows.iter().map(|row| !row.is_null())));
    let none = Vec::new();
    let items = |row: &Json| row.as_array().unwrap_or(&none).clone();
    match data_type {
        DataType::Float32 => {
            let mut values = Float32Builder::new();
            rows.iter().for_each(|row| values.append_option(row.as_f64().map(|number| number as f32)));
            Arc::new(values.finish())
        }
        DataType::Float64 => {
            let mut values = Float64Builder::new();
            rows.iter().for_each(|row| values.append_option(row.as_f64()));
            Arc::new(values.finish())
        }
        DataType::Int64 => {
            let mut values = Int64Builder::new();
            rows.iter().for_each(|row| values.append_option(row.as_i64()));
            Arc::new(values.finish())
        }
        DataType::Utf8 => {
            let mut values = StringBuilder::new();
            rows.iter().for_each(|row| values.append_option(row.as_str()));
            Arc::new(values.finish())
        }
        DataType::List(field) => {
            let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| items(row).len()));
            let values = column(field.data_type(), &rows.iter().flat_map(items).collect::<Vec<_>>());
            Arc::new(ListArray::new(Arc::clone(field), offsets, values, nulls()))
        }
        DataType::FixedSizeList(field, length) => {
            let padded = |row: &Json| {
                let mut row = items(row);
                row.resize(*length as usize, Json::Null);
                row
            };
            let values = column(field.data_type(), &rows.iter().flat_map(padded).collect::<Vec<_>>());
            Arc::new(FixedSizeListArray::new(Arc::clone(field), *length, values, nulls()))
        }
        DataType::Struct(fields) => {
            let field = |field: &Arc<Field>| {
                let values = rows.iter().map(|row| row.get(field.name()).cloned().unwrap_or_default());
                column(field.data_type(), &values.collect::<Vec<_>>())
            };
            let columns: Vec<ArrayRef> = fields.iter().map(field).collect();
            assert!(columns.iter().all(|column| column.len() == rows.len()));
            Arc::new(StructArray::new(fields.clone(), columns, nulls()))
        }
        other => panic!("{other}"),
    }
}
