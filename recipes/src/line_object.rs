use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

/// A JSON object of a line, and the first key that it has more than once; of such the last value is taken.
pub(crate) struct LineObject {
    pub(crate) cells: Map<String, Value>,
    pub(crate) repeated: Option<String>,
}

impl<'de> Deserialize<'de> for LineObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = LineObject;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<LineObject, A::Error> {
        let (mut cells, mut repeated) = (Map::new(), None);
        while let Some((key, value)) = entries.next_entry::<String, Value>()? {
            if repeated.is_none() && cells.contains_key(&key) {
                repeated = Some(key.clone());
            }
            cells.insert(key, value);
        }
        Ok(LineObject { cells, repeated })
    }
}
