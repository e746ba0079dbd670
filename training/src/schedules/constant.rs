//! The same rate at every step.

use millstream_schemas::choice::NoOptions;

use super::schedule_kind::{Build, Course, ScheduleKind};

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "constant",
    summary: "The same at every step.",
    documentation: "The factor is 1 from the first step to the last.",
    samples: &["{}"],
    build: Build::of::<NoOptions>(),
};

impl Course for NoOptions {
    fn factor(&self, _step: u64, _total: u64) -> f64 {
        1.0
    }
}
