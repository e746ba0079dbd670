use std::sync::Arc;

use millstream_schemas::ParameterEntry;
use millstream_schemas::choice::{Catalog, Choice, ChoiceError, Shared};
use serde::{Serialize, Serializer};

use super::optimizer_kind::OptimizerKind;
use super::rule::{UpdateRule, state_of};

/// An optimizer that was chosen. Serializes as the choice, with every default filled in.
#[derive(Clone, Debug)]
pub struct Optimizer {
    choice: Choice,
    learning_rate: f32,
    rule: Arc<dyn UpdateRule>,
}

impl Optimizer {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<OptimizerKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let row = catalog.find(choice, place)?;
        let place = format!("{place}.{}", row.name);
        let Shared { shared, own, whole } = (row.build.make)(&choice.options, &place, &row.defaults())?;
        Ok(Self { choice: Choice::new(row.name, whole), learning_rate: shared.learning_rate as f32, rule: own })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The base learning rate.
    pub fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    /// Whether an average of the weights is evaluated and exported that it keeps itself.
    pub fn has_average(&self) -> bool {
        self.rule.has_average()
    }

    /// How many bytes it remembers of these parameters, all together.
    pub fn bytes_remembered(&self, parameters: &[ParameterEntry]) -> usize {
        let tensors = parameters.iter().flat_map(|entry| state_of(self.rule.as_ref(), entry));
        tensors.map(|tensor| tensor.bytes()).sum()
    }

    pub(crate) fn rule(&self) -> &Arc<dyn UpdateRule> {
        &self.rule
    }
}

impl Serialize for Optimizer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.choice.serialize(serializer)
    }
}
