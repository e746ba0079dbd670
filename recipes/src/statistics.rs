//! The training rows that statistics of BatchNormalization are computed anew from.

use millstream_pipeline::{Beside, SharedResources, StreamOptions};
use millstream_schemas::recipe::{BatchNormalization, DamagedPolicy, OrderStrength, StatisticsTransforms};
use millstream_schemas::{Recipe, count, grouped};
use millstream_transforms::Chain;

use crate::stream_options::stream_options;
use crate::{RecipeError, RowSource};

const TRANSFORMS: &str = "model.batch_normalization.reestimated.transforms";

/// Which rows, and what happens to them.
#[derive(Clone, Debug)]
pub(crate) struct StatisticsRows {
    source: RowSource,
    transforms: StatisticsTransforms,
    /// Batches that are taken; all of an epoch without.
    batches: Option<u64>,
}

/// Whether a recipe asks for it.
pub(crate) fn are_reestimated(recipe: &Recipe) -> bool {
    reestimated(recipe).is_some()
}

fn reestimated(recipe: &Recipe) -> Option<(Option<u64>, StatisticsTransforms)> {
    match recipe.model.as_ref()?.batch_normalization {
        BatchNormalization::Reestimated { rows, transforms } => Some((rows, transforms)),
        BatchNormalization::Frozen | BatchNormalization::Training => None,
    }
}

impl StatisticsRows {
    /// Those that a recipe asks for, if it does. `evaluate`: the transforms of evaluation rows.
    ///
    /// # Errors
    /// These end at another size than those of training.
    pub(crate) fn of(recipe: &Recipe, train: &RowSource, evaluate: &Chain) -> Result<Option<Self>, RecipeError> {
        let Some((rows, transforms)) = reestimated(recipe) else { return Ok(None) };
        let chain = match transforms {
            StatisticsTransforms::Train => train.chain.clone(),
            StatisticsTransforms::Evaluate => evaluate.clone(),
        };
        let source = RowSource { chain, ..train.clone() };
        if transforms == StatisticsTransforms::Evaluate {
            let [wanted, got] = [("transforms.train", train), ("transforms.evaluate", &source)]
                .map(|(place, source)| source.spec(place, recipe.seed, recipe.data.batch));
            if wanted? != got? {
                let message = "`transforms.evaluate` does not end as `transforms.train` does; let both end at the same size, or take \
                               `train`";
                return Err(RecipeError::mismatch(TRANSFORMS, message));
            }
        }
        let batch = recipe.data.batch.max(1) as u64;
        let all = source.dataset.rows();
        let batches = rows.filter(|rows| *rows < all).map(|rows| rows.div_ceil(batch));
        Ok(Some(Self { source, transforms, batches }))
    }

    /// How they are streamed: in the batches of the first epoch, or where only some are taken drawn from all of them, since files may
    /// be sorted by class.
    pub(crate) fn stream(&self, recipe: &Recipe, shared: Option<&SharedResources>, beside: Beside) -> StreamOptions {
        let order = if self.batches.is_none() { recipe.data.order } else { OrderStrength::Global };
        let all = stream_options(recipe, &self.source, order);
        let group_by_length = if self.batches.is_none() { all.group_by_length } else { Some(false) };
        // a row that is left out was noted when it was left out of training
        let damaged = match all.damaged {
            DamagedPolicy::Quarantine(_) => DamagedPolicy::Skip,
            other => other,
        };
        let (drop_last, shared) = (recipe.data.drop_last, shared.cloned());
        StreamOptions { drop_last, beside, shared, group_by_length, damaged, ..all }
    }

    /// The rows.
    pub(crate) fn source(&self) -> &RowSource {
        &self.source
    }

    /// Batches that are taken of the stream.
    pub(crate) fn batches(&self) -> u64 {
        self.batches.unwrap_or(u64::MAX)
    }

    /// Rows of a pass.
    pub(crate) fn rows(&self, recipe: &Recipe) -> u64 {
        let (all, batch) = (self.source.dataset.rows(), recipe.data.batch.max(1) as u64);
        let whole = if recipe.data.drop_last { all - all % batch } else { all };
        self.batches.map_or(whole, |batches| batches.saturating_mul(batch).min(whole))
    }

    /// What is done with them, in words; `evaluations`: how many a run has behind its first step.
    pub(crate) fn note(&self, recipe: &Recipe, evaluations: u64) -> String {
        let (rows, all) = (self.rows(recipe), count(self.source.dataset.rows(), "training row"));
        let transforms = match self.transforms {
            StatisticsTransforms::Train => "`transforms.train` as drawn for the first epoch",
            StatisticsTransforms::Evaluate => "`transforms.evaluate`",
        };
        let averages = recipe.training.average.is_some_and(|average| average.is_of_steps());
        let also = match evaluations {
            evaluations if averages && evaluations > 0 => {
                format!(", and for each of {}", count(evaluations, "evaluation"))
            }
            _ => String::new(),
        };
        format!(
            "model.batch_normalization: statistics are computed anew from {} of {all}, with {transforms}: for what is exported{also}",
            grouped(rows)
        )
    }
}
