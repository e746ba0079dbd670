//! Steps read back, by the tables of the families.

use std::fmt;

use millstream_schemas::{nearest, shown};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::image_step::ImageStep;
use super::step_row::StepRow;
use super::{filter, map, point, whole};

/// All steps, by family.
pub(crate) fn rows() -> impl Iterator<Item = &'static StepRow> + Clone {
    filter::TABLE.iter().chain(map::TABLE).chain(point::TABLE).chain(whole::TABLE)
}

impl<'de> Deserialize<'de> for ImageStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StepVisitor;
        impl<'de> Visitor<'de> for StepVisitor {
            type Value = ImageStep;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a step: its name, and its parameters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ImageStep, A::Error> {
                let Some(name) = map.next_key::<String>()? else { return Err(A::Error::invalid_length(0, &self)) };
                let row = rows().find(|row| row.name == name).ok_or_else(|| {
                    let hint = nearest(&name, rows().map(|row| row.name));
                    let hint = hint.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
                    A::Error::custom(format!("unknown step `{}`{hint}", shown(&name)))
                })?;
                let step = (row.read)(map.next_value::<Value>()?);
                let step =
                    step.map_err(|error| A::Error::custom(format!("{}: {}", row.name, shown(error.to_string()))))?;
                match map.next_key::<String>()? {
                    None => Ok(step),
                    Some(_) => Err(A::Error::invalid_length(2, &self)),
                }
            }
        }
        deserializer.deserialize_map(StepVisitor)
    }
}
