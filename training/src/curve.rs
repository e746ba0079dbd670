use serde::{Deserialize, Serialize};

/// Loss and learning rate around a step: a mean over as many steps as a [`Curve`] merges.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The last step that it covers, from 1.
    pub step: u64,
    /// Mean loss.
    pub loss: f64,
    /// Learning rate of the last step, before multipliers.
    pub learning_rate: f64,
}

/// Loss and learning rate over all steps, in at most [`Curve::MOST`] points however long the run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Steps that one point covers.
    pub steps_per_point: u64,
    /// In order.
    pub points: Vec<Point>,
    pending_steps: u64,
    pending_loss: f64,
    /// Of the last step.
    #[serde(default)]
    pending_learning_rate: f64,
}

impl Default for Curve {
    fn default() -> Self {
        Self { steps_per_point: 1, points: Vec::new(), pending_steps: 0, pending_loss: 0.0, pending_learning_rate: 0.0 }
    }
}

impl Curve {
    /// The most points that are kept.
    pub const MOST: usize = 2000;

    /// Adds a step; `step` counts from 1.
    pub fn add(&mut self, step: u64, loss: f64, learning_rate: f64) {
        self.pending_steps += 1;
        self.pending_loss += loss;
        self.pending_learning_rate = learning_rate;
        if self.pending_steps < self.steps_per_point {
            return;
        }
        let loss = self.pending_loss / self.pending_steps as f64;
        self.points.push(Point { step, loss, learning_rate });
        (self.pending_steps, self.pending_loss) = (0, 0.0);
        if self.points.len() >= Self::MOST {
            let merge = |pair: &[Point]| Point { loss: (pair[0].loss + pair[1].loss) / 2.0, ..pair[1] };
            self.points = self.points.chunks_exact(2).map(merge).collect();
            self.steps_per_point *= 2;
        }
    }

    /// All points, and one more for the steps that do not fill a point yet; the last step is the last of `steps`.
    pub fn up_to(&self, steps: u64) -> Vec<Point> {
        let pending = (self.pending_steps > 0).then(|| Point {
            step: steps,
            loss: self.pending_loss / self.pending_steps as f64,
            learning_rate: self.pending_learning_rate,
        });
        self.points.iter().copied().chain(pending).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_keeps_few_points_and_the_same_mean() {
        let mut curve = Curve::default();
        let steps = 16_000_u64;
        for step in 1..=steps {
            curve.add(step, step as f64, 0.1);
        }
        assert!(curve.points.len() < Curve::MOST && curve.points.len() >= Curve::MOST / 2);
        let covered = curve.points.len() as u64 * curve.steps_per_point;
        let mean = curve.points.iter().map(|point| point.loss).sum::<f64>() / curve.points.len() as f64;
        assert!((mean - (covered + 1) as f64 / 2.0).abs() < 1e-6);
        assert_eq!(curve.points.last().unwrap().step, covered);
    }

    #[test]
    fn the_last_steps_of_a_long_run_are_on_the_curve() {
        for steps in [1, 1999, 2000, 2001, 2003, 5555, 16_001] {
            let mut curve = Curve::default();
            (1..=steps).for_each(|step| curve.add(step, step as f64, 1.0 / step as f64));
            let points = curve.up_to(steps);
            let last = points.last().unwrap();
            assert_eq!((last.step, last.learning_rate), (steps, 1.0 / steps as f64));
            let from = points.len().checked_sub(2).map_or(0, |before| points[before].step);
            assert_eq!(last.loss, (from + 1 + steps) as f64 / 2.0, "{steps}");
        }
    }
}
