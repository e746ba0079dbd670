//! The median of the absolute differences.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure_kind::{Better, Unit};
use super::measured_batch::MeasuredBatch;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::{Build, MetricKind, Worked};
use super::number_columns::NumberColumns;

pub(super) const METRIC: MetricKind = MetricKind {
    name: "median_absolute_error",
    summary: "The median of the absolute differences.",
    documentation: "The median over the rows of |prediction − target|, of an even number of rows the mean of the middle two: what \
        few rows that are far off do not move. Of rows of several numbers the mean over them, as scikit-learn's \
        `median_absolute_error`. A difference that is no number counts as infinite. It holds the \
        numbers of all rows until the evaluation ends, 8 bytes for each.",
    better: Better::Lower,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[4, 1],
            prediction: &[2.5, 0.0, 2.0, 8.0],
            targets: &[3.0, -0.5, 2.0, 7.0],
            wanted: r#"{"median_absolute_error": 0.5}"#,
        },
        Worked {
            options: "{}",
            shape: &[3, 2],
            prediction: &[0.0, 2.0, -1.0, 2.0, 8.0, -5.0],
            targets: &[0.5, 1.0, -1.0, 1.0, 7.0, -6.0],
            wanted: r#"{"median_absolute_error": 0.75}"#,
        },
    ],
    build: Build::of::<MedianAbsoluteError>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MedianAbsoluteError {}

impl Options for MedianAbsoluteError {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for MedianAbsoluteError {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Numbers
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["median_absolute_error".into()]
    }

    fn start(&self, _: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Held::default()))
    }
}

#[derive(Debug, Default)]
struct Held(NumberColumns);

impl Meter for Held {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        self.0.add(batch);
    }

    fn bytes_held(&self) -> u64 {
        self.0.bytes()
    }

    fn figures(&self) -> Vec<Option<f64>> {
        vec![self.0.mean(median_of_differences)]
    }
}

fn median_of_differences(rows: &[(f32, f32)]) -> Option<f64> {
    let difference = |(predicted, wanted): &(f32, f32)| (f64::from(*predicted) - f64::from(*wanted)).abs();
    let finite = |value: f64| if value.is_nan() { f64::INFINITY } else { value };
    let mut differences: Vec<f64> = rows.iter().map(difference).map(finite).collect();
    differences.sort_unstable_by(f64::total_cmp);
    let middle = differences.len() / 2;
    let upper = *differences.get(middle)?;
    let is_one = differences.len() % 2 == 1 || upper.is_infinite();
    Some(if is_one { upper } else { 0.5 * (differences[middle - 1] + upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_that_is_far_off_moves_little() {
        let rows = [(1.0, 1.5), (2.0, 1.0), (0.0, 0.25), (7.0, 7.75)];
        assert_eq!(median_of_differences(&rows), Some(0.625));
        for off in [f32::NAN, f32::INFINITY, 1e30] {
            assert_eq!(median_of_differences(&[&rows[..], &[(off, 0.0)]].concat()), Some(0.75));
        }
        assert_eq!(median_of_differences(&[(f32::NAN, 0.0), (1.0, 1.0)]), Some(f64::INFINITY));
        assert_eq!(median_of_differences(&[]), None);
    }
}
