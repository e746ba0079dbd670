use millstream_schemas::recipe::{
    AverageRecipe, EvaluationInterval as Every, GradientNoiseRecipe, LookaheadRecipe, NonFiniteRecipe, PenaltiesRecipe,
    SharpnessAwareRecipe, TrainingRecipe,
};
use millstream_schemas::{Recipe, count, grouped, percent};
use millstream_training::optimizers::{Averaging, Lookahead, Optimizer, Penalties, SharpnessAware};
use millstream_training::schedules::RunLength;
use millstream_training::{
    CheckpointAverage, EvaluationInterval, FreezePlan, GradientNoise, LoopSettings, NonFinite, Reestimation,
    StepSettings,
};

use crate::{RecipeError, statistics};

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

/// How steps of a run of this length are made, apart from what is frozen when: that is known of a compiled model.
pub(crate) fn step_settings(recipe: &Recipe, optimizer: &Optimizer, run: RunLength) -> StepSettings {
    let training = &recipe.training;
    let PenaltiesRecipe { l1, l2, l2_sp } = training.penalties;
    StepSettings {
        optimizer: optimizer.clone(),
        gradient_clip_norm: training.gradient_clip_norm,
        gradient_clip_value: training.gradient_clip_value,
        penalties: Penalties { l1, l2, l2_sp },
        l1_decay: training.l1_decay,
        averaging: training.average.and_then(|average| match average {
            AverageRecipe::Ema { decay } => Some(Averaging::Exponential { decay }),
            AverageRecipe::Swa { from } => Some(Averaging::Equal { from_epoch: averaged_from(from, run) }),
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

/// The epochs that end before a share of a run is done: the next one is the first whose end lies behind it.
fn averaged_from(from: f64, run: RunLength) -> u64 {
    // a share written in decimals is no exact number
    (from * run.epochs() + 1e-9).floor() as u64
}

/// What becomes of the zeros of a decay by L1 in a mean of weights.
pub(crate) fn l1_note(training: &TrainingRecipe) -> Option<String> {
    let mean = match (training.average, training.lookahead) {
        _ if training.l1_decay == 0.0 => return None,
        (Some(_), _) => "training.average",
        (None, Some(_)) => "training.lookahead",
        (None, None) => return None,
    };
    Some(format!(
        "`training.l1_decay` makes exact zeros of weights, and `{mean}` exports a mean of weights, which has a 0 only where all that it is \
         made of have one: a weight that reached 0 late is not exported as 0"
    ))
}

/// Refuses an average of the weights at the ends of epochs, where the run has none behind the share that it begins with.
///
/// # Errors
/// How long the run is, and what to do.
pub(crate) fn require_averaged(training: &TrainingRecipe, run: RunLength) -> Result<(), RecipeError> {
    let Some(AverageRecipe::Swa { from }) = training.average else { return Ok(()) };
    if averaged_from(from, run) < run.whole_epochs() {
        return Ok(());
    }
    let message = format!(
        "it takes the weights at the ends of epochs behind {} of the run, and there are none: the run ends after {} of {} an epoch; \
         take a smaller `from`, a larger `training.max_steps`, or `average: ema`, which takes those of each step",
        percent(from),
        count(run.steps, "step"),
        grouped(run.steps_per_epoch)
    );
    Err(RecipeError::mismatch("training.average.swa.from", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_of_a_decay_by_l1_are_told_not_to_outlast_a_mean_of_weights() {
        let plain = TrainingRecipe { l1_decay: 0.1, ..TrainingRecipe::default() };
        assert_eq!(l1_note(&plain), None);
        let averaged = TrainingRecipe { average: Some(AverageRecipe::Ema { decay: 0.9 }), ..plain.clone() };
        assert!(l1_note(&averaged).is_some_and(|note| note.contains("`training.average` exports a mean")));
        let lookahead = Some(LookaheadRecipe { steps: 5, alpha: 0.5 });
        assert!(
            l1_note(&TrainingRecipe { lookahead, ..plain }).is_some_and(|note| note.contains("`training.lookahead`"))
        );
        assert_eq!(l1_note(&TrainingRecipe { lookahead, ..TrainingRecipe::default() }), None);
    }

    #[test]
    fn an_average_of_the_ends_of_epochs_begins_where_the_run_is_that_far_and_not_where_its_epochs_would_be() {
        let training =
            |from| TrainingRecipe { average: Some(AverageRecipe::Swa { from }), ..TrainingRecipe::default() };
        for (from, max_steps, wanted) in [
            (0.75, None, Ok(7)),
            (0.7, None, Ok(7)),
            (0.5, Some(150), Ok(0)),
            (0.5, Some(400), Ok(2)),
            (
                0.75,
                Some(150),
                Err("behind 75.0 % of the run, and there are none: the run ends after 150 steps of 100 an epoch"),
            ),
            (0.0, Some(50), Err("the run ends after 50 steps of 100 an epoch")),
        ] {
            let run = RunLength::new(10, 100, max_steps);
            match (require_averaged(&training(from), run), wanted) {
                (Ok(()), Ok(epochs)) => assert_eq!(averaged_from(from, run), epochs, "{from} of {run:?}"),
                (Err(error), Err(words)) => {
                    let error = error.to_string();
                    assert!(error.contains("training.average.swa.from") && error.contains(words), "{error}");
                }
                (found, wanted) => panic!("{from} of {run:?}: {found:?}, not {wanted:?}"),
            }
        }
    }
}
