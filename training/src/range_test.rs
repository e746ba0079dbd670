//! The learning-rate range test: the rate grows from step to step until the loss does.

use serde::Serialize;

use crate::TrainingError;

/// A step of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RatePoint {
    /// The learning rate.
    pub learning_rate: f64,
    /// Loss of the batch before the update.
    pub loss: f64,
    /// Mean of it and those before, see [`RangeTest`].
    pub smoothed_loss: f64,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeEnding {
    /// All steps are made.
    Finished,
    /// The loss grew away, or was no number.
    Diverged,
    /// It was asked to stop, or the rows were at their end.
    Stopped,
}

/// What a test suggests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SuggestedRates {
    /// Where the smoothed loss falls fastest over the logarithm of the rate.
    pub steepest: f64,
    /// A tenth of the rate at which the smoothed loss is lowest.
    pub tenth_of_minimum: f64,
}

/// A learning-rate range test after Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3, with a rate
/// that grows by the same factor from step to step: rᵢ = a·(b/a)^(i/(n−1)).
///
/// Losses are smoothed by an exponential mean that is corrected for its start, sᵢ = mᵢ/(1 − βⁱ), mᵢ = β·mᵢ₋₁ + (1 − β)·lᵢ, with
/// β = 1 − 10/n, not below 0.5: a mean over about a tenth of the steps. The test ends where a loss is no number, and, behind its
/// first tenth, where the smoothed loss is above the lowest one by more than three times that, or by more than three
/// quarters of the first loss where that is more; where the lowest and the first are 0 there is no such measure.
#[derive(Clone, Debug)]
pub struct RangeTest {
    from: f64,
    to: f64,
    steps: u64,
    mean: f64,
    weight: f64,
    points: Vec<RatePoint>,
}

impl RangeTest {
    /// The fewest steps that tell something.
    pub const FEWEST: u64 = 10;

    /// From a learning rate to a higher one in so many steps.
    ///
    /// # Errors
    /// The rates are no finite numbers above 0 in this order, or the steps are fewer than [`RangeTest::FEWEST`].
    pub fn new(from: f64, to: f64, steps: u64) -> Result<Self, TrainingError> {
        let is_rate = |rate: f64| rate.is_finite() && (rate as f32).is_finite() && rate as f32 > 0.0;
        TrainingError::check("from", from as f32, is_rate(from), "a learning rate above 0")?;
        TrainingError::check("to", to as f32, is_rate(to) && to > from, "a learning rate above the first")?;
        TrainingError::check("steps", steps as f32, steps >= Self::FEWEST, "10 or more")?;
        Ok(Self { from, to, steps, mean: 0.0, weight: 0.0, points: Vec::new() })
    }

    /// The rate of the next step; none when all are made.
    pub fn next_rate(&self) -> Option<f64> {
        let done = self.points.len() as u64;
        let share = done as f64 / (self.steps - 1) as f64;
        (done < self.steps).then(|| self.from * (self.to / self.from).powf(share))
    }

    /// Takes in the loss of the step that [`RangeTest::next_rate`] was for; says whether the test has diverged by it. A loss that is
    /// no number is no point.
    pub fn add(&mut self, loss: f64) -> bool {
        let Some(learning_rate) = self.next_rate().filter(|_| loss.is_finite()) else { return true };
        let keep = (1.0 - 10.0 / self.steps as f64).max(0.5);
        self.mean = keep * self.mean + (1.0 - keep) * loss;
        self.weight = keep * self.weight + (1.0 - keep);
        let smoothed_loss = self.mean / self.weight;
        self.points.push(RatePoint { learning_rate, loss, smoothed_loss });
        let lowest = self.points.iter().map(|point| point.smoothed_loss).fold(f64::INFINITY, f64::min);
        let room = 3.0 * lowest.abs().max(self.points[0].loss.abs() / 4.0);
        room > 0.0 && self.points.len() as u64 > self.steps / 10 && smoothed_loss > lowest + room
    }

    /// The steps so far.
    pub fn points(&self) -> &[RatePoint] {
        &self.points
    }

    /// What they suggest; nothing where the loss never fell.
    pub fn suggestion(&self) -> Option<SuggestedRates> {
        let smoothed = |index: usize| self.points[index].smoothed_loss;
        let lowest = (0..self.points.len()).min_by(|a, b| smoothed(*a).total_cmp(&smoothed(*b)))?;
        // where the mean has seen little it jumps
        let first = (self.steps / 10).max(1) as usize;
        let slope = |index: usize| smoothed(index + 1) - smoothed(index - 1);
        let falls = first..lowest.min(self.points.len().saturating_sub(1));
        let steepest = falls.min_by(|a, b| slope(*a).total_cmp(&slope(*b))).filter(|index| slope(*index) < 0.0)?;
        let rate = |index: usize| self.points[index].learning_rate;
        Some(SuggestedRates { steepest: rate(steepest), tenth_of_minimum: rate(lowest) / 10.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test on a loss that is a function of the rate.
    fn tested(from: f64, to: f64, steps: u64, loss: impl Fn(f64) -> f64) -> (RangeTest, bool) {
        let mut test = RangeTest::new(from, to, steps).unwrap();
        while let Some(rate) = test.next_rate() {
            if test.add(loss(rate)) {
                return (test, true);
            }
        }
        (test, false)
    }

    #[test]
    fn rates_grow_by_the_same_factor_from_the_first_to_the_last() {
        let (test, diverged) = tested(1e-5, 1.0, 11, |_| 1.0);
        let rates: Vec<f64> = test.points().iter().map(|point| point.learning_rate).collect();
        assert!(!diverged && rates.len() == 11 && test.next_rate().is_none());
        for (step, rate) in rates.iter().enumerate() {
            let wanted = 10.0_f64.powf(-5.0 + 0.5 * step as f64);
            assert!((rate / wanted - 1.0).abs() < 1e-12, "step {step}: {rate}, wanted {wanted}");
        }
        assert_eq!(test.suggestion(), None, "a loss that never falls suggests nothing");
    }

    #[test]
    fn the_smoothed_loss_is_the_mean_that_is_documented() {
        let mut test = RangeTest::new(1e-3, 1.0, 100).unwrap();
        let losses = [2.0, 1.0, 4.0];
        losses.iter().for_each(|loss| assert!(!test.add(*loss)));
        // β = 0.9: 2; (0.9·2 + 1)/1.9; (0.81·2 + 0.9·1 + 4)/2.71
        let wanted = [2.0, 2.8 / 1.9, 6.52 / 2.71];
        for (point, wanted) in test.points().iter().zip(wanted) {
            assert!((point.smoothed_loss - wanted).abs() < 1e-12, "{point:?}, wanted {wanted}");
        }
    }

    #[test]
    fn the_suggestion_is_where_the_loss_falls_fastest_and_a_tenth_of_where_it_is_lowest() {
        // a step down at 1e-3 and up at 1e-1, on a scale of logarithms
        let bend = |rate: f64, at: f64| 1.0 / (1.0 + (-4.0 * (rate.log10() - at)).exp());
        let (test, diverged) = tested(1e-6, 10.0, 300, |rate| 2.0 - 1.5 * bend(rate, -3.0) + 40.0 * bend(rate, 0.0));
        let suggested = test.suggestion().unwrap();
        assert!(diverged && test.points().len() < 300);
        // the mean is behind by about a twentieth of the seven decades
        assert!((1e-3..3e-3).contains(&suggested.steepest), "{suggested:?}");
        assert!((1e-3..1e-2).contains(&suggested.tenth_of_minimum), "{suggested:?}");
    }

    #[test]
    fn a_loss_that_is_no_number_ends_the_test_and_is_no_point() {
        let mut test = RangeTest::new(1e-3, 1.0, 20).unwrap();
        assert!(!test.add(1.0));
        assert!(test.add(f64::NAN));
        assert_eq!(test.points().len(), 1);
        // small losses may jump
        let (test, diverged) = tested(1e-4, 1.0, 50, |rate| if rate < 1e-3 { 2.0 } else { 0.01 + 0.2 * rate });
        assert!(!diverged, "{:?}", test.points().last());
    }

    #[test]
    fn a_test_whose_first_loss_is_0_goes_on() {
        let mut test = RangeTest::new(1e-3, 1.0, 30).unwrap();
        for step in 0..30 {
            // a first batch without a pair that is too near, then usual ones
            let loss = if step == 0 { 0.0 } else { 0.2 };
            assert!(!test.add(loss), "step {step}");
        }
        assert_eq!(test.points().len(), 30);
    }

    #[test]
    fn ranges_that_make_no_sense_are_refused() {
        for (from, to, steps, wanted) in [
            (0.0, 1.0, 100, "from is 0"),
            (f64::NAN, 1.0, 100, "from is NaN"),
            (1.0, 1.0, 100, "to is 1"),
            (1e-3, f64::INFINITY, 100, "to is inf"),
            (1e-3, 1.0, 9, "steps is 9: wanted 10 or more"),
        ] {
            let message = RangeTest::new(from, to, steps).unwrap_err().to_string();
            assert!(message.contains(wanted), "{wanted} is missing in: {message}");
        }
    }
}
