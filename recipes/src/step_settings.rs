use millstream_schemas::Recipe;
use millstream_schemas::recipe::{
    AverageRecipe, EvaluationInterval as Every, GradientNoiseRecipe, LookaheadRecipe, NonFiniteRecipe, PenaltiesRecipe,
    SharpnessAwareRecipe, TrainingRecipe,
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

/// The average of the weights of all steps.
fn averaging(training: &TrainingRecipe) -> Option<Averaging> {
    match training.average? {
        AverageRecipe::Ema { decay } => Some(Averaging::Exponential { decay }),
        AverageRecipe::Swa { from } => {
            // a share written in decimals is no exact number
            let before = (from * training.epochs as f64 + 1e-9).floor() as u64;
            Some(Averaging::Equal { from_epoch: before.min(training.epochs.saturating_sub(1)) })
        }
        AverageRecipe::Last(_) | AverageRecipe::Best(_) => None,
    }
}

/// What is said where `max_steps` ends a run of so many steps before the average of its weights begins.
pub(crate) fn average_note(training: &TrainingRecipe, steps_per_epoch: u64, total_steps: u64) -> Option<String> {
    let (Some(Averaging::Equal { from_epoch }), Some(most)) = (averaging(training), training.max_steps) else {
        return None;
    };
    let ends_of_epochs = total_steps / steps_per_epoch.max(1);
    (ends_of_epochs <= from_epoch).then(|| {
        format!(
            "`training.max_steps: {most}` ends the run before the end of epoch {}, the first whose weights `training.average: swa` \
             takes: nothing is averaged, and the weights themselves are evaluated and exported. `from` is a share of \
             `training.epochs` ({}): fewer let it begin earlier",
            from_epoch + 1,
            training.epochs
        )
    })
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
        averaging: averaging(training),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_that_max_steps_does_not_let_begin_is_noted() {
        // five steps an epoch
        for (epochs, from, max_steps, noted) in [
            (4, 0.75, None, None),
            (4, 0.75, Some(20), None),
            (4, 0.75, Some(99), None),
            (4, 0.75, Some(19), Some("before the end of epoch 4,")),
            (4, 0.5, Some(15), None),
            (4, 0.5, Some(12), Some("before the end of epoch 3,")),
            (4, 0.0, Some(5), None),
            (1, 0.75, Some(4), Some("before the end of epoch 1,")),
            // so near to 1 that rounding makes it one
            (5, 0.999_999_999_9, None, None),
        ] {
            let average = Some(AverageRecipe::Swa { from });
            let training = TrainingRecipe { epochs, max_steps, average, ..TrainingRecipe::default() };
            let total = max_steps.map_or(5 * epochs, |most: u64| most.min(5 * epochs));
            let note = average_note(&training, 5, total);
            let is_as_wanted = match (&note, noted) {
                (Some(note), Some(wanted)) => note.contains(wanted),
                (None, None) => true,
                _ => false,
            };
            assert!(is_as_wanted, "{epochs} epochs from {from}, {max_steps:?}: {note:?}");
            let Some(Averaging::Equal { from_epoch }) = averaging(&training) else { panic!("{training:?}") };
            assert!(from_epoch < epochs, "{from_epoch} of {epochs}");
            let ema = TrainingRecipe { average: Some(AverageRecipe::Ema { decay: 0.9 }), ..training };
            assert_eq!(average_note(&ema, 5, total), None);
        }
    }
}
