/// How long a run is, for what is counted in parts of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLength {
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of a pass over the training rows.
    pub steps_per_epoch: u64,
}

impl RunLength {
    /// Of a run of so many epochs with so many steps each, which ends after `max_steps` where these are fewer.
    pub fn new(epochs: u64, steps_per_epoch: u64, max_steps: Option<u64>) -> Self {
        let of_epochs = epochs.saturating_mul(steps_per_epoch);
        Self { steps: max_steps.map_or(of_epochs, |most| most.min(of_epochs)), steps_per_epoch }
    }

    /// Steps of a pass of so many batches, of which `accumulate` make one; fewer do at its end.
    pub fn steps_of(batches: u64, accumulate: u64) -> u64 {
        batches.div_ceil(accumulate.max(1))
    }

    /// Passes over the training rows, of which the last may be broken.
    pub fn epochs(self) -> f64 {
        self.steps as f64 / self.steps_per_epoch.max(1) as f64
    }

    /// Passes that come to their end.
    pub fn whole_epochs(self) -> u64 {
        self.steps / self.steps_per_epoch.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_with_its_epochs_or_before_them_with_its_steps() {
        for (epochs, max_steps, wanted) in [
            (10, None, (1000, 10.0, 10)),
            (10, Some(150), (150, 1.5, 1)),
            (10, Some(5000), (1000, 10.0, 10)),
            (u64::MAX, Some(50), (50, 0.5, 0)),
        ] {
            let run = RunLength::new(epochs, 100, max_steps);
            assert_eq!((run.steps, run.epochs(), run.whole_epochs()), wanted);
        }
        assert_eq!((RunLength::steps_of(7, 3), RunLength::steps_of(7, 0)), (3, 7));
    }
}
