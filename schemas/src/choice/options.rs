//! Reading and checking the options of a choice.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use super::ChoiceError;
use crate::recipe::got;
use crate::{nearest, plain, shown, shown_up_to};

/// Options of a row, as a struct with a default for each that may be left out.
pub trait Options: DeserializeOwned + Serialize + JsonSchema {
    /// Refuses nonsense that the types allow, with the value: `probability is between 0 and 1, got 50`.
    ///
    /// # Errors
    /// What is wrong, beginning with the option's name.
    fn validate(&self) -> Result<(), String>;
}

/// Of rows that have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

impl Options for NoOptions {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What was read of a row's options where all rows of a kind share some, as every optimizer has a learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Shared<S, T> {
    /// Those of the kind.
    pub shared: S,
    /// Those of the row.
    pub own: T,
    /// Both as JSON, every default filled in.
    pub whole: Value,
}

/// Reads and validates the options of the row that is chosen at `place` (`transforms.train[2].rotate`).
///
/// # Errors
/// An unknown option, a value of the wrong type, or one that [`Options::validate`] refuses.
pub fn read<T: Options>(options: &Value, place: &str) -> Result<T, ChoiceError> {
    let given = mapping(options, place)?;
    require_known(given, &[schema_of::<T>()], place)?;
    read_known(options, place)
}

/// As [`read`], where all rows of a kind share the options `S`; `defaults` are what this row has for them.
///
/// # Errors
/// As [`read`].
pub fn read_shared<S: Options, T: Options>(
    options: &Value,
    place: &str,
    defaults: &Value,
) -> Result<Shared<S, T>, ChoiceError> {
    let given = mapping(options, place)?;
    let of_kind = schema_of::<S>();
    require_known(given, &[schema_of::<T>(), of_kind.clone()], place)?;
    let is_shared = |name: &String| of_kind.pointer("/properties").is_some_and(|known| known.get(name).is_some());
    let mut shared = defaults.as_object().cloned().unwrap_or_default();
    let mut own = Map::new();
    for (name, value) in given {
        let part = if is_shared(name) { &mut shared } else { &mut own };
        part.insert(name.clone(), value.clone());
    }
    let shared: S = read_known(&Value::Object(shared), place)?;
    let own: T = read_known(&Value::Object(own), place)?;
    let mut all = whole(&own);
    if let (Some(all), Value::Object(shared)) = (all.as_object_mut(), whole(&shared)) {
        all.extend(shared);
    }
    Ok(Shared { shared, own, whole: all })
}

/// Reads options that are a single value, as in `pooled: mean`.
///
/// # Errors
/// A value of another type.
pub fn read_value<T: DeserializeOwned>(options: &Value, place: &str) -> Result<T, ChoiceError> {
    serde_json::from_value(options.clone())
        .map_err(|error| refused(place, String::new(), in_words(&error.to_string(), Some(options))))
}

fn mapping<'a>(options: &'a Value, place: &str) -> Result<&'a Map<String, Value>, ChoiceError> {
    let message = || format!("options are written as `name: value`, got {}", got(options));
    options.as_object().ok_or_else(|| refused(place, String::new(), message()))
}

fn refused(place: &str, option: String, message: String) -> ChoiceError {
    ChoiceError::Option { place: place.into(), option, message, help: None }
}

fn require_known(given: &Map<String, Value>, schemas: &[Value], place: &str) -> Result<(), ChoiceError> {
    let properties = schemas.iter().filter_map(|schema| schema.get("properties")?.as_object());
    let known: Vec<&String> = properties.flat_map(Map::keys).collect();
    let Some(option) = given.keys().find(|key| !known.contains(key)) else { return Ok(()) };
    Err(ChoiceError::UnknownOption {
        place: place.into(),
        option: shown(option),
        nearest: nearest(option, known.iter().map(|name| name.as_str())).map(String::from),
        known: known.into_iter().cloned().collect(),
        help: None,
    })
}

/// Reads options whose names are known.
fn read_known<T: Options>(options: &Value, place: &str) -> Result<T, ChoiceError> {
    let read: T = serde_path_to_error::deserialize(options).map_err(|error| {
        let path = error.path().clone();
        let message = in_words(&error.into_inner().to_string(), at(options, &path));
        match path.iter().len() {
            0 => refused(place, String::new(), message),
            _ => refused(place, path.to_string(), format!("{path}: {message}")),
        }
    })?;
    read.validate().map_err(|message| {
        // A message of one option begins with its name.
        let given = options.as_object().into_iter().flat_map(Map::keys);
        let named = given.into_iter().find(|key| message.split([' ', '(']).next() == Some(key.as_str()));
        refused(place, named.cloned().unwrap_or_default(), message)
    })?;
    Ok(read)
}

/// Options as JSON, every default filled in.
pub fn whole<T: Options>(options: &T) -> Value {
    serde_json::to_value(options).expect("options have string keys, so they always serialize")
}

/// The deserializer's message with the value as written, without the names of Rust types.
fn in_words(message: &str, got: Option<&Value>) -> String {
    let Some((wanted, got)) = message.rsplit_once(", expected ").map(|(_, wanted)| wanted).zip(got) else {
        return shown_up_to(message.replace("missing field", "missing option"), 400);
    };
    let choices = wanted.split('`').skip(1).step_by(2);
    let near = got.as_str().and_then(|got| nearest(got, choices));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("wanted {}, got {}{hint}", plain(wanted), crate::recipe::got(got))
}

/// The value at a path, as far as it can be followed.
fn at<'a>(options: &'a Value, path: &Path) -> Option<&'a Value> {
    path.iter().try_fold(options, |value, segment| match segment {
        Segment::Map { key } => value.get(key),
        Segment::Seq { index } => value.get(index),
        Segment::Enum { .. } => Some(value),
        Segment::Unknown => None,
    })
}

/// JSON Schema of the options, self-contained.
pub fn schema_of<T: JsonSchema>() -> Value {
    let generator: SchemaGenerator = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
    }
    schema
}

/// The options that are paths: those whose schema has the format `path`. `schema` is that of the options.
pub fn path_options(schema: &Value) -> Vec<String> {
    let options = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let is_path = |option: &Value| option.get("format").and_then(Value::as_str) == Some("path");
    options.filter(|(_, option)| is_path(option)).map(|(name, _)| name.clone()).collect()
}

/// As [`schema_of`], with the options that all rows of the kind share behind the row's own.
pub fn schema_of_shared<S: Options, T: Options>(defaults: &Value) -> Value {
    let (mut schema, mut shared) = (schema_of::<T>(), schema_of::<S>());
    let required = shared.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(properties) = shared.get_mut("properties").and_then(Value::as_object_mut) else { return schema };
    for (name, default) in defaults.as_object().into_iter().flatten() {
        if let Some(property) = properties.get_mut(name).and_then(Value::as_object_mut) {
            property.insert("default".into(), default.clone());
        }
    }
    let without_default = |name: &Value| name.as_str().is_some_and(|name| defaults.get(name).is_none());
    let required: Vec<Value> = required.into_iter().filter(without_default).collect();
    let Some(object) = schema.as_object_mut() else { return schema };
    let own = object.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    own.as_object_mut().into_iter().for_each(|own| own.extend(std::mem::take(properties)));
    if !required.is_empty() {
        let all = object.entry("required").or_insert_with(|| Value::Array(Vec::new()));
        all.as_array_mut().into_iter().for_each(|all| all.extend(required.clone()));
    }
    schema
}
