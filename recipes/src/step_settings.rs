use millstream_schemas::recipe::{AverageRecipe, PenaltiesRecipe};
use millstream_training::StepSettings;
use millstream_training::optimizers::{Averaging, Penalties};

use crate::Opened;

/// How steps are made.
pub(crate) fn step_settings(opened: &Opened) -> StepSettings {
    let training = &opened.recipe.training;
    let PenaltiesRecipe { l1, l2, l2_sp } = training.penalties;
    let steps = opened.steps_per_epoch();
    StepSettings {
        optimizer: opened.optimizer.clone(),
        gradient_clip_norm: training.gradient_clip_norm,
        gradient_clip_value: training.gradient_clip_value,
        penalties: Penalties { l1, l2, l2_sp },
        averaging: training.average.map(|average| match average {
            AverageRecipe::Ema { decay } => Averaging::Exponential { decay },
            AverageRecipe::Swa { from } => {
                let epochs = (from * training.epochs as f64).floor() as u64;
                Averaging::Equal { from_step: epochs.saturating_mul(steps), every: steps }
            }
        }),
        threads: training.threads,
        seed: opened.recipe.seed,
    }
}
