//! A number that no other row has.

use std::sync::Arc;

use millstream_schemas::choice::Options;
use millstream_schemas::{ElementType, TensorSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowElements, RowTensor, StreamFacts, View};
use super::encoding_kind::{Build, EncodingKind, EncodingOptions, Source};
use super::sample::Sample;
use crate::PipelineError;
use crate::sources::RowValues;

pub(super) const ENCODING: EncodingKind = EncodingKind {
    name: "row_id",
    summary: "A number that no other row has: each row is a group of its own.",
    documentation: "One tensor of int64 `[batch]`, made of the row's place in its file; no column is read. The target of losses whose rows say \
        all by themselves: pairs of `info_nce`, each of which is the only right answer to itself, and triplets of `triplet`.",
    samples: &["{}"],
    takes: &[],
    most_columns: 0,
    build: Build::of::<RowIdOptions>(),
};

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RowIdOptions {}

impl Options for RowIdOptions {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl EncodingOptions for RowIdOptions {
    fn open(&self, _: &Source<'_>) -> Result<Arc<dyn Encoder>, PipelineError> {
        Ok(Arc::new(RowIdEncoder))
    }
}

#[derive(Debug)]
struct RowIdEncoder;

impl Encoder for RowIdEncoder {
    fn columns(&self) -> &[String] {
        &[]
    }

    fn learned(&self) -> Json {
        json!({})
    }

    fn tensors(&self, name: &str, _: &StreamFacts<'_>) -> Result<Vec<TensorSpec>, PipelineError> {
        Ok(vec![TensorSpec::fixed(name, ElementType::I64, &[])])
    }

    fn encode(&self, _: RowValues<'_>, sample: &mut Sample<'_>, out: &mut [RowTensor<'_>]) -> Result<(), EncodeError> {
        let [RowTensor { values: RowElements::I64(values), .. }] = out else { unreachable!("as `tensors` says") };
        values[0] = sample.id().key().cast_signed();
        Ok(())
    }

    fn view(&self) -> View {
        View::Numbers
    }
}
