use millstream_schemas::recipe::Schedule;

use super::ScheduleKind;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "constant",
    summary: "the same at every step",
    factor: |schedule, _, _| matches!(schedule, Schedule::Constant).then_some(1.0),
    check: |_| Ok(()),
};
