//! Doubles in JSON, which has none that are infinite or no numbers: those are written as texts.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A double that is written as a text where JSON has no number for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Real(pub(crate) f64);

impl Serialize for Real {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f64(value),
            value if value.is_nan() => serializer.serialize_str("nan"),
            value if value > 0.0 => serializer.serialize_str("infinity"),
            _ => serializer.serialize_str("-infinity"),
        }
    }
}

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Number(value) => value,
            Written::Text(text) => match text.as_str() {
                "nan" => f64::NAN,
                "infinity" => f64::INFINITY,
                "-infinity" => f64::NEG_INFINITY,
                _ => return Err(D::Error::custom("a number is wanted, or `nan`, `infinity` or `-infinity`")),
            },
        }))
    }
}

/// For a field with one.
pub(crate) mod one {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Real(*value).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Real::deserialize(deserializer).map(|real| real.0)
    }
}

/// For a field with a list.
pub(crate) mod list {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| Real(*value)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Real>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|real| real.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_written_and_read_again() {
        let values = [1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1 + 0.2, -0.0].map(Real);
        let text = serde_json::to_string(&values).unwrap();
        assert!(text.starts_with("[1.5,\"nan\",\"infinity\",\"-infinity\","), "{text}");
        let again: [Real; 6] = serde_json::from_str(&text).unwrap();
        assert!(values.iter().zip(&again).all(|(a, b)| a.0.to_bits() == b.0.to_bits() || a.0.is_nan() && b.0.is_nan()));
        assert!(serde_json::from_str::<Real>("\"NaN?\"").is_err() && serde_json::from_str::<Real>("null").is_err());
    }
}
