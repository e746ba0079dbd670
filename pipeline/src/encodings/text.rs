//! Text as it is.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, TensorRole, TensorSpec};
use millstream_transforms::DrawKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, ByHand, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use crate::PipelineError;
use crate::error::Damage;
use crate::sources::{Holds, RowValues, Value};

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "text",
    summary: "Text as it is, for models that take strings, and for loops of one's own.",
    documentation: "One tensor of strings `[batch]`, taken through the transforms. Null is a damaged row.",
    samples: &["{}", r#"{"column": "text"}"#],
    takes: &[Holds::Text],
    most_columns: 1,
    build: Build::of::<Text>(),
};

/// Bytes that a text is taken for at least before it is read.
const LEAST_BYTES: u64 = 1024;

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Text {}

impl Options for Text {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl EncodingOptions for Text {
    fn open(&self, source: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        Ok(Arc::new(TextEncoder { column: [source.columns[0].clone()] }))
    }

    fn by_hand(&self, _: &[String], _: &Json) -> ByHand {
        let said = ["The text as a string of UTF-8.", "A row without a text is none that the model can take."];
        ByHand { said: said.map(str::to_owned).to_vec(), places: Vec::new() }
    }
}

#[derive(Debug)]
struct TextEncoder {
    column: [String; 1],
}

/// Refuses transforms that are not for text, before a row is read.
pub(super) fn require_text_chain(stream: &StreamFacts<'_>) -> Result<(), PipelineError> {
    let key = DrawKey { seed: stream.seed, epoch: 0, row: 0 };
    let refused = |source| PipelineError::Transform { row: stream.dataset.row_at(0), source };
    stream.chain.draw_text("", &key).map(drop).map_err(refused)
}

impl Encoder for TextEncoder {
    fn columns(&self) -> &[String] {
        &self.column
    }

    fn learned(&self) -> Json {
        json!({})
    }

    fn tensors(&self, name: &str, stream: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        require_text_chain(stream)?;
        // Twice the mean: texts differ, and transforms may lengthen them.
        let mean = stream.dataset.unpacked(&self.column)? / stream.dataset.rows().max(1);
        let bytes = mean.saturating_mul(2).max(LEAST_BYTES);
        Ok(vec![TensorSpec {
            name: name.into(),
            role: TensorRole::Input,
            element_type: ElementType::Text,
            shape: Vec::new(),
            most_elements: usize::try_from(bytes).unwrap_or(usize::MAX),
            padding: 0,
            multiple_of: 1,
            as_long_as: None,
        }])
    }

    fn encode(
        &self,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let [RowTensor { values: RowElements::Text(text), .. }] = out else { unreachable!("as `tensors` says") };
        let Value::Text(stored) = row.get(0) else { return Err(Damage::NullInput.into()) };
        **text = sample.text(stored, 0)?;
        Ok(())
    }

    fn measures(&self) -> bool {
        true
    }

    fn length(&self, row: RowValues<'_>) -> Option<u32> {
        match row.get(0) {
            Value::Text(text) => Some(u32::try_from(text.len()).unwrap_or(u32::MAX)),
            _ => None,
        }
    }

    fn view(&self) -> View {
        View::Text
    }
}
