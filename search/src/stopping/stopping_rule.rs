use std::sync::Arc;

use millstream_schemas::choice::{Catalog, Choice, ChoiceError};
use serde::{Serialize, Serializer};

use super::course::Course;
use super::stopping_function::{Decision, StoppingFunction};
use super::stopping_kind::StoppingKind;
use crate::History;

/// A stopping rule that was chosen. Serializes as the choice, with every default filled in.
#[derive(Clone, Debug)]
pub struct StoppingRule {
    choice: Choice,
    function: Arc<dyn StoppingFunction>,
}

impl StoppingRule {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<StoppingKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let (choice, function) = catalog.find(choice, place)?.build.choose(choice, place)?;
        Ok(Self { choice, function })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// What becomes of a trial, after its last report.
    pub fn decide(&self, course: &Course<'_>) -> Decision {
        self.function.decide(course)
    }

    /// A paused trial that is worth going on with.
    pub fn promoted(&self, history: &History<'_>) -> Option<u64> {
        self.function.promoted(history)
    }
}

impl Serialize for StoppingRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.choice.serialize(serializer)
    }
}
