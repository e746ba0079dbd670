use millstream_schemas::Batch;

use crate::batches::BatchSource;
use crate::metrics::{Evaluation, MeasuredBatch, Measurement, MetricSet};
use crate::session::{LossRunner, Predictor, Scored};
use crate::{BoxError, TrainingError};

/// Opens a fresh pass over the evaluation rows.
pub type EvaluationBatches<'a> = dyn FnMut() -> Result<Box<dyn BatchSource + 'a>, BoxError> + 'a;

/// Rows to evaluate on, under a name where there are several sets.
pub struct EvaluationSet<'b, 'a> {
    /// Its name.
    pub name: &'b str,
    /// Opens a fresh pass over its rows.
    pub open: &'b mut EvaluationBatches<'a>,
}

/// Evaluates any model on rows with targets, by the loss and the metrics of a recipe; `progress` is told the rows done so
/// far and may stop it by returning `false`.
///
/// # Errors
/// A batch fails or does not fit the model, or no row has a target. `Ok(None)` when `progress` stopped it.
pub fn evaluate(
    predictor: &mut Predictor,
    loss: &mut LossRunner,
    metrics: &MetricSet,
    batches: &mut dyn BatchSource,
    classes: &[String],
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Evaluation>, TrainingError> {
    let score = |batch| {
        let (batch, prediction) = predictor.predict(batch)?;
        loss.score(batch, prediction)
    };
    gather(score, metrics, batches, classes, progress)
}

/// As [`evaluate`], with what is measured from anywhere.
pub(crate) fn gather(
    mut score: impl FnMut(Batch) -> Result<(Batch, Scored), TrainingError>,
    metrics: &MetricSet,
    batches: &mut dyn BatchSource,
    classes: &[String],
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Evaluation>, TrainingError> {
    let mut measurement = Measurement::start(metrics, classes)?;
    let mut rows = 0;
    while let Some(batch) = batches.next_batch() {
        let batch = batch.map_err(TrainingError::batches)?;
        if !batch.is_empty() {
            let (batch, Scored { prediction, loss, weight, weights }) = score(batch)?;
            let targets = batch.targets().ok_or_else(|| TrainingError::no_targets(&batch))?;
            let prediction = (prediction.shape.as_slice(), prediction.values.as_slice());
            let measured = MeasuredBatch::new(prediction, targets, weights.values(), metrics.reads())?;
            measurement.add(&measured, loss, weight)?;
            rows += batch.len() as u64;
        }
        if !progress(rows) {
            return Ok(None);
        }
    }
    measurement.finish().map(Some).ok_or(TrainingError::NothingLabelled)
}
