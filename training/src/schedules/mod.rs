//! The learning rate over time: pure functions of the step.

mod constant;
mod cosine;
mod schedule_kind;

use millstream_schemas::recipe::Schedule;

pub use schedule_kind::ScheduleKind;

use crate::TrainingError;

/// All schedules, by name.
pub static SCHEDULES: &[ScheduleKind] = &[constant::SCHEDULE, cosine::SCHEDULE];

/// Refuses options that make no sense.
pub(crate) fn check(schedule: &Schedule) -> Result<(), TrainingError> {
    SCHEDULES.iter().try_for_each(|kind| (kind.check)(schedule))
}

/// The factor on the base learning rate at `step` (from 0) of `total`; the last value after the end.
pub fn factor(schedule: &Schedule, step: u64, total: u64) -> f64 {
    let step = step.min(total.saturating_sub(1));
    let found = SCHEDULES.iter().find_map(|kind| (kind.factor)(schedule, step, total.max(1)));
    found.expect("every variant of `Schedule` has its row in the table, as a test checks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_a_row_and_every_factor_is_a_share() {
        for schedule in [Schedule::Constant, Schedule::Cosine { warmup: 0.0 }, Schedule::Cosine { warmup: 1.0 }] {
            for total in [1, 2, 7, 100] {
                for step in 0..total + 3 {
                    let factor = factor(&schedule, step, total);
                    assert!((0.0..=1.0).contains(&factor), "{schedule:?} {step}/{total}: {factor}");
                }
            }
        }
        assert!(SCHEDULES.is_sorted_by_key(|kind| kind.name));
    }

    #[test]
    fn a_warmup_that_is_no_share_is_refused() {
        for (warmup, good) in [(0.0, true), (1.0, true), (-0.1, false), (1.5, false), (f32::NAN, false)] {
            let checked = check(&Schedule::Cosine { warmup });
            assert_eq!(checked.is_ok(), good, "{warmup}");
            if let Err(error) = checked {
                assert!(error.to_string().starts_with("training.schedule.cosine.warmup is "), "{error}");
            }
        }
    }
}
