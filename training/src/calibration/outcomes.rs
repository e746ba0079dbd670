use millstream_compiler::losses::PredictionKind;
use millstream_schemas::recipe::ByteSize;

use crate::TrainingError;
use crate::batches::BatchSource;
use crate::metrics::MeasuredBatch;
use crate::session::{LossRunner, Predictor, Scored};

/// What a model gave for labelled rows, and what is true of them: 4 bytes a score, and 4 more for the class or for each label.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcomes {
    /// Scores of a place: of its classes, or of its labels.
    pub(super) columns: usize,
    /// By place, then by class or label.
    pub(super) scores: Vec<f32>,
    /// The class of each place.
    pub(super) classes: Vec<u32>,
    /// From 0, it does not hold, to 1, it holds: by place, then by label.
    pub(super) labels: Vec<f32>,
}

impl Outcomes {
    /// Of classes: scores `[place, class]`, row-major, and the class of each place.
    pub fn of_classes(columns: usize, scores: Vec<f32>, classes: Vec<u32>) -> Self {
        Self { columns, scores, classes, labels: Vec::new() }
    }

    /// Of labels that may hold together: scores `[place, label]`, row-major, and as many targets from 0 to 1.
    pub fn of_labels(columns: usize, scores: Vec<f32>, labels: Vec<f32>) -> Self {
        Self { columns, scores, classes: Vec::new(), labels }
    }

    /// Runs a model on rows with targets and holds what it gives. `most_bytes` bounds what is held; `progress` is told the rows
    /// done so far and may stop it by returning `false`.
    ///
    /// # Errors
    /// A batch fails or does not fit the model, a score is no number, no row has a target, the loss is none of classes or labels,
    /// or more would be held than may. `Ok(None)` when `progress` stopped it.
    pub fn gather(
        predictor: &mut Predictor,
        loss: &mut LossRunner,
        reads: PredictionKind,
        batches: &mut dyn BatchSource,
        most_bytes: u64,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Self>, TrainingError> {
        if !matches!(reads, PredictionKind::ClassScores | PredictionKind::LabelScores) {
            let message =
                "only scores of classes or of labels are calibrated, and the loss reads something else".into();
            return Err(TrainingError::Calibration { message });
        }
        let (mut this, mut rows) = (Self::default(), 0);
        while let Some(batch) = batches.next_batch() {
            let batch = batch.map_err(TrainingError::batches)?;
            if !batch.is_empty() {
                let (batch, prediction) = predictor.predict(batch)?;
                let (batch, Scored { prediction, weights, .. }) = loss.score(batch, prediction)?;
                let targets = batch.targets().ok_or_else(|| TrainingError::no_targets(&batch))?;
                let prediction = (prediction.shape.as_slice(), prediction.values.as_slice());
                let first = this.scores.len();
                this.add(&MeasuredBatch::new(prediction, targets, weights.values(), reads)?);
                this.require_fit(first, most_bytes)?;
                rows += batch.len() as u64;
            }
            if !progress(rows) {
                return Ok(None);
            }
        }
        if this.scores.is_empty() {
            return Err(TrainingError::NothingLabelled);
        }
        Ok(Some(this))
    }

    fn add(&mut self, batch: &MeasuredBatch<'_>) {
        if batch.reads() == PredictionKind::ClassScores {
            return batch.each_answer(|answer| {
                self.columns = answer.scores.len();
                self.scores.extend_from_slice(answer.scores);
                self.classes.push(answer.truth as u32);
            });
        }
        self.columns = batch.shape().get(1).copied().unwrap_or(1).max(1);
        let places = batch.shape().iter().skip(2).product::<usize>().max(1);
        // By label, then by place, as they lie in the batch.
        let mut row = vec![(0.0, 0.0); self.columns * places];
        let mut at = 0;
        batch.each_label(|answer| {
            row[at % places * self.columns + answer.label] = (answer.score, answer.target);
            at += 1;
            if at == row.len() {
                self.scores.extend(row.iter().map(|(score, _)| *score));
                self.labels.extend(row.iter().map(|(_, target)| *target));
                at = 0;
            }
        });
    }

    /// Refuses more than may be held, and scores from the `first` on that are no numbers.
    fn require_fit(&self, first: usize, most_bytes: u64) -> Result<(), TrainingError> {
        let held = 4 * (self.scores.len() + self.classes.len() + self.labels.len()) as u64;
        if held > most_bytes {
            let message = format!(
                "the scores of all rows, which a fit needs, take more than the {} that may be held; allow more \
                 (`data.memory`), or name fewer rows",
                ByteSize(most_bytes)
            );
            return Err(TrainingError::Calibration { message });
        }
        if self.scores[first..].iter().any(|score| !score.is_finite()) {
            let message = "the model gives scores that are no numbers, to which nothing can be fitted".into();
            return Err(TrainingError::Calibration { message });
        }
        Ok(())
    }

    /// With all scores divided by a number above 0.
    #[must_use]
    pub fn divided_by(mut self, temperature: f32) -> Self {
        self.scores.iter_mut().for_each(|score| *score /= temperature);
        self
    }
}
