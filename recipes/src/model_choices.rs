//! What a recipe's part `model` chooses by name.

use millstream_compiler::{FeatureHead, HeadChoice, Initializer, LayerInitializer, Method};
use millstream_schemas::ChoiceError;
use millstream_schemas::recipe::{HeadRecipe, ModelRecipe};

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
        let head = match &model.head {
            HeadRecipe::Keep => HeadChoice::Keep,
            HeadRecipe::New => HeadChoice::default(),
            HeadRecipe::NewWith(choice) => {
                HeadChoice::New(Initializer::choose(&catalogs.initializers, choice, "model.head.new_with")?)
            }
            HeadRecipe::Pooled(pooling) => HeadChoice::Pooled(*pooling, Initializer::default()),
            HeadRecipe::OnFeatures(head) => HeadChoice::OnFeatures(FeatureHead {
                reads: head.reads,
                pooling: head.pooling,
                hidden: head.hidden.clone(),
                activation: head.activation,
                dropout: head.dropout,
                initializer: match &head.new_with {
                    Some(choice) => {
                        Initializer::choose(&catalogs.initializers, choice, "model.head.on_features.new_with")?
                    }
                    None => Initializer::default(),
                },
            }),
        };
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
        if let (HeadRecipe::NewWith(choice), HeadChoice::New(chosen)) = (&mut model.head, &self.head) {
            *choice = chosen.choice().clone();
        }
        if let (HeadRecipe::OnFeatures(head), HeadChoice::OnFeatures(chosen)) = (&mut model.head, &self.head) {
            head.new_with = Some(chosen.initializer.choice().clone());
        }
        for (one, chosen) in model.initialize.iter_mut().zip(&self.initialize) {
            one.with = chosen.initializer.choice().clone();
        }
        model.methods = self.methods.iter().map(|method| method.choice().clone()).collect();
    }
}
