/// Where a step lies in a schedule with a warm-up.
pub(super) enum Phase {
    /// In the warm-up: the factor on the learning rate.
    WarmUp(f64),
    /// Behind it: the share of the steps there that is done, 0 to below 1.
    Behind(f64),
}

impl Phase {
    /// Of `step` (from 0) of `total`, of which the share `warmup` warms up. The first step is one part above zero, so that
    /// no step is wasted, and the last one has the full rate. However short, a warm-up has a step.
    pub(super) fn of(warmup: f64, step: u64, total: u64) -> Self {
        // A tenth as `f32` is a little more than a tenth, which is not to cost a step.
        let share = warmup.clamp(0.0, 1.0) * (1.0 - f64::from(f32::EPSILON));
        let steps = (share * total as f64).ceil() as u64;
        if step < steps {
            Self::WarmUp((step + 1) as f64 / steps as f64)
        } else {
            Self::Behind((step - steps) as f64 / (total - steps).max(1) as f64)
        }
    }
}
