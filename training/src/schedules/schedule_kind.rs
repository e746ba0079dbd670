use millstream_schemas::recipe::Schedule;

use crate::TrainingError;

/// A kind of schedule.
#[derive(Debug)]
pub struct ScheduleKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The factor on the base learning rate at a step of so many, if the schedule is of this kind.
    pub(super) factor: fn(&Schedule, step: u64, total: u64) -> Option<f64>,
    /// Refuses options that make no sense, of a schedule of this kind.
    pub(super) check: fn(&Schedule) -> Result<(), TrainingError>,
}
