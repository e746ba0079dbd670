use std::fmt;

use millstream_schemas::choice::{
    Choice, ChoiceError, Options, Row, Shared, read, read_shared, schema_of, schema_of_shared, whole,
};
use serde_json::{Value, json};

use crate::batch_transform::BatchTransform;
use crate::combination::{Combination, Combine};
use crate::image_transform::ImageTransform;
use crate::kind::Kind;
use crate::options::Frequency;
use crate::target::Target;
use crate::text_transform::TextTransform;

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
    /// How often it happens unless the option `probability` says otherwise; `None` if it always does, and has no such
    /// option.
    pub probability: Option<f64>,
    /// Its options, and how it is made of them.
    pub build: Build,
}

impl Transform {
    /// What it works on.
    pub fn kind(&self) -> Kind {
        match self.build.make {
            Make::Batch(_) => Kind::Batch,
            Make::Combine(_) => Kind::Combine,
            Make::Image(_) => Kind::Image,
            Make::Text(_) => Kind::Text,
        }
    }

    /// JSON Schema of its options.
    pub fn schema(&self) -> Value {
        (self.build.schema)(self.probability)
    }

    pub(crate) fn make(&self, options: &Value, place: &str) -> Result<Made, ChoiceError> {
        match self.build.make {
            Make::Batch(make) => make(options, place, self.probability).map(|made| made.map(Does::Batch)),
            Make::Combine(make) => make(options, place).map(|(combined, whole)| Made {
                does: Does::Combine(combined),
                probability: None,
                options: whole,
            }),
            Make::Image(make) => make(options, place, self.probability).map(|made| made.map(Does::Image)),
            Make::Text(make) => make(options, place, self.probability).map(|made| made.map(Does::Text)),
        }
    }
}

impl Row for Transform {
    const KIND: &'static str = "transform";

    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> &str {
        self.summary
    }

    fn schema(&self) -> Value {
        Self::schema(self)
    }

    fn accepts(&self, options: &Value) -> bool {
        self.make(options, "").is_ok()
    }
}

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transform").field("name", &self.name).field("kind", &self.kind()).finish_non_exhaustive()
    }
}

/// A transform of some kind that was made of its options.
pub(crate) struct Made<T = Does> {
    pub(crate) does: T,
    /// How often it happens, where it can be left out.
    pub(crate) probability: Option<f64>,
    /// With every default filled in.
    pub(crate) options: Value,
}

impl<T> Made<T> {
    fn map<U>(self, kind: impl FnOnce(T) -> U) -> Made<U> {
        Made { does: kind(self.does), probability: self.probability, options: self.options }
    }
}

/// A transform with its options, by what it works on.
pub(crate) enum Does {
    Batch(Box<dyn BatchTransform>),
    Combine(Combined),
    Image(Box<dyn ImageTransform>),
    Text(Box<dyn TextTransform>),
}

/// A rule, and the transforms it chooses among.
pub(crate) type Combined = (Box<dyn Combine>, Vec<Choice>);

type MakeOne<T> = fn(&Value, &str, Option<f64>) -> Result<Made<Box<T>>, ChoiceError>;
type MakeCombination = fn(&Value, &str) -> Result<(Combined, Value), ChoiceError>;

/// The options of a transform, and how it is made of them.
#[derive(Clone, Copy)]
pub struct Build {
    schema: fn(Option<f64>) -> Value,
    make: Make,
}

#[derive(Clone, Copy)]
enum Make {
    Batch(MakeOne<dyn BatchTransform>),
    Combine(MakeCombination),
    Image(MakeOne<dyn ImageTransform>),
    Text(MakeOne<dyn TextTransform>),
}

impl Build {
    /// A transform of images with the options `T`.
    pub const fn image<T: Options + ImageTransform + 'static>() -> Self {
        let make = Make::Image(|options, place, often| Ok(made::<T>(options, place, often)?.map(|it| it as _)));
        Self { schema: schema::<T>, make }
    }

    /// A transform of texts with the options `T`.
    pub const fn text<T: Options + TextTransform + 'static>() -> Self {
        let make = Make::Text(|options, place, often| Ok(made::<T>(options, place, often)?.map(|it| it as _)));
        Self { schema: schema::<T>, make }
    }

    /// A transform of batches with the options `T`.
    pub const fn batch<T: Options + BatchTransform + 'static>() -> Self {
        let make = Make::Batch(|options, place, often| Ok(made::<T>(options, place, often)?.map(|it| it as _)));
        Self { schema: schema::<T>, make }
    }

    /// A combination with the options `T`; a list alone is short for `{apply: list}` where `bare` says so.
    pub(crate) const fn combination<T: Combination>(bare: bool) -> Self {
        if bare {
            let make = Make::Combine(|options, place| {
                let options = if options.is_array() { json!({"apply": options}) } else { options.clone() };
                combined(read::<T>(&options, place)?)
            });
            return Self { schema: |_| with_bare_list(schema_of::<T>()), make };
        }
        let make = Make::Combine(|options, place| combined(read::<T>(options, place)?));
        Self { schema: |_| schema_of::<T>(), make }
    }
}

impl fmt::Debug for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Build").finish_non_exhaustive()
    }
}

fn made<T: Options>(options: &Value, place: &str, often: Option<f64>) -> Result<Made<Box<T>>, ChoiceError> {
    let Some(often) = often else {
        let own = read::<T>(options, place)?;
        let options = whole(&own);
        return Ok(Made { does: Box::new(own), probability: None, options });
    };
    let Shared { shared, own, whole } = read_shared::<Frequency, T>(options, place, &default(often))?;
    Ok(Made { does: Box::new(own), probability: Some(shared.probability), options: whole })
}

fn schema<T: Options>(often: Option<f64>) -> Value {
    often.map_or_else(schema_of::<T>, |often| schema_of_shared::<Frequency, T>(&default(often)))
}

fn default(probability: f64) -> Value {
    json!({ "probability": probability })
}

fn combined<T: Combination>(mut options: T) -> Result<(Combined, Value), ChoiceError> {
    let specs = options.take();
    let rule = whole(&options);
    Ok(((Box::new(options), specs), rule))
}

/// The schema of a combination that may be written as a bare list.
fn with_bare_list(schema: Value) -> Value {
    json!({"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Transform"}, "minItems": 1}, schema]})
}
