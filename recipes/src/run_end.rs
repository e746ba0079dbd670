//! The end of a run: the tuned model is exported, what is fitted to it is fitted, and it is measured as the recipe's part
//! `evaluation` says.

use millstream_compiler::{Model, TrainingProgram};
use millstream_pipeline::Beside;
use millstream_runtime::Device;
use millstream_schemas::shown;
use millstream_training::calibration::{Outcomes, fit_temperature, fit_thresholds};
use millstream_training::{Evaluation, Trainer};

use crate::calibrated::Calibrated;
use crate::evaluation_plan::EvaluationPlan;
use crate::measuring::{Measuring, ToMeasure};
use crate::results;
use crate::run_folder::RunFolder;
use crate::stream::Stream;
use crate::{Events, Opened, RecipeError, Resources, Stop};

/// What a run has to be ended.
pub(crate) struct RunEnd<'a> {
    pub(crate) opened: &'a Opened,
    pub(crate) folder: &'a RunFolder,
    pub(crate) program: &'a TrainingProgram,
    pub(crate) trainer: &'a Trainer,
    pub(crate) device: &'a Device,
    pub(crate) resources: Option<&'a Resources>,
    /// Of the training rows.
    pub(crate) stream: &'a Stream,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Of the exported model, where it was measured once more.
    pub(crate) evaluation: Option<Evaluation>,
    pub(crate) calibrated: Calibrated,
    /// What is worth knowing.
    pub(crate) notes: Vec<String>,
    /// What could not be fitted.
    pub(crate) warnings: Vec<String>,
}

impl RunEnd<'_> {
    /// Exports, fits, measures; none when it was asked to stop before that was done. The same run gives the same bytes.
    ///
    /// # Errors
    /// The model cannot be exported or measured.
    pub(crate) fn export(&self, events: &mut dyn Events, stop: &Stop) -> Result<Option<Ended>, RecipeError> {
        let write =
            |calibrated: &Calibrated| results::export(self.opened, self.folder, self.program, self.trainer, calibrated);
        let mut ended = Ended::default();
        write(&ended.calibrated)?;
        let recipe = &self.opened.recipe;
        if recipe.evaluation.is_usual_at_end() {
            return Ok(Some(ended));
        }
        let plan = &self.opened.plan;
        if plan.calibrates() {
            let Some(outcomes) = self.with_model(|measuring| measuring.outcomes(events, stop))? else {
                return Ok(None);
            };
            let train = &self.opened.train;
            let classes = if train.encoders.classes_hold_together() { &[] } else { train.classes() };
            ended.fit(plan, outcomes, classes);
            write(&ended.calibrated)?;
        }
        let measured = self.with_model(|measuring| {
            let found = measuring.measure(None, events, stop)?;
            Ok(found.map(|found| (found, std::mem::take(&mut measuring.notes))))
        })?;
        let Some((evaluation, notes)) = measured else { return Ok(None) };
        // What was noticed of the files was told before the first step.
        ended.notes.extend(notes.into_iter().filter(|note| !self.opened.notes.iter().any(|told| told.ends_with(note))));
        ended.evaluation = Some(evaluation);
        Ok(Some(ended))
    }

    /// Opens what was exported, with the rows to evaluate on.
    fn with_model<T>(
        &self,
        act: impl FnOnce(&mut Measuring) -> Result<Option<T>, RecipeError>,
    ) -> Result<Option<T>, RecipeError> {
        let recipe = &self.opened.recipe;
        let path = self.folder.model();
        let model = Model::read(&path)?;
        let of_set = recipe.evaluation.best_on.as_ref().and_then(|name| recipe.evaluation.sets.get(name));
        let place = if of_set.is_some() { "evaluation.best_on" } else { "data.evaluate" };
        let data = of_set
            .or(recipe.data.evaluate.as_ref())
            .expect("what is asked for in `evaluation` was checked against the data");
        let wanted = ToMeasure {
            recipe,
            model: &model,
            path: &path,
            data,
            place,
            views: None,
            catalogs: &self.opened.catalogs,
            shared: self.resources.map(Resources::streams),
            memory_check: None,
            // Training is over: both streams have one ceiling.
            beside: Beside::Stream(self.stream.0.monitor()),
        };
        act(&mut Measuring::open(&wanted, || Ok(self.device.clone()))?)
    }
}

impl Ended {
    /// Fits what is asked for; what cannot be fitted is left as it was, and noted.
    fn fit(&mut self, plan: &EvaluationPlan, outcomes: Outcomes, classes: &[String]) {
        let mut outcomes = outcomes;
        if plan.temperature {
            self.calibrated.temperature = fit_temperature(&outcomes);
            match self.calibrated.temperature {
                Some(fitted) => outcomes = outcomes.divided_by(fitted.temperature),
                None => self.warnings.push(
                    "no temperature was fitted: the answers for the evaluation rows are all right, or their scores say nothing, \
                     so there is none for which they are the most likely; the scores are as they were"
                        .into(),
                ),
            }
        }
        if let Some(criterion) = plan.threshold {
            match fit_thresholds(&outcomes, criterion) {
                Ok(fitted) => {
                    self.warnings.extend(fitted.warning());
                    self.calibrated.thresholds = fitted.thresholds;
                }
                Err(reason) => {
                    let what = classes.get(1).map_or_else(String::new, |class| format!(" of class `{}`", shown(class)));
                    self.warnings.push(format!("no threshold{what} was fitted: {reason}; it is a probability of ½"));
                }
            }
        }
        self.notes.extend(self.calibrated.notes());
    }
}
