//! An axis: which values it spans, where they lie, and its ticks.

use millstream_schemas::grouped;
use serde::Serialize;

/// What the values of an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Any numbers.
    Numbers,
    /// How much of something there is: from nothing on.
    Amounts,
    /// Shares of a whole: in percent, from nothing to all.
    Shares,
    /// Whole numbers, such as steps and epochs: no tick lies between two.
    Counts,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Over these finite values, drawn between two coordinates; none without a value.
    pub(super) fn new(scale: Scale, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let (low, high) = values.fold(None, |range: Option<(f64, f64)>, value| {
            Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        })?;
        let (low, high) = match scale {
            Scale::Numbers if low >= 0.0 && low <= high / 2.0 => (0.0, high),
            Scale::Amounts => (low.min(0.0), high.max(0.0)),
            Scale::Shares => (low.min(0.0), high.max(1.0)),
            Scale::Numbers | Scale::Counts => (low, high),
        };
        // Less than that is rounding, and no step would be left to count by.
        let flat = high - low <= 1e-9 * low.abs().max(high.abs());
        let padding = match scale {
            _ if !flat => 0.0,
            Scale::Counts | Scale::Amounts | Scale::Shares => 1.0,
            Scale::Numbers => low.abs().max(1e-6) * 0.5,
        };
        let (mut low, high) = (if scale == Scale::Amounts { low } else { low - padding }, high + padding);
        let rough = (high - low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * (1.0 - 1e-9));
        let mut step = step.unwrap_or(10.0 * power);
        if scale == Scale::Counts {
            step = step.max(1.0);
            low = low.max(0.0);
        }
        let (low, high) = ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
        Some(Self { scale, low, high, step, from, to })
    }

    /// The coordinate of a value.
    pub(super) fn place(&self, value: f64) -> f64 {
        tenth(self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from))
    }

    pub(super) fn ticks(&self) -> Vec<Tick> {
        let count = ((self.high - self.low) / self.step).round() as i64;
        let tick = |index: i64| {
            // Of the step, so that nothing becomes −0 or 0.30000000000000004.
            let value = ((self.low / self.step).round() + index as f64) * self.step;
            Tick { at: self.place(value), label: self.label(value) }
        };
        (0..=count).map(tick).collect()
    }

    /// The lowest value, where the axis leaves out what lies between nothing and it.
    pub(super) fn cut_off(&self) -> Option<String> {
        (self.scale == Scale::Numbers && self.low > 0.0).then(|| self.label(self.low))
    }

    fn label(&self, value: f64) -> String {
        let digits = |step: f64| (-step.log10().floor()).max(0.0) as usize;
        let largest = self.low.abs().max(self.high.abs());
        match self.scale {
            Scale::Counts => grouped(value as u64),
            Scale::Shares => format!("{:.1$} %", value * 100.0, digits(self.step * 100.0 * (1.0 + 1e-9))),
            Scale::Numbers | Scale::Amounts if self.step >= 1.0 && (1e4..1e6).contains(&largest) => {
                format!("{}{}", if value < 0.0 { "−" } else { "" }, grouped(value.abs().round() as u64))
            }
            // Enough digits that no two ticks read the same.
            Scale::Numbers | Scale::Amounts if self.step < 1e-4 || largest >= 1e5 => {
                let precision = value.abs().log10().floor() - (self.step * (1.0 + 1e-9)).log10().floor();
                if value == 0.0 { "0".into() } else { format!("{value:.0$e}", precision.clamp(0.0, 12.0) as usize) }
            }
            Scale::Numbers | Scale::Amounts => format!("{value:.0$}", digits(self.step * (1.0 + 1e-9))),
        }
    }
}

/// Finer is not seen.
fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: [&str; 6] = ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"];

    #[test]
    fn ticks_are_round_cover_the_values_and_differ() {
        use Scale::{Amounts, Counts, Numbers, Shares};
        for (scale, values, labels) in [
            (Numbers, vec![0.0, 1.0], vec!["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (Numbers, vec![3.0, 97.0], vec!["0", "20", "40", "60", "80", "100"]),
            (Numbers, vec![2.0], vec!["1.0", "1.5", "2.0", "2.5", "3.0"]),
            (Numbers, vec![0.0, 3e-5], vec!["0", "1e-5", "2e-5", "3e-5"]),
            (Numbers, vec![1.0e-3, 1.05e-3], vec!["1.00e-3", "1.01e-3", "1.02e-3", "1.03e-3", "1.04e-3", "1.05e-3"]),
            (Numbers, vec![-5e4, 1e5], vec!["−50,000", "0", "50,000", "100,000"]),
            (Numbers, vec![0.0, 3e30], vec!["0", "1e30", "2e30", "3e30"]),
            (Numbers, vec![3.4953, 3.5852], vec!["3.48", "3.50", "3.52", "3.54", "3.56", "3.58", "3.60"]),
            (Numbers, vec![0.9, 2.1], vec!["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"]),
            (Amounts, vec![40.0, 69.0], vec!["0", "20", "40", "60", "80"]),
            (Amounts, vec![3e-4, 3e-4], vec!["0.0000", "0.0001", "0.0002", "0.0003"]),
            (Amounts, vec![0.0], vec!["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (Shares, vec![0.5, 0.848], SHARES.to_vec()),
            (Shares, vec![1.0], SHARES.to_vec()),
            (Shares, vec![0.000_014, 0.000_026], SHARES.to_vec()),
            // errors of words may be more than there are words
            (Shares, vec![0.4, 1.7], vec!["0 %", "50 %", "100 %", "150 %", "200 %"]),
            (Counts, vec![1.0, 2.0], vec!["1", "2"]),
            (Counts, vec![1.0], vec!["0", "1", "2"]),
            (Counts, vec![1.0, 5000.0], vec!["0", "1,000", "2,000", "3,000", "4,000", "5,000"]),
        ] {
            let axis = Axis::new(scale, values.iter().copied(), 0.0, 100.0).unwrap();
            let ticks = axis.ticks();
            let got: Vec<&str> = ticks.iter().map(|tick| tick.label.as_str()).collect();
            assert_eq!(got, labels, "{values:?}");
            assert!(values.iter().all(|value| (0.0..=100.0).contains(&axis.place(*value))), "{values:?}");
        }
    }

    #[test]
    fn an_axis_that_does_not_begin_at_zero_says_where_it_begins() {
        let cut_off = |scale, values: [f64; 2]| Axis::new(scale, values.into_iter(), 0.0, 1.0).unwrap().cut_off();
        assert_eq!(cut_off(Scale::Numbers, [3.4953, 3.5852]).as_deref(), Some("3.48"));
        assert_eq!(cut_off(Scale::Numbers, [0.9, 2.1]), None);
        assert_eq!(cut_off(Scale::Numbers, [-1.0, 2.1]), None);
        assert_eq!(cut_off(Scale::Shares, [0.9, 0.91]), None);
    }

    #[test]
    fn values_that_differ_by_rounding_alone_still_have_an_axis() {
        let axis = Axis::new(Scale::Numbers, [1.0, 1.0 + f64::EPSILON].into_iter(), 0.0, 100.0).unwrap();
        assert!(axis.ticks().len() > 2 && axis.place(1.0).is_finite());
        assert!(Axis::new(Scale::Numbers, std::iter::empty(), 0.0, 1.0).is_none());
    }
}
