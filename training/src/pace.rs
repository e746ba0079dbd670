//! How fast a run went, over its steps.

use serde::{Deserialize, Serialize};

/// Some steps one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacePoint {
    /// The last of them, from 1.
    pub step: u64,
    /// Their rows.
    pub rows: u64,
    /// Seconds, waiting included; without evaluation and checkpoints.
    pub seconds: f64,
    /// Of these, seconds waiting for a batch.
    pub waiting: f64,
}

impl PacePoint {
    fn and(self, next: Self) -> Self {
        Self {
            step: next.step,
            rows: self.rows + next.rows,
            seconds: self.seconds + next.seconds,
            waiting: self.waiting + next.waiting,
        }
    }
}

/// How fast a run went, in at most [`Pace::MOST`] points however long it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Steps that one point covers.
    pub steps_per_point: u64,
    /// In order.
    pub points: Vec<PacePoint>,
    pending: PacePoint,
    pending_steps: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { steps_per_point: 1, points: Vec::new(), pending: PacePoint::default(), pending_steps: 0 }
    }
}

impl Pace {
    /// The most points that are kept.
    pub const MOST: usize = 200;

    /// Adds a step; `point` is about it alone.
    pub fn add(&mut self, point: PacePoint) {
        self.pending = self.pending.and(point);
        self.pending_steps += 1;
        if self.pending_steps < self.steps_per_point {
            return;
        }
        self.points.push(std::mem::take(&mut self.pending));
        self.pending_steps = 0;
        if self.points.len() >= Self::MOST {
            self.points = self.points.chunks_exact(2).map(|pair| pair[0].and(pair[1])).collect();
            self.steps_per_point *= 2;
        }
    }

    /// All points, and one more for the steps that do not fill a point yet.
    pub fn so_far(&self) -> Vec<PacePoint> {
        self.points.iter().copied().chain((self.pending_steps > 0).then_some(self.pending)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_few_points_and_every_row_and_second() {
        for steps in [1, 199, 200, 201, 12_345] {
            let mut pace = Pace::default();
            (1..=steps).for_each(|step| pace.add(PacePoint { step, rows: 8, seconds: 0.5, waiting: 0.125 }));
            let points = pace.so_far();
            assert!(points.len() <= Pace::MOST, "{steps}: {}", points.len());
            assert_eq!(points.iter().map(|point| point.rows).sum::<u64>(), 8 * steps);
            assert_eq!(points.iter().map(|point| point.seconds).sum::<f64>(), 0.5 * steps as f64);
            assert_eq!(points.iter().map(|point| point.waiting).sum::<f64>(), 0.125 * steps as f64);
            assert_eq!(points.last().unwrap().step, steps);
        }
    }
}
