//! What a run did, as data: kept while it goes on, saved in its checkpoints, written as `metrics.json`, shown in reports.

use std::path::Path;

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::recipe::EvaluationRecipe;
use millstream_schemas::{count, plural};
use serde::{Deserialize, Serialize};

use crate::TrainingError;
use crate::divergence::{self, LossWatch};
use crate::epoch_evaluation::EpochEvaluation;
use crate::evaluation_record::{AveragedRecord, EvaluationRecord, ReestimatedRecord, SetEvaluation, SkippedUpdates};
use crate::metrics::{Evaluation, FigureKind, Figures, MetricSet, Unit};
use crate::pace::Pace;
use crate::schedules::PlateauState;
use crate::session::LossScale;
use millstream_schemas::files;

pub use crate::curve::{Curve, Point};

/// One pass over the training rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// Number, from 0.
    pub epoch: u64,
    /// Steps made.
    pub steps: u64,
    /// Rows trained on; those without a label are not among them.
    pub rows: u64,
    /// Mean training loss over these rows, each by its weight.
    #[serde(with = "crate::number_or_null")]
    pub training_loss: f64,
    /// Seconds, without evaluation and checkpoints.
    pub seconds: f64,
    /// On the evaluation rows, after the epoch.
    pub evaluation: Option<EpochEvaluation>,
}

/// The epoch that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EpochProgress {
    pub(crate) steps: u64,
    pub(crate) rows: u64,
    pub(crate) weight: f64,
    pub(crate) weighted_loss: f64,
    pub(crate) seconds: f64,
}

/// Where the evaluation was best: by the figure that decides, of equals by the lowest loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Number of the epoch that was under way or ended there, from 0.
    pub epoch: u64,
    /// Steps done; none from a run of an older build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Its loss.
    #[serde(with = "crate::number_or_null")]
    pub loss: f64,
    /// Its other figures; in JSON beside the loss.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Best {
    /// The figure of this name, the loss among them.
    pub fn figure(&self, name: &str) -> Option<f64> {
        if name == FigureKind::LOSS { Some(self.loss) } else { self.figures.get(name) }
    }

    /// Whether an evaluation is better than this, by this figure and then by the loss.
    pub fn is_beaten_by(&self, evaluation: &Evaluation, decides: &FigureKind) -> bool {
        let (now, then) = (evaluation.figure(&decides.name), self.figure(&decides.name));
        let lower_loss = FigureKind::loss().is_better(Some(evaluation.loss), Some(self.loss));
        decides.is_better(now, then) || !decides.is_better(then, now) && lower_loss
    }
}

/// Where the seconds went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Waiting for a batch.
    pub waiting: f64,
    /// In the graph: loss and gradients.
    pub graph: f64,
    /// In the update of the parameters.
    pub update: f64,
    /// In evaluation, its waiting included.
    pub evaluation: f64,
    /// Copying what checkpoints hold, and waiting for one to be written; the writing itself goes on beside the steps.
    pub checkpoints: f64,
    /// Until the first batch was there, of this process.
    pub first_batch: f64,
    /// Until the first step was done, of this process.
    pub first_step: f64,
    /// Of waiting, graph and update, the seconds up to the end of the first step each time that the run was opened: in these falls what is
    /// done once, such as filling the stream, taking memory and loading the kernels of a device. 0 in a run of an older build.
    #[serde(default)]
    pub warm_up: f64,
    /// Steps that were made in these.
    #[serde(default)]
    pub warm_up_steps: u64,
}

/// A run so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Steps done.
    pub steps: u64,
    /// Loss and learning rate.
    pub curve: Curve,
    /// Rows and seconds over the steps; none from a run of an older build.
    #[serde(default)]
    pub pace: Pace,
    /// Seconds that the run has gone on, evaluations included, its interrupted parts together.
    #[serde(default)]
    pub seconds: f64,
    /// Epochs that are done.
    pub epochs: Vec<EpochRecord>,
    /// All evaluations, within epochs and at their ends; none from a run of an older build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evaluations: Vec<EvaluationRecord>,
    /// On the evaluation rows, before the first step; none where nothing is evaluated, or from a run of an older build.
    #[serde(default)]
    pub start: Option<EpochEvaluation>,
    /// The figures of each evaluation beside the loss, in the order in which they are shown.
    #[serde(default = "FigureKind::of_older_builds")]
    pub figures: Vec<FigureKind>,
    /// The figure that decides which epoch is the best.
    #[serde(default = "accuracy")]
    pub decides: FigureKind,
    /// The best epoch, where there is an evaluation whose loss is a number.
    pub best: Option<Best>,
    /// All that the best evaluation found.
    pub best_evaluation: Option<Evaluation>,
    /// And what it found on the other sets, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub best_others: Vec<SetEvaluation>,
    /// Of the mean of several states, where that is exported and the run is at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub averaged: Option<AveragedRecord>,
    /// Of what is exported with running statistics that were computed anew, where the run is at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reestimated: Option<ReestimatedRecord>,
    /// Updates that were left out.
    #[serde(default, skip_serializing_if = "SkippedUpdates::is_none")]
    pub skipped_updates: SkippedUpdates,
    /// Where the seconds went, interrupted parts included.
    pub timing: Timing,
    /// Whether the training loss has diverged.
    #[serde(default)]
    pub loss_watch: LossWatch,
    /// How many epochs the run was to have, where it ended before because it got no better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_early: Option<u64>,
    /// The scale of the loss after the last step, in float16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// What the schedule remembers of the evaluations, where it follows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plateau: Option<PlateauState>,
    pub(crate) under_way: EpochProgress,
}

impl Default for History {
    fn default() -> Self {
        Self::of(&MetricSet::usual(PredictionKind::ClassScores))
    }
}

/// What decided when there was nothing to choose.
fn accuracy() -> FigureKind {
    FigureKind::of_older_builds().swap_remove(0)
}

impl History {
    /// A run that measures so and has not begun.
    pub(crate) fn of(metrics: &MetricSet) -> Self {
        Self {
            steps: 0,
            curve: Curve::default(),
            pace: Pace::default(),
            seconds: 0.0,
            epochs: Vec::new(),
            evaluations: Vec::new(),
            start: None,
            figures: metrics.figures(),
            decides: metrics.decides().clone(),
            best: None,
            best_evaluation: None,
            best_others: Vec::new(),
            averaged: None,
            reestimated: None,
            skipped_updates: SkippedUpdates::default(),
            timing: Timing::default(),
            loss_watch: LossWatch::default(),
            stopped_early: None,
            loss_scale: None,
            plateau: None,
            under_way: EpochProgress::default(),
        }
    }

    /// Seconds of the training steps, waiting included, as if the run had been warm from its beginning: each step that was the first after
    /// the run was opened counts as much as the mean of all others. Where there are no others, the seconds that were measured.
    pub fn warm_seconds(&self) -> f64 {
        let all = self.epochs.iter().map(|epoch| epoch.seconds).sum::<f64>() + self.under_way.seconds;
        let Timing { warm_up, warm_up_steps, .. } = self.timing;
        match self.steps.saturating_sub(warm_up_steps) {
            0 => all,
            warm => (all - warm_up).max(0.0) * self.steps as f64 / warm as f64,
        }
    }

    /// The best evaluation.
    pub fn best_evaluation(&self) -> Option<&Evaluation> {
        self.best_evaluation.as_ref()
    }

    /// The evaluation of what a run at its end exports: of the mean of several states, or the best one; with the statistics that it
    /// is exported with.
    pub fn exported_evaluation(&self) -> Option<&Evaluation> {
        let again = self.reestimated.as_ref().and_then(|reestimated| reestimated.evaluation.as_ref());
        again.or(self.averaged.as_ref().map(|averaged| &averaged.evaluation)).or(self.best_evaluation())
    }

    /// And on the other sets, where there are several.
    pub fn exported_others(&self) -> &[SetEvaluation] {
        match (&self.reestimated, &self.averaged) {
            (Some(reestimated), _) if reestimated.evaluation.is_some() => &reestimated.others,
            (_, Some(averaged)) => &averaged.others,
            _ => &self.best_others,
        }
    }

    /// The evaluation that was best, where the run has a record of it.
    pub fn best_record(&self) -> Option<&EvaluationRecord> {
        let step = self.best.as_ref()?.step?;
        self.evaluations.iter().find(|record| record.step == step)
    }

    /// `epoch 3`, or `step 400` within one.
    pub fn place_of_best(&self) -> Option<String> {
        let best = self.best.as_ref()?;
        let within = self.best_record().filter(|record| !record.ends_epoch);
        Some(within.map_or_else(|| format!("epoch {}", best.epoch + 1), |record| format!("step {}", record.step)))
    }

    /// Whether the run has evaluations.
    pub(crate) fn is_evaluated(&self) -> bool {
        self.start.is_some() || !self.evaluations.is_empty()
    }

    /// Gives a history of an older build the list of its evaluations, which were at the ends of epochs.
    pub(crate) fn complete(&mut self) {
        if !self.evaluations.is_empty() {
            return;
        }
        let mut step = 0;
        for record in &self.epochs {
            step += record.steps;
            let (epoch, passes) = (record.epoch, (record.epoch + 1) as f64);
            let Some(figures) = record.evaluation.clone() else { continue };
            let record = EvaluationRecord {
                step,
                epoch,
                passes,
                ends_epoch: true,
                figures,
                others: Vec::new(),
                statistics_rows: None,
            };
            self.evaluations.push(record);
        }
    }

    /// Whether an evaluation is better than that of the weights before the first step, by the rule of
    /// [`divergence`]; where there is none of these, whether its loss is a number.
    pub fn is_better_than_start(&self, evaluation: &Evaluation) -> bool {
        match &self.start {
            Some(start) => divergence::is_better_than_start(evaluation, start, &self.decides),
            None => divergence::is_finite(evaluation),
        }
    }

    /// What a run must be said about beside its figures, in words: that it diverged, that no epoch is better than the
    /// start, that the best one knows no more than its most frequent class.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(divergence) = self.loss_watch.found() {
            let later = if self.loss_watch.came_back() { "; later it came back below that" } else { "" };
            notes.push(format!("{divergence}{later}"));
        }
        if let (Some(epochs), Some(best)) = (self.stopped_early, self.place_of_best()) {
            let within = if self.is_within_epoch() { format!(", at step {}", self.steps) } else { String::new() };
            notes.push(format!(
                "stopped after {} of {epochs} epochs{within}: the {} was best after {best}",
                self.epochs.len(),
                self.decides.label(),
            ));
        }
        if let Some(LossScale { scale, skipped, .. }) = self.loss_scale.filter(|scale| scale.skipped > 0) {
            notes.push(format!(
                "{} left out because gradients of float16 were not finite; the loss is scaled by {scale} at the end",
                count(skipped, "update")
            ));
        }
        let SkippedUpdates { total, .. } = self.skipped_updates;
        if total > 0 {
            let (updates, were) = (count(total, "update"), if total == 1 { "was" } else { "were" });
            notes.push(format!("{updates} {were} left out: the loss or a gradient was no number"));
        }
        if let Some(plateau) = self.plateau.as_ref().filter(|plateau| !plateau.reduced_after.is_empty()) {
            let mut after: Vec<String> = plateau.reduced_after.iter().map(|epoch| (epoch + 1).to_string()).collect();
            // several evaluations may be within one epoch
            after.dedup();
            let (epochs, label) = (plural(after.len(), "epoch"), self.decides.label());
            notes.push(format!(
                "the learning rate was reduced to ×{} because the {label} got no better, after {epochs} {}",
                plateau.factor,
                after.join(", ")
            ));
        }
        let not_finite: Vec<_> = self.evaluations.iter().filter(|record| !record.figures.loss.is_finite()).collect();
        if !not_finite.is_empty() {
            let unit = if not_finite.iter().all(|record| record.ends_epoch) { "epoch" } else { "evaluation" };
            let after = count(not_finite.len(), unit);
            notes.push(format!(
                "after {after} the loss on the evaluation rows was no number; none of them can be the best"
            ));
        }
        if let Some(averaged) = &self.averaged {
            notes.push(self.of_average(averaged));
        }
        if let Some(reestimated) = &self.reestimated {
            notes.push(self.of_statistics(reestimated));
        }
        let Some(best) = self.best_evaluation() else { return notes };
        if let Some(start) = self.start.as_ref().filter(|_| !self.is_better_than_start(best)) {
            notes.push(format!(
                "no epoch is better than the weights before the first step: {}, then at best {}",
                self.in_words(start.figure(&self.decides.name), start.loss),
                self.in_words(best.figure(&self.decides.name), best.loss)
            ));
        }
        notes.extend(best.no_better_than_majority(&self.figures));
        notes
    }

    /// Whether the last step was within an epoch.
    fn is_within_epoch(&self) -> bool {
        self.under_way.steps > 0
    }

    fn of_average(&self, averaged: &AveragedRecord) -> String {
        let AveragedRecord { steps, evaluation, .. } = averaged;
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        let of_average = self.in_words(evaluation.figure(&self.decides.name), evaluation.loss);
        let best = self.best.as_ref().map_or_else(String::new, |best| {
            format!(", and the best of all states {}", self.in_words(best.figure(&self.decides.name), best.loss))
        });
        format!("exported is the mean of the states after steps {}: it has {of_average}{best}", steps.join(", "))
    }

    fn of_statistics(&self, reestimated: &ReestimatedRecord) -> String {
        let rows = count(reestimated.rows, "training row");
        let words = |evaluation: &Evaluation| self.in_words(evaluation.figure(&self.decides.name), evaluation.loss);
        let again =
            reestimated.evaluation.as_ref().zip(self.best_evaluation()).map_or_else(String::new, |(now, then)| {
                format!(": it has {}, and with those that followed the batches {}", words(now), words(then))
            });
        format!("statistics of BatchNormalization in the exported model were computed anew from {rows}{again}")
    }

    /// Whether an evaluation is better than the best one so far.
    pub(crate) fn is_beaten_by(&self, evaluation: &Evaluation) -> bool {
        let (Some(best), Some(then)) = (&self.best, &self.best_evaluation) else { return true };
        let (better, was_better) = (self.is_better_than_start(evaluation), self.is_better_than_start(then));
        if better == was_better { best.is_beaten_by(evaluation, &self.decides) } else { better }
    }

    /// The figure that decides, and the loss.
    fn in_words(&self, value: Option<f64>, loss: f64) -> String {
        let loss = format!("loss {}", divergence::figure(loss));
        match (value, self.decides.unit) {
            _ if self.decides.name == FigureKind::LOSS => loss,
            (Some(share), Unit::Share) => format!("{} {:.1} % and {loss}", self.decides.label(), 100.0 * share),
            (value, _) => {
                let value = value.map_or_else(|| "unknown".to_owned(), divergence::figure);
                format!("{} {value} and {loss}", self.decides.label())
            }
        }
    }
}

/// Everything about a run that people and machines may want to know afterwards: `metrics.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of this format; 1.
    pub version: u32,
    /// The run's name.
    pub title: String,
    /// How it ended: `finished`, `interrupted`, or `failed`.
    pub ending: String,
    /// Device: `cpu` or `cuda:N`; of an older build, with the reason.
    pub device: String,
    /// Why it was taken.
    #[serde(default)]
    pub device_reason: String,
    /// Version of ONNX Runtime.
    pub onnx_runtime: String,
    /// Numbers that were trained.
    pub trained: u64,
    /// Numbers that stayed as they were.
    pub frozen: u64,
    /// Class names, in the order of the scores.
    pub classes: Vec<String>,
    /// Settings as name and value, in the order in which they are shown.
    pub settings: Vec<(String, String)>,
    /// What else is worth saying: rows that were skipped, warnings.
    pub notes: Vec<String>,
    /// What happened.
    pub history: History,
    /// Of the model that was exported, on the set that decides.
    pub evaluation: Option<Evaluation>,
    /// The name of that set: `evaluate`, or that of another; none where nothing is evaluated, or in a record of an older build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated_on: Option<String>,
    /// And on the other evaluation sets, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_evaluations: Vec<SetEvaluation>,
}

impl RunRecord {
    /// The version that this build writes.
    pub const VERSION: u32 = 1;

    /// The set that decides, where it is another than the rows of `data.evaluate`.
    pub fn other_deciding_set(&self) -> Option<&str> {
        self.evaluated_on.as_deref().filter(|name| *name != EvaluationRecipe::MAIN)
    }

    /// Writes `metrics.json`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TrainingError> {
        let text = serde_json::to_vec_pretty(self).expect("our own types have string keys, so they always serialize");
        files::replace_file(path, &text).map_err(TrainingError::io("write", path))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn seconds_of_steps_are_without_warm_up_and_with_an_epoch_that_was_cut_off() {
        let epoch = EpochRecord { steps: 6, seconds: 8.0, ..EpochRecord::default() };
        let under_way = EpochProgress { steps: 4, seconds: 5.0, ..EpochProgress::default() };
        let history = |steps, warm_up, warm_up_steps| {
            let timing = Timing { warm_up, warm_up_steps, ..Timing::default() };
            History { steps, epochs: vec![epoch.clone()], under_way, timing, ..History::default() }
        };
        for (steps, warm_up, warm_up_steps, wanted) in
            [(10, 4.0, 1, 10.0), (10, 5.0, 2, 10.0), (10, 0.0, 0, 13.0), (1, 13.0, 1, 13.0), (10, 3.0, 0, 10.0)]
        {
            let found = history(steps, warm_up, warm_up_steps).warm_seconds();
            assert!((found - wanted).abs() < 1e-12, "{steps} steps, {warm_up} of {warm_up_steps}: {found}");
        }
    }

    #[test]
    fn a_history_of_an_older_build_is_read() {
        let mut value = serde_json::to_value(History { steps: 3, ..History::default() }).unwrap();
        for field in ["start", "loss_watch", "figures", "decides"] {
            value.as_object_mut().unwrap().remove(field).unwrap();
        }
        value["best"] = json!({"epoch": 2, "accuracy": 0.75, "loss": 0.5});
        let figures = json!({"rows": 4, "not_finite": 0, "loss": 0.5, "accuracy": 0.75, "top_5": null});
        value["epochs"] = json!([
            {"epoch": 2, "steps": 1, "rows": 4, "training_loss": 0.7, "seconds": 1.0, "evaluation": figures},
        ]);
        let read: History = serde_json::from_value(value).unwrap();
        assert_eq!((read.steps, &read.start, read.loss_watch), (3, &None, LossWatch::default()));
        assert_eq!((read.decides.name.as_str(), read.figures.len()), ("accuracy", 2));
        assert_eq!(read.best.unwrap().figure("accuracy"), Some(0.75));
        let evaluation = read.epochs[0].evaluation.as_ref().unwrap();
        assert_eq!((evaluation.figure("accuracy"), evaluation.figure("top_5")), (Some(0.75), None));
    }

    #[test]
    fn history_survives_json_to_the_last_bit_and_a_loss_that_is_no_number() {
        let mut history = History::default();
        for step in 1..100_u64 {
            history.curve.add(step, (step as f64 * 0.7310).sin() / 3.0, 1e-3 / step as f64);
        }
        let figures = [("accuracy", Some(2.0 / 3.0))].into_iter().collect();
        history.best = Some(Best { epoch: 1, step: None, loss: f64::NAN, figures });
        let text = serde_json::to_string(&history).unwrap();
        let back: History = serde_json::from_str(&text).unwrap();
        assert_eq!(back.curve, history.curve);
        let best = back.best.unwrap();
        assert!(best.loss.is_nan() && best.figure("accuracy") == Some(2.0 / 3.0));
    }
}
