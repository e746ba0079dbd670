use std::io::Write;
use std::sync::Arc;

use millstream_pipeline::arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, ListBuilder};
use millstream_pipeline::arrow_array::{ArrayRef, StructArray};
use millstream_pipeline::arrow_schema::{DataType, Field, Fields};
use serde_json::{Map, Value as Json, json};

/// The objects in an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Objects {
    /// Left, top, width and height, in pixels.
    pub(super) boxes: Vec<[f64; 4]>,
    /// The class of each, by its place.
    pub(super) classes: Vec<u32>,
    /// What annotations in the manner of COCO say beside; empty otherwise.
    pub(super) annotations: Vec<Annotation>,
}

/// What an annotation says of an object, beside its box and class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Annotation {
    pub(super) id: Option<i64>,
    /// Square pixels.
    pub(super) area: Option<f64>,
    /// Whether it is several in one.
    pub(super) is_crowd: bool,
}

/// What a column of objects holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ObjectsKind {
    /// Names of the classes.
    pub(super) names: Vec<String>,
    /// Whether `id`, `area` and `iscrowd` are there.
    pub(super) annotated: bool,
}

fn list(of: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(of, true)))
}

impl ObjectsKind {
    pub(super) fn fields(&self) -> Fields {
        let mut fields = vec![
            Field::new("bbox", list(list(DataType::Float64)), true),
            Field::new("category", list(DataType::Int64), true),
        ];
        if self.annotated {
            fields.push(Field::new("id", list(DataType::Int64), true));
            fields.push(Field::new("area", list(DataType::Float64), true));
            fields.push(Field::new("iscrowd", list(DataType::Boolean), true));
        }
        fields.into()
    }

    /// As `datasets` writes it.
    pub(super) fn feature(&self) -> Json {
        let value = |dtype: &str| json!({ "dtype": dtype, "_type": "Value" });
        let mut fields = Map::new();
        fields.insert("bbox".into(), json!({ "feature": value("float64"), "_type": "Sequence" }));
        fields.insert("category".into(), json!({ "names": self.names, "_type": "ClassLabel" }));
        if self.annotated {
            for (name, dtype) in [("id", "int64"), ("area", "float64"), ("iscrowd", "bool")] {
                fields.insert(name.into(), value(dtype));
            }
        }
        json!({ "feature": fields, "_type": "Sequence" })
    }

    /// Rows as a file holds them; none is a row without a value.
    pub(super) fn array<'a>(&self, rows: impl Iterator<Item = Option<&'a Objects>>) -> ArrayRef {
        let mut boxes = ListBuilder::new(ListBuilder::new(Float64Builder::new()));
        let (mut classes, mut ids) = (ListBuilder::new(Int64Builder::new()), ListBuilder::new(Int64Builder::new()));
        let mut areas = ListBuilder::new(Float64Builder::new());
        let (mut crowds, mut there) = (ListBuilder::new(BooleanBuilder::new()), Vec::new());
        for row in rows {
            let is_there = row.is_some();
            for object in row.into_iter().flat_map(|row| &row.boxes) {
                boxes.values().values().append_slice(object);
                boxes.values().append(true);
            }
            for class in row.into_iter().flat_map(|row| &row.classes) {
                classes.values().append_value(i64::from(*class));
            }
            for annotation in row.into_iter().flat_map(|row| &row.annotations) {
                ids.values().append_option(annotation.id);
                areas.values().append_option(annotation.area);
                crowds.values().append_value(annotation.is_crowd);
            }
            boxes.append(is_there);
            classes.append(is_there);
            ids.append(is_there);
            areas.append(is_there);
            crowds.append(is_there);
            there.push(is_there);
        }
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(boxes.finish()), Arc::new(classes.finish())];
        if self.annotated {
            arrays.push(Arc::new(ids.finish()));
            arrays.push(Arc::new(areas.finish()));
            arrays.push(Arc::new(crowds.finish()));
        }
        Arc::new(StructArray::new(self.fields(), arrays, Some(there.into())))
    }
}

impl Objects {
    /// Bytes that they take in a file, about.
    pub(super) fn bytes(&self) -> usize {
        self.boxes.len() * 40 + self.annotations.len() * 17 + 20
    }

    /// Writes what tells them from others.
    pub(super) fn tell(&self, to: &mut dyn Write) -> std::io::Result<()> {
        to.write_all(&(self.boxes.len() as u64).to_le_bytes())?;
        for side in self.boxes.iter().flatten() {
            to.write_all(&side.to_bits().to_le_bytes())?;
        }
        for class in &self.classes {
            to.write_all(&class.to_le_bytes())?;
        }
        for Annotation { id, area, is_crowd } in &self.annotations {
            to.write_all(&id.unwrap_or(i64::MIN).to_le_bytes())?;
            to.write_all(&area.unwrap_or(f64::NAN).to_bits().to_le_bytes())?;
            to.write_all(&[u8::from(*is_crowd)])?;
        }
        Ok(())
    }
}
