use super::run_length::RunLength;
use super::span::Span;

/// Where a step lies in a schedule with a warm-up.
pub(super) enum Phase {
    /// In the warm-up: the factor on the learning rate.
    WarmUp(f64),
    /// Behind it.
    Behind(Behind),
}

/// Where a step lies behind the warm-up.
pub(super) struct Behind {
    /// Steps since the warm-up's end.
    pub(super) step: u64,
    /// Steps there are behind the warm-up, at least 1.
    pub(super) steps: u64,
}

impl Behind {
    /// The share of the steps there that is done, 0 to below 1.
    pub(super) fn progress(&self) -> f64 {
        self.step as f64 / self.steps as f64
    }
}

impl Phase {
    /// Of `step` (from 0) of a run, of which `warmup` warms up. The first step is one part above zero, so that no step is
    /// wasted, and the last one has the full rate.
    pub(super) fn of(warmup: Span, step: u64, run: RunLength) -> Self {
        let steps = warmup.whole_steps(run);
        if step < steps {
            Self::WarmUp((step + 1) as f64 / steps as f64)
        } else {
            Self::Behind(Behind { step: step - steps, steps: run.steps.saturating_sub(steps).max(1) })
        }
    }
}
