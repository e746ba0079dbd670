//! What a recipe's part `training` chooses by name.

use millstream_compiler::Loss;
use millstream_schemas::choice::Row;
use millstream_schemas::recipe::TrainingRecipe;
use millstream_schemas::{Choice, ChoiceError};
use millstream_training::MetricSet;
use millstream_training::optimizers::Optimizer;
use millstream_training::schedules::Schedule;
use serde_json::Value;

use crate::Catalogs;

/// The option that a recipe may also write beside the loss.
const SMOOTHING: &str = "label_smoothing";

/// What was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    pub(crate) loss: Loss,
    pub(crate) metrics: MetricSet,
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: Schedule,
}

impl Choices {
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub(crate) fn of(training: &TrainingRecipe, catalogs: &Catalogs) -> Result<Self, ChoiceError> {
        let loss = chosen_loss(training, catalogs)?;
        let (metrics, best) = (training.metrics.as_deref(), training.best.as_deref());
        Ok(Self {
            metrics: MetricSet::choose(&catalogs.metrics, metrics, best, loss.reads())?,
            loss,
            optimizer: Optimizer::choose(&catalogs.optimizers, &training.optimizer, "training.optimizer")?,
            schedule: Schedule::choose(&catalogs.schedules, &training.schedule, "training.schedule")?,
        })
    }

    /// Writes the choices as they are meant, with every default: what is written down of a run says all of it. What the
    /// recipe leaves out stays out.
    pub(crate) fn write_into(&self, training: &mut TrainingRecipe) {
        training.optimizer = self.optimizer.choice().clone();
        training.schedule = self.schedule.choice().clone();
        if let Some(metrics) = &mut training.metrics {
            *metrics = self.metrics.metrics().iter().map(|metric| metric.choice().clone()).collect();
        }
        if let Some(loss) = &mut training.loss {
            *loss = self.loss.choice().clone();
            // It stands among the options now.
            training.label_smoothing = 0.0;
        }
    }
}

/// The loss that a recipe chooses.
///
/// # Errors
/// An unknown name or option, or a value that makes no sense.
pub(crate) fn chosen_loss(training: &TrainingRecipe, catalogs: &Catalogs) -> Result<Loss, ChoiceError> {
    let mut choice = training.loss.clone().unwrap_or_else(|| Choice::named(&Loss::default().choice().name));
    let row = catalogs.losses.find(&choice, "training.loss")?;
    if training.label_smoothing > 0.0 {
        let refused = |message: String| ChoiceError::Option {
            place: format!("training.{SMOOTHING}"),
            option: String::new(),
            message,
            help: None,
        };
        if row.schema().pointer(&format!("/properties/{SMOOTHING}")).is_none() {
            return Err(refused(format!("the loss `{}` has no option of this name; leave it out", row.name)));
        }
        // What is no mapping is refused where the options are read.
        if let Some(options) = choice.options.as_object_mut() {
            // As it was written: 0.1, not the double next to the float that is next to it.
            let written: f64 = training.label_smoothing.to_string().parse().unwrap_or(training.label_smoothing.into());
            if options.insert(SMOOTHING.into(), Value::from(written)).is_some() {
                return Err(refused(format!("`training.loss.{}` says it too; leave one of them out", row.name)));
            }
        }
    }
    Loss::choose(&catalogs.losses, &choice, "training.loss")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_smoothing_beside_a_loss_is_its_option() {
        for (loss, label_smoothing, wanted) in [
            (None, 0.0, Ok(json!({"cross_entropy": {"label_smoothing": 0.0, "class_weights": []}}))),
            (None, 0.1, Ok(json!({"cross_entropy": {"label_smoothing": 0.1, "class_weights": []}}))),
            (
                Some(json!("cross_entropy")),
                0.1,
                Ok(json!({"cross_entropy": {"label_smoothing": 0.1, "class_weights": []}})),
            ),
            (
                Some(json!({"sparse_cross_entropy": {"ignore_index": 255}})),
                0.2,
                Ok(json!({"sparse_cross_entropy": {"ignore_index": 255, "label_smoothing": 0.2, "class_weights": []}})),
            ),
            (Some(json!("mse")), 0.0, Ok(json!({"mse": {"ignore_padding": false}}))),
            (
                Some(json!("mse")),
                0.1,
                Err("training.label_smoothing: the loss `mse` has no option of this name; leave it out"),
            ),
            (
                Some(json!({"cross_entropy": {"label_smoothing": 0.1}})),
                0.1,
                Err("training.label_smoothing: `training.loss.cross_entropy` says it too; leave one of them out"),
            ),
            (Some(json!("focl")), 0.1, Err("training.loss: unknown loss `focl`; did you mean `focal`?")),
        ] {
            let loss = loss.map(|loss| serde_json::from_value(loss).unwrap());
            let mut training = TrainingRecipe { loss, label_smoothing, ..TrainingRecipe::default() };
            let chosen = Choices::of(&training, &Catalogs::default()).map_err(|error| error.to_string());
            let found = chosen.as_ref().map(|chosen| serde_json::to_value(&chosen.loss).unwrap());
            assert_eq!(found.map_err(String::as_str), wanted);
            let Ok(chosen) = chosen else { continue };
            // What is written down means the same, and what the recipe left out stays out.
            let before = training.clone();
            chosen.write_into(&mut training);
            assert_eq!(training.loss.is_some(), before.loss.is_some());
            let again = Choices::of(&training, &Catalogs::default()).unwrap();
            assert_eq!(again.loss.choice(), chosen.loss.choice());
        }
    }
}
