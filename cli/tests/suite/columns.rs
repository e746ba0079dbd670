//! Columns of Parquet files.

use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder};
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{ArrayRef, BinaryArray, Float64Array, Int64Array, ListArray, StringArray};

pub(crate) fn numbers(values: impl IntoIterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Float64Array>())
}

pub(crate) fn whole(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(values.into_iter().map(Some).collect::<Int64Array>())
}

pub(crate) fn texts(values: impl IntoIterator<Item = impl Into<String>>) -> ArrayRef {
    Arc::new(values.into_iter().map(|text| Some(text.into())).collect::<StringArray>())
}

pub(crate) fn bytes(values: impl IntoIterator<Item = Option<Vec<u8>>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<BinaryArray>())
}

pub(crate) fn lists(rows: impl IntoIterator<Item = Option<Vec<f32>>>) -> ArrayRef {
    let rows = rows.into_iter().map(|row| row.map(|row| row.into_iter().map(Some).collect::<Vec<_>>()));
    Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows.collect::<Vec<_>>()))
}

pub(crate) fn lists_of_whole(rows: impl IntoIterator<Item = Option<Vec<i64>>>) -> ArrayRef {
    let rows = rows.into_iter().map(|row| row.map(|row| row.into_iter().map(Some).collect::<Vec<_>>()));
    Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows.collect::<Vec<_>>()))
}

pub(crate) fn lists_of_texts(rows: impl IntoIterator<Item = Vec<&'static str>>) -> ArrayRef {
    let mut lists = ListBuilder::new(arrow_array::builder::StringBuilder::new());
    for row in rows {
        row.into_iter().for_each(|text| lists.values().append_value(text));
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// Lists of vectors.
pub(crate) fn lists_of_lists(rows: impl IntoIterator<Item = Vec<Vec<f32>>>) -> ArrayRef {
    let mut lists = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
    for row in rows {
        for vector in row {
            lists.values().values().append_slice(&vector);
            lists.values().append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}
