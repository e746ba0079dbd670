//! A metric.

use millstream::compiler::losses::PredictionKind;
use millstream::schemas::choice::Options;
use millstream::training::metrics::{
    self, Better, Cell, MeasuredBatch, Meter, MetricFunction, MetricKind, Record, Table, Unit, Worked,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const KAPPA: MetricKind = MetricKind {
    name: "kappa",
    summary: "Agreement beyond what chance would bring.",
    documentation: "Cohen (1960): (p − c) / (1 − c) for the share p of right answers and the share c that chance would bring.",
    better: Better::Higher,
    unit: Unit::Number,
    of_constant_answer: false,
    samples: &[Worked {
        options: "{}",
        shape: &[2, 2],
        prediction: &[1.0, 0.0, 0.0, 1.0],
        targets: &[1.0, 0.0, 0.0, 1.0],
        wanted: r#"{"kappa": 1.0}"#,
    }],
    build: metrics::Build::of::<Kappa>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Kappa {}

impl Options for Kappa {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl MetricFunction for Kappa {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn figure_names(&self) -> Vec<String> {
        vec!["kappa".into()]
    }

    fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        Ok(Box::new(Agreement { right: 0.0, of_class: vec![0.0; classes.len()], taken: vec![0.0; classes.len()] }))
    }
}

struct Agreement {
    right: f64,
    of_class: Vec<f64>,
    taken: Vec<f64>,
}

impl Meter for Agreement {
    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        batch.each_answer(|answer| {
            self.of_class[answer.truth] += 1.0;
            if let Some(predicted) = answer.predicted {
                self.taken[predicted] += 1.0;
                self.right += f64::from(u8::from(predicted == answer.truth));
            }
        });
    }

    fn figures(&self) -> Vec<Option<f64>> {
        let rows: f64 = self.of_class.iter().sum();
        let by_chance: f64 = self.of_class.iter().zip(&self.taken).map(|(a, b)| a * b / (rows * rows)).sum();
        vec![(rows > 0.0).then(|| (self.right / rows - by_chance) / (1.0 - by_chance))]
    }

    fn tables(&self) -> Vec<(String, Table)> {
        let record = |taken: &f64| Record(vec![("taken".into(), Cell::Count(*taken as u64))]);
        vec![("answers".into(), Table::Classes(self.taken.iter().map(record).collect()))]
    }
}
