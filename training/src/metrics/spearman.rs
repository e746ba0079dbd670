//! The correlation of the orders.

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
    name: "spearman",
    summary: "The correlation of the order of the predictions with that of the targets, 1 at best.",
    documentation: "The correlation of the ranks of both, equal numbers with the mean of their ranks (Spearman, \"The proof and \
        measurement of association between two things\", 1904), as SciPy's `spearmanr`. Of rows of several numbers the mean over \
        them. A number of which the targets or the predictions are all the same, or one is no number, is left out; where none is \
        left there is no figure. It holds the \
        numbers of all rows until the evaluation ends, 8 bytes for each, \
        and while it is computed 32 more for each row.",
    better: Better::Higher,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[
        Worked {
            options: "{}",
            shape: &[5, 1],
            prediction: &[5.0, 6.0, 7.0, 8.0, 7.0],
            targets: &[1.0, 2.0, 3.0, 4.0, 5.0],
            wanted: r#"{"spearman": 0.8207826816681233}"#,
        },
        Worked {
            options: "{}",
            shape: &[3, 2],
            prediction: &[0.0, 2.0, -1.0, 2.0, 8.0, -5.0],
            targets: &[0.5, 1.0, -1.0, 1.0, 7.0, -6.0],
            wanted: r#"{"spearman": 1.0}"#,
        },
        Worked {
            options: "{}",
            shape: &[3, 1],
            prediction: &[1.0, 1.0, 1.0],
            targets: &[1.0, 2.0, 3.0],
            wanted: r#"{"spearman": null}"#,
        },
    ],
    build: Build::of::<Spearman>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Spearman {}

impl Options for Spearman {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for Spearman {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Numbers
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["spearman".into()]
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
        vec![self.0.mean(correlation_of_ranks)]
    }
}

fn correlation_of_ranks(rows: &[(f32, f32)]) -> Option<f64> {
    if rows.iter().any(|(predicted, wanted)| !predicted.is_finite() || !wanted.is_finite()) {
        return None;
    }
    let predicted = around_middle(rows.iter().map(|(predicted, _)| *predicted));
    let wanted = around_middle(rows.iter().map(|(_, wanted)| *wanted));
    let sum = |a: &[i64], b: &[i64]| a.iter().zip(b).map(|(a, b)| i128::from(*a) * i128::from(*b)).sum::<i128>();
    let variances = (sum(&predicted, &predicted) as f64).sqrt() * (sum(&wanted, &wanted) as f64).sqrt();
    (variances > 0.0).then(|| sum(&predicted, &wanted) as f64 / variances)
}

/// Twice the rank of each value less the mean rank: whole numbers, whose sums no order of the rows changes.
fn around_middle(values: impl Iterator<Item = f32>) -> Vec<i64> {
    let mut sorted: Vec<(usize, f32)> = values.enumerate().collect();
    sorted.sort_unstable_by(|(_, a), (_, b)| a.total_cmp(b));
    let mut ranks = vec![0; sorted.len()];
    let (rows, mut before) = (sorted.len() as i64, 0);
    for equal in sorted.chunk_by(|(_, a), (_, b)| a == b) {
        let count = equal.len() as i64;
        for (row, _) in equal {
            ranks[*row] = 2 * before + count - rows;
        }
        before += count;
    }
    ranks
}
