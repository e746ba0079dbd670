//! Choices: a name with options, and the rows that say which names there are.
//!
//! Every kind of thing that a recipe chooses by name (transforms, optimizers, schedules) has a [`Catalog`] of rows. A row owns
//! its options: their types, defaults, ranges and documentation. Nothing in this crate knows an option of any row.

mod bounds;
mod build;
mod catalog;
mod error;
mod options;

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

pub use bounds::{above, at_least, between, range, share};
pub use build::{Build, FromOptions};
pub use catalog::{Catalog, Row};
pub use error::ChoiceError;
pub use options::{
    NoOptions, Options, Shared, path_options, read, read_shared, read_value, schema_of, schema_of_shared, whole,
};

use crate::shown;

/// A name with options, as a recipe writes it: `horizontal_flip`, or `rotate: {degrees: 15}`.
///
/// Which names there are, and which options each has, is said by a [`Catalog`].
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Registered name.
    pub name: String,
    /// Its options; an empty object when none were given. Combinations such as `one_of` take a list.
    pub options: Value,
}

impl Choice {
    /// A name with options.
    pub fn new(name: impl Into<String>, options: Value) -> Self {
        Self { name: name.into(), options }
    }

    /// A name alone: every option has its default.
    pub fn named(name: impl Into<String>) -> Self {
        Self::new(name, Value::Object(Map::new()))
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.options.as_object().is_some_and(Map::is_empty) {
            return serializer.serialize_str(&self.name);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(&self.name, &self.options)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChoiceVisitor;
        impl<'de> Visitor<'de> for ChoiceVisitor {
            type Value = Choice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or one name with its options, for example `rotate: {degrees: 15}`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Choice, E> {
                Ok(Choice::named(name))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Choice, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, Value>()? {
                    entries.push(entry);
                }
                if entries.len() > 1 {
                    return Err(de::Error::custom(several(&entries)));
                }
                let Some((name, options)) = entries.pop() else {
                    return Err(de::Error::custom("an empty choice; a name is needed"));
                };
                let options = if options.is_null() { Value::Object(Map::new()) } else { options };
                Ok(Choice { name, options })
            }
        }
        deserializer.deserialize_any(ChoiceVisitor)
    }
}

/// What is wrong with several keys in one list item: options beside their name, or two names.
fn several(entries: &[(String, Value)]) -> String {
    let bare = entries.iter().find(|(_, options)| options.is_null());
    let beside = entries.iter().find(|(_, options)| !options.is_null());
    if let (Some((name, _)), Some((option, _))) = (bare, beside) {
        let (name, option) = (shown(name), shown(option));
        return format!("`{option}` stands beside `{name}`; indent it below `{name}`, further than the name itself");
    }
    let (first, second) = (shown(&entries[0].0), shown(&entries[1].0));
    format!("`{first}` and `{second}` stand in one list item; give each its own `-`")
}

impl JsonSchema for Choice {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Choice".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A name, or one name with its options.",
            "anyOf": [{ "type": "string" }, { "type": "object", "minProperties": 1, "maxProperties": 1 }]
        })
    }
}
