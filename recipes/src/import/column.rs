use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use millstream_pipeline::arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use millstream_schemas::shown;
use serde_json::{Map, Value as Json, json};

use super::objects::ObjectsKind;
use crate::RecipeError;

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Yes or no.
    Bool,
    /// The number of a class that has a name.
    Class(Vec<String>),
    /// A number.
    Float,
    /// A list of numbers.
    Floats,
    /// An encoded image.
    Image,
    /// A whole number.
    Int,
    /// A list of whole numbers.
    Ints,
    /// Boxes with classes.
    Objects(ObjectsKind),
    /// A text.
    Text,
    /// A list of texts.
    Texts,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    /// What it is called.
    pub(super) name: String,
    /// What it is called in tables.
    pub(super) heading: String,
    /// What it holds.
    pub(super) kind: Kind,
}

impl Column {
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), heading: name.to_owned(), kind }
    }
}

impl Kind {
    pub(super) fn data_type(&self) -> DataType {
        let list = |of: DataType| DataType::List(Arc::new(Field::new_list_field(of, true)));
        match self {
            Self::Bool => DataType::Boolean,
            Self::Class(_) | Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Floats => list(DataType::Float64),
            Self::Image => DataType::Struct(image_fields()),
            Self::Ints => list(DataType::Int64),
            Self::Objects(kind) => DataType::Struct(kind.fields()),
            Self::Text => DataType::Utf8,
            Self::Texts => list(DataType::Utf8),
        }
    }

    /// As `datasets` writes it. Lists are `Sequence`, which its older versions know too.
    fn feature(&self) -> Json {
        let value = |dtype: &str| json!({ "dtype": dtype, "_type": "Value" });
        let list = |of: Json| json!({ "feature": of, "_type": "Sequence" });
        match self {
            Self::Bool => value("bool"),
            Self::Class(names) => json!({ "names": names, "_type": "ClassLabel" }),
            Self::Float => value("float64"),
            Self::Floats => list(value("float64")),
            Self::Image => json!({ "_type": "Image" }),
            Self::Int => value("int64"),
            Self::Ints => list(value("int64")),
            Self::Objects(kind) => kind.feature(),
            Self::Text => value("string"),
            Self::Texts => list(value("string")),
        }
    }

    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Bool => "yes or no".into(),
            Self::Class(names) => format!("one of {}", millstream_schemas::count(names.len(), "class")),
            Self::Float => "a number".into(),
            Self::Floats => "a list of numbers".into(),
            Self::Image => "an image".into(),
            Self::Int => "a whole number".into(),
            Self::Ints => "a list of whole numbers".into(),
            Self::Objects(kind) => {
                format!("boxes of {}", millstream_schemas::count(kind.names.len(), "class"))
            }
            Self::Text => "a text".into(),
            Self::Texts => "a list of texts".into(),
        }
    }
}

/// # Errors
/// Two columns of what lies at a place would have one name.
pub(super) fn require_own_names<'a>(
    columns: impl IntoIterator<Item = &'a Column>,
    place: &str,
) -> Result<(), RecipeError> {
    let mut names = BTreeSet::new();
    match columns.into_iter().find(|column| !names.insert(&column.name)) {
        Some(twice) => {
            let message = format!("two columns would be called `{}`; rename one", shown(&twice.name));
            Err(RecipeError::mismatch(place, message))
        }
        None => Ok(()),
    }
}

pub(super) fn image_fields() -> Fields {
    vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)].into()
}

/// The entry of a file's metadata that says what the numbers of boxes are, by the names of their columns, in JSON.
pub(crate) const BOX_CONVENTIONS: &str = "millstream.boxes";

/// The schema of files of these columns, with what `datasets` says of them.
pub(super) fn schema(columns: &[Column]) -> SchemaRef {
    let fields: Vec<Field> =
        columns.iter().map(|column| Field::new(&column.name, column.kind.data_type(), true)).collect();
    let features: Map<String, Json> =
        columns.iter().map(|column| (column.name.clone(), column.kind.feature())).collect();
    let declared = json!({ "info": { "features": features } }).to_string();
    let mut metadata = HashMap::from([("huggingface".to_owned(), declared)]);
    let of_boxes = columns.iter().filter(|column| matches!(column.kind, Kind::Objects(_)));
    // left, top, width and height, whatever the source had
    let conventions: Map<String, Json> = of_boxes.map(|column| (column.name.clone(), "coco".into())).collect();
    if !conventions.is_empty() {
        metadata.insert(BOX_CONVENTIONS.to_owned(), Json::Object(conventions).to_string());
    }
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

#[cfg(test)]
mod tests {
    use millstream_schemas::{Feature, Features};

    use super::*;

    #[test]
    fn features_are_read_back_as_they_were_written() {
        let names = ["a\"b".to_owned(), "ü".to_owned()];
        let kinds = [Kind::Image, Kind::Class(names.to_vec()), Kind::Text, Kind::Int, Kind::Floats];
        let columns: Vec<Column> =
            kinds.iter().enumerate().map(|(at, kind)| Column::new(&format!("c{at}"), kind.clone())).collect();
        let features = Features::from_arrow(&schema(&columns), "x").unwrap();
        assert!(matches!(features.get("c0"), Some(Feature::Image(_))));
        assert_eq!(features.get("c1"), Some(&Feature::ClassLabel { names: names.to_vec() }));
        assert_eq!(features.get("c2"), Some(&Feature::Text));
        assert!(matches!(features.get("c3"), Some(Feature::Value(_))));
    }
}
