//! A new last linear layer.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::head_function::{HeadFunction, HeadModel, PlacedHead};
use super::head_kind::{HeadBuild, HeadKind, HeadOptions};
use crate::CompilerError;
use crate::finetuning::ending::lay_bare;
use crate::finetuning::head::head_behind;
use crate::finetuning::replacement::replace_head;
use crate::initializers::Initializer;

pub(super) const HEAD: HeadKind = HeadKind {
    name: "new",
    summary: "A new one with as many outputs as the data has classes, its weights drawn by `xavier_uniform`.",
    documentation: "It takes the place of the model's last linear layer (dense, or a convolution that is one at each place), whose bias \
        starts at zero. What follows a linear layer and is no softmax or sigmoid is taken away, and told.",
    samples: &["{}"],
    build: HeadBuild::of::<NewHead>(),
};

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewHead {}

impl Options for NewHead {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl HeadOptions for NewHead {}

impl HeadFunction for NewHead {
    fn place(&self, model: &mut HeadModel<'_>) -> Result<PlacedHead, CompilerError> {
        in_place_of_own(model, &Initializer::default())
    }
}

/// A new layer in the place of the model's last one.
pub(super) fn in_place_of_own(model: &mut HeadModel<'_>, how: &Initializer) -> Result<PlacedHead, CompilerError> {
    let mut bare = model.graph.clone();
    let note = lay_bare(&mut bare, model.output, model.reads, model.operators);
    if let Some(note) = note.filter(|_| head_behind(&bare, model.output, model.reads).is_ok()) {
        *model.graph = bare;
        model.notes.push(note);
    }
    let mut head = model.own_head()?;
    replace_head(model.graph, &mut head, model.classes, how, model.seed, model.operators)?;
    Ok(head.into())
}
