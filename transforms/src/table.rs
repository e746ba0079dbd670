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

/// What a transform moves or changes: whoever keeps such data beside the rows has to let them follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// Boxes in an image; their corners follow [`project_point`](crate::ImageDrawing::project_point).
    Boxes,
    /// The image itself.
    Image,
    /// Points in an image; they follow [`project_point`](crate::ImageDrawing::project_point).
    KeyPoints,
    /// What the loss compares with.
    Labels,
    /// Images that mark each pixel; they take the same geometric steps.
    Masks,
    /// Ranges of characters; they follow [`project_position`](crate::TextDrawing::project_position).
    Spans,
    /// The text itself.
    Text,
}

impl Target {
    /// Of transforms that move pixels.
    pub(crate) const PLACES: &[Self] = &[Self::Boxes, Self::Image, Self::KeyPoints, Self::Masks];
    /// Of transforms that change pixels where they are.
    pub(crate) const PIXELS: &[Self] = &[Self::Image];
    /// Of transforms of text.
    pub(crate) const CHARACTERS: &[Self] = &[Self::Spans, Self::Text];
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
    /// What it moves or changes; nothing of their own for combinations.
    pub targets: &'static [Target],
    /// Why it can change what the label should be, if some options let it.
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

/// A transform, and its options with every default filled in.
type Built<T> = Result<(T, Value), TransformError>;

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
        Self::Image(|options, place| {
            let (transform, options) = built::<T>(options, place)?;
            Ok((transform, options))
        })
    }

    pub(crate) const fn text<T: Options + TextTransform + 'static>() -> Self {
        Self::Text(|options, place| {
            let (transform, options) = built::<T>(options, place)?;
            Ok((transform, options))
        })
    }

    pub(crate) const fn batch<T: Options + BatchTransform + 'static>() -> Self {
        Self::Batch(|options, place| {
            let (transform, options) = built::<T>(options, place)?;
            Ok((transform, options))
        })
    }

    pub(crate) fn accepts(self, options: &Value) -> bool {
        match self {
            Self::Batch(build) => build(options, "").is_ok(),
            Self::Combine(build) => build(options, "").is_ok(),
            Self::Image(build) => build(options, "").is_ok(),
            Self::Text(build) => build(options, "").is_ok(),
        }
    }
}

fn built<T: Options>(options: &Value, place: &str) -> Built<Box<T>> {
    let transform = read::<T>(options, place)?;
    let options = whole(&transform);
    Ok((Box::new(transform), options))
}

/// Options as JSON, every default filled in.
pub(crate) fn whole<T: Options>(options: &T) -> Value {
    serde_json::to_value(options).expect("options have string keys, so they always serialize")
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
    let stands_alone = |row: &&Transform| row.build.accepts(&json!({}));
    let bare = table().iter().filter(stands_alone);
    let bare: Vec<Value> = bare.map(|row| json!({"const": row.name, "description": row.summary})).collect();
    let with_options = table().iter().map(|row| {
        let options = row.schema();
        let options = if stands_alone(&row) { json!({"anyOf": [options, {"type": "null"}]}) } else { options };
        json!({
            "type": "object",
            "description": row.summary,
            "properties": {row.name: options},
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
    }

    /// A name alone, and a name with nothing behind its colon, are in the schema where they load, and only there.
    #[test]
    fn names_alone_are_in_the_schema_where_they_load() {
        let schema = transform_schema();
        let choices = schema["oneOf"].as_array().unwrap();
        for row in table() {
            let loads = crate::Chain::parse(&[TransformSpec::new(row.name, json!({}))]).is_ok();
            assert_eq!(choices.iter().any(|choice| choice["const"] == row.name), loads, "{}", row.name);
            let options = choices.iter().find_map(|choice| choice["properties"].get(row.name)).unwrap();
            let null = options["anyOf"].as_array().is_some_and(|any| any.contains(&json!({"type": "null"})));
            assert_eq!(null, loads, "{}", row.name);
        }
    }
}
