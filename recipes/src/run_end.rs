//! The end of a run: the tuned model is exported, what is fitted to it is fitted, and it is measured as the recipe's part
//! `evaluation` says.

use millstream_compiler::{Model, TrainingProgram};
use millstream_pipeline::Beside;
use millstream_runtime::Device;
use millstream_schemas::recipe::{EvaluationRecipe, Patterns};
use millstream_schemas::shown;
use millstream_training::calibration::{Outcomes, fit_temperature, fit_thresholds};
use millstream_training::{Evaluation, SetEvaluation, Trainer};

use crate::calibrated::Calibrated;
use crate::check::Findings;
use crate::evaluation_plan::EvaluationPlan;
use crate::measuring::{Measuring, ScoringSession, ToMeasure};
use crate::results;
use crate::run_folder::RunFolder;
use crate::stream::Stream;
use crate::{Events, Opened, RecipeError, Resources, Stop};

/// What a run has to be ended.
pub(crate) struct RunEnd<'a> {
    pub(crate) opened: &'a Opened,
    /// What was told before the first step.
    pub(crate) findings: &'a Findings,
    pub(crate) folder: &'a RunFolder,
    pub(crate) program: &'a TrainingProgram,
    pub(crate) trainer: &'a Trainer,
    pub(crate) device: &'a Device,
    pub(crate) resources: Option<&'a Resources>,
    /// Of the training rows.
    pub(crate) stream: &'a Stream,
}

/// Rows to measure on.
struct MeasuredSet<'a> {
    name: &'a str,
    data: &'a Patterns,
    /// Where a recipe names them.
    place: String,
}

/// What was found of them.
struct Found {
    evaluation: Evaluation,
    /// What was not told before the first step.
    notes: Vec<String>,
    /// What is known since they were measured.
    warnings: Vec<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Of the exported model, where it was measured once more.
    pub(crate) evaluation: Option<Evaluation>,
    /// And on the other sets then, in the same way.
    pub(crate) others: Vec<SetEvaluation>,
    pub(crate) calibrated: Calibrated,
    /// What is worth knowing.
    pub(crate) notes: Vec<String>,
    /// What could not be fitted, and what was left out of what was measured.
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
        let sets = self.sets();
        let (main, others) =
            sets.split_first().expect("what is asked for in `evaluation` was checked against the data");
        if plan.calibrates() {
            let model = Model::read(&self.folder.model())?;
            let found = self.with_model(&model, None, main, |measuring| measuring.outcomes(events, stop))?;
            let Some(outcomes) = found else { return Ok(None) };
            let train = &self.opened.train;
            let classes = if train.encoders.classes_hold_together() { &[] } else { train.classes() };
            ended.fit(plan, outcomes, classes);
            write(&ended.calibrated)?;
        }
        // read and opened once for all sets
        let (model, mut session) = (Model::read(&self.folder.model())?, None);
        let found = self.measured(&model, &mut session, main, events, stop)?;
        let Some(found) = found else { return Ok(None) };
        ended.notes.extend(found.notes);
        ended.warnings.extend(found.warnings);
        ended.evaluation = Some(found.evaluation);
        for set in others {
            let found = self.measured(&model, &mut session, set, events, stop)?;
            let Some(found) = found else { return Ok(None) };
            let with_place = |said: String| match said.starts_with(&set.place) {
                true => said,
                false => format!("{}: {said}", set.place),
            };
            ended.notes.extend(found.notes.into_iter().map(with_place));
            ended.warnings.extend(found.warnings.into_iter().map(with_place));
            ended.others.push(SetEvaluation { name: set.name.to_owned(), evaluation: found.evaluation });
        }
        Ok(Some(ended))
    }

    /// All sets of rows to evaluate on, the one that decides first.
    fn sets(&self) -> Vec<MeasuredSet<'_>> {
        let (main, sets) = (self.opened.recipe.data.evaluate.as_ref(), &self.opened.recipe.evaluation.sets);
        let named = self.opened.evaluation_sets().into_iter().filter_map(|(name, _)| match sets.get(name) {
            Some(data) => Some(MeasuredSet { name, data, place: format!("evaluation.sets.{name}") }),
            None => main.map(|data| MeasuredSet { name, data, place: "data.evaluate".into() }),
        });
        named.collect()
    }

    /// What the exported model has on a set, and what is worth knowing of it that was not told before the first step. It is
    /// measured in the session that another set has left, or leaves one.
    fn measured(
        &self,
        model: &Model,
        session: &mut Option<ScoringSession>,
        set: &MeasuredSet<'_>,
        events: &mut dyn Events,
        stop: &Stop,
    ) -> Result<Option<Found>, RecipeError> {
        let found = &self.findings.warnings;
        let told = |note: &String| {
            let as_found = match set.name {
                EvaluationRecipe::MAIN => note.clone(),
                name => format!("evaluation set `{}`: {note}", shown(name)),
            };
            self.opened.notes.iter().any(|told| told.ends_with(note)) || found.contains(&as_found)
        };
        let known = session.take();
        self.with_model(model, known.as_ref(), set, |measuring| {
            *session = Some(measuring.session().clone());
            let before = measuring.warnings.len();
            let Some(evaluation) = measuring.measure(None, events, stop)? else { return Ok(None) };
            let warnings = measuring.warnings.split_off(before);
            let mut notes = std::mem::take(&mut measuring.notes);
            notes.retain(|note| !told(note));
            Ok(Some(Found { evaluation, notes, warnings }))
        })
    }

    /// Opens what was exported, in a session where there is one already, with the rows of a set.
    fn with_model<T>(
        &self,
        model: &Model,
        session: Option<&ScoringSession>,
        set: &MeasuredSet<'_>,
        act: impl FnOnce(&mut Measuring) -> Result<Option<T>, RecipeError>,
    ) -> Result<Option<T>, RecipeError> {
        let recipe = &self.opened.recipe;
        let path = self.folder.model();
        let wanted = ToMeasure {
            recipe,
            model,
            path: &path,
            data: set.data,
            decimal_comma: false,
            place: &set.place,
            slices_may_lack: set.name != EvaluationRecipe::MAIN,
            views: None,
            catalogs: &self.opened.catalogs,
            shared: self.resources.map(Resources::streams),
            memory_check: None,
            // Training is over: both streams have one ceiling.
            beside: Beside::Stream(self.stream.0.monitor()),
            session,
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
