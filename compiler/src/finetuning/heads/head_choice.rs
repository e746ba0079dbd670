use std::sync::Arc;

use millstream_schemas::choice::{Catalog, Choice, ChoiceError, whole};
use serde::{Serialize, Serializer};

use super::head_function::{HeadFunction, HeadModel, PlacedHead};
use super::head_kind::HeadKind;
use super::keep::Keep;
use super::new_head::NewHead;
use super::on_features::FeatureHead;
use super::pooled::Pooled;
use super::pooling::Pooling;
use crate::CompilerError;
use crate::initializers::InitializerKind;

/// A head that was chosen. Serializes as the choice, with every default filled in. The default is a new last linear layer.
#[derive(Clone, Debug)]
pub struct HeadChoice {
    choice: Choice,
    function: Arc<dyn HeadFunction>,
}

impl HeadChoice {
    /// What is chosen at `place` of a recipe, from a catalog; its initializers from another.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(
        catalog: &Catalog<HeadKind>,
        choice: &Choice,
        place: &str,
        initializers: &Catalog<InitializerKind>,
    ) -> Result<Self, ChoiceError> {
        let row = catalog.find(choice, place)?;
        let (function, options) = row.build.make(&choice.options, &format!("{place}.{}", row.name), initializers)?;
        Ok(Self { choice: Choice::new(row.name, options), function })
    }

    /// The model's own last linear layer.
    pub fn keep() -> Self {
        Self { choice: Choice::named("keep"), function: Arc::new(Keep {}) }
    }

    /// A new layer on an output `[batch, sequence, features]`, whose vectors become one.
    pub fn pooled(pooling: Pooling) -> Self {
        let options = serde_json::to_value(pooling).expect("a word");
        Self { choice: Choice::new("pooled", options), function: Arc::new(Pooled(pooling)) }
    }

    /// A new head of one or more layers on features of any form.
    pub fn on_features(head: FeatureHead) -> Self {
        Self { choice: Choice::new("on_features", whole(&head)), function: Arc::new(head) }
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// As [`HeadFunction::keeps`].
    pub fn keeps(&self) -> bool {
        self.function.keeps()
    }

    /// As [`HeadFunction::place`].
    ///
    /// # Errors
    /// As [`HeadFunction::place`].
    pub fn place(&self, model: &mut HeadModel<'_>) -> Result<PlacedHead, CompilerError> {
        self.function.place(model)
    }
}

impl Default for HeadChoice {
    fn default() -> Self {
        Self { choice: Choice::named("new"), function: Arc::new(NewHead {}) }
    }
}

impl Serialize for HeadChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.choice.serialize(serializer)
    }
}
