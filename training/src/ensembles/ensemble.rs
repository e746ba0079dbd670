use std::sync::Arc;

use millstream_schemas::choice::{Catalog, Choice, ChoiceError};

use super::ensemble_function::{EnsembleFunction, Fitted, Fitting};
use super::ensemble_kind::EnsembleKind;
use crate::TrainingError;

/// A way to make one model of several, chosen by name.
#[derive(Clone, Debug)]
pub struct Ensemble {
    choice: Choice,
    function: Arc<dyn EnsembleFunction>,
}

impl Ensemble {
    /// What is chosen, from a catalog; `place` stands in messages.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<EnsembleKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let (choice, function) = catalog.find(choice, place)?.build.choose(choice, place)?;
        Ok(Self { choice, function })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Whether something is fitted to rows.
    pub fn fits(&self) -> bool {
        self.function.fits()
    }

    /// Whether it makes a mean of weights.
    pub fn averages_weights(&self) -> bool {
        self.function.averages_weights()
    }

    /// Fits it.
    ///
    /// # Errors
    /// The scores are of something that it does not take, or those of the function.
    pub fn fit(&self, fitting: &mut Fitting<'_>) -> Result<Fitted, TrainingError> {
        if !self.function.takes().contains(&fitting.members.scores_of()) {
            let of = match fitting.members.scores_of() {
                millstream_schemas::ScoresOf::Classes => "classes",
                millstream_schemas::ScoresOf::Labels => "labels",
                _ => "numbers",
            };
            let message = format!("`{}` is not for scores of {of}; choose another method", self.choice.name);
            return Err(TrainingError::Ensemble { message });
        }
        self.function.fit(fitting)
    }
}
