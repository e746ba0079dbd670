use millstream_compiler::losses::PredictionKind;
use millstream_schemas::choice::{Catalog, Choice, ChoiceError};
use millstream_schemas::{nearest, shown};

use super::bootstrap::Bootstrap;
use super::figure_kind::FigureKind;
use super::interval::USUAL_CONFIDENCE;
use super::metric::Metric;
use super::metric_function::Meter;
use super::metric_kind::MetricKind;
use crate::TrainingError;

/// What an evaluation measures, and which of its figures decides.
#[derive(Clone, Debug)]
pub struct MetricSet {
    reads: PredictionKind,
    metrics: Vec<Metric>,
    decides: FigureKind,
    bootstrap: Option<Bootstrap>,
    confidence: f64,
    thresholds: Vec<f64>,
    most_bytes: Option<u64>,
}

/// Where a recipe chooses them.
const PLACE: &str = "training.metrics";
/// Where a recipe names the figure that decides.
const BEST: &str = "training.best";

impl MetricSet {
    /// What a recipe chooses from a catalog for a model whose output is read so; the usual ones where it chooses none.
    /// `best` names the figure that decides: where it is not said, the accuracy, or the loss where there is none.
    ///
    /// # Errors
    /// An unknown name or option, a value that makes no sense, a metric of something else, two figures of one name, or a
    /// figure that no metric gives.
    pub fn choose(
        catalog: &Catalog<MetricKind>,
        choices: Option<&[Choice]>,
        best: Option<&str>,
        reads: PredictionKind,
    ) -> Result<Self, ChoiceError> {
        let usual = usual(reads);
        let mut this = Self {
            reads,
            metrics: Vec::new(),
            decides: FigureKind::loss(),
            bootstrap: None,
            confidence: USUAL_CONFIDENCE,
            thresholds: Vec::new(),
            most_bytes: None,
        };
        for (index, choice) in choices.unwrap_or(&usual).iter().enumerate() {
            let place = format!("{PLACE}[{index}]");
            let metric = Metric::choose(catalog, choice, &place)?;
            let name = &metric.choice().name;
            if metric.reads_any().all(|measured| measured != reads) {
                let measures: Vec<&str> = metric.reads_any().map(read_as).collect();
                let (measures, of) = (measures.join(" or "), read_as(reads));
                return Err(refused(place, format!("`{name}` measures {measures}, and the loss is one of {of}")));
            }
            let known = this.figures();
            if let Some(twice) = metric.figures().iter().find(|figure| known.contains(figure)) {
                return Err(refused(place, format!("the figure `{}` is given by another metric already", twice.name)));
            }
            this.metrics.push(metric);
        }
        this.decides = this.deciding(best)?;
        Ok(this)
    }

    fn deciding(&self, best: Option<&str>) -> Result<FigureKind, ChoiceError> {
        let mut figures = self.figures();
        figures.push(FigureKind::loss());
        let Some(best) = best else {
            return Ok(figures.into_iter().find(|figure| figure.of_constant_answer).unwrap_or_else(FigureKind::loss));
        };
        let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
        let near = nearest(best, names.iter().copied());
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        let message = format!("no figure is called `{}`{near}; there are {}", shown(best), names.join(", "));
        let found = figures.iter().find(|figure| figure.name == best).cloned();
        found.ok_or_else(|| refused(BEST.into(), message))
    }

    /// The usual ones of this crate, for a model whose output is read so.
    pub fn usual(reads: PredictionKind) -> Self {
        Self::choose(super::standard(), None, None, reads).expect("the usual metrics are rows of the catalog")
    }

    /// With intervals of figures that are no shares of rows, too.
    #[must_use]
    pub fn with_bootstrap(mut self, bootstrap: Bootstrap) -> Self {
        self.bootstrap = Some(bootstrap);
        self
    }

    /// With no intervals of figures that are no shares of rows: where figures are not looked at, they are not worth their time.
    #[must_use]
    pub fn without_bootstrap(mut self) -> Self {
        self.bootstrap = None;
        self
    }

    /// How intervals are found of figures that are no shares of rows, if they are.
    pub fn bootstrap(&self) -> Option<Bootstrap> {
        self.bootstrap
    }

    /// With intervals that hold the figure of all rows that there could be so often; 0.95 is usual, above 0 and below 1.
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// How often an interval holds the figure of all rows that there could be.
    pub fn confidence(&self) -> f64 {
        self.confidence
    }

    /// With thresholds: the log-odds above which each label is said to hold, or the one above which the second of two classes
    /// is; 0, a probability of ½, where there is none.
    #[must_use]
    pub fn with_thresholds(mut self, log_odds: Vec<f64>) -> Self {
        self.thresholds = log_odds;
        self
    }

    /// The thresholds, in log-odds; none where they are those of a probability of ½.
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// With a bound on the bytes that an evaluation holds of its rows, for figures of their order and for the bootstrap.
    #[must_use]
    pub fn with_memory(mut self, most_bytes: u64) -> Self {
        self.most_bytes = Some(most_bytes);
        self
    }

    /// Refuses to hold more than the bound.
    pub(crate) fn require_fit(&self, held: u64) -> Result<(), TrainingError> {
        match self.most_bytes.filter(|most| held > *most) {
            Some(most_bytes) => Err(TrainingError::EvaluationMemory { most_bytes }),
            None => Ok(()),
        }
    }

    /// Those that give figures, without tables alone.
    pub(super) fn of_figures(&self) -> Self {
        let metrics = self.metrics.iter().filter(|metric| !metric.figures().is_empty()).cloned();
        Self { metrics: metrics.collect(), ..self.clone() }
    }

    /// The one that gives a figure, without intervals; none where it is the loss.
    pub(crate) fn of_figure(&self, name: &str) -> Self {
        let metrics =
            self.metrics.iter().filter(|metric| metric.figures().iter().any(|figure| figure.name == name)).cloned();
        Self { metrics: metrics.collect(), bootstrap: None, ..self.clone() }
    }

    /// Refuses metrics that make no sense for these classes, in the order of the scores.
    ///
    /// # Errors
    /// The first of them, and why.
    pub fn check(&self, classes: &[String]) -> Result<(), TrainingError> {
        self.start(classes).map(drop)
    }

    /// The classes where one excludes the others, of rows or of things in them; none of labels and symbols, which have names too.
    pub(super) fn of_classes<'a>(&self, classes: &'a [String]) -> &'a [String] {
        if matches!(self.reads, PredictionKind::ClassScores | PredictionKind::Boxes) { classes } else { &[] }
    }

    /// Begins to measure.
    pub(super) fn start(&self, classes: &[String]) -> Result<Vec<Box<dyn Meter>>, TrainingError> {
        let classes = self.of_classes(classes);
        let start = |metric: &Metric| {
            let metric_name = || metric.choice().name.clone();
            metric.start(classes).map_err(|reason| TrainingError::Metric { metric: metric_name(), reason })
        };
        self.metrics.iter().map(start).collect()
    }

    /// What the model's output is read as.
    pub fn reads(&self) -> PredictionKind {
        self.reads
    }

    /// The metrics, in order.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The figures beside the loss, in order.
    pub fn figures(&self) -> Vec<FigureKind> {
        self.metrics.iter().flat_map(Metric::figures).cloned().collect()
    }

    /// The figure that decides which epoch is the best.
    pub fn decides(&self) -> &FigureKind {
        &self.decides
    }
}

fn read_as(reads: PredictionKind) -> &'static str {
    match reads {
        PredictionKind::ClassScores => "classes",
        PredictionKind::Numbers => "numbers",
        PredictionKind::LabelScores => "labels",
        PredictionKind::SequenceScores => "sequences",
        PredictionKind::Embeddings => "vectors",
        PredictionKind::Boxes => "boxes",
    }
}

fn usual(reads: PredictionKind) -> Vec<Choice> {
    let names: &[&str] = match reads {
        PredictionKind::ClassScores => &["accuracy", "top_k", "confusion_matrix", "per_class"],
        PredictionKind::Numbers => &["mse", "mae", "r2"],
        PredictionKind::LabelScores => &["f1", "exact_match"],
        PredictionKind::Boxes => &["mean_average_precision"],
        PredictionKind::SequenceScores | PredictionKind::Embeddings => &[],
    };
    names.iter().map(|name| Choice::named(*name)).collect()
}

fn refused(place: String, message: String) -> ChoiceError {
    ChoiceError::Option { place, option: String::new(), message, help: None }
}
