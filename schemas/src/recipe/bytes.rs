use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes, written with a unit: `512 MiB`, `2 GiB`, `64 MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KIB", 1 << 10),
    ("MIB", 1 << 20),
    ("GIB", 1 << 30),
    ("TIB", 1 << 40),
];

impl Default for ByteSize {
    /// 1 GiB.
    fn default() -> Self {
        Self(1 << 30)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let wanted = "write a number of bytes with its unit, for example `512 MiB`";
        let number: f64 = number.parse().map_err(|_| format!("`{text}` does not start with a number; {wanted}"))?;
        let unit = unit.trim().to_uppercase();
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let factor = factor
            .ok_or_else(|| format!("`{text}` has no unit of bytes (B, KB, MB, GB, KiB, MiB, GiB, TiB); {wanted}"))?;
        Ok(Self((number * factor as f64) as u64))
    }
}

impl ByteSize {
    /// The next size that is shown without being rounded: advice is to be taken as it stands.
    ///
    /// ```
    /// use millstream_schemas::recipe::ByteSize;
    /// assert_eq!(ByteSize((105 << 20) + 1).rounded_up().to_string(), "106.0 MiB");
    /// assert_eq!(ByteSize(64 << 20).rounded_up(), ByteSize(64 << 20));
    /// ```
    #[must_use]
    pub fn rounded_up(self) -> Self {
        let unit = match self.0 {
            bytes if bytes >= 1 << 30 => (1 << 30) / 4,
            bytes if bytes >= 1 << 20 => 1 << 20,
            bytes if bytes >= 1 << 10 => 1 << 10,
            _ => 1,
        };
        Self(self.0.checked_next_multiple_of(unit).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 30 => write!(f, "{:.2} GiB", bytes as f64 / f64::from(1 << 30)),
            bytes if bytes >= 1 << 20 => write!(f, "{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
            bytes if bytes >= 1 << 10 => write!(f, "{:.1} KiB", bytes as f64 / f64::from(1 << 10)),
            bytes => write!(f, "{bytes} B"),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{} B", self.0))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl de::Visitor<'_> for SizeVisitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes with its unit, for example `512 MiB`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ByteSize, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<ByteSize, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A number of bytes with its unit, for example 512 MiB.",
            "pattern": r"^\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([kKmMgG]?[bB]|[kKmMgGtT][iI][bB])\s*$"
        })
    }
}
