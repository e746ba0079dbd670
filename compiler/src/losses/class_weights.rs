//! A factor for each class: what losses of classes that are not equally many count them by.

use std::borrow::Cow;
use std::fmt;

use millstream_schemas::choice::at_least;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::CompilerError;
use crate::graph::{Constant, Graph, TensorType, ValueId};

/// The word for factors that follow from how many rows the classes have.
const BALANCED: &str = "balanced";

/// Factors of classes, as a recipe says them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ClassWeights {
    /// One for each class, in their order; none for 1 each.
    Each(Vec<f64>),
    /// Those of [`balanced_class_weights`]: whoever knows the rows puts them in its place.
    Balanced,
}

/// The factors that let each class count alike: rows / (classes · rows of the class), as scikit-learn's
/// `compute_class_weight("balanced")` has it. A class without rows is none of the classes, and has the factor 1.
pub fn balanced_class_weights(rows_by_class: &[u64]) -> Vec<f64> {
    let rows: u64 = rows_by_class.iter().sum();
    let classes = rows_by_class.iter().filter(|rows| **rows > 0).count();
    let factor = |own: &u64| if *own == 0 { 1.0 } else { rows as f64 / (classes as f64 * *own as f64) };
    rows_by_class.iter().map(factor).collect()
}

impl ClassWeights {
    pub(super) fn is_none(&self) -> bool {
        self.factors().is_empty()
    }

    pub(super) fn factors(&self) -> &[f64] {
        match self {
            Self::Each(factors) => factors,
            Self::Balanced => &[],
        }
    }

    /// Refuses factors that are no weights, or all 0.
    pub(super) fn check(&self, option: &str) -> Result<(), String> {
        check(option, self.factors())
    }

    /// Refuses factors that are not as many as the classes of scores `[batch, classes, …]`, and the word in their place.
    pub(super) fn require_one_each(&self, loss: &str, option: &str, scores: &TensorType) -> Result<(), CompilerError> {
        match self {
            Self::Each(factors) => require_one_each(loss, option, factors, scores),
            Self::Balanced => Err(CompilerError::setting(
                format!("training.loss.{loss}.{option}"),
                format!("`{BALANCED}` stands for factors that follow from rows, and no rows were counted"),
            )),
        }
    }
}

impl Default for ClassWeights {
    fn default() -> Self {
        Self::Each(Vec::new())
    }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Each(factors) => factors.serialize(serializer),
            Self::Balanced => serializer.serialize_str(BALANCED),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = ClassWeights;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{BALANCED}` or a list of numbers")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ClassWeights, E> {
                if text == BALANCED {
                    Ok(ClassWeights::Balanced)
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ClassWeights, A::Error> {
                let mut factors = Vec::new();
                while let Some(factor) = list.next_element()? {
                    factors.push(factor);
                }
                Ok(ClassWeights::Each(factors))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl JsonSchema for ClassWeights {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ClassWeights".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "const": BALANCED },
                { "type": "array", "items": { "type": "number", "format": "double" } }
            ]
        })
    }
}

/// Refuses factors that are no weights, or all 0.
pub(super) fn check(option: &str, factors: &[f64]) -> Result<(), String> {
    factors.iter().try_for_each(|factor| at_least(option, *factor))?;
    match factors.iter().all(|factor| *factor == 0.0) && !factors.is_empty() {
        true => Err(format!("{option} are all 0, so nothing would count")),
        false => Ok(()),
    }
}

/// Refuses factors that are not as many as the classes of scores `[batch, classes, …]`; none at all fit any.
pub(super) fn require_one_each(
    loss: &str,
    option: &str,
    factors: &[f64],
    scores: &TensorType,
) -> Result<(), CompilerError> {
    let (count, classes) = (factors.len(), &scores.shape[1]);
    if count == 0 || *classes == count {
        return Ok(());
    }
    let message = format!("{option} has a factor for each class, wanted {classes}, got {count}");
    Err(CompilerError::setting(format!("training.loss.{loss}.{option}"), message))
}

/// A value `[batch, classes, …]` times the factor of each class; the value itself where there are none.
pub(super) fn by_class(graph: &mut Graph, value: ValueId, factors: &[f64]) -> Result<ValueId, CompilerError> {
    if factors.is_empty() {
        return Ok(value);
    }
    let mut shape = vec![factors.len()];
    shape.extend(std::iter::repeat_n(1, graph.shape(value)?.len() - 2));
    let factors: Vec<f32> = factors.iter().map(|factor| *factor as f32).collect();
    let factors = graph.constant("class_weights", Constant::f32(shape, &factors));
    graph.times(value, factors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_factors_are_those_of_scikit_learn() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0] * 6 + [1] * 3 + [2])
        let found = balanced_class_weights(&[6, 3, 1]);
        for (found, wanted) in found.iter().zip([0.555_555_555_6, 1.111_111_111_1, 3.333_333_333_3]) {
            assert!((found - wanted).abs() < 1e-9, "{found} instead of {wanted}");
        }
        // as if the class without rows was none
        assert_eq!(balanced_class_weights(&[2, 0, 2]), [1.0, 1.0, 1.0]);
        assert!(balanced_class_weights(&[]).is_empty());
    }
}
