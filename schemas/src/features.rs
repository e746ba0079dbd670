//! What a dataset's columns mean: images, text, class labels, numbers.

use std::collections::BTreeMap;

use arrow_schema::{DataType, Fields, Schema};
use serde::Deserialize;

use crate::{SchemaError, nearest, shown, shown_up_to};

/// How an image column stores its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageStorage {
    /// `struct<bytes: binary, path: string>`, fields in any order: the Hugging Face convention.
    Struct,
    /// Plain `binary` or `large_binary`.
    Binary,
}

/// The meaning of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feature {
    /// An encoded image.
    Image(ImageStorage),
    /// A string.
    Text,
    /// A class index with its names; −1 is unlabelled.
    ClassLabel {
        /// Class names by index.
        names: Vec<String>,
    },
    /// Anything else: a number, a list, …; the Arrow type as text.
    Value(String),
}

/// The columns of a dataset, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Name and meaning of each column.
    pub columns: Vec<(String, Feature)>,
}

impl Features {
    /// What the columns mean, from their Arrow types and the `huggingface` key of the schema's metadata, if there is
    /// one. `file` is named in errors.
    ///
    /// A struct that holds `bytes` is an image with or without metadata; a plain binary column is one only where the
    /// metadata says so (or where the user names it as input, see [`image_storage`]).
    ///
    /// # Errors
    /// The metadata is not JSON, or numbers class names with gaps.
    pub fn from_arrow(schema: &Schema, file: &str) -> Result<Self, SchemaError> {
        let declared = declared_features(schema, file)?;
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            columns.push((field.name().clone(), feature(field.data_type(), declared.get(field.name()))));
        }
        Ok(Self { columns })
    }

    /// The feature of a column.
    pub fn get(&self, column: &str) -> Option<&Feature> {
        self.columns.iter().find(|(name, _)| name == column).map(|(_, feature)| feature)
    }

    /// The names of the classes that a column declares within its lists, or those of a field of the structs in them
    /// (`category` of `objects: [{bbox, category}]`, whichever way round lists and structs are); `None` where it declares none.
    ///
    /// # Errors
    /// As [`Features::from_arrow`].
    pub fn classes_in_lists(
        schema: &Schema,
        file: &str,
        column: &str,
        field: Option<&str>,
    ) -> Result<Option<Vec<String>>, SchemaError> {
        let features = written_features(schema, file)?;
        let Some(found) = features.get(column).and_then(|feature| below(feature, field)) else { return Ok(None) };
        if found.get("_type").and_then(serde_json::Value::as_str) != Some("ClassLabel") {
            return Ok(None);
        }
        let entry = serde_json::from_value(found.clone()).map_err(|_| "its feature cannot be understood".to_owned());
        let entry = entry.and_then(Entry::checked);
        let entry = entry.map_err(|error| damaged_metadata(file, &format!("column `{column}`: {error}")))?;
        Ok(Some(entry.class_names))
    }

    /// Adds the class names that another file of the dataset declares where this one declares none.
    pub fn learn_class_names(&mut self, other: &Self) {
        for (column, feature) in &mut self.columns {
            let declared =
                other.get(column).filter(|other| matches!(other, Feature::ClassLabel { names } if !names.is_empty()));
            let lacks = match feature {
                Feature::ClassLabel { names } => names.is_empty(),
                Feature::Value(_) => true,
                _ => false,
            };
            if let (true, Some(declared)) = (lacks, declared) {
                *feature = declared.clone();
            }
        }
    }

    /// The feature of a column that must be there.
    ///
    /// # Errors
    /// There is none of that name; says which looks most like it.
    pub fn require(&self, column: &str, file: &str) -> Result<&Feature, SchemaError> {
        self.get(column).ok_or_else(|| SchemaError::MissingColumn {
            file: file.into(),
            column: shown(column),
            nearest: nearest(column, self.columns.iter().map(|(name, _)| name.as_str())).map(shown),
            columns: self.columns.iter().take(40).map(|(name, _)| shown(name)).collect(),
        })
    }
}

/// How a column of this type stores encoded images; `None` when it cannot.
pub fn image_storage(data_type: &DataType) -> Option<ImageStorage> {
    match data_type {
        DataType::Struct(fields) if struct_holds_bytes(fields) => Some(ImageStorage::Struct),
        other if is_binary(other) => Some(ImageStorage::Binary),
        _ => None,
    }
}

/// Whether a column of this type holds strings, dictionary-encoded ones included.
pub fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// Whether a column of this type can hold classes as numbers: whole numbers, booleans, floats (each must then be whole),
/// and dictionaries of them.
pub fn holds_class_numbers(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean => true,
        DataType::Dictionary(_, value) => holds_class_numbers(value),
        other => other.is_integer() || other.is_floating(),
    }
}

/// Whether a column of this type can hold where images lie, and nothing of the images: a struct with a `path` and no
/// `bytes` to speak of.
pub fn only_a_path(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else { return false };
    let has = |name: &str, fits: fn(&DataType) -> bool| {
        fields.iter().any(|field| field.name() == name && fits(field.data_type()))
    };
    has("path", is_text) && !has("bytes", is_binary)
}

fn is_binary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_binary(value),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => true,
        _ => false,
    }
}

/// Other fields may be there: a path, a size, a caption, of any type.
fn struct_holds_bytes(fields: &Fields) -> bool {
    let mut bytes = fields.iter().filter(|field| field.name() == "bytes");
    bytes.next().is_some_and(|field| is_binary(field.data_type())) && bytes.next().is_none()
}

/// A declaration that the type contradicts is passed over: whoever uses the column is told what its type cannot be.
fn feature(data_type: &DataType, declared: Option<&Declared>) -> Feature {
    let value = || Feature::Value(shown_up_to(data_type.to_string(), 200));
    match declared.map(|declared| (declared.kind.as_str(), declared)) {
        Some(("Image", _)) => image_storage(data_type).map_or_else(value, Feature::Image),
        _ if is_text(data_type) => Feature::Text,
        Some(("ClassLabel", declared)) if holds_class_numbers(data_type) => {
            Feature::ClassLabel { names: declared.class_names.clone() }
        }
        // Sounds and films are stored the way images are.
        Some(("Audio" | "Video" | "Pdf", _)) => value(),
        _ => match image_storage(data_type) {
            Some(ImageStorage::Struct) => Feature::Image(ImageStorage::Struct),
            _ => value(),
        },
    }
}

/// One entry of `info.features` in the `huggingface` metadata.
struct Declared {
    kind: String,
    /// Of a `ClassLabel`, by index.
    class_names: Vec<String>,
}

/// An entry as written.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "_type", default)]
    kind: String,
    #[serde(default)]
    names: ClassNames,
    #[serde(default)]
    num_classes: Option<u64>,
}

/// Class names are written as a list, or as an object with the index as key (older writers).
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum ClassNames {
    #[default]
    Missing,
    List(Vec<String>),
    Indexed(BTreeMap<String, String>),
    /// A struct that has a field called `names`, or anything else: not class names.
    Other(serde::de::IgnoredAny),
}

/// More classes than this are damage: their names alone would fill the memory.
const MOST_CLASSES: u64 = 1_000_000;

impl Entry {
    fn checked(self) -> Result<Declared, String> {
        let class_names = if self.kind == "ClassLabel" { self.class_names()? } else { Vec::new() };
        Ok(Declared { kind: self.kind, class_names })
    }

    fn class_names(&self) -> Result<Vec<String>, String> {
        match &self.names {
            ClassNames::List(names) => Ok(names.clone()),
            ClassNames::Indexed(names) => {
                let mut names: Vec<_> = names.iter().map(|(index, name)| (index.parse::<usize>().ok(), name)).collect();
                names.sort_by_key(|(index, _)| index.unwrap_or(usize::MAX));
                if let Some(gap) = names.iter().enumerate().position(|(place, (index, _))| *index != Some(place)) {
                    return Err(format!("{} class names are numbered, and none is number {gap}", names.len()));
                }
                Ok(names.into_iter().map(|(_, name)| name.clone()).collect())
            }
            ClassNames::Other(_) => Err("its class names are no list of texts".into()),
            ClassNames::Missing => match self.num_classes.unwrap_or(0) {
                count if count > MOST_CLASSES => Err(format!("{count} classes; at most {MOST_CLASSES} are read")),
                count => Ok((0..count).map(|index| index.to_string()).collect()),
            },
        }
    }
}

/// `info.features` of the metadata, as written.
fn written_features(schema: &Schema, file: &str) -> Result<BTreeMap<String, serde_json::Value>, SchemaError> {
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(default)]
        info: Option<Info>,
    }
    #[derive(Deserialize)]
    struct Info {
        #[serde(default)]
        features: Option<BTreeMap<String, serde_json::Value>>,
    }
    let Some(text) = schema.metadata().get("huggingface") else {
        return Ok(BTreeMap::new());
    };
    let damaged = |message: &str| damaged_metadata(file, message);
    let metadata: Metadata = serde_json::from_str(text).map_err(|error| match error.classify() {
        // Its words are the library's, and name types that nobody here knows.
        serde_json::error::Category::Data => damaged("`huggingface` holds something else than a dataset's features"),
        _ => {
            damaged(&format!("`huggingface` is no JSON, from its line {}, column {} on", error.line(), error.column()))
        }
    })?;
    Ok(metadata.info.and_then(|info| info.features).unwrap_or_default())
}

fn damaged_metadata(file: &str, message: &str) -> SchemaError {
    SchemaError::Metadata { file: file.into(), message: shown_up_to(message, 400) }
}

fn declared_features(schema: &Schema, file: &str) -> Result<BTreeMap<String, Declared>, SchemaError> {
    let mut declared = BTreeMap::new();
    for (column, value) in written_features(schema, file)? {
        // Lists and nested structs of features have other shapes: `classes_in_lists` looks into them.
        if value.get("_type").is_none_or(|kind| !kind.is_string()) {
            continue;
        }
        let entry = serde_json::from_value(value).map_err(|_| "its feature cannot be understood".to_owned());
        let entry = entry.and_then(Entry::checked);
        let entry = entry.map_err(|error| damaged_metadata(file, &format!("column `{column}`: {error}")))?;
        declared.insert(column, entry);
    }
    Ok(declared)
}

/// What a feature declares below its lists, in the field where one is named. Lists are written as JSON lists of one, or as
/// `Sequence`, `List` and `LargeList` with a `feature`.
fn below<'a>(feature: &'a serde_json::Value, field: Option<&str>) -> Option<&'a serde_json::Value> {
    let kind = feature.get("_type").and_then(serde_json::Value::as_str);
    match (feature, kind) {
        (serde_json::Value::Array(list), _) => list.first().and_then(|inner| below(inner, field)),
        (_, Some("Sequence" | "List" | "LargeList")) => below(feature.get("feature")?, field),
        (_, Some(_)) => field.is_none().then_some(feature),
        (_, None) => below(feature.get(field?)?, None),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow_schema::Field;

    use super::*;

    fn image_struct(reversed: bool) -> DataType {
        let mut fields = vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)];
        if reversed {
            fields.reverse();
        }
        DataType::Struct(fields.into())
    }

    fn read(columns: &[(&str, DataType)], metadata: Option<&str>) -> Result<Features, SchemaError> {
        let fields: Vec<_> =
            columns.iter().map(|(name, kind)| Arc::new(Field::new(*name, kind.clone(), true))).collect();
        let metadata = metadata.map(|text| HashMap::from([("huggingface".to_owned(), text.to_owned())]));
        Features::from_arrow(&Schema::new_with_metadata(fields, metadata.unwrap_or_default()), "a.parquet")
    }

    fn only(kind: DataType, metadata: Option<&str>) -> Feature {
        read(&[("x", kind)], metadata).unwrap().columns.remove(0).1
    }

    fn declared(feature: &str) -> String {
        format!(r#"{{"info": {{"features": {{"x": {feature}}}}}}}"#)
    }

    #[test]
    fn meanings() {
        let image = declared(r#"{"_type": "Image"}"#);
        let classes = declared(r#"{"names": ["a", "b"], "_type": "ClassLabel"}"#);
        let indexed = declared(r#"{"names": {"0": "a", "2": "c", "1": "b"}, "_type": "ClassLabel"}"#);
        let many = declared(r#"{"num_classes": 70000, "_type": "ClassLabel"}"#);
        let counted = declared(r#"{"num_classes": 2, "_type": "ClassLabel"}"#);
        let audio = declared(r#"{"_type": "Audio"}"#);
        let list = declared(r#"[{"dtype": "int64", "_type": "Value"}]"#);
        let label = |names: &[&str]| Feature::ClassLabel { names: names.iter().map(|&n| n.into()).collect() };
        let rows: Vec<(DataType, Option<&str>, Feature)> = vec![
            (image_struct(false), None, Feature::Image(ImageStorage::Struct)),
            (image_struct(true), Some(&image), Feature::Image(ImageStorage::Struct)),
            (DataType::Binary, Some(&image), Feature::Image(ImageStorage::Binary)),
            (DataType::LargeBinary, Some(&image), Feature::Image(ImageStorage::Binary)),
            (DataType::Binary, None, Feature::Value("Binary".into())),
            (DataType::Utf8, None, Feature::Text),
            (DataType::LargeUtf8, None, Feature::Text),
            (DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into()), None, Feature::Text),
            (DataType::Int64, Some(&classes), label(&["a", "b"])),
            (DataType::Int8, Some(&indexed), label(&["a", "b", "c"])),
            (DataType::Int64, Some(&counted), label(&["0", "1"])),
            (DataType::Utf8, Some(&classes), Feature::Text),
            (DataType::Int64, None, Feature::Value("Int64".into())),
            (DataType::Int64, Some(&list), Feature::Value("Int64".into())),
            (image_struct(false), Some(&audio), Feature::Value(image_struct(false).to_string())),
            // A declaration that the type contradicts matters to whoever uses the column.
            (DataType::Int64, Some(&image), Feature::Value("Int64".into())),
            (DataType::Binary, Some(&classes), Feature::Value("Binary".into())),
            (DataType::Float32, Some(&classes), label(&["a", "b"])),
            (DataType::Boolean, Some(&counted), label(&["0", "1"])),
            (DataType::Int64, Some("{}"), Feature::Value("Int64".into())),
            (DataType::Int64, Some(r#"{"info": null}"#), Feature::Value("Int64".into())),
        ];
        let Feature::ClassLabel { names } = only(DataType::Int64, Some(&many)) else { panic!("a label") };
        assert_eq!((names.len(), names[69_999].as_str()), (70_000, "69999"));
        for (kind, metadata, wanted) in rows {
            assert_eq!(only(kind.clone(), metadata), wanted, "{kind} {metadata:?}");
        }
    }

    #[test]
    fn classes_are_found_in_lists_and_structs_whichever_way_round() {
        let label = r#"{"names": ["cat", "dog"], "_type": "ClassLabel"}"#;
        let box_ = r#"{"feature": {"dtype": "float32", "_type": "Value"}, "length": 4, "_type": "Sequence"}"#;
        let both = format!(r#"{{"bbox": {box_}, "category": {label}}}"#);
        let lists = format!(r#"{{"bbox": {box_}, "category": {{"feature": {label}, "_type": "List"}}}}"#);
        for (feature, field, found) in [
            (format!(r#"{{"feature": {both}, "_type": "Sequence"}}"#), Some("category"), true),
            (format!("[{both}]"), Some("category"), true),
            (format!(r#"{{"feature": {both}, "_type": "LargeList"}}"#), Some("category"), true),
            (lists.clone(), Some("category"), true),
            (lists.clone(), Some("bbox"), false),
            (lists, Some("class"), false),
            (format!(r#"{{"feature": {label}, "_type": "Sequence"}}"#), None, true),
            (format!("[{label}]"), None, true),
            (format!("[{label}]"), Some("category"), false),
            (format!("[{both}]"), None, false),
            (box_.into(), None, false),
            ("[]".into(), None, false),
            ("7".into(), None, false),
        ] {
            let metadata = HashMap::from([("huggingface".to_owned(), declared(&feature))]);
            let schema = Schema::new_with_metadata(Vec::<Field>::new(), metadata);
            let classes = Features::classes_in_lists(&schema, "a.parquet", "x", field).unwrap();
            assert_eq!(classes, found.then(|| vec!["cat".to_owned(), "dog".to_owned()]), "{feature} {field:?}");
        }
        let gaps = declared(r#"[{"names": {"0": "a", "2": "c"}, "_type": "ClassLabel"}]"#);
        let schema = Schema::new_with_metadata(Vec::<Field>::new(), HashMap::from([("huggingface".to_owned(), gaps)]));
        let error = Features::classes_in_lists(&schema, "a.parquet", "x", None).unwrap_err().to_string();
        assert!(error.contains("column `x`") && error.contains("none is number 1"), "{error}");
    }

    #[test]
    fn an_image_struct_must_only_have_bytes() {
        let data = |fields: &[(&str, DataType)]| {
            DataType::Struct(fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect())
        };
        let dictionary = |value: DataType| DataType::Dictionary(DataType::Int32.into(), value.into());
        for (fields, image, path) in [
            (vec![("bytes", DataType::Binary), ("path", DataType::Null)], true, false),
            (vec![("path", DataType::Utf8), ("bytes", DataType::BinaryView)], true, false),
            (vec![("bytes", dictionary(DataType::LargeBinary))], true, false),
            (vec![("bytes", DataType::FixedSizeBinary(9)), ("width", DataType::Int64)], true, false),
            (vec![("bytes", DataType::Binary), ("bytes", DataType::Binary)], false, false),
            (vec![("bytes", DataType::Utf8)], false, false),
            (vec![("path", DataType::Utf8)], false, true),
            (vec![("path", dictionary(DataType::Utf8)), ("bytes", DataType::Null)], false, true),
        ] {
            let kind = data(&fields);
            assert_eq!((image_storage(&kind).is_some(), only_a_path(&kind)), (image, path), "{kind}");
        }
    }

    #[test]
    fn damaged_metadata_names_the_file() {
        let indexed = |names: &str| declared(&format!(r#"{{"names": {{{names}}}, "_type": "ClassLabel"}}"#));
        let (gap, twice) = (indexed(r#""0": "a", "2": "b""#), indexed(r#""0": "a", "00": "b""#));
        let endless = declared(r#"{"num_classes": 18446744073709551615, "_type": "ClassLabel"}"#);
        for (kind, metadata, part) in [
            (DataType::Int64, gap.as_str(), "2 class names are numbered, and none is number 1"),
            (DataType::Int64, twice.as_str(), "none is number 1"),
            (DataType::Int64, endless.as_str(), "at most 1000000 are read"),
            (DataType::Int64, "{not json", "metadata is damaged"),
            (
                DataType::Int64,
                declared(r#"{"names": ["cat", null], "_type": "ClassLabel"}"#).as_str(),
                "no list of texts",
            ),
            (DataType::Int64, r#"{"info": 3}"#, "something else than a dataset's features"),
        ] {
            let message = read(&[("x", kind)], Some(metadata)).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("a.parquet"), "{message}");
        }
    }

    #[test]
    fn a_wrong_column_is_answered_with_the_nearest() {
        let features = read(&[("image", image_struct(false)), ("label", DataType::Int64)], None).unwrap();
        let message = features.require("lable", "a.parquet").unwrap_err().to_string();
        assert_eq!(message, "a.parquet: no column `lable`; did you mean `label`?; it has image, label");
    }

    #[test]
    fn hostile_names_are_cut_and_escaped() {
        let features = read(&[(&"x\u{1b}".repeat(5000), DataType::Int64)], None).unwrap();
        let message = features.require("nothing", "a.parquet").unwrap_err().to_string();
        assert!(message.len() < 1000 && !message.contains('\u{1b}'), "{message}");
    }
}
