use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, written with its unit: `90 s`, `30 min`, `1 h 30 min`, `2 d`.
///
/// ```
/// use millstream_schemas::recipe::TimeSpan;
/// assert_eq!("1 h 30 min".parse(), Ok(TimeSpan { milliseconds: 5_400_000 }));
/// assert_eq!(TimeSpan { milliseconds: 5_400_000 }.to_string(), "1 h 30 min");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan {
    /// So many thousandths of a second.
    pub milliseconds: u64,
}

/// Names of units, the one that is written first, and milliseconds.
const UNITS: [(&[&str], u64); 5] = [
    (&["d", "day", "days"], 86_400_000),
    (&["h", "hour", "hours", "hr", "hrs"], 3_600_000),
    (&["min", "minute", "minutes", "m", "mins"], 60_000),
    (&["s", "second", "seconds", "sec", "secs"], 1_000),
    (&["ms", "millisecond", "milliseconds"], 1),
];
const WANTED: &str = "write a time with its unit (d, h, min, s), for example `30 min` or `1 h 30 min`";

impl TimeSpan {
    /// In seconds.
    pub fn seconds(self) -> f64 {
        self.milliseconds as f64 / 1000.0
    }
}

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut rest, mut milliseconds) = (text.trim(), 0.0);
        if rest.is_empty() {
            return Err(format!("nothing stands there; {WANTED}"));
        }
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number: f64 = rest[..end].parse().map_err(|_| format!("`{text}`: a number is missing; {WANTED}"))?;
            let behind = rest[end..].trim_start();
            let end = behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len());
            let unit = behind[..end].to_lowercase();
            let found = UNITS.iter().find(|(names, _)| names.contains(&unit.as_str()));
            let (_, factor) = found.ok_or_else(|| format!("`{text}` has no unit of time; {WANTED}"))?;
            milliseconds += number * *factor as f64;
            rest = behind[end..].trim_start();
        }
        // What is beyond all measure is cut by the cast.
        Ok(Self { milliseconds: milliseconds.round() as u64 })
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut parts) = (self.milliseconds, Vec::new());
        for (names, factor) in UNITS {
            if rest >= factor {
                parts.push(format!("{} {}", rest / factor, names[0]));
                rest %= factor;
            }
        }
        f.write_str(&if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") })
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;
        impl de::Visitor<'_> for SpanVisitor {
            type Value = TimeSpan;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time with its unit, for example `30 min`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeSpan, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<TimeSpan, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<TimeSpan, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(SpanVisitor)
    }
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A time with its unit, for example 30 min.",
            "pattern": r"^\s*(([0-9]+\.?[0-9]*|\.[0-9]+)\s*[A-Za-z]+\s*)+$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units_and_come_back() {
        for (text, milliseconds, written) in [
            ("90 s", 90_000, "1 min 30 s"),
            ("1.5h", 5_400_000, "1 h 30 min"),
            (" 2 Days ", 172_800_000, "2 d"),
            ("1 h 30 min", 5_400_000, "1 h 30 min"),
            ("1h30m0.25s", 5_400_250, "1 h 30 min 250 ms"),
            ("0 s", 0, "0 s"),
        ] {
            let read: TimeSpan = text.parse().unwrap();
            assert_eq!((read.milliseconds, read.to_string().as_str()), (milliseconds, written), "{text}");
            assert_eq!(read.to_string().parse(), Ok(read));
        }
        for text in ["", "90", "min", "1 h 30", "5 parsecs", "1..2 s", "-3 s"] {
            assert!(text.parse::<TimeSpan>().unwrap_err().contains(WANTED), "{text}");
        }
    }
}
