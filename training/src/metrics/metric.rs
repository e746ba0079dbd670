use std::sync::Arc;

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::{Catalog, Choice, ChoiceError};

use super::figure_kind::FigureKind;
use super::metric_function::{Meter, MetricFunction};
use super::metric_kind::MetricKind;

/// A metric that was chosen.
#[derive(Clone, Debug)]
pub struct Metric {
    choice: Choice,
    figures: Vec<FigureKind>,
    function: Arc<dyn MetricFunction>,
}

impl Metric {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<MetricKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let row = catalog.find(choice, place)?;
        let (choice, function) = row.build.choose(choice, place)?;
        let MetricKind { better, unit, of_constant_answer, .. } = *row;
        let figure = |name| FigureKind { name, better, unit, of_constant_answer };
        let figures = function.figure_names().into_iter().map(figure).collect();
        Ok(Self { choice, figures, function })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The figures that it gives, in order.
    pub fn figures(&self) -> &[FigureKind] {
        &self.figures
    }

    /// What it measures.
    pub fn reads(&self) -> PredictionKind {
        self.function.reads()
    }

    /// All that it measures.
    pub(super) fn reads_any(&self) -> impl Iterator<Item = PredictionKind> {
        std::iter::once(self.reads()).chain(self.function.reads_also().iter().copied())
    }

    /// Begins to measure.
    ///
    /// # Errors
    /// It makes no sense for these classes; in words.
    pub fn start(&self, classes: &[String]) -> Result<Box<dyn Meter>, String> {
        self.function.start(classes)
    }
}
