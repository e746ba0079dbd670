//! A course held against its values, step by step.

use super::run_length::RunLength;
use super::schedule_kind::Course;

/// A run of two epochs.
pub(super) fn two_epochs(steps: u64) -> RunLength {
    RunLength { steps, steps_per_epoch: steps / 2 }
}

/// The factors of the first steps of a run of `steps` in two epochs are to be `wanted`.
pub(super) fn assert_course(course: &dyn Course, steps: u64, wanted: &[f64]) {
    for (step, wanted) in wanted.iter().enumerate() {
        let got = course.factor(step as u64, two_epochs(steps));
        assert!((got - wanted).abs() < 1e-9, "{course:?}, step {step} of {steps}: {got}, wanted {wanted}");
    }
}
