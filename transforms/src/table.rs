use std::fmt;
use std::sync::OnceLock;

use millstream_schemas::recipe::TransformSpec;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::batch::BatchTransform;
use crate::combine::Combine;
use crate::image::ImageTransform;
use crate::options::{Options, read, schema_of};
use crate::text::TextTransform;
use crate::{TransformError, batch, combine, image, text};

/// What a transform works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Whole batches.
    Batch,
    /// Chooses among other transforms.
    Combine,
    /// Images.
    Image,
    /// Text.
    Text,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Batch => "batches",
            Self::Combine => "nothing by itself",
            Self::Image => "images",
            Self::Text => "text",
        })
    }
}

/// All that is known about one transform. Command-line help, JSON Schema, documentation pages and property tests
/// derive from these rows.
#[derive(Clone, Copy)]
pub struct Transform {
    /// Registered name, as in a recipe.
    pub name: &'static str,
    /// One line: the effect.
    pub summary: &'static str,
    /// Markdown: what it does, what is drawn, where the method comes from.
    pub documentation: &'static str,
    /// Why it can change what the label should be, if it can.
    pub changes_label: Option<&'static str>,
    /// Options in JSON that make sense and cover the transform.
    pub samples: &'static [&'static str],
    pub(crate) schema: fn() -> Value,
    pub(crate) build: Build,
}

impl Transform {
    /// What it works on.
    pub fn kind(&self) -> Kind {
        match self.build {
            Build::Batch(_) => Kind::Batch,
            Build::Combine(_) => Kind::Combine,
            Build::Image(_) => Kind::Image,
            Build::Text(_) => Kind::Text,
        }
    }

    /// JSON Schema of its options.
    pub fn schema(&self) -> Value {
        (self.schema)()
    }
}

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transform").field("name", &self.name).field("kind", &self.kind()).finish_non_exhaustive()
    }
}

type Built<T> = Result<T, TransformError>;

/// A rule, and the transforms it chooses among.
pub(crate) type Combined = (Box<dyn Combine>, Vec<TransformSpec>);

/// Makes a transform from its options and its place in the recipe.
#[derive(Clone, Copy)]
pub(crate) enum Build {
    Batch(fn(&Value, &str) -> Built<Box<dyn BatchTransform>>),
    Combine(fn(&Value, &str) -> Built<Combined>),
    Image(fn(&Value, &str) -> Built<Box<dyn ImageTransform>>),
    Text(fn(&Value, &str) -> Built<Box<dyn TextTransform>>),
}

impl Build {
    pub(crate) const fn image<T: Options + ImageTransform + 'static>() -> Self {
        Self::Image(|options, place| Ok(Box::new(read::<T>(options, place)?)))
    }

    pub(crate) const fn text<T: Options + TextTransform + 'static>() -> Self {
        Self::Text(|options, place| Ok(Box::new(read::<T>(options, place)?)))
    }

    pub(crate) const fn batch<T: Options + BatchTransform + 'static>() -> Self {
        Self::Batch(|options, place| Ok(Box::new(read::<T>(options, place)?)))
    }
}

/// The schema of options of type `T`, for a row.
pub(crate) const fn schema<T: Options>() -> fn() -> Value {
    schema_of::<T>
}

/// Every transform there is, by kind, then by name.
pub fn table() -> &'static [Transform] {
    static TABLE: OnceLock<Vec<Transform>> = OnceLock::new();
    TABLE.get_or_init(|| [image::TABLE, text::TABLE, batch::TABLE, combine::TABLE].concat())
}

/// The row of this name.
pub(crate) fn row(name: &str) -> Option<&'static Transform> {
    table().iter().find(|row| row.name == name)
}

/// JSON Schema of one item of a transform list.
///
/// Refers to itself as `#/$defs/Transform`: put it there.
pub fn transform_schema() -> Value {
    let bare: Vec<Value> = table()
        .iter()
        .filter(|row| row.schema().get("required").is_none_or(|r| r.as_array().is_none_or(Vec::is_empty)))
        .filter(|row| row.kind() != Kind::Combine)
        .map(|row| json!({"const": row.name, "description": row.summary}))
        .collect();
    let with_options = table().iter().map(|row| {
        json!({
            "type": "object",
            "description": row.summary,
            "properties": {row.name: row.schema()},
            "required": [row.name],
            "additionalProperties": false,
        })
    });
    json!({
        "description": "A transform's name, or one name with its options.",
        "oneOf": bare.into_iter().chain(with_options).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_and_in_order() {
        for folder in [image::TABLE, text::TABLE, batch::TABLE, combine::TABLE] {
            assert!(folder.windows(2).all(|pair| pair[0].name < pair[1].name), "rows stand in alphabetical order");
        }
        for row in table() {
            assert_eq!(table().iter().filter(|other| other.name == row.name).count(), 1, "{}: once", row.name);
            assert!(!row.samples.is_empty(), "{}: samples", row.name);
            assert!(row.documentation.len() > row.summary.len(), "{}: documentation", row.name);
            assert!(row.summary.ends_with('.') && !row.summary.contains('\n'), "{}: one line", row.name);
            let schema = row.schema();
            for (option, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let text = schema.to_string();
                assert!(text.contains("description"), "{}.{option} has no description: {text}", row.name);
            }
        }
        assert!(transform_schema()["oneOf"].as_array().unwrap().len() >= table().len());
    }
}
