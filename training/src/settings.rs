use millstream_compiler::TrainingProgram;
use millstream_compiler::losses::PredictionKind;
use millstream_schemas::{AxisLength, Fingerprint};
use serde::Serialize;

use crate::TrainingError;
use crate::checkpoint::{CheckpointManifest, CheckpointSettings, MODEL};
use crate::early_stopping::EarlyStopping;
use crate::loop_settings::{EvaluationInterval, LoopSettings, NonFinite, Reestimation};
use crate::metrics::{FigureKind, MetricSet};
use crate::optimizers::Penalties;
use crate::resume_check::{Differing, differing};
use crate::schedules::{RunLength, Schedule};
use crate::session::{StepRunner, StepSettings, average_of, has_statistics_of_last};

/// How a run goes.
#[derive(Clone, Debug)]
pub struct TrainerSettings {
    /// Optimizer, clipping, threads.
    pub step: StepSettings,
    /// Learning rate over time.
    pub schedule: Schedule,
    /// Passes over the training rows.
    pub epochs: u64,
    /// Batches in a pass.
    pub batches_per_epoch: u64,
    /// Batches whose gradients make one step, at least one; fewer at the end of an epoch.
    pub accumulate: u64,
    /// When the run ends because it gets no better.
    pub early_stopping: Option<EarlyStopping>,
    /// When it evaluates, when it ends otherwise before its epochs are done, and what it leaves out.
    pub loop_settings: LoopSettings,
    /// Class names, in the order of the scores; none where numbers are predicted.
    pub classes: Vec<String>,
    /// What is measured on the evaluation rows, and which figure decides which epoch is the best.
    pub metrics: MetricSet,
    /// Where and when checkpoints are written; none are without it.
    pub checkpoints: Option<CheckpointSettings>,
    /// Of everything else that decides how training goes on (data, transforms, seed): a checkpoint with another one is
    /// not resumed.
    pub fingerprint: Fingerprint,
}

impl TrainerSettings {
    /// How long the run is: what schedules, averages and moments count by.
    pub(crate) fn run_length(&self) -> RunLength {
        RunLength::new(self.epochs, self.steps_per_epoch(), self.loop_settings.max_steps)
    }

    pub(crate) fn total_steps(&self) -> u64 {
        self.run_length().steps
    }

    pub(crate) fn steps_per_epoch(&self) -> u64 {
        RunLength::steps_of(self.batches_per_epoch, self.accumulate)
    }

    /// Refuses what makes no sense, or not for this program.
    pub(crate) fn check(&self, program: &TrainingProgram) -> Result<(), TrainingError> {
        self.metrics.check(&self.classes)?;
        self.step.check(program)?;
        self.loop_settings.check()?;
        if let Some(average) = self.loop_settings.average.filter(|_| has_statistics_of_last(program)) {
            return Err(average_of(average.name()));
        }
        if self.loop_settings.reestimation != Reestimation::Nothing && !program.reestimates() {
            return Err(TrainingError::no_batch_statistics());
        }
        if self.loop_settings.average.is_some() && self.step.averaging.is_some() {
            let (name, wanted) = ("training.average", "one average");
            return Err(TrainingError::Setting { name, value: "two averages".into(), wanted });
        }
        if let Some(rule) = self.early_stopping {
            let (patience, gain) = (rule.patience as f32, rule.least_gain as f32);
            TrainingError::check("training.early_stopping.patience", patience, rule.patience > 0, "1 or more")?;
            let fits = gain.is_finite() && gain >= 0.0;
            TrainingError::check("training.early_stopping.least_gain", gain, fits, "a number of 0 or more")?;
        }
        if self.metrics.reads() != PredictionKind::ClassScores {
            return Ok(());
        }
        let scores = program.manifest.prediction.shape.get(1).and_then(AxisLength::fixed).unwrap_or(0);
        if scores != self.classes.len() {
            return Err(TrainingError::Classes { scores, classes: self.classes.len() });
        }
        Ok(())
    }

    /// As they are, with gradients looked at wherever the update runs if updates that are no numbers are left out.
    pub(crate) fn watching(mut self) -> Self {
        self.step.watch_gradients |= self.loop_settings.non_finite != NonFinite::Stop;
        self
    }

    /// All that decides how training goes on, as name and value. Folders, `keep` and threads may change, and how much time
    /// there is.
    pub(crate) fn deciding(&self, runner: &StepRunner) -> Vec<(String, String)> {
        let rows = [
            (MODEL, runner.fingerprint().to_string()),
            (RECIPE, self.fingerprint.to_string()),
            ("the optimizer", as_json(&self.step.optimizer)),
            ("the clipping of gradients", as_json(&self.step.gradient_clip_norm)),
            (SCHEDULE, as_json(&self.schedule)),
            ("the number of epochs", as_json(&self.epochs)),
            ("the number of batches in an epoch", as_json(&self.batches_per_epoch)),
            ("the list of classes", as_json(&self.classes)),
            ("what is trained, and how fast", as_json(&runner.manifest().parameters)),
        ];
        let has_masks = !runner.manifest().masks.is_empty();
        let of_masks = has_masks.then(|| ("the seed of dropout", as_json(&self.step.seed)));
        // what a run may do without is not asked of checkpoints of before it was there
        let (step, course) = (&self.step, &self.loop_settings);
        let interval = Some(course.evaluate_every).filter(|every| *every != EvaluationInterval::default());
        let non_finite = Some(course.non_finite).filter(|policy| *policy != NonFinite::Stop);
        let others = [
            of_masks,
            step.gradient_clip_value.map(|limit| ("the limit of each number of a gradient", as_json(&limit))),
            (step.penalties != Penalties::default()).then(|| ("the penalties", as_json(&step.penalties))),
            (step.l1_decay > 0.0).then(|| ("the decay by L1", as_json(&step.l1_decay))),
            (!step.freezing.is_empty()).then(|| ("what is frozen when", as_json(&step.freezing))),
            step.averaging.map(|averaging| (AVERAGING, as_json(&averaging))),
            step.lookahead.map(|lookahead| ("the lookahead", as_json(&lookahead))),
            step.sharpness_aware.map(|sharpness| ("the way uphill of steps", as_json(&sharpness))),
            step.gradient_noise.map(|noise| ("the noise on gradients", as_json(&(noise, step.seed)))),
            course.max_steps.map(|steps| ("the most steps", as_json(&steps))),
            interval.map(|every| ("when the evaluation rows are gone through", as_json(&every))),
            non_finite.map(|policy| ("what is done about updates that are no numbers", as_json(&policy))),
            course.average.map(|average| (AVERAGED_STATES, as_json(&average))),
            (course.reestimation != Reestimation::Nothing)
                .then(|| ("where statistics come from", "computed anew".to_owned())),
            self.early_stopping.map(|rule| ("when it ends because it gets no better", as_json(&rule))),
            (self.accumulate > 1).then(|| ("the number of batches in a step", as_json(&self.accumulate))),
        ];
        rows.into_iter().chain(others.into_iter().flatten()).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What of all that decides, and of what is measured, a checkpoint has otherwise.
    pub(crate) fn differing(&self, runner: &StepRunner, checkpoint: &CheckpointManifest) -> Vec<Differing> {
        let mut found = differing(&checkpoint.settings, &self.deciding(runner));
        let names = |kinds: &[FigureKind], decides: &FigureKind| {
            let names: Vec<&str> = kinds.iter().chain([decides]).map(|kind| kind.name.as_str()).collect();
            names.join(", ")
        };
        let history = &checkpoint.history;
        let saved = names(&history.figures, &history.decides);
        let now = names(&self.metrics.figures(), self.metrics.decides());
        if saved != now {
            found.push(Differing { name: MEASURED.into(), saved, now });
        }
        found
    }
}

/// What is measured, as messages have it.
pub(crate) const MEASURED: &str = "what is measured, and what of it decides";
pub(crate) const AVERAGED_STATES: &str = "the states that are averaged";
pub(crate) const AVERAGING: &str = "the averaging of the weights";
pub(crate) const RECIPE: &str = "the recipe";
pub(crate) const SCHEDULE: &str = "the schedule";

/// What of [`TrainerSettings::deciding`] may be another from a step on.
pub(crate) const MAY_CHANGE: [&str; 15] = [
    AVERAGED_STATES,
    AVERAGING,
    MEASURED,
    SCHEDULE,
    "the clipping of gradients",
    "the decay by L1",
    "the limit of each number of a gradient",
    "the most steps",
    "the number of epochs",
    "the optimizer",
    "the penalties",
    "what is done about updates that are no numbers",
    "what is trained, and how fast",
    "when it ends because it gets no better",
    "when the evaluation rows are gone through",
];

/// A value as JSON where that is short enough for a message, or else its fingerprint.
fn as_json<T: Serialize>(value: &T) -> String {
    const LONGEST: usize = 160;
    let text = serde_json::to_string(value).expect("our own types have string keys, so they always serialize");
    if text.len() <= LONGEST { text } else { Fingerprint::of_bytes(text.as_bytes()).to_string() }
}
