//! What a recipe's part `model` chooses by name.

use millstream_compiler::{HeadChoice, Initializer, LayerInitializer, Method};
use millstream_schemas::ChoiceError;
use millstream_schemas::recipe::ModelRecipe;

use crate::Catalogs;

/// What was chosen.
#[derive(Clone, Debug)]
pub(crate) struct ModelChoices {
    pub(crate) head: HeadChoice,
    pub(crate) initialize: Vec<LayerInitializer>,
    pub(crate) methods: Vec<Method>,
}

impl ModelChoices {
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub(crate) fn of(model: &ModelRecipe, catalogs: &Catalogs) -> Result<Self, ChoiceError> {
        let head = HeadChoice::choose(&catalogs.heads, &model.head, "model.head", &catalogs.initializers)?;
        let initialize = model.initialize.iter().enumerate().map(|(at, one)| {
            let place = format!("model.initialize[{at}].with");
            let initializer = Initializer::choose(&catalogs.initializers, &one.with, &place)?;
            Ok(LayerInitializer { pattern: one.r#match.clone(), initializer })
        });
        let initialize = initialize.collect::<Result<_, ChoiceError>>()?;
        let methods = model.methods.iter().enumerate();
        let methods =
            methods.map(|(at, choice)| Method::choose(&catalogs.methods, choice, &format!("model.methods[{at}]")));
        Ok(Self { head, initialize, methods: methods.collect::<Result<_, _>>()? })
    }

    /// Writes the choices as they are meant, with every default.
    pub(crate) fn write_into(&self, model: &mut ModelRecipe) {
        model.head = self.head.choice().clone();
        for (one, chosen) in model.initialize.iter_mut().zip(&self.initialize) {
            one.with = chosen.initializer.choice().clone();
        }
        model.methods = self.methods.iter().map(|method| method.choice().clone()).collect();
    }
}
