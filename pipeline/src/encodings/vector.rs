//! A list of numbers, as long in every row.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, TensorRole, TensorSpec, count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, ByHand, EncodingKind, EncodingOptions, Source};
use super::row_numbers::{RowNumbers, length_of_lists};
use super::sample::Sample;
use crate::PipelineError;
use crate::sources::{Holds, RowValues, Value};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "vector",
    summary: "A list of numbers, as long in every row: an embedding, a histogram.",
    documentation: "One tensor of floats `[batch, length]`, the numbers as stored. How long the lists are is said by `length`, or else by the \
        first list of the training rows that is not empty. A list of another length, with a number that is missing, or null is a damaged row; a target \
        that is null has no weight in the loss.",
    samples: &[r#"{"column": "embedding"}"#, r#"{"column": "embedding", "length": 384}"#],
    takes: &[Holds::Lists],
    most_columns: 1,
    build: Build::of::<Vector>(),
};

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Vector {
    /// How many numbers a list has.
    #[schemars(range(min = 1))]
    length: Option<usize>,
}

impl Options for Vector {
    fn validate(&self) -> Result<(), String> {
        match self.length {
            Some(0) => Err("length is 1 or more, got 0".into()),
            _ => Ok(()),
        }
    }
}

impl EncodingOptions for Vector {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        let learned = source.learned.and_then(|learned| learned.get("length")?.as_u64()).map(|length| length as usize);
        let length = match learned.or(self.length) {
            Some(length) => length,
            None => length_of_lists(source)?,
        };
        Ok(Arc::new(VectorEncoder { numbers: RowNumbers::of(source)?, length }))
    }

    fn by_hand(&self, _: &[String], learned: &Json) -> ByHand {
        let length = learned.get("length").and_then(Json::as_u64).or(self.length.map(|length| length as u64));
        let length =
            length.map_or_else(|| "A list".to_owned(), |length| format!("A list of {}", count(length, "number")));
        let said = vec![
            format!("{length}, as they are, as floats of 32 bits; nothing is scaled."),
            "A list of another length, or in which a number is missing, is none that the model can take.".into(),
        ];
        ByHand { said, places: Vec::new() }
    }
}

#[derive(Debug)]
struct VectorEncoder {
    numbers: RowNumbers,
    length: usize,
}

impl Encoder for VectorEncoder {
    fn columns(&self) -> &[String] {
        self.numbers.columns()
    }

    fn learned(&self) -> Json {
        json!({ "length": self.length })
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        Ok(vec![TensorSpec::fixed(name, ElementType::F32, &[self.length])])
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { spec, values: RowElements::F32(values) }] = out else { unreachable!("as `tensors` says") };
        if row.get(0) == Value::Null && spec.role == TensorRole::Target {
            sample.without_target();
            values.fill(0.0);
            return Ok(());
        }
        Ok(self.numbers.read(row, values)?)
    }

    fn view(&self) -> View {
        View::Numbers
    }
}
