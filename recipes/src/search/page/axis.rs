//! An axis: where values lie on it, from 0 to 1, and its ticks.

use millstream_schemas::{decimal, grouped, shown_up_to};
use millstream_search::spaces::Parameter;
use millstream_training::metrics::{FigureKind, Unit};

use serde_json::Value;

use crate::search::{alternative_in_words, shown_figure};

/// Letters of a tick at most.
const LONGEST: usize = 14;
/// Alternatives that are named; of more the first and the last.
const MOST_NAMED: usize = 8;

/// What lies where.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) name: String,
    pub(super) ticks: Vec<(f64, String)>,
    low: f64,
    high: f64,
}

impl Axis {
    /// Over these values of a figure, those that are numbers; none without one.
    pub(super) fn of_figure(kind: &FigureKind, values: impl Iterator<Item = f64>) -> Option<Self> {
        let label = |value: f64| match kind.unit {
            Unit::Share => shown_figure(kind, Some(value)),
            Unit::Number if kind.name == "model_bytes" => shown_figure(kind, Some(value)),
            Unit::Number => number(value),
        };
        let values: Vec<f64> = values.collect();
        let axis = Self::spanning(kind.label(), values.iter().copied(), label)?;
        let are_shares =
            kind.unit == Unit::Share && values.iter().all(|value| value.is_nan() || (0.0..=1.0).contains(value));
        Some(if are_shares { axis.within_shares() } else { axis })
    }

    /// No further than from nothing to all.
    fn within_shares(self) -> Self {
        let Self { name, ticks, low: from, high: to } = self;
        let (low, high) = (from.max(0.0), to.min(1.0));
        let moved = ticks.into_iter().map(|(at, label)| ((from + at * (to - from) - low) / (high - low), label));
        let ticks = moved.filter(|(at, _)| (-1e-9..=1.0 + 1e-9).contains(at)).collect();
        Self { name, ticks, low, high }
    }

    /// Over whole numbers, such as steps.
    pub(super) fn of_counts(name: &str, values: impl Iterator<Item = u64>) -> Option<Self> {
        let mut axis =
            Self::spanning(name.into(), values.map(|value| value as f64), |value| grouped(value.max(0.0) as u64))?;
        axis.ticks.dedup_by(|a, b| a.1 == b.1);
        Some(axis)
    }

    /// Over all that a parameter may be.
    pub(super) fn of_parameter(parameter: &Parameter) -> Self {
        let distribution = &parameter.distribution;
        let ticks = match distribution.alternatives() {
            Some(values) => {
                let named = |at: &usize| values.len() <= MOST_NAMED || *at == 0 || at + 1 == values.len();
                let tick = |at: usize| (distribution.unit(at as f64), setting(values, &values[at], LONGEST));
                (0..values.len()).filter(named).map(tick).collect()
            }
            None => {
                let mut settings: Vec<f64> = [0.0, 0.5, 1.0].map(|unit| distribution.at(unit)).to_vec();
                settings.dedup();
                let tick = |value: f64| (distribution.unit(value), setting(&[], &distribution.value(value), LONGEST));
                settings.into_iter().map(tick).collect()
            }
        };
        Self { name: parameter.name.clone(), ticks, low: 0.0, high: 1.0 }
    }

    fn spanning(name: String, values: impl Iterator<Item = f64>, label: impl Fn(f64) -> String) -> Option<Self> {
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite.fold(None, |range: Option<(f64, f64)>, value| {
            Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        })?;
        let flat = high - low <= 1e-9 * low.abs().max(high.abs());
        let padding = if flat { low.abs().max(1e-6) * 0.1 } else { 0.0 };
        let (low, high) = (low - padding, high + padding);
        let rough = (high - low) / 4.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * (1.0 - 1e-9));
        let step = step.unwrap_or(10.0 * power);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let (low, high) = (first * step, last * step);
        let ticks = (0..=(last - first) as usize).map(|at| {
            let value = (first + at as f64) * step;
            ((value - low) / (high - low), label(value))
        });
        Some(Self { name, ticks: ticks.collect(), low, high })
    }

    /// Where a value lies; none where it cannot be drawn.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        value.is_finite().then(|| (value - self.low) / (self.high - self.low))
    }
}

/// A value of a recipe in so many letters, among these alternatives where there are any.
pub(super) fn setting(alternatives: &[Value], value: &Value, most: usize) -> String {
    if let Value::Number(one) = value {
        let float = one.as_f64().filter(|_| !one.is_i64() && !one.is_u64());
        return float.map_or_else(|| one.to_string(), number);
    }
    alternative_in_words(alternatives, value, most).unwrap_or_else(|| shown_up_to(value.to_string(), most))
}

/// Four digits that count.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if !(1e-3..1e6).contains(&size) => {
            let text = format!("{value:.2e}");
            text.replace(".00e", "e")
        }
        size if size >= 1e3 => {
            let rounded = grouped(size.round() as u64);
            if value < 0.0 { format!("−{rounded}") } else { rounded }
        }
        _ => {
            let text = decimal(value);
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_of_shares_ends_at_all() {
        let kind = FigureKind { name: "accuracy".into(), unit: Unit::Share, ..FigureKind::loss() };
        for values in [[1.0, 1.0], [0.7, 0.99], [0.0, 0.3]] {
            let axis = Axis::of_figure(&kind, values.into_iter()).unwrap();
            assert!(axis.low >= 0.0 && axis.high <= 1.0, "{axis:?}");
            assert!(
                axis.ticks.len() > 1 && axis.ticks.iter().all(|(at, _)| (-1e-6..=1.000_001).contains(at)),
                "{axis:?}"
            );
        }
    }
}
