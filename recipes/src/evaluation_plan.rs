//! What a recipe's part `evaluation` asks for.

use millstream_compiler::Model;
use millstream_compiler::losses::PredictionKind;
use millstream_pipeline::StreamOptions;
use millstream_pipeline::encodings::Encoders;
use millstream_schemas::recipe::{CalibrateRecipe, ThresholdRecipe, ViewAverage};
use millstream_schemas::{GOLDEN, Recipe, mix, shown};
use millstream_training::calibration::Criterion;
use millstream_training::metrics::Bootstrap;
use millstream_training::{Averaged, MetricSet};
use millstream_transforms::Chain;

use crate::model_inputs::require_inputs;
use crate::{Catalogs, RecipeError, RowSource};

const CALIBRATE: &str = "evaluation.calibrate";
const VIEWS: &str = "evaluation.test_time_augmentation";

/// What is measured and fitted, checked against the loss.
#[derive(Clone, Debug)]
pub(crate) struct EvaluationPlan {
    pub(crate) temperature: bool,
    pub(crate) threshold: Option<Criterion>,
    pub(crate) views: Option<Views>,
}

/// Several views of each row.
#[derive(Clone, Debug)]
pub(crate) struct Views {
    pub(crate) count: u64,
    /// Where their transforms stand.
    pub(crate) place: String,
    pub(crate) chain: Chain,
    pub(crate) averaged: Averaged,
}

impl EvaluationPlan {
    /// `views`: so many in place of what the recipe says.
    ///
    /// # Errors
    /// What is asked for does not fit the loss, or the transforms of the views make no sense.
    pub(crate) fn of(
        recipe: &Recipe,
        reads: PredictionKind,
        views: Option<u64>,
        catalogs: &Catalogs,
    ) -> Result<Self, RecipeError> {
        let CalibrateRecipe { temperature, threshold } = recipe.evaluation.calibrate;
        let are_scores = matches!(reads, PredictionKind::ClassScores | PredictionKind::LabelScores);
        if (temperature || threshold.is_some()) && !are_scores {
            let message = "only scores of classes or of labels are calibrated, and the loss is one of something else";
            return Err(RecipeError::mismatch(CALIBRATE, message));
        }
        Ok(Self { temperature, threshold: threshold.map(criterion), views: views_of(recipe, reads, views, catalogs)? })
    }

    /// Refuses a threshold where there is none to be found between two classes.
    pub(crate) fn check_classes(&self, reads: PredictionKind, classes: usize) -> Result<(), RecipeError> {
        if self.threshold.is_none() || reads == PredictionKind::LabelScores || classes == 2 {
            return Ok(());
        }
        let message = format!("a threshold tells two classes apart, and there are {classes}; leave it out");
        Err(RecipeError::mismatch(format!("{CALIBRATE}.threshold"), message))
    }

    /// Refuses views of rows whose targets lie elsewhere in each of them.
    pub(crate) fn check_targets(&self, encoders: &Encoders) -> Result<(), RecipeError> {
        let (Some(_), Some(target)) = (&self.views, encoders.moving_target()) else { return Ok(()) };
        let message = format!(
            "target `{}` moves with the image or text, so the views have no common places to take a mean over; leave it out",
            shown(target)
        );
        Err(RecipeError::mismatch(VIEWS, message))
    }

    /// Refuses views that are not what the model takes.
    pub(crate) fn check_views(&self, model: &Model, source: &RowSource, seed: u64) -> Result<(), RecipeError> {
        let Some(views) = &self.views else { return Ok(()) };
        let of_view = RowSource { chain: views.chain.clone(), ..source.clone() };
        require_inputs(model, &of_view.spec(&views.place, seed, 1)?, &views.place)
    }

    /// Whether something is fitted to the tuned model.
    pub(crate) fn calibrates(&self) -> bool {
        self.temperature || self.threshold.is_some()
    }
}

/// The metrics with the intervals that a recipe asks for.
pub(crate) fn with_intervals(metrics: MetricSet, recipe: &Recipe) -> MetricSet {
    let metrics = metrics.with_memory(recipe.data.memory.0);
    let Some(intervals) = recipe.evaluation.intervals else { return metrics };
    let metrics = metrics.with_confidence(intervals.confidence);
    match intervals.bootstrap {
        0 => metrics,
        resamples => metrics.with_bootstrap(Bootstrap { resamples, seed: recipe.seed }),
    }
}

fn criterion(threshold: ThresholdRecipe) -> Criterion {
    match threshold {
        ThresholdRecipe::F1 => Criterion::F1,
        ThresholdRecipe::Youden => Criterion::Youden,
        ThresholdRecipe::Recall(least) => Criterion::Recall(least),
        ThresholdRecipe::Precision(least) => Criterion::Precision(least),
    }
}

fn views_of(
    recipe: &Recipe,
    reads: PredictionKind,
    views: Option<u64>,
    catalogs: &Catalogs,
) -> Result<Option<Views>, RecipeError> {
    let said = recipe.evaluation.test_time_augmentation.as_ref();
    let Some(count) = views.or(said.map(|said| said.views)) else { return Ok(None) };
    let own = said.and_then(|said| said.transforms.as_ref());
    let (place, specs) = match own {
        Some(own) => (format!("{VIEWS}.transforms"), own),
        None => ("transforms.train".to_owned(), &recipe.transforms.train),
    };
    let chain = Chain::parse_from(&catalogs.transforms, &place, specs)?;
    if chain.mixes_rows() {
        let message = "a view is of one row, and one of these transforms mixes several; state others in \
                       `evaluation.test_time_augmentation.transforms`";
        return Err(RecipeError::mismatch(place, message));
    }
    let usual = Averaged::probabilities(reads);
    let averaged = match said.and_then(|said| said.average) {
        Some(ViewAverage::Probabilities) if usual == Averaged::Scores => {
            let message =
                "the loss is one of something else than classes or labels, which have no probabilities; leave it out";
            return Err(RecipeError::mismatch(format!("{VIEWS}.average"), message));
        }
        Some(ViewAverage::Logits) => Averaged::Scores,
        Some(ViewAverage::Probabilities) | None => usual,
    };
    Ok(Some(Views { count, place, chain, averaged }))
}

/// How the rows of a view are streamed that are streamed so without.
pub(crate) fn of_view(options: StreamOptions, view: u64, chain: &Chain) -> StreamOptions {
    StreamOptions {
        seed: mix(options.seed.wrapping_add(GOLDEN.wrapping_mul(view + 1))),
        // The order would depend on the seed.
        group_by_length: Some(false),
        chain: chain.clone(),
        ..options
    }
}
