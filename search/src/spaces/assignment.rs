use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

/// A setting for each parameter that is there, by name. That of a choice among values is the value's place in the list, from 0.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Assignment(BTreeMap<String, f64>);

impl Assignment {
    /// The setting of a parameter.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Sets a parameter.
    pub fn set(&mut self, name: &str, setting: f64) {
        self.0.insert(name.to_owned(), setting);
    }

    /// All settings, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, setting)| (name.as_str(), *setting))
    }

    /// The settings of these parameters; `None` where one of them has none.
    pub(crate) fn settings<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Option<Vec<f64>> {
        names.into_iter().map(|name| self.get(name)).collect()
    }
}

impl FromIterator<(String, f64)> for Assignment {
    fn from_iter<I: IntoIterator<Item = (String, f64)>>(settings: I) -> Self {
        Self(settings.into_iter().collect())
    }
}

impl Serialize for Assignment {
    /// Whole numbers are written as such: places of values and integers read better.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, setting) in &self.0 {
            let is_whole =
                setting.fract() == 0.0 && setting.abs() < 1e15 && !(*setting == 0.0 && setting.is_sign_negative());
            if is_whole {
                map.serialize_entry(name, &(*setting as i64))?;
            } else {
                map.serialize_entry(name, setting)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_setting_is_written_and_read_again() {
        let settings = [0.1 + 0.2, 3.0, -0.0, 0.0, 1e300, 5e-324, 1.0 / 3.0, 9_007_199_254_740_992.0, -17.0];
        let assignment: Assignment = settings.iter().enumerate().map(|(at, x)| (at.to_string(), *x)).collect();
        let text = serde_json::to_string(&assignment).unwrap();
        let again: Assignment = serde_json::from_str(&text).unwrap();
        for ((_, a), (_, b)) in assignment.iter().zip(again.iter()) {
            assert_eq!(a.to_bits(), b.to_bits(), "{text}");
        }
        assert!(text.contains("\"1\":3,") && text.contains("\"8\":-17"), "{text}");
    }
}
