use millstream_schemas::recipe::{AverageRecipe, PenaltiesRecipe};
use millstream_training::optimizers::{Averaging, Penalties};
use millstream_training::{FreezePlan, StepSettings};

use crate::Opened;

/// How steps are made, apart from what is frozen when: that is known of a compiled model.
pub(crate) fn step_settings(opened: &Opened) -> StepSettings {
    let training = &opened.recipe.training;
    let PenaltiesRecipe { l1, l2, l2_sp } = training.penalties;
    StepSettings {
        optimizer: opened.optimizer.clone(),
        gradient_clip_norm: training.gradient_clip_norm,
        gradient_clip_value: training.gradient_clip_value,
        penalties: Penalties { l1, l2, l2_sp },
        averaging: training.average.map(|average| match average {
            AverageRecipe::Ema { decay } => Averaging::Exponential { decay },
            // a share written in decimals is no exact number
            AverageRecipe::Swa { from } => {
                Averaging::Equal { from_epoch: (from * training.epochs as f64 + 1e-9).floor() as u64 }
            }
        }),
        freezing: FreezePlan::default(),
        threads: training.threads,
        seed: opened.recipe.seed,
    }
}
