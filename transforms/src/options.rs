//! Reading and checking the options of a transform.

use std::fmt;

use millstream_schemas::recipe::got;
use millstream_schemas::{nearest, plain, shown, shown_up_to};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::de::{self, DeserializeOwned, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::TransformError;
use crate::render::LARGEST_SIDE;

/// Options that can be refused.
pub(crate) trait Options: DeserializeOwned + Serialize + JsonSchema {
    /// Refuses nonsense, with the value: `probability is between 0 and 1, got 50`.
    fn validate(&self) -> Result<(), String>;
}

/// Reads and validates the options of the transform at `place` (`transforms.train[2].rotate`).
pub(crate) fn read<T: Options>(options: &Value, place: &str) -> Result<T, TransformError> {
    let refused =
        |option: String, message: String| TransformError::Option { place: place.into(), option, message, help: None };
    let Value::Object(given) = options else {
        return Err(refused(String::new(), format!("options are written as `name: value`, got {}", got(options))));
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
            help: None,
        });
    }
    let read: T = serde_path_to_error::deserialize(options).map_err(|error| {
        let path = error.path().clone();
        let message = in_words(&error.into_inner().to_string(), at(options, &path));
        match path.iter().len() {
            0 => refused(String::new(), message),
            _ => refused(path.to_string(), format!("{path}: {message}")),
        }
    })?;
    read.validate().map_err(|message| {
        // A message of one option begins with its name.
        let named = given.keys().find(|key| message.split([' ', '(']).next() == Some(key.as_str()));
        refused(named.cloned().unwrap_or_default(), message)
    })?;
    Ok(read)
}

/// The deserializer's message with the value as written, without the names of Rust types.
fn in_words(message: &str, got: Option<&Value>) -> String {
    let Some((wanted, got)) = message.rsplit_once(", expected ").map(|(_, wanted)| wanted).zip(got) else {
        return shown_up_to(message.replace("missing field", "missing option"), 400);
    };
    let choices = wanted.split('`').skip(1).step_by(2);
    let near = got.as_str().and_then(|got| nearest(got, choices));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("wanted {}, got {}{hint}", plain(wanted), millstream_schemas::recipe::got(got))
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
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let generator: SchemaGenerator = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
    }
    schema
}

pub(crate) fn between<T: PartialOrd + fmt::Display>(name: &str, value: T, low: T, high: T) -> Result<(), String> {
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Size {
    /// Side of a square, in pixels.
    Square(#[schemars(range(min = 1, max = LARGEST_SIDE))] u32),
    /// `[width, height]` in pixels.
    Rectangle(#[schemars(inner(range(min = 1, max = LARGEST_SIDE)))] [u32; 2]),
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl<'de> Visitor<'de> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size in pixels: one number for a square, or [width, height]")
            }

            fn visit_u64<E: de::Error>(self, side: u64) -> Result<Size, E> {
                let side = u32::try_from(side).map_err(|_| E::invalid_value(Unexpected::Unsigned(side), &self))?;
                Ok(Size::Square(side))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sides: A) -> Result<Size, A::Error> {
                let (width, height) = (sides.next_element()?, sides.next_element()?);
                match (width, height, sides.next_element::<Value>()?) {
                    (Some(width), Some(height), None) => Ok(Size::Rectangle([width, height])),
                    _ => Err(de::Error::invalid_type(Unexpected::Seq, &self)),
                }
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
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

#[cfg(test)]
mod tests {
    use millstream_schemas::recipe::TransformSpec;
    use serde_json::json;

    use crate::Chain;

    #[test]
    fn wrong_values_are_told_in_words() {
        for (name, options, message) in [
            (
                "resize",
                json!({"size": 8, "kernel": "bilinar"}),
                "kernel: wanted one of `area`, `bilinear`, `cubic`, `lanczos3`, `nearest`, got `bilinar`; did you mean `bilinear`?",
            ),
            (
                "resize",
                json!({"size": 8, "kernel": "bicubic"}),
                "kernel: wanted one of `area`, `bilinear`, `cubic`, `lanczos3`, `nearest`, got `bicubic`",
            ),
            (
                "resize",
                json!({"size": "224px"}),
                "size: wanted a size in pixels: one number for a square, or [width, height], got `224px`",
            ),
            (
                "resize",
                json!({"size": [1, 2, 3]}),
                "size: wanted a size in pixels: one number for a square, or [width, height], got [1, 2, 3]",
            ),
            ("resize", json!({"size": [1, "b"]}), "size[1]: wanted a whole number of 0 or more, got `b`"),
            ("resize", json!({"width": -3}), "width: wanted a whole number of 0 or more, got -3"),
            ("rotate", json!({"degrees": "15°"}), "degrees: wanted a number, got `15°`"),
            (
                "rotate",
                json!({"degrees": 5, "fill": [0, 300, 0]}),
                "fill[1]: wanted a whole number from 0 to 255, got 300",
            ),
            ("rotate", json!({}), "missing option `degrees`"),
            ("gaussian_noise", json!({"sigma": 12.3}), "sigma (black is 0, white is 1) is between 0 and 1, got 12.3"),
            (
                "one_of",
                json!([{"rotate": null, "degrees": 15}]),
                "apply[0]: `degrees` stands beside `rotate`; indent it below `rotate`, further than the name itself",
            ),
            (
                "sometimes",
                json!({"probability": 1, "apply": 3}),
                "apply: wanted a transform (a name, or one name with its options), or a list of transforms, got 3",
            ),
            (
                "one_of",
                json!(["horizontal_flip", 3]),
                "apply[1]: wanted a transform's name, or one name with its options, for example `rotate: {degrees: 15}`, got 3",
            ),
        ] {
            let error = Chain::parse(&[TransformSpec::new(name, options)]).unwrap_err().to_string();
            assert_eq!(error, format!("transforms[0].{name}: {message}"));
        }
    }
}
