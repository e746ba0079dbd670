use std::io::Write;
use std::sync::Arc;

use millstream_pipeline::arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
};
use millstream_pipeline::arrow_array::{ArrayRef, RecordBatch, StructArray};
use millstream_pipeline::arrow_schema::SchemaRef;
use millstream_schemas::cells::{bool_of, is_missing, long_numbers_as_texts};
use millstream_schemas::shown;
use serde_json::Value as Json;

use super::boxes_in_json::objects;
use super::cell_number::CellNumber;
use super::column::{Column, Kind, image_fields};
use super::objects::Objects;
use crate::RecipeError;

/// A cell of a row, as its column holds it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Missing,
    Bool(bool),
    Class(u32),
    Float(f64),
    Floats(Vec<f64>),
    Image { bytes: Vec<u8>, path: String },
    Int(i64),
    Ints(Vec<i64>),
    Objects(Objects),
    Text(String),
    Texts(Vec<String>),
}

impl Value {
    /// A cell of a text table. Images and classes are not read here.
    pub(super) fn of_text(text: &str, kind: &Kind) -> Self {
        let trimmed = text.trim();
        match kind {
            Kind::Text if trimmed.is_empty() => Self::Missing,
            Kind::Text => Self::Text(text.to_owned()),
            Kind::Bool => bool_of(trimmed).map_or(Self::Missing, Self::Bool),
            Kind::Int => trimmed.parse().map_or(Self::Missing, Self::Int),
            Kind::Float if is_missing(trimmed) => Self::Missing,
            Kind::Float => CellNumber::of(trimmed, true).value().map_or(Self::Missing, Self::Float),
            Kind::Floats | Kind::Ints | Kind::Texts => {
                let value = serde_json::from_str::<Json>(&long_numbers_as_texts(trimmed));
                value.map_or(Self::Missing, |value| Self::of_json(&value, kind))
            }
            Kind::Class(_) | Kind::Image | Kind::Objects(_) => Self::Missing,
        }
    }

    /// The same of a JSON object.
    pub(super) fn of_json(value: &Json, kind: &Kind) -> Self {
        match (kind, value) {
            (_, Json::Null) => Self::Missing,
            (Kind::Text, Json::String(text)) => Self::Text(text.clone()),
            (Kind::Text, other) => Self::Text(other.to_string()),
            (Kind::Bool, Json::Bool(is)) => Self::Bool(*is),
            (Kind::Int, Json::Number(number)) => number.as_i64().map_or(Self::Missing, Self::Int),
            (Kind::Float, Json::Number(number)) => number.as_f64().map_or(Self::Missing, Self::Float),
            (Kind::Float, Json::String(text)) => {
                CellNumber::of(text.trim(), true).value().map_or(Self::Missing, Self::Float)
            }
            (Kind::Floats, Json::Array(values)) => numbers(values).map_or(Self::Missing, Self::Floats),
            (Kind::Ints, Json::Array(values)) => {
                let list: Vec<i64> = values.iter().filter_map(Json::as_i64).collect();
                if list.len() == values.len() { Self::Ints(list) } else { Self::Missing }
            }
            (Kind::Objects(kind), Json::Object(cell)) => objects(cell, kind).map_or(Self::Missing, Self::Objects),
            (Kind::Texts, Json::Array(values)) => {
                let list: Vec<String> = values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
                if list.len() == values.len() { Self::Texts(list) } else { Self::Missing }
            }
            _ => Self::Missing,
        }
    }

    /// Bytes that it takes in a file, about.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Missing | Self::Bool(_) => 1,
            Self::Class(_) | Self::Float(_) | Self::Int(_) => 8,
            Self::Floats(list) => 8 * list.len() + 4,
            Self::Ints(list) => 8 * list.len() + 4,
            Self::Image { bytes, path } => bytes.len() + path.len() + 8,
            Self::Objects(objects) => objects.bytes(),
            Self::Text(text) => text.len() + 4,
            Self::Texts(list) => list.iter().map(|text| text.len() + 4).sum::<usize>() + 4,
        };
        bytes as u64
    }

    /// Writes what tells it from all others; of an image, its bytes alone.
    pub(super) fn tell(&self, to: &mut dyn Write) -> std::io::Result<()> {
        let text = |to: &mut dyn Write, text: &[u8]| {
            to.write_all(&(text.len() as u64).to_le_bytes())?;
            to.write_all(text)
        };
        match self {
            Self::Missing => to.write_all(&[0]),
            Self::Bool(is) => to.write_all(&[1, u8::from(*is)]),
            Self::Class(class) => {
                to.write_all(&[2])?;
                to.write_all(&class.to_le_bytes())
            }
            Self::Float(number) => {
                to.write_all(&[3])?;
                to.write_all(&number.to_bits().to_le_bytes())
            }
            Self::Floats(list) => {
                to.write_all(&[4])?;
                to.write_all(&(list.len() as u64).to_le_bytes())?;
                list.iter().try_for_each(|number| to.write_all(&number.to_bits().to_le_bytes()))
            }
            Self::Image { bytes, .. } => {
                to.write_all(&[5])?;
                text(to, bytes)
            }
            Self::Int(number) => {
                to.write_all(&[6])?;
                to.write_all(&number.to_le_bytes())
            }
            Self::Ints(list) => {
                to.write_all(&[7])?;
                to.write_all(&(list.len() as u64).to_le_bytes())?;
                list.iter().try_for_each(|number| to.write_all(&number.to_le_bytes()))
            }
            Self::Objects(objects) => {
                to.write_all(&[10])?;
                objects.tell(to)
            }
            Self::Text(own) => {
                to.write_all(&[8])?;
                text(to, own.as_bytes())
            }
            Self::Texts(list) => {
                to.write_all(&[9])?;
                to.write_all(&(list.len() as u64).to_le_bytes())?;
                list.iter().try_for_each(|own| text(to, own.as_bytes()))
            }
        }
    }
}

/// The numbers of a list, those of points in it one behind the other; none where anything else is in it.
fn numbers(values: &[Json]) -> Option<Vec<f64>> {
    let each = values.iter().flat_map(|value| match value {
        Json::Array(point) => point.as_slice(),
        one => std::slice::from_ref(one),
    });
    each.map(Json::as_f64).collect()
}

/// Rows as a file holds them.
///
/// # Errors
/// A column would be larger than Arrow's offsets reach.
pub(super) fn record_batch(
    rows: &[Vec<Value>],
    columns: &[Column],
    schema: &SchemaRef,
) -> Result<RecordBatch, RecipeError> {
    let arrays = columns.iter().enumerate().map(|(place, column)| {
        let cells = rows.iter().map(|row| &row[place]);
        array(cells, &column.kind)
    });
    RecordBatch::try_new(Arc::clone(schema), arrays.collect())
        .map_err(|error| RecipeError::mismatch("the rows", shown(error.to_string())))
}

fn array<'a>(cells: impl Iterator<Item = &'a Value>, kind: &Kind) -> ArrayRef {
    match kind {
        Kind::Bool => {
            let mut array = BooleanBuilder::new();
            cells.for_each(|cell| array.append_option(if let Value::Bool(is) = cell { Some(*is) } else { None }));
            Arc::new(array.finish())
        }
        Kind::Class(_) | Kind::Int => {
            let mut array = Int64Builder::new();
            cells.for_each(|cell| {
                array.append_option(match cell {
                    Value::Class(class) => Some(i64::from(*class)),
                    Value::Int(number) => Some(*number),
                    _ => None,
                });
            });
            Arc::new(array.finish())
        }
        Kind::Float => {
            let mut array = Float64Builder::new();
            cells.for_each(|cell| array.append_option(if let Value::Float(it) = cell { Some(*it) } else { None }));
            Arc::new(array.finish())
        }
        Kind::Floats => {
            let mut array = ListBuilder::new(Float64Builder::new());
            for cell in cells {
                let list = if let Value::Floats(list) = cell { Some(list) } else { None };
                list.into_iter().for_each(|list| array.values().append_slice(list));
                array.append(list.is_some());
            }
            Arc::new(array.finish())
        }
        Kind::Ints => {
            let mut array = ListBuilder::new(Int64Builder::new());
            for cell in cells {
                let list = if let Value::Ints(list) = cell { Some(list) } else { None };
                list.into_iter().for_each(|list| array.values().append_slice(list));
                array.append(list.is_some());
            }
            Arc::new(array.finish())
        }
        Kind::Image => {
            let (mut all, mut paths, mut there) = (BinaryBuilder::new(), StringBuilder::new(), Vec::new());
            for cell in cells {
                let image = if let Value::Image { bytes, path } = cell { Some((bytes, path)) } else { None };
                all.append_option(image.map(|(bytes, _)| bytes));
                paths.append_option(image.map(|(_, path)| path));
                there.push(image.is_some());
            }
            let arrays: Vec<ArrayRef> = vec![Arc::new(all.finish()), Arc::new(paths.finish())];
            Arc::new(StructArray::new(image_fields(), arrays, Some(there.into())))
        }
        Kind::Objects(kind) => {
            kind.array(cells.map(|cell| if let Value::Objects(objects) = cell { Some(objects) } else { None }))
        }
        Kind::Text => {
            let mut array = StringBuilder::new();
            cells.for_each(|cell| array.append_option(if let Value::Text(text) = cell { Some(text) } else { None }));
            Arc::new(array.finish())
        }
        Kind::Texts => {
            let mut array = ListBuilder::new(StringBuilder::new());
            for cell in cells {
                let list = if let Value::Texts(list) = cell { Some(list) } else { None };
                list.into_iter().flatten().for_each(|text| array.values().append_value(text));
                array.append(list.is_some());
            }
            Arc::new(array.finish())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_as_lists_in_a_list_become_one_list_of_their_numbers() {
        for (text, wanted) in [
            ("[[13.5, 36], [1, 2]]", Value::Floats(vec![13.5, 36.0, 1.0, 2.0])),
            ("[[1, 2, 0]]", Value::Floats(vec![1.0, 2.0, 0.0])),
            ("[1.5, 2]", Value::Floats(vec![1.5, 2.0])),
            ("[]", Value::Floats(Vec::new())),
            ("[[1, null]]", Value::Missing),
            ("[[[1, 2]]]", Value::Missing),
        ] {
            assert_eq!(Value::of_text(text, &Kind::Floats), wanted, "{text}");
        }
    }
}
