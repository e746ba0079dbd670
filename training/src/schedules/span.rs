use std::fmt;
use std::str::FromStr;

use millstream_schemas::choice::between;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::run_length::RunLength;

/// A part of a run: a share of all its steps (`0.06`), so many steps (`500 steps`), or epochs (`2 epochs`, `0.5 epochs`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// Share of all steps, 0 to 1.
    Share(f64),
    /// Steps.
    Steps(u64),
    /// Passes over the training rows.
    Epochs(f64),
}

/// No part.
impl Default for Span {
    fn default() -> Self {
        Self::Share(0.0)
    }
}

impl Span {
    /// Its length in steps, which may be broken.
    pub fn in_steps(self, run: RunLength) -> f64 {
        match self {
            Self::Share(share) => share * run.steps as f64,
            Self::Steps(steps) => steps as f64,
            Self::Epochs(epochs) => epochs * run.steps_per_epoch as f64,
        }
    }

    /// Its length in whole steps: a step that is begun counts, so that what is not nothing has one.
    pub fn whole_steps(self, run: RunLength) -> u64 {
        // A tenth as `f32` is a little more than a tenth, which is not to cost a step.
        let slack = if matches!(self, Self::Steps(_)) { 1.0 } else { 1.0 - f64::from(f32::EPSILON) };
        (self.in_steps(run) * slack).ceil() as u64
    }

    /// Refuses a share above 1, and what is not a finite number of 0 or more.
    ///
    /// # Errors
    /// The bounds and the value, in words, beginning with `name`.
    pub fn validate(self, name: &str) -> Result<(), String> {
        match self {
            Self::Share(share) => between(name, share, 0.0, 1.0),
            Self::Epochs(epochs) if !(epochs.is_finite() && epochs >= 0.0) => {
                Err(format!("{name} is a finite number of epochs, 0 or more, got {self}"))
            }
            Self::Steps(_) | Self::Epochs(_) => Ok(()),
        }
    }

    /// As [`Span::validate`], and refuses nothing at all.
    ///
    /// # Errors
    /// As [`Span::validate`].
    pub fn validate_above_zero(self, name: &str) -> Result<(), String> {
        self.validate(name)?;
        match self {
            Self::Share(number) | Self::Epochs(number) if number > 0.0 => Ok(()),
            Self::Steps(steps) if steps > 0 => Ok(()),
            _ => Err(format!("{name} is longer than nothing, got {self}")),
        }
    }
}

/// What may be written, as messages say it.
const FORMS: &str = "a share of all steps from 0 to 1, `500 steps` or `2 epochs`";

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{share}"),
            Self::Steps(1) => f.write_str("1 step"),
            Self::Steps(steps) => write!(f, "{steps} steps"),
            Self::Epochs(1.0) => f.write_str("1 epoch"),
            Self::Epochs(epochs) => write!(f, "{epochs} epochs"),
        }
    }
}

impl FromStr for Span {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, unit) = text.trim().split_once(' ').ok_or(())?;
        match unit.trim_start() {
            "step" | "steps" => number.parse().map(Self::Steps).map_err(drop),
            // Neither `inf` nor `1e3`: what is written is a plain number.
            "epoch" | "epochs" if number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
                number.parse().map(Self::Epochs).map_err(drop)
            }
            _ => Err(()),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Share(share) => serializer.serialize_f64(*share),
            Self::Steps(_) | Self::Epochs(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;
        impl Visitor<'_> for SpanVisitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORMS)
            }

            fn visit_f64<E: de::Error>(self, share: f64) -> Result<Span, E> {
                Ok(Span::Share(share))
            }

            fn visit_u64<E: de::Error>(self, share: u64) -> Result<Span, E> {
                self.visit_f64(share as f64)
            }

            fn visit_i64<E: de::Error>(self, share: i64) -> Result<Span, E> {
                self.visit_f64(share as f64)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(|()| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(SpanVisitor)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 1, "description": "A share of all steps." },
            {
                "type": "string",
                "pattern": r"^\s*([0-9]+ +steps?|[0-9]+(\.[0-9]*)? +epochs?)\s*$",
                "description": "Steps or epochs: `500 steps`, `2 epochs`.",
            },
        ] })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const RUN: RunLength = RunLength { steps: 1000, steps_per_epoch: 250 };

    #[test]
    fn every_form_is_read_counted_and_written_back() {
        for (written, span, steps, back) in [
            (json!(0.06), Span::Share(0.06), 60, json!(0.06)),
            (json!(0), Span::default(), 0, json!(0.0)),
            (json!(1), Span::Share(1.0), 1000, json!(1.0)),
            (json!(0.0001), Span::Share(0.0001), 1, json!(0.0001)),
            (json!(f64::from(0.1_f32)), Span::Share(f64::from(0.1_f32)), 100, json!(f64::from(0.1_f32))),
            (json!("500 steps"), Span::Steps(500), 500, json!("500 steps")),
            (json!(" 1  step "), Span::Steps(1), 1, json!("1 step")),
            (json!("5000000000 steps"), Span::Steps(5_000_000_000), 5_000_000_000, json!("5000000000 steps")),
            (json!("2 epochs"), Span::Epochs(2.0), 500, json!("2 epochs")),
            (json!("1 epochs"), Span::Epochs(1.0), 250, json!("1 epoch")),
            (json!("0.5 epochs"), Span::Epochs(0.5), 125, json!("0.5 epochs")),
            (json!("0.001 epochs"), Span::Epochs(0.001), 1, json!("0.001 epochs")),
        ] {
            let read: Span = serde_json::from_value(written.clone()).unwrap_or_else(|e| panic!("{written}: {e}"));
            assert_eq!((read, read.whole_steps(RUN)), (span, steps), "{written}");
            assert_eq!(serde_json::to_value(read).unwrap(), back);
            read.validate("warmup").unwrap();
        }
    }

    #[test]
    fn what_is_no_part_of_a_run_is_refused() {
        let texts = ["", "500", "steps", "-1 steps", "1.5 steps", "2 hours", "inf epochs", "1e3 epochs", "500steps"];
        let others = [json!(true), json!([1]), Value::Null];
        for written in texts.map(Value::from).into_iter().chain(others) {
            let error = serde_json::from_value::<Span>(written.clone()).unwrap_err().to_string();
            assert!(error.ends_with(FORMS), "{written}: {error}");
        }
        for (span, message) in [
            (Span::Share(1.5), "warmup is between 0 and 1, got 1.5"),
            (Span::Share(-0.1), "warmup is between 0 and 1, got -0.1"),
            (Span::Share(f64::NAN), "warmup is between 0 and 1, got NaN"),
            (Span::Epochs(f64::INFINITY), "warmup is a finite number of epochs, 0 or more, got inf epochs"),
        ] {
            assert_eq!(span.validate("warmup").unwrap_err(), message);
        }
        for nothing in [Span::default(), Span::Steps(0), Span::Epochs(0.0)] {
            nothing.validate("every").unwrap();
            let message = format!("every is longer than nothing, got {nothing}");
            assert_eq!(nothing.validate_above_zero("every").unwrap_err(), message);
        }
    }
}
