//! Reading and checking the options of a transform.

use millstream_schemas::nearest;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TransformError;
use crate::error::shown;
use crate::render::LARGEST_SIDE;

/// Options that can be refused.
pub(crate) trait Options: DeserializeOwned + JsonSchema {
    /// Refuses nonsense, with the value: `probability is between 0 and 1, got 50`.
    fn validate(&self) -> Result<(), String>;
}

/// Reads and validates the options of the transform at `place` (`transforms.train[2].rotate`).
pub(crate) fn read<T: Options>(options: &Value, place: &str) -> Result<T, TransformError> {
    let refused = |message: String| TransformError::Option { place: place.into(), message };
    let Value::Object(given) = options else {
        return Err(refused(format!("options are written as `name: value`, got {}", shown(&options.to_string()))));
    };
    let schema = schema_of::<T>();
    if let Some(known) = schema.get("properties").and_then(Value::as_object)
        && let Some(option) = given.keys().find(|key| !known.contains_key(*key))
    {
        return Err(TransformError::UnknownOption {
            place: place.into(),
            option: shown(option),
            nearest: nearest(option, known.keys().map(String::as_str)).map(String::from),
            known: known.keys().cloned().collect(),
        });
    }
    let read: T = serde_path_to_error::deserialize(options).map_err(|error| {
        let path = error.path().to_string();
        let inner = shown(&error.into_inner().to_string());
        refused(if path == "." { inner } else { format!("{path}: {inner}") })
    })?;
    read.validate().map_err(refused)?;
    Ok(read)
}

/// JSON Schema of the options, self-contained.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let generator: SchemaGenerator = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
    }
    schema
}

pub(crate) fn between(name: &str, value: f64, low: f64, high: f64) -> Result<(), String> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(format!("{name} is between {low} and {high}, got {value}"))
}

pub(crate) fn probability(value: f64) -> Result<(), String> {
    between("probability", value, 0.0, 1.0)
}

/// A range, low end first, within bounds.
pub(crate) fn range(name: &str, [low, high]: [f64; 2], least: f64, most: f64) -> Result<(), String> {
    if least <= low && low <= high && high <= most {
        return Ok(());
    }
    Err(format!("{name} is [low, high] between {least} and {most}, got [{low}, {high}]"))
}

pub(crate) fn side(name: &str, value: u32) -> Result<(), String> {
    if (1..=LARGEST_SIDE).contains(&value) {
        return Ok(());
    }
    Err(format!("{name} is between 1 and {LARGEST_SIDE} pixels, got {value}"))
}

pub(crate) fn always() -> f64 {
    1.0
}

pub(crate) fn half() -> f64 {
    0.5
}

/// A size in pixels: one number for a square, or `[width, height]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[serde(expecting = "a size in pixels: one number for a square, or [width, height]")]
pub(crate) enum Size {
    /// Side of a square, in pixels.
    Square(u32),
    /// `[width, height]` in pixels.
    Rectangle([u32; 2]),
}

impl Size {
    pub(crate) fn width(self) -> u32 {
        match self {
            Self::Square(side) => side,
            Self::Rectangle([width, _]) => width,
        }
    }

    pub(crate) fn height(self) -> u32 {
        match self {
            Self::Square(side) => side,
            Self::Rectangle([_, height]) => height,
        }
    }

    pub(crate) fn validate(self) -> Result<(), String> {
        side("size", self.width())?;
        side("size", self.height())
    }
}
