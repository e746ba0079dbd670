//! Options that several transforms have.

use std::fmt;

pub(crate) use millstream_schemas::choice::{Options, between, range};
use schemars::JsonSchema;
use serde::de::{self, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::image_facts::LARGEST_SIDE;

/// What every transform of rows has beside its own options.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frequency {
    /// How often, from 0 (never) to 1 (always).
    #[schemars(range(min = 0, max = 1))]
    pub(crate) probability: f64,
}

impl Options for Frequency {
    fn validate(&self) -> Result<(), String> {
        between("probability", self.probability, 0.0, 1.0)
    }
}

pub(crate) fn side(name: &str, value: u32) -> Result<(), String> {
    if (1..=LARGEST_SIDE).contains(&value) {
        return Ok(());
    }
    Err(format!("{name} is between 1 and {LARGEST_SIDE} pixels, got {value}"))
}

/// A size in pixels: one number for a square, or `[width, height]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Size {
    /// Side of a square, in pixels.
    Square(#[schemars(range(min = 1, max = LARGEST_SIDE))] u32),
    /// `[width, height]` in pixels.
    Rectangle(#[schemars(inner(range(min = 1, max = LARGEST_SIDE)))] [u32; 2]),
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl<'de> Visitor<'de> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size in pixels: one number for a square, or [width, height]")
            }

            fn visit_u64<E: de::Error>(self, side: u64) -> Result<Size, E> {
                let side = u32::try_from(side).map_err(|_| E::invalid_value(Unexpected::Unsigned(side), &self))?;
                Ok(Size::Square(side))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sides: A) -> Result<Size, A::Error> {
                let (width, height) = (sides.next_element()?, sides.next_element()?);
                match (width, height, sides.next_element::<Value>()?) {
                    (Some(width), Some(height), None) => Ok(Size::Rectangle([width, height])),
                    _ => Err(de::Error::invalid_type(Unexpected::Seq, &self)),
                }
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl Size {
    pub(crate) fn width(self) -> u32 {
        match self {
            Self::Square(side) => side,
            Self::Rectangle([width, _]) => width,
        }
    }

    pub(crate) fn height(self) -> u32 {
        match self {
            Self::Square(side) => side,
            Self::Rectangle([_, height]) => height,
        }
    }

    pub(crate) fn validate(self) -> Result<(), String> {
        side("size", self.width())?;
        side("size", self.height())
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Choice;
    use serde_json::json;

    use crate::Chain;

    #[test]
    fn wrong_values_are_told_in_words() {
        for (name, options, message) in [
            (
                "resize",
                json!({"size": 8, "kernel": "bilinar"}),
                "kernel: wanted one of `area`, `bilinear`, `cubic`, `lanczos3`, `nearest`, got `bilinar`; did you mean `bilinear`?",
            ),
            (
                "resize",
                json!({"size": 8, "kernel": "bicubic"}),
                "kernel: wanted one of `area`, `bilinear`, `cubic`, `lanczos3`, `nearest`, got `bicubic`",
            ),
            (
                "resize",
                json!({"size": "224px"}),
                "size: wanted a size in pixels: one number for a square, or [width, height], got `224px`",
            ),
            (
                "resize",
                json!({"size": [1, 2, 3]}),
                "size: wanted a size in pixels: one number for a square, or [width, height], got [1, 2, 3]",
            ),
            ("resize", json!({"size": [1, "b"]}), "size[1]: wanted a whole number of 0 or more, got `b`"),
            ("resize", json!({"width": -3}), "width: wanted a whole number of 0 or more, got -3"),
            ("rotate", json!({"degrees": "15°"}), "degrees: wanted a number, got `15°`"),
            (
                "rotate",
                json!({"degrees": 5, "fill": [0, 300, 0]}),
                "fill[1]: wanted a whole number from 0 to 255, got 300",
            ),
            ("rotate", json!({}), "missing option `degrees`"),
            ("gaussian_noise", json!({"sigma": 12.3}), "sigma (black is 0, white is 1) is between 0 and 1, got 12.3"),
            (
                "one_of",
                json!([{"rotate": null, "degrees": 15}]),
                "apply[0]: `degrees` stands beside `rotate`; indent it below `rotate`, further than the name itself",
            ),
            (
                "sometimes",
                json!({"probability": 1, "apply": 3}),
                "apply: wanted a transform (a name, or one name with its options), or a list of transforms, got 3",
            ),
            (
                "one_of",
                json!(["horizontal_flip", 3]),
                "apply[1]: wanted a name, or one name with its options, for example `rotate: {degrees: 15}`, got 3",
            ),
        ] {
            let error = Chain::parse(&[Choice::new(name, options)]).unwrap_err().to_string();
            assert_eq!(error, format!("transforms[0].{name}: {message}"));
        }
    }
}
