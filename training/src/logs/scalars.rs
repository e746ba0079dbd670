//! The numbers of an entry by name, as TensorBoard and MLflow group them: by what stands before the `/`.

use super::entry::Entry;
use super::run_place::Moment;
use crate::metrics::{FigureKind, Figures};

const TRAIN: &str = "train";
const EPOCH: &str = "epoch";
const EVALUATION: &str = "evaluation";
const BEST: &str = "best";

/// What stands before the `/` of the names.
pub(super) const GROUPS: [&str; 4] = [TRAIN, EPOCH, EVALUATION, BEST];

/// The numbers of an entry, each with the step that it belongs to.
pub(super) fn scalars(entry: &Entry<'_>) -> (u64, Vec<(String, f64)>) {
    let named = |group: &str, values: &[(&str, f64)]| -> Vec<(String, f64)> {
        values.iter().map(|(name, value)| (format!("{group}/{name}"), *value)).collect()
    };
    match entry {
        Entry::Step(step) => {
            // As it is written: the double next to 0.1 of 32 bits is not the one that is meant.
            let written = |value: f32| value.to_string().parse().unwrap_or(f64::from(value));
            let mut values = vec![
                ("loss", written(step.loss)),
                ("learning_rate", written(step.learning_rate)),
                ("samples_per_second", step.samples_per_second),
            ];
            values.extend(step.gradient_norm.map(|norm| ("gradient_norm", norm)));
            (step.step, named(TRAIN, &values))
        }
        Entry::EpochEnded(epoch) => {
            let values = [("number", epoch.epoch as f64), ("training_loss", epoch.training_loss)];
            (epoch.step, named(EPOCH, &values))
        }
        Entry::StartEvaluated { loss, figures } => (0, figures_of(EVALUATION, *loss, figures)),
        Entry::Evaluated(evaluated) => {
            let mut values = figures_of(EVALUATION, evaluated.loss, evaluated.figures);
            if evaluated.best {
                values.extend(figures_of(BEST, evaluated.loss, evaluated.figures));
            }
            (evaluated.step, values)
        }
        _ => (0, Vec::new()),
    }
}

fn figures_of(group: &str, loss: f64, figures: &Figures) -> Vec<(String, f64)> {
    let loss = (FigureKind::LOSS, Some(loss));
    let known = std::iter::once(loss).chain(figures.iter()).filter_map(|(name, value)| Some((name, value?)));
    known.map(|(name, value)| (format!("{group}/{name}"), value)).collect()
}

/// When a number of this group was written down at a step.
pub(super) fn moment_of(group: &str, step: u64) -> Moment {
    match group {
        EVALUATION | BEST => Moment::Evaluation(step),
        EPOCH => Moment::EpochEnd(step),
        _ => Moment::Step(step),
    }
}
