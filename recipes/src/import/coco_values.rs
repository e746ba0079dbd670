use std::fmt;

use serde::de::{DeserializeOwned, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

/// What images and annotations are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Id {
    Number(i64),
    Text(String),
}

/// Whether a box holds a crowd: 1 or `true`. Whatever else is written there says that it does not, and nothing of it is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IsCrowd(pub(super) bool);

/// A value of this kind; none where something of another kind is written, so that one annotation does not end the import of all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lenient<T>(pub(super) Option<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = Json::deserialize(from)?;
        Ok(Self(serde_json::from_value(written).ok()))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OfId)
    }
}

struct OfId;

impl Visitor<'_> for OfId {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or a text")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
        Ok(Id::Number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
        let too_large = |_| E::invalid_value(Unexpected::Unsigned(number), &self);
        i64::try_from(number).map(Id::Number).map_err(too_large)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        Ok(Id::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Id, E> {
        Ok(Id::Text(text))
    }
}

impl<'de> Deserialize<'de> for IsCrowd {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OfCrowd).map(Self)
    }
}

struct OfCrowd;

impl<'de> Visitor<'de> for OfCrowd {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E: Error>(self, said: bool) -> Result<bool, E> {
        Ok(said)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<bool, E> {
        Ok(number == 1)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<bool, E> {
        Ok(number == 1)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<bool, E> {
        Ok(number.total_cmp(&1.0).is_eq())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<bool, A::Error> {
        while all.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<bool, A::Error> {
        while all.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowds_are_said_by_numbers_and_words_and_by_nothing_else() {
        for (text, wanted) in [
            ("1", true),
            ("true", true),
            ("1.0", true),
            ("0", false),
            ("-1", false),
            ("false", false),
            ("2", false),
            ("null", false),
            (r#""1""#, false),
            ("[1, [1]]", false),
            (r#"{"counts": [1], "size": {"1": 1}}"#, false),
        ] {
            assert_eq!(serde_json::from_str::<IsCrowd>(text).unwrap(), IsCrowd(wanted), "{text}");
        }
    }

    #[test]
    fn boxes_of_something_else_than_numbers_are_none() {
        for (text, wanted) in [
            ("[1, 2.5, 3, 4]", Some(vec![1.0, 2.5, 3.0, 4.0])),
            ("[]", Some(Vec::new())),
            (r#"[1, "2", 3, 4]"#, None),
            ("[1, null, 3, 4]", None),
            (r#"{"left": [1, {}]}"#, None),
            (r#""1 2 3 4""#, None),
        ] {
            assert_eq!(serde_json::from_str::<Lenient<Vec<f64>>>(text).unwrap(), Lenient(wanted), "{text}");
        }
        assert_eq!(serde_json::from_str::<Lenient<i64>>("1.5").unwrap(), Lenient(None));
        assert_eq!(serde_json::from_str::<Option<Lenient<i64>>>("null").unwrap(), None);
    }

    #[test]
    fn identities_are_numbers_or_texts() {
        let id = |text: &str| serde_json::from_str::<Id>(text).map_err(|error| error.to_string());
        assert_eq!(id("-3"), Ok(Id::Number(-3)));
        assert_eq!(id("9223372036854775807"), Ok(Id::Number(i64::MAX)));
        assert_eq!(id(r#""a\n""#), Ok(Id::Text("a\n".into())));
        for text in ["9223372036854775808", "1.5", "[1]", "{}", "true"] {
            assert!(id(text).unwrap_err().contains("a whole number or a text"), "{text}");
        }
    }
}
