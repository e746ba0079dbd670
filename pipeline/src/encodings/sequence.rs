//! Numbers, or vectors of them, in a sequence of any length: sound, measurements over time.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, TensorRole, TensorSpec, count, grouped, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, ByHand, EncodingKind, EncodingOptions, Source};
use super::row_numbers::number;
use super::sample::Sample;
use crate::error::Damage;
use crate::sources::{Holds, List, RowValues, Value};
use crate::{Dataset, PipelineError};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "sequence",
    summary: "Numbers, or vectors of them, in a sequence of any length: sound, measurements over time.",
    documentation: "A tensor of floats `[batch, length]`, or of lists of vectors `[batch, length, features]`, the numbers as stored. Rows are padded with 0 \
        to the longest of their batch; how long each was goes with the batch, and `ctc` and its metrics leave out what is behind. With \
        `attention_mask` or `lengths`, the names of inputs of the model, there are int64 `[batch, length]`, 1 for each step of the row and 0 for padding, and \
        int64 `[batch]`, the row's length. How many numbers a vector has is said by the first of the training rows whose first vector is not empty. A row that is longer than \
        `max_length`, empty or null, or with a number that is missing, is damaged.",
    samples: &[
        r#"{"column": "sound"}"#,
        r#"{"column": "spectrogram", "max_length": 3000, "pad_to_multiple_of": 1, "lengths": "frames"}"#,
    ],
    takes: &[Holds::Lists],
    most_columns: 1,
    build: Build::of::<Sequence>(),
};

/// The longest rows that are taken for meant.
const LONGEST: usize = 1 << 24;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sequence {
    /// The most steps of a row. Memory is set aside for rows as long as this.
    #[schemars(range(min = 1, max = LONGEST))]
    max_length: usize,
    /// Batches are as long as their longest row, rounded up to a multiple of this, at most `max_length`.
    #[schemars(range(min = 1))]
    pad_to_multiple_of: usize,
    /// The model's input that says which steps are the row's; none where it has none.
    attention_mask: Option<String>,
    /// The model's input that says how many steps a row has; none where it has none.
    lengths: Option<String>,
}

impl Default for Sequence {
    fn default() -> Self {
        Self { max_length: 1024, pad_to_multiple_of: 8, attention_mask: None, lengths: None }
    }
}

impl Options for Sequence {
    fn validate(&self) -> Result<(), String> {
        match (self.max_length, self.pad_to_multiple_of) {
            (0, _) => Err("max_length is 1 or more, got 0".into()),
            (longest, _) if longest > LONGEST => Err(format!("max_length is at most {LONGEST}, got {longest}")),
            (_, 0) => Err("pad_to_multiple_of is 1 or more, got 0".into()),
            _ => Ok(()),
        }
    }
}

impl EncodingOptions for Sequence {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        let column = source.columns[0].clone();
        let known = |learned: &Json| learned.get("features").map(|features| features.as_u64().map(|n| n as usize));
        let features = match source.learned.and_then(known) {
            Some(features) => features,
            None => features(source.dataset, &column)?,
        };
        Ok(Arc::new(SequenceEncoder { column: [column], features, options: self.clone() }))
    }

    fn by_hand(&self, _: &[String], learned: &Json) -> ByHand {
        let steps = match learned.get("features").and_then(Json::as_u64) {
            Some(features) => format!("vectors of {}", count(features, "number")),
            None => "numbers".to_owned(),
        };
        let mut said = vec![format!(
            "A sequence of 1 to {} {steps}, as they are, as floats of 32 bits; nothing is scaled. Rows are filled up with 0 to the \
             longest of their batch, and its length to a multiple of {}.",
            grouped(self.max_length as u64),
            self.pad_to_multiple_of
        )];
        said.extend(
            self.attention_mask
                .as_ref()
                .map(|mask| format!("`{}` has 1 for each step of the row and 0 behind it.", shown(mask))),
        );
        said.extend(
            self.lengths.as_ref().map(|lengths| format!("`{}` has the number of steps of the row.", shown(lengths))),
        );
        said.push(
            "A row that is longer, empty or missing, or in which a number is missing, is none that the model can take."
                .into(),
        );
        ByHand { said, places: Vec::new() }
    }
}

/// How many numbers the vectors of a column have; none of a column of numbers.
fn features(dataset: &Dataset, column: &String) -> Result<Option<usize>, PipelineError> {
    let found = dataset.find_row(std::slice::from_ref(column), |row| {
        let Value::List(list) = row.get(0) else { return None };
        match list.iter().next() {
            Some(Value::List(vector)) if !vector.is_empty() => Some(Some(vector.len())),
            Some(_) if !list.holds_lists() => Some(None),
            _ => None,
        }
    })?;
    match found {
        None => {
            let reason = "has no row with numbers".into();
            Err(PipelineError::Column { file: dataset.first().name.to_string(), column: shown(column), reason })
        }
        Some(features) => Ok(features),
    }
}

#[derive(Debug)]
struct SequenceEncoder {
    column: [String; 1],
    /// Numbers of a vector.
    features: Option<usize>,
    options: Sequence,
}

impl Encoder for SequenceEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        json!({ "features": self.features })
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        let Sequence { max_length, pad_to_multiple_of, attention_mask, lengths } = &self.options;
        let steps = TensorSpec {
            shape: std::iter::once(None).chain(self.features.map(Some)).collect(),
            most_elements: max_length.saturating_mul(self.features.unwrap_or(1)),
            multiple_of: *pad_to_multiple_of,
            ..TensorSpec::fixed(name, ElementType::F32, &[])
        };
        let mask = attention_mask.as_ref().map(|mask| TensorSpec {
            shape: vec![None],
            most_elements: *max_length,
            multiple_of: *pad_to_multiple_of,
            as_long_as: Some(name.into()),
            ..TensorSpec::fixed(mask, ElementType::I64, &[])
        });
        let lengths = lengths.as_ref().map(|lengths| TensorSpec {
            // an empty slot is as one of a step, since a model may divide by it
            padding: 1,
            ..TensorSpec::fixed(lengths, ElementType::I64, &[])
        });
        Ok(std::iter::once(steps).chain(mask).chain(lengths).collect())
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { spec, values: RowElements::AnyLengthF32(values) }, beside @ ..] = out else {
            unreachable!("as `tensors` says")
        };
        let list = match row.get(0) {
            Value::List(list) if list.is_empty() => return Err(self.damaged("has no step".into()).into()),
            Value::List(list) => list,
            Value::Null if spec.role == TensorRole::Target => {
                sample.without_target();
                return Ok(());
            }
            _ => return Err(self.damaged("is missing (null)".into()).into()),
        };
        let (steps, most) = (list.len(), self.options.max_length);
        if steps > most {
            let steps = count(steps, "step");
            return Err(self.damaged(format!("has {steps}, and `max_length` is {most}; raise it")).into());
        }
        self.write(list, values)?;
        for tensor in beside {
            match &mut tensor.values {
                RowElements::AnyLengthI64(mask) => mask.resize(steps, 1),
                RowElements::I64(length) => length[0] = steps as i64,
                _ => unreachable!("as `tensors` says"),
            }
        }
        Ok(())
    }

    fn view(&self) -> View {
        View::Numbers
    }

    fn measures(&self) -> bool {
        true
    }

    fn length(&self, row: RowValues<'_>) -> Option<u32> {
        match row.get(0) {
            Value::List(list) => Some(u32::try_from(list.len()).unwrap_or(u32::MAX)),
            _ => None,
        }
    }
}

impl SequenceEncoder {
    fn damaged(&self, reason: String) -> Damage {
        Damage::value(&self.column[0], reason)
    }

    fn write(&self, list: List<'_>, out: &mut Vec<f32>) -> Result<(), Damage> {
        out.reserve(list.len() * self.features.unwrap_or(1));
        for (step, value) in list.iter().enumerate() {
            let at = |reason: String| self.damaged(format!("at step {} {reason}", step + 1));
            match (value, self.features) {
                (Value::List(vector), Some(features)) if vector.len() == features => {
                    for value in vector.iter() {
                        out.push(number(value).map_err(at)?);
                    }
                }
                (Value::List(vector), Some(features)) => {
                    return Err(at(format!("has {}, wanted {features}", count(vector.len(), "number"))));
                }
                (value, None) => out.push(number(value).map_err(at)?),
                (_, Some(_)) => return Err(at("is missing (null)".into())),
            }
        }
        Ok(())
    }
}
