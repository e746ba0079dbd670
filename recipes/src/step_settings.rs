use millstream_schemas::Recipe;
use millstream_schemas::recipe::{
    AverageRecipe, EvaluationInterval as Every, GradientNoiseRecipe, LookaheadRecipe, NonFiniteRecipe, PenaltiesRecipe,
    SharpnessAwareRecipe,
};
use millstream_training::optimizers::{Averaging, Lookahead, Optimizer, Penalties, SharpnessAware};
use millstream_training::{
    CheckpointAverage, EvaluationInterval, FreezePlan, GradientNoise, LoopSettings, NonFinite, Reestimation,
    StepSettings,
};

use crate::statistics;

/// When it evaluates and ends, and what it leaves out.
pub(crate) fn loop_settings(recipe: &Recipe) -> LoopSettings {
    let training = &recipe.training;
    LoopSettings {
        max_steps: training.max_steps,
        max_seconds: training.max_time.map(|time| time.seconds()),
        evaluate_every: match recipe.evaluation.every {
            Every::Epochs(every) => EvaluationInterval::Epochs(every),
            Every::Steps(every) => EvaluationInterval::Steps(every),
        },
        non_finite: match training.non_finite {
            NonFiniteRecipe::Stop => NonFinite::Stop,
            NonFiniteRecipe::Skip { most_in_a_row } => NonFinite::Skip { most_in_a_row },
        },
        average: match training.average {
            Some(AverageRecipe::Last(count)) => Some(CheckpointAverage::Last(count)),
            Some(AverageRecipe::Best(count)) => Some(CheckpointAverage::Best(count)),
            Some(AverageRecipe::Ema { .. } | AverageRecipe::Swa { .. }) | None => None,
        },
        reestimation: match (statistics::are_reestimated(recipe), recipe.output.last_model) {
            (false, _) => Reestimation::Nothing,
            (true, false) => Reestimation::Exported,
            (true, true) => Reestimation::ExportedAndLast,
        },
    }
}

/// How steps are made, apart from what is frozen when: that is known of a compiled model.
pub(crate) fn step_settings(recipe: &Recipe, optimizer: &Optimizer) -> StepSettings {
    let training = &recipe.training;
    let PenaltiesRecipe { l1, l2, l2_sp } = training.penalties;
    StepSettings {
        optimizer: optimizer.clone(),
        gradient_clip_norm: training.gradient_clip_norm,
        gradient_clip_value: training.gradient_clip_value,
        penalties: Penalties { l1, l2, l2_sp },
        averaging: training.average.and_then(|average| match average {
            AverageRecipe::Ema { decay } => Some(Averaging::Exponential { decay }),
            // a share written in decimals is no exact number
            AverageRecipe::Swa { from } => {
                Some(Averaging::Equal { from_epoch: (from * training.epochs as f64 + 1e-9).floor() as u64 })
            }
            AverageRecipe::Last(_) | AverageRecipe::Best(_) => None,
        }),
        lookahead: training.lookahead.map(|LookaheadRecipe { steps, alpha }| Lookahead { steps, alpha }),
        sharpness_aware: training
            .sharpness_aware
            .map(|SharpnessAwareRecipe { rho, adaptive }| SharpnessAware { rho, adaptive }),
        gradient_noise: training.gradient_noise.map(|GradientNoiseRecipe { eta, gamma }| GradientNoise { eta, gamma }),
        freezing: FreezePlan::default(),
        watch_gradients: false,
        threads: training.threads,
        seed: recipe.seed,
    }
}
