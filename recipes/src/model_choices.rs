//! What a recipe's part `model` chooses by name.

use millstream_compiler::{HeadChoice, Initializer, Method};
use millstream_schemas::ChoiceError;
use millstream_schemas::recipe::{HeadRecipe, ModelRecipe};

use crate::Catalogs;

/// What was chosen.
#[derive(Clone, Debug)]
pub(crate) struct ModelChoices {
    pub(crate) head: HeadChoice,
    pub(crate) methods: Vec<Method>,
}

impl ModelChoices {
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub(crate) fn of(model: &ModelRecipe, catalogs: &Catalogs) -> Result<Self, ChoiceError> {
        let head = match &model.head {
            HeadRecipe::Keep => HeadChoice::Keep,
            HeadRecipe::New => HeadChoice::default(),
            HeadRecipe::NewWith(choice) => {
                HeadChoice::New(Initializer::choose(&catalogs.initializers, choice, "model.head.new_with")?)
            }
            HeadRecipe::Pooled(pooling) => HeadChoice::Pooled(*pooling, Initializer::default()),
        };
        let methods = model.methods.iter().enumerate();
        let methods =
            methods.map(|(at, choice)| Method::choose(&catalogs.methods, choice, &format!("model.methods[{at}]")));
        Ok(Self { head, methods: methods.collect::<Result<_, _>>()? })
    }

    /// Writes the choices as they are meant, with every default.
    pub(crate) fn write_into(&self, model: &mut ModelRecipe) {
        if let (HeadRecipe::NewWith(choice), HeadChoice::New(chosen)) = (&mut model.head, &self.head) {
            *choice = chosen.choice().clone();
        }
        model.methods = self.methods.iter().map(|method| method.choice().clone()).collect();
    }
}
