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
}

impl Method {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<MethodKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let (choice, function) = catalog.find(choice, place)?.build.choose(choice, place)?;
        Ok(Self { choice, function, place: place.to_owned() })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Adds it to a model.
    ///
    /// # Errors
    /// As [`MethodFunction::add`], at its place in the recipe.
    pub fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        self.function.add(model).map_err(|error| match error {
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
