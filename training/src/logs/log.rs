use std::sync::Arc;

use millstream_schemas::choice::{Catalog, Choice, ChoiceError};

use super::log_format::LogFormat;
use super::log_kind::LogKind;

/// A log that was chosen.
#[derive(Clone, Debug)]
pub struct Log {
    choice: Choice,
    format: Arc<dyn LogFormat>,
}

impl Log {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<LogKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let (choice, format) = catalog.find(choice, place)?.build.choose(choice, place)?;
        Ok(Self { choice, format })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// What writes it.
    pub fn format(&self) -> &dyn LogFormat {
        &*self.format
    }
}
