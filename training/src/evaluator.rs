use crate::batches::BatchSource;
use crate::metrics::{Evaluation, Meter};
use crate::session::Predictor;
use crate::{BoxError, TrainingError};

/// Opens a fresh pass over the evaluation rows.
pub type EvaluationBatches<'a> = dyn FnMut() -> Result<Box<dyn BatchSource + 'a>, BoxError> + 'a;

/// Evaluates any model on labelled batches; `progress` is told the rows done so far and may stop it by returning `false`.
///
/// # Errors
/// A batch fails or does not fit the model, or no row has a label. `Ok(None)` when `progress` stopped it.
pub fn evaluate(
    predictor: &mut Predictor,
    batches: &mut dyn BatchSource,
    classes: &[String],
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Evaluation>, TrainingError> {
    let predict = |batch| predictor.predict(batch).map(|(batch, logits)| (batch, logits.values));
    gather(predict, batches, classes, progress)
}

/// As [`evaluate`], with the scores from anywhere.
pub(crate) fn gather(
    mut scores: impl FnMut(millstream_schemas::Batch) -> Result<(millstream_schemas::Batch, Vec<f32>), TrainingError>,
    batches: &mut dyn BatchSource,
    classes: &[String],
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Evaluation>, TrainingError> {
    let mut meter = Meter::new(classes);
    let mut rows = 0;
    while let Some(batch) = batches.next_batch() {
        let batch = batch.map_err(TrainingError::batches)?;
        if !batch.is_empty() {
            let (batch, logits) = scores(batch)?;
            meter.add(&batch, &logits)?;
            rows += batch.len() as u64;
        }
        if !progress(rows) {
            return Ok(None);
        }
    }
    meter.finish().map(Some).ok_or(TrainingError::NothingLabelled)
}
