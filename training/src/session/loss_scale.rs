use serde::{Deserialize, Serialize};

/// The factor on the loss of a step in float16, whose gradients would be 0 or infinite without it; they are divided by it
/// before anything else is done with them. Dynamic, as PyTorch's `GradScaler`: it is doubled after [`LossScale::INTERVAL`] updates
/// in a row, and halved where gradients are not finite, which leaves the update out (Micikevicius et al., "Mixed Precision
/// Training", 2018).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    /// The factor of the next step, a power of two.
    pub scale: f32,
    /// Updates since it was changed.
    pub updates: u64,
    /// Updates that were left out in the whole run.
    pub skipped: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: Self::START, updates: 0, skipped: 0 }
    }
}

impl LossScale {
    /// The factor of the first step.
    pub const START: f32 = 65536.0;
    /// Updates in a row after which it is doubled.
    pub const INTERVAL: u64 = 2000;

    /// Takes note of an update.
    pub(super) fn updated(&mut self) {
        self.updates += 1;
        if self.updates == Self::INTERVAL {
            self.updates = 0;
            let doubled = self.scale * 2.0;
            self.scale = if doubled.is_finite() { doubled } else { self.scale };
        }
    }

    /// Takes note of gradients that are not finite. Says whether a smaller scale can help; one of 1 is none, so that gradients
    /// are infinite by themselves.
    pub(super) fn overflowed(&mut self) -> bool {
        if self.scale <= 1.0 {
            return false;
        }
        self.scale /= 2.0;
        self.updates = 0;
        self.skipped += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_doubled_after_2000_updates_in_a_row_and_halved_by_each_overflow_down_to_1() {
        let mut scale = LossScale::default();
        (0..1999).for_each(|_| scale.updated());
        assert_eq!(scale, LossScale { scale: 65536.0, updates: 1999, skipped: 0 });
        assert!(scale.overflowed());
        assert_eq!(scale, LossScale { scale: 32768.0, updates: 0, skipped: 1 });
        (0..2000).for_each(|_| scale.updated());
        assert_eq!(scale, LossScale { scale: 65536.0, updates: 0, skipped: 1 });
        assert_eq!((0..40).filter(|_| scale.overflowed()).count(), 16);
        assert_eq!(scale, LossScale { scale: 1.0, updates: 0, skipped: 17 });
        scale.scale = f32::MAX;
        (0..2000).for_each(|_| scale.updated());
        assert_eq!(scale.scale, f32::MAX);
    }
}
