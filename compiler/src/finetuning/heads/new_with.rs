//! A new last linear layer, its weights drawn as stated.

use std::sync::Arc;

use millstream_schemas::choice::{Choice, read_value};
use serde_json::{Value, json};

use super::head_function::{HeadFunction, HeadModel, PlacedHead};
use super::head_kind::{HeadBuild, HeadKind};
use super::new_head::in_place_of_own;
use crate::CompilerError;
use crate::initializers::Initializer;

pub(super) const HEAD: HeadKind = HeadKind {
    name: "new_with",
    summary: "A new one, its weights drawn as stated.",
    documentation: "As `new`, with an initializer: `new_with: zeros`, or `new_with: {truncated_normal: {std: 0.02}}`.",
    samples: &[r#""zeros""#],
    build: HeadBuild::new(schema, |options, place, initializers| {
        let initializer = Initializer::choose(initializers, &read_value::<Choice>(options, place)?, place)?;
        let whole = serde_json::to_value(initializer.choice()).expect("choices have string keys");
        Ok((Arc::new(NewWith(initializer)), whole))
    }),
};

fn schema() -> Value {
    json!({ "$ref": "#/$defs/Initializer" })
}

#[derive(Debug)]
struct NewWith(Initializer);

impl HeadFunction for NewWith {
    fn place(&self, model: &mut HeadModel<'_>) -> Result<PlacedHead, CompilerError> {
        in_place_of_own(model, &self.0)
    }
}
