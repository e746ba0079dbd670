use std::fmt;

use millstream_schemas::choice::{Choice, Options};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::random::Random;

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

/// One transform, or a list of them.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Transforms {
    List(Vec<Choice>),
    One(Choice),
}

impl Transforms {
    pub(crate) fn take(&mut self) -> Vec<Choice> {
        match std::mem::replace(self, Self::List(Vec::new())) {
            Self::List(list) => list,
            Self::One(one) => vec![one],
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::One(_) => 1,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
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
