//! Probabilities of classes, as the data have them: soft labels.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, TensorRole, TensorSpec, count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::class_names;
use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::row_numbers::{RowNumbers, length_of_lists};
use super::sample::Sample;
use crate::PipelineError;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "class_probabilities",
    summary: "A probability for each class, as the data have it: soft labels.",
    documentation: "One tensor of floats `[batch, classes]`, for `cross_entropy` and `focal`: shares of annotators, or what a larger \
        model says. A column of numbers for each class, called as the columns, or one column of lists as long as there are classes. \
        The numbers of a row are 0 or more and sum to 1, within a hundredth: rounding is divided out. A row of null has no weight \
        in the loss; one with a number below 0, one that is missing, or another sum is damaged.",
    samples: &[
        r#"{"column": ["cat", "dog", "neither"]}"#,
        r#"{"column": "votes", "classes": ["cat", "dog", "neither"]}"#,
    ],
    takes: &[Holds::Numbers, Holds::Lists],
    most_columns: class_names::MOST_CLASSES,
    build: Build::of::<ClassProbabilities>(),
};

/// How far a sum may be from 1.
const ROUNDED: f64 = 0.01;

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClassProbabilities {
    /// Names of the classes, in the order of the numbers; by themselves those of the columns, or 0, 1, 2, … of a list.
    #[schemars(length(max = class_names::MOST_CLASSES))]
    classes: Vec<String>,
}

impl Options for ClassProbabilities {
    fn validate(&self) -> Result<(), String> {
        class_names::check(&self.classes)
    }
}

impl EncodingOptions for ClassProbabilities {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        let numbers = RowNumbers::of(source)?;
        let learned = class_names::learned(source.learned, "class_probabilities");
        let count = match &learned {
            Some(learned) => learned.len(),
            None if numbers.are_lists() => length_of_lists(source)?,
            None => source.columns.len(),
        };
        let classes = match (learned, self.classes.as_slice()) {
            (Some(learned), _) => learned,
            (None, []) if numbers.are_lists() => (0..count).map(|class| class.to_string()).collect(),
            (None, []) => source.columns.to_vec(),
            (None, classes) if classes.len() == count => classes.to_vec(),
            (None, classes) => {
                let reason = format!("are names of {} classes, and a row has {count} numbers", classes.len());
                return Err(PipelineError::Option { option: "classes", reason });
            }
        };
        let classes = class_names::not_too_many(source.dataset, &source.columns[0], classes)?;
        Ok(Arc::new(ProbabilityEncoder { numbers, classes }))
    }
}

#[derive(Debug)]
struct ProbabilityEncoder {
    numbers: RowNumbers,
    classes: Vec<String>,
}

impl Encoder for ProbabilityEncoder {
    fn columns(&self) -> &[String] {
        self.numbers.columns()
    }

    fn learned(&self) -> Json {
        json!({ "class_probabilities": self.classes })
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        let spec = TensorSpec::fixed(name, ElementType::F32, &[self.classes.len()]);
        Ok(vec![TensorSpec { role: TensorRole::Target, ..spec }])
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { values: RowElements::F32(values), .. }] = out else { unreachable!("as `tensors` says") };
        if (0..row.len()).all(|column| row.get(column) == Value::Null) {
            sample.without_target();
            values.fill(0.0);
            return Ok(());
        }
        let damaged = |reason: String| Damage::value(&self.columns().join(", "), reason);
        self.numbers.read(row, values)?;
        if let Some(negative) = values.iter().find(|value| **value < 0.0) {
            return Err(damaged(format!("has {negative}, which is no probability")).into());
        }
        let sum: f64 = values.iter().copied().map(f64::from).sum();
        if (sum - 1.0).abs() > ROUNDED {
            let numbers = count(values.len(), "number");
            return Err(damaged(format!("has {numbers} that sum to {sum:.3}; probabilities sum to 1")).into());
        }
        values.iter_mut().for_each(|value| *value = (f64::from(*value) / sum) as f32);
        Ok(())
    }

    fn view(&self) -> View {
        View::Numbers
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}
