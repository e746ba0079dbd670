use millstream_schemas::recipe::Schedule;

use super::ScheduleKind;
use crate::TrainingError;

pub(super) const SCHEDULE: ScheduleKind = ScheduleKind {
    name: "cosine",
    summary: "linear up to the full rate over the warm-up, then half a cosine down towards zero",
    factor: |schedule, step, total| match schedule {
        Schedule::Cosine { warmup } => Some(factor(f64::from(*warmup), step, total)),
        _ => None,
    },
    check: |schedule| match schedule {
        Schedule::Cosine { warmup } => {
            let name = "training.schedule.cosine.warmup";
            TrainingError::check(name, *warmup, (0.0..=1.0).contains(warmup), "0 to 1")
        }
        _ => Ok(()),
    },
};

/// Loshchilov and Hutter 2017, without restarts. The first step of the warm-up is one part above zero, so that no step is
/// wasted, and its last step has the full rate. However short, a warm-up has a step.
fn factor(warmup: f64, step: u64, total: u64) -> f64 {
    // A tenth as `f32` is a little more than a tenth, which is not to cost a step.
    let share = warmup.clamp(0.0, 1.0) * (1.0 - f64::from(f32::EPSILON));
    let warmup_steps = (share * total as f64).ceil() as u64;
    if step < warmup_steps {
        return (step + 1) as f64 / warmup_steps as f64;
    }
    let progress = (step - warmup_steps) as f64 / (total - warmup_steps).max(1) as f64;
    0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

#[cfg(test)]
mod tests {
    use super::factor;

    #[test]
    fn values_are_those_of_the_formula() {
        let rows = [
            (0.0, 0, 100, 1.0),
            (0.0, 50, 100, 0.5),
            (0.0, 99, 100, 0.5 * (1.0 + (std::f64::consts::PI * 0.99).cos())),
            (f64::from(0.1_f32), 0, 100, 0.1),
            (0.001, 0, 1000, 1.0),
            (0.001, 0, 1500, 0.5),
            (0.001, 2, 1500, 1.0),
            (0.1, 9, 100, 1.0),
            (0.1, 10, 100, 1.0),
            (0.1, 55, 100, 0.5),
            (1.0, 9, 10, 1.0),
        ];
        for (warmup, step, total, wanted) in rows {
            let got = factor(warmup, step, total);
            assert!((got - wanted).abs() < 1e-12, "warm-up {warmup}, step {step} of {total}: {got}, wanted {wanted}");
        }
    }
}
