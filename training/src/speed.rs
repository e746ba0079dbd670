use std::collections::VecDeque;

/// How fast the last steps were.
#[derive(Debug, Default)]
pub(crate) struct Speed(VecDeque<(usize, f64)>);

impl Speed {
    const STEPS: usize = 32;

    pub(crate) fn add(&mut self, rows: usize, seconds: f64) {
        if self.0.len() == Self::STEPS {
            self.0.pop_front();
        }
        self.0.push_back((rows, seconds));
    }

    pub(crate) fn rows_per_second(&self) -> f64 {
        let rows: usize = self.0.iter().map(|(rows, _)| rows).sum();
        rows as f64 / self.seconds().max(1e-9)
    }

    pub(crate) fn seconds_per_step(&self) -> f64 {
        self.seconds() / self.0.len().max(1) as f64
    }

    fn seconds(&self) -> f64 {
        self.0.iter().map(|(_, seconds)| seconds).sum()
    }
}
