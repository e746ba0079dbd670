//! Intervals of figures that are no shares of rows.

use millstream_schemas::{GOLDEN, mix};

use super::measured_batch::MeasuredRow;
use super::metric::Metric;
use super::metric_function::{Meter, RowCounts};
use crate::RowLoss;

/// How intervals are found of any figure: rows are drawn again with replacement, as many as there are, and the figure is
/// measured of them, `resamples` times; the interval of 95 % is from the 2.5th to the 97.5th percentile (Efron, "Bootstrap
/// methods: another look at the jackknife", 1979), another one accordingly.
///
/// All that was predicted is held in memory until the evaluation ends, 4 bytes a number, or what a metric counts of each row where that is
/// less, and each metric is measured `resamples` times more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// How often, 1 or more; 1000 are usual.
    pub resamples: u32,
    /// What decides which rows are drawn.
    pub seed: u64,
}

/// Rows that are drawn, as one metric measures them.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldRows<'a> {
    pub(super) rows: &'a [MeasuredRow],
    /// Of each row, where the metric counts them in place of the rows; otherwise none.
    pub(super) counts: &'a [RowCounts],
    /// As of [`MeasuredBatch::with_thresholds`](super::MeasuredBatch::with_thresholds).
    pub(super) thresholds: &'a [f64],
}

/// It was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, seed: 0 }
    }
}

impl Bootstrap {
    /// An interval for each figure of a metric of these rows; none where fewer than two rows, or no draw of them, have the
    /// figure, or an end of it is infinite. `go_on` is asked before each resample.
    ///
    /// # Errors
    /// It said no.
    pub(super) fn intervals(
        self,
        metric: &Metric,
        classes: &[String],
        held: HeldRows<'_>,
        confidence: f64,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<Option<[f64; 2]>>, Stopped> {
        let figures = metric.figures().len();
        let mut found: Vec<Vec<f64>> = vec![Vec::new(); figures];
        self.resampled(metric, classes, held, go_on, &mut |meter| {
            for (values, value) in found.iter_mut().zip(meter.figures()) {
                values.extend(value.filter(|value| !value.is_nan()));
            }
        })?;
        Ok(found.into_iter().map(|values| interval(values, confidence)).collect())
    }

    /// Hands on what a metric counts of each draw of these rows; nothing where they are fewer than two. `go_on` is asked before each.
    ///
    /// # Errors
    /// It said no.
    pub(super) fn resampled(
        self,
        metric: &Metric,
        classes: &[String],
        HeldRows { rows, counts, thresholds }: HeldRows<'_>,
        go_on: &mut dyn FnMut() -> bool,
        take: &mut dyn FnMut(&dyn Meter),
    ) -> Result<(), Stopped> {
        let resamples = if rows.len() < 2 { 0 } else { self.resamples };
        for resample in 0..resamples {
            if !go_on() {
                return Err(Stopped);
            }
            let mut meter = metric.start(classes).expect("the metric was begun with these classes before");
            for row in self.drawn(resample, rows.len()) {
                match counts.get(row) {
                    Some(counts) => meter.add_counts(counts),
                    None => meter.add(&rows[row].batch().with_thresholds(thresholds)),
                }
            }
            take(&*meter);
        }
        Ok(())
    }

    /// The interval of the mean of the rows' losses by their weights; none where fewer than two rows have one, or an end of it is infinite.
    /// `go_on` is asked before each resample.
    ///
    /// # Errors
    /// It said no.
    pub(super) fn interval_of_loss(
        self,
        rows: &[RowLoss],
        confidence: f64,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<[f64; 2]>, Stopped> {
        if rows.len() < 2 {
            return Ok(None);
        }
        let mut found = Vec::with_capacity(self.resamples as usize);
        for resample in 0..self.resamples {
            if !go_on() {
                return Err(Stopped);
            }
            let (mean, _) = RowLoss::mean(self.drawn(resample, rows.len()).map(|row| rows[row]));
            found.extend(Some(mean).filter(|mean| !mean.is_nan()));
        }
        Ok(interval(found, confidence))
    }

    /// Numbers of rows that are drawn with replacement, as many as there are.
    fn drawn(self, resample: u32, rows: usize) -> impl Iterator<Item = usize> {
        let mut state = mix(mix(self.seed).wrapping_add(u64::from(resample)));
        (0..rows).map(move |_| {
            state = state.wrapping_add(GOLDEN);
            // The high half of the product: a number below the number of rows.
            ((u128::from(mix(state)) * rows as u128) >> 64) as usize
        })
    }
}

/// From which to which percentile such a share of values lies; none of no value, or where an end is infinite.
pub fn interval(mut values: Vec<f64>, confidence: f64) -> Option<[f64; 2]> {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    // Between two values in proportion, as NumPy's percentiles.
    let percentile = |share: f64| {
        let place = share * last as f64;
        let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
        if below == above { below } else { below + (above - below) * place.fract() }
    };
    let outside = (1.0 - confidence) / 2.0;
    Some([percentile(outside), percentile(1.0 - outside)]).filter(|ends| ends.iter().all(|end| end.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_lies_between_two_percentiles() {
        // numpy.percentile(range(1, 12), [2.5, 97.5])
        let [low, high] = interval((1..12).rev().map(f64::from).collect(), 0.95).unwrap();
        assert!((low - 1.25).abs() < 1e-12 && (high - 10.75).abs() < 1e-12, "{low} {high}");
        // numpy.percentile(range(1, 12), [10, 90])
        let [low, high] = interval((1..12).map(f64::from).collect(), 0.8).unwrap();
        assert!((low - 2.0).abs() < 1e-12 && (high - 10.0).abs() < 1e-12, "{low} {high}");
        let mut values: Vec<f64> = (1..12).map(f64::from).collect();
        values[10] = f64::INFINITY;
        assert_eq!(interval(values.clone(), 0.95), None, "JSON has no infinite numbers");
        assert!(interval(values, 0.5).is_some());
        assert_eq!((interval(vec![0.5], 0.95), interval(Vec::new(), 0.95)), (Some([0.5, 0.5]), None));
    }
}
