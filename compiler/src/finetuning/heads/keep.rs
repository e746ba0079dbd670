//! The model's own last linear layer.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::head_function::{HeadFunction, HeadModel, PlacedHead};
use super::head_kind::{HeadBuild, HeadKind, HeadOptions};
use crate::CompilerError;
use crate::finetuning::ending::require_scores;
use crate::finetuning::scores::find_scores;

pub(super) const HEAD: HeadKind = HeadKind {
    name: "keep",
    summary: "Keep the pretrained one; the data must have as many classes as it has outputs.",
    documentation: "The value that the loss is computed from is what the last linear layer gives, in front of a softmax or sigmoid; \
        where numbers are predicted, it is the model's output, whatever follows its last linear layer.",
    samples: &["{}"],
    build: HeadBuild::of::<Keep>(),
};

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Keep {}

impl Options for Keep {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl HeadOptions for Keep {}

impl HeadFunction for Keep {
    fn place(&self, model: &mut HeadModel<'_>) -> Result<PlacedHead, CompilerError> {
        let found = model.own_head();
        if model.reads.links().is_empty() {
            return Ok(PlacedHead { head: found.ok(), prediction: model.output });
        }
        let placed = match found {
            Ok(head) => head.into(),
            Err(_) => PlacedHead { head: None, prediction: find_scores(model.graph, model.output, model.reads) },
        };
        require_scores(model.graph, placed.prediction)?;
        Ok(placed)
    }

    fn keeps(&self) -> bool {
        true
    }
}
