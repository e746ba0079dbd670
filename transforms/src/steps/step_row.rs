use serde::de::DeserializeOwned;
use serde_json::Value;

use super::image_step::ImageStep;

/// One step of a family's table.
#[derive(Clone, Copy, Debug)]
pub struct StepRow {
    /// Registered name.
    pub name: &'static str,
    /// Parameters in JSON that make sense for a small image and cover the step: what tests and benches render.
    pub samples: &'static [&'static str],
    pub(super) read: fn(Value) -> serde_json::Result<ImageStep>,
}

impl StepRow {
    /// The row of the step with the parameters `T`.
    pub(super) const fn of<T: DeserializeOwned + Into<ImageStep>>(
        name: &'static str,
        samples: &'static [&'static str],
    ) -> Self {
        Self { name, samples, read: |parameters| serde_json::from_value::<T>(parameters).map(Into::into) }
    }
}
