use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::shown;

/// What happens to each row before the model sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformsRecipe {
    /// For training, drawn afresh each epoch.
    #[serde(default)]
    pub train: Vec<TransformSpec>,
    /// For evaluation; nothing random is allowed here.
    #[serde(default)]
    pub evaluate: Vec<TransformSpec>,
}

/// One transform as written in a recipe: a name (`horizontal_flip`), or a name with options (`rotate: {degrees: 15}`).
#[derive(Clone, Debug, PartialEq)]
pub struct TransformSpec {
    /// Registered name.
    pub name: String,
    /// Its options; an empty object when none were given. Combinations such as `one_of` take a list.
    pub options: Value,
}

impl TransformSpec {
    /// A transform with options.
    pub fn new(name: impl Into<String>, options: Value) -> Self {
        Self { name: name.into(), options }
    }
}

impl Serialize for TransformSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.options.as_object().is_some_and(Map::is_empty) {
            return serializer.serialize_str(&self.name);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(&self.name, &self.options)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for TransformSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpecVisitor;
        impl<'de> Visitor<'de> for SpecVisitor {
            type Value = TransformSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a transform's name, or one name with its options, for example `rotate: {degrees: 15}`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<TransformSpec, E> {
                Ok(TransformSpec::new(name, Value::Object(Map::new())))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TransformSpec, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, Value>()? {
                    entries.push(entry);
                }
                if entries.len() > 1 {
                    return Err(de::Error::custom(several(&entries)));
                }
                let Some((name, options)) = entries.pop() else {
                    return Err(de::Error::custom("an empty transform; a name is needed"));
                };
                let options = if options.is_null() { Value::Object(Map::new()) } else { options };
                Ok(TransformSpec { name, options })
            }
        }
        deserializer.deserialize_any(SpecVisitor)
    }
}

/// What is wrong with several keys in one list item: options beside their transform, or two transforms.
fn several(entries: &[(String, Value)]) -> String {
    let bare = entries.iter().find(|(_, options)| options.is_null());
    let beside = entries.iter().find(|(_, options)| !options.is_null());
    if let (Some((name, _)), Some((option, _))) = (bare, beside) {
        let (name, option) = (shown(name), shown(option));
        return format!("`{option}` stands beside `{name}`; indent it below `{name}`, further than the name itself");
    }
    let (first, second) = (shown(&entries[0].0), shown(&entries[1].0));
    format!("`{first}` and `{second}` stand in one list item; give each transform its own `-`")
}

impl JsonSchema for TransformSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Transform".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A transform's name, or one name with its options.",
            "anyOf": [{ "type": "string" }, { "type": "object", "minProperties": 1, "maxProperties": 1 }]
        })
    }
}
