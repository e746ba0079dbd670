use std::sync::Arc;

use millstream_schemas::choice::{Catalog, Choice, ChoiceError};
use serde::{Serialize, Serializer};

use super::plateau::Plateau;
use super::run_length::RunLength;
use super::schedule_kind::{Course, ScheduleKind};

/// A schedule that was chosen. Serializes as the choice, with every default filled in.
#[derive(Clone, Debug)]
pub struct Schedule {
    choice: Choice,
    course: Arc<dyn Course>,
}

impl Schedule {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<ScheduleKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let (choice, course) = catalog.find(choice, place)?.build.choose(choice, place)?;
        Ok(Self { choice, course })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The factor on the base learning rate at `step` (from 0) of a run; the last value after the end.
    pub fn factor(&self, step: u64, run: RunLength) -> f64 {
        let run = RunLength { steps: run.steps.max(1), steps_per_epoch: run.steps_per_epoch.max(1) };
        self.course.factor(step.min(run.steps - 1), run)
    }

    /// When the rate is reduced beside that, because evaluations get no better.
    pub fn plateau(&self) -> Option<Plateau> {
        self.course.plateau()
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.choice.serialize(serializer)
    }
}
