use std::collections::VecDeque;

/// How fast the last steps were, and the last evaluation.
#[derive(Debug, Default)]
pub(crate) struct Speed {
    steps: VecDeque<(usize, f64)>,
    evaluation: Option<f64>,
}

impl Speed {
    const STEPS: usize = 32;

    pub(crate) fn add(&mut self, rows: usize, seconds: f64) {
        if self.steps.len() == Self::STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back((rows, seconds));
    }

    pub(crate) fn add_evaluation(&mut self, seconds: f64) {
        self.evaluation = Some(seconds);
    }

    pub(crate) fn rows_per_second(&self) -> f64 {
        let rows: usize = self.steps.iter().map(|(rows, _)| rows).sum();
        rows as f64 / self.seconds().max(1e-9)
    }

    fn seconds_per_step(&self) -> f64 {
        self.seconds() / self.steps.len().max(1) as f64
    }

    /// Seconds for so many steps and evaluations; how long an evaluation takes is not known before the first.
    pub(crate) fn seconds_for(&self, steps: u64, evaluations: u64) -> f64 {
        self.seconds_per_step() * steps as f64 + self.evaluation.unwrap_or(0.0) * evaluations as f64
    }

    fn seconds(&self) -> f64 {
        self.steps.iter().map(|(_, seconds)| seconds).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_counts_evaluations_once_one_was_made() {
        let mut speed = Speed::default();
        assert_eq!(speed.seconds_for(10, 2), 0.0);
        speed.add(8, 0.5);
        assert_eq!(speed.seconds_for(10, 2), 5.0);
        speed.add_evaluation(30.0);
        assert_eq!(speed.seconds_for(10, 2), 65.0);
    }
}
