//! Transforms that choose among other transforms.

mod one_of;
mod sequence;
mod sometimes;

use std::fmt;

use millstream_schemas::choice::{Choice, ChoiceError, Options, read, schema_of, whole};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::random::Random;
use crate::table::{Build, Combined, Transform};

pub(crate) const TABLE: &[Transform] = &[
    one_of::TRANSFORM, //
    sequence::TRANSFORM,
    sometimes::TRANSFORM,
];

/// Which of its transforms a combination applies this time.
pub(crate) enum Chosen {
    All,
    None,
    One(usize),
}

/// Which choices are possible.
pub(crate) enum Outcomes {
    All,
    AllOrNone,
    OneOf,
}

/// The rule of a combination.
pub(crate) trait Combine: Send + Sync {
    fn choose(&self, random: &mut Random) -> Chosen;
    fn is_random(&self) -> bool;
    fn outcomes(&self) -> Outcomes;
}

/// Options that hold transforms.
pub(crate) trait Combination: Options + Combine + 'static {
    fn take(&mut self) -> Vec<Choice>;
}

/// Builds a combination; a bare list is short for `{apply: list}` where `bare` says so.
pub(crate) const fn build<T: Combination>(bare: bool) -> Build {
    if bare {
        Build::combine(
            |_| with_bare_list(schema_of::<T>()),
            |options, place| {
                let options = if options.is_array() { json!({"apply": options}) } else { options.clone() };
                parts(read::<T>(&options, place)?)
            },
        )
    } else {
        Build::combine(|_| schema_of::<T>(), |options, place| parts(read::<T>(options, place)?))
    }
}

fn parts<T: Combination>(mut options: T) -> Result<(Combined, Value), ChoiceError> {
    let specs = options.take();
    let rule = whole(&options);
    Ok(((Box::new(options), specs), rule))
}

/// One transform, or a list of them.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Transforms {
    List(Vec<Choice>),
    One(Choice),
}

impl Transforms {
    fn take(&mut self) -> Vec<Choice> {
        match std::mem::replace(self, Self::List(Vec::new())) {
            Self::List(list) => list,
            Self::One(one) => vec![one],
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::One(_) => 1,
        }
    }

    fn validate(&self) -> Result<(), String> {
        if self.len() == 0 { Err("apply is empty; name at least one transform".into()) } else { Ok(()) }
    }
}

impl<'de> Deserialize<'de> for Transforms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TransformsVisitor;
        impl<'de> Visitor<'de> for TransformsVisitor {
            type Value = Transforms;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a transform (a name, or one name with its options), or a list of transforms")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Transforms, E> {
                Choice::deserialize(name.into_deserializer()).map(Transforms::One)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Transforms, A::Error> {
                Choice::deserialize(MapAccessDeserializer::new(map)).map(Transforms::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Transforms, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Transforms::List)
            }
        }
        deserializer.deserialize_any(TransformsVisitor)
    }
}

/// Refers to the schema of a transform instead of repeating it.
impl schemars::JsonSchema for Transforms {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Transforms".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [
            {"$ref": "#/$defs/Transform"},
            {"type": "array", "items": {"$ref": "#/$defs/Transform"}, "minItems": 1},
        ]})
    }
}

/// The schema of a combination that may be written as a bare list.
fn with_bare_list(schema: Value) -> Value {
    json!({"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Transform"}, "minItems": 1}, schema]})
}
