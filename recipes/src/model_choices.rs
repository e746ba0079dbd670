//! What a recipe's part `model` chooses by name.

use millstream_compiler::{HeadChoice, Initializer, LayerInitializer, Method};
use millstream_pipeline::encodings::Encoders;
use millstream_schemas::recipe::ModelRecipe;
use millstream_schemas::{ChoiceError, shown};

use crate::{Catalogs, RecipeError};

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

/// The methods, those that begin with a text with its tokens as the data's tokenizer makes them.
///
/// # Errors
/// No input is made of tokens, or the text cannot be tokenized.
pub(crate) fn tokenized(methods: Vec<Method>, encoders: &Encoders) -> Result<Vec<Method>, RecipeError> {
    let tokenized = |(at, method): (usize, Method)| {
        let Some(text) = method.text() else { return Ok(method) };
        let refused =
            |message: String| RecipeError::mismatch(format!("model.methods[{at}].{}", method.choice().name), message);
        let tokens = encoders.tokens_of(text);
        let tokens = tokens.map_err(|why| refused(format!("`{}` cannot be tokenized: {why}", shown(text))))?;
        let tokens = tokens.ok_or_else(|| {
            refused(
                "it begins with a text, and no input of `data.inputs` is made by `token_ids`, whose tokenizer would tell its \
                 tokens; say them by number instead"
                    .into(),
            )
        })?;
        Ok(method.with_tokens(tokens))
    };
    methods.into_iter().enumerate().map(tokenized).collect()
}
