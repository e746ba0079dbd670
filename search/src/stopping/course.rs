use crate::{History, Trial};

/// A trial that reported something, among the others.
#[derive(Clone, Copy, Debug)]
pub struct Course<'a> {
    /// What is known of the others. The trial itself may be in it as it was before its report.
    pub history: History<'a>,
    /// The trial, its last report included.
    pub trial: &'a Trial,
    /// The study's seed.
    pub seed: u64,
}

impl<'a> Course<'a> {
    /// The step of the last report; 0 where there is none.
    pub fn step(&self) -> u64 {
        self.trial.last_step().unwrap_or(0)
    }

    /// The last report as a loss: the lower, the better. No number where nothing was reported.
    pub fn loss(&self) -> f64 {
        self.trial.reports.last_key_value().map_or(f64::NAN, |(_, value)| self.history.loss(*value))
    }

    /// The step of the report before the last.
    pub fn step_before(&self) -> Option<u64> {
        self.trial.reports.keys().nth_back(1).copied()
    }

    /// All reports as losses, by step.
    pub fn losses(&self) -> impl DoubleEndedIterator<Item = f64> + '_ {
        self.trial.reports.values().map(|value| self.history.loss(*value))
    }

    /// The other trials.
    pub fn others(&self) -> impl Iterator<Item = &'a Trial> + use<'a> {
        let number = self.trial.number;
        self.history.trials.iter().filter(move |trial| trial.number != number)
    }

    /// Whether a rule that looks every `interval` steps, from `warmup` on, looks at this report: the first at or behind such a
    /// step.
    pub fn is_due(&self, warmup: u64, interval: u64) -> bool {
        let Some(behind) = self.step().checked_sub(warmup) else { return false };
        let due = warmup + behind / interval.max(1) * interval.max(1);
        self.step_before().is_none_or(|before| before < due)
    }
}
