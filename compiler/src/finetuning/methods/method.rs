use std::sync::Arc;

use millstream_schemas::choice::{Catalog, Choice, ChoiceError};
use serde::{Serialize, Serializer};

use super::method_function::{Added, MethodFunction, MethodModel};
use super::method_kind::MethodKind;
use crate::CompilerError;

/// A method that was chosen. Serializes as the choice, with every default filled in.
#[derive(Clone, Debug)]
pub struct Method {
    choice: Choice,
    function: Arc<dyn MethodFunction>,
    place: String,
    tokens: Option<Arc<[i64]>>,
}

impl Method {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<MethodKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let (choice, function) = catalog.find(choice, place)?.build.choose(choice, place)?;
        Ok(Self { choice, function, place: place.to_owned(), tokens: None })
    }

    /// A text whose tokens it begins with, where it has one: see [`Method::with_tokens`].
    pub fn text(&self) -> Option<&str> {
        self.function.text()
    }

    /// The same with the tokens of its text, by the tokenizer that the model was trained with.
    #[must_use]
    pub fn with_tokens(self, tokens: impl Into<Arc<[i64]>>) -> Self {
        Self { tokens: Some(tokens.into()), ..self }
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Adds it to a model, whose [`MethodModel::tokens`] are those of the method.
    ///
    /// # Errors
    /// As [`MethodFunction::add`], at its place in the recipe.
    pub fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let MethodModel { base, layers, head, prediction, operators, seed, .. } = *model;
        let tokens = self.tokens.as_deref();
        let mut model =
            MethodModel { graph: &mut *model.graph, base, layers, head, prediction, operators, tokens, seed };
        self.function.add(&mut model).map_err(|error| match error {
            CompilerError::Setting { place, message } if place.is_empty() => {
                CompilerError::setting(format!("{}.{}", self.place, self.choice.name), message)
            }
            error => error,
        })
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.choice.serialize(serializer)
    }
}
