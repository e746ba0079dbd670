use std::sync::Arc;

use millstream_schemas::choice::{self, FromOptions, Row};
use serde_json::Value;

use super::figure_kind::{Better, Unit};
use super::metric_function::MetricFunction;

/// A row: a metric that a recipe can choose.
#[derive(Clone, Copy, Debug)]
pub struct MetricKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Markdown: the formula and where it comes from.
    pub documentation: &'static str,
    /// Which way its figures are better.
    pub better: Better,
    /// How its figures are counted.
    pub unit: Unit,
    /// Whether one constant answer, the most frequent class, brings that class's share of the rows.
    pub of_constant_answer: bool,
    /// Batches that were worked by hand, or published; they cover the options.
    pub samples: &'static [Worked],
    /// Its options, and the metric that is made of them.
    pub build: Build,
}

/// A batch and what it gives.
#[derive(Clone, Copy, Debug)]
pub struct Worked {
    /// Options in JSON.
    pub options: &'static str,
    /// Shape of the prediction, and of the targets.
    pub shape: &'static [usize],
    /// Scores or numbers, row-major.
    pub prediction: &'static [f32],
    /// Probabilities of classes, or numbers; rows of zeros among the first have no class.
    pub targets: &'static [f32],
    /// Figures and tables in JSON.
    pub wanted: &'static str,
}

impl Row for MetricKind {
    const KIND: &'static str = "metric";

    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> &str {
        self.summary
    }

    fn schema(&self) -> Value {
        self.build.schema()
    }

    fn accepts(&self, options: &Value) -> bool {
        self.build.accepts(options)
    }
}

/// The options of a row, and how its metric is made of them.
pub type Build = choice::Build<dyn MetricFunction>;

impl<T: MetricFunction + 'static> FromOptions<T> for dyn MetricFunction {
    fn from_options(options: T) -> Arc<Self> {
        Arc::new(options)
    }
}
