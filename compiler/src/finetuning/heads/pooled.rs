//! A new linear layer on the pooled vectors of a sequence.

use std::sync::Arc;

use millstream_schemas::choice::{read_value, schema_of};

use super::head_function::{HeadFunction, HeadModel, PlacedHead};
use super::head_kind::{HeadBuild, HeadKind};
use super::on_features::FeatureHead;
use super::pooling::Pooling;
use crate::CompilerError;

pub(super) const HEAD: HeadKind = HeadKind {
    name: "pooled",
    summary: "A new one on an output `[batch, sequence, features]`, as encoders of text have it: the vectors of a sequence become one, \
        and a linear layer reads that.",
    documentation: "`pooled: mean` is `on_features: {pooling: mean}` written short.",
    samples: &[r#""mean""#, r#""first""#, r#""max""#, r#""attention""#],
    build: HeadBuild::new(schema_of::<Pooling>, |options, place, _| {
        let pooling = read_value::<Pooling>(options, place)?;
        let whole = serde_json::to_value(pooling).expect("a word");
        Ok((Arc::new(Pooled(pooling)), whole))
    }),
};

#[derive(Debug)]
pub(super) struct Pooled(pub(super) Pooling);

impl HeadFunction for Pooled {
    fn place(&self, model: &mut HeadModel<'_>) -> Result<PlacedHead, CompilerError> {
        FeatureHead { pooling: Some(self.0), ..FeatureHead::default() }.place(model)
    }
}
