use std::fmt;
use std::ops::Deref;

use schemars::JsonSchema;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where Parquet lies: a file, a folder or a pattern, or a list of them. Never empty; written as one text when it is one.
///
/// ```
/// use millstream_schemas::recipe::Patterns;
/// let patterns: Patterns = ["a.parquet", "b-*.parquet"].map(String::from).into_iter().collect::<Vec<_>>().try_into()?;
/// assert_eq!(patterns.to_string(), "a.parquet, b-*.parquet");
/// assert_eq!(serde_json::to_string(&Patterns::from("a.parquet".to_owned())).unwrap(), "\"a.parquet\"");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

const WANTED: &str = "a path or pattern, or a list of them";

impl Deref for Patterns {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl Patterns {
    #[cfg(feature = "yaml")]
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut String> {
        self.0.iter_mut()
    }
}

impl From<String> for Patterns {
    fn from(pattern: String) -> Self {
        Self(vec![pattern])
    }
}

impl TryFrom<Vec<String>> for Patterns {
    type Error = String;

    fn try_from(patterns: Vec<String>) -> Result<Self, String> {
        if patterns.is_empty() { Err(format!("wanted {WANTED}, got an empty list")) } else { Ok(Self(patterns)) }
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl Serialize for Patterns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.serialize_str(one),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PatternsVisitor;
        impl<'de> Visitor<'de> for PatternsVisitor {
            type Value = Patterns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WANTED)
            }

            fn visit_str<E: de::Error>(self, pattern: &str) -> Result<Patterns, E> {
                Ok(pattern.to_owned().into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Patterns, A::Error> {
                let mut patterns = Vec::new();
                while let Some(pattern) = items.next_element::<String>()? {
                    patterns.push(pattern);
                }
                patterns.try_into().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(PatternsVisitor)
    }
}

impl JsonSchema for Patterns {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Patterns".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A file, a folder, or a pattern such as folder/name-train-*.parquet; or a list of them.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }]
        })
    }
}
