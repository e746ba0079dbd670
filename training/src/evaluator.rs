use std::time::{Duration, Instant};

use millstream_schemas::Batch;

use crate::batches::BatchSource;
use crate::metrics::{
    Evaluation, MeasuredBatch, Measurement, MetricSet, MistakenMasks, MistakenPictures, Mistakes, Slicing,
};
use crate::prediction_sink::PredictionSink;
use crate::row_slices::RowSlices;
use crate::session::{LossRunner, Predictor, Scored};
use crate::views::ViewMean;
use crate::{BoxError, TrainingError};

/// How often it is asked whether to go on while intervals are found.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Opens a fresh pass over the evaluation rows.
pub type EvaluationBatches<'a> = dyn FnMut() -> Result<Box<dyn BatchSource + 'a>, BoxError> + 'a;

/// What an evaluation does beside measuring all rows.
#[derive(Default)]
pub struct EvaluationExtras<'a> {
    /// Tells rows apart, whose figures are found for themselves then.
    pub slices: Option<&'a mut dyn RowSlices>,
    /// Other views of the same rows in the same batches: what is measured is the mean over these and the batches themselves.
    pub views: Option<ViewMean>,
    /// Takes what is measured, row by row.
    pub sink: Option<&'a mut dyn PredictionSink>,
}

/// Rows to evaluate on, under a name where there are several sets.
pub struct EvaluationSet<'b, 'a> {
    /// Its name.
    pub name: &'b str,
    /// Opens a fresh pass over its rows.
    pub open: &'b mut EvaluationBatches<'a>,
}

/// Rows that a run goes through beside its training rows.
#[derive(Default)]
pub struct RunSources<'s, 'b, 'a> {
    /// Sets of evaluation rows. The first decides which state is the best and when the run gets no better; what is found on the
    /// others is told and recorded.
    pub sets: &'s mut [EvaluationSet<'b, 'a>],
    /// Opens a fresh pass over the rows that running statistics are computed from, the same each time.
    pub statistics: Option<&'s mut EvaluationBatches<'a>>,
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
    evaluate_with(predictor, loss, metrics, batches, classes, EvaluationExtras::default(), progress)
}

/// As [`evaluate`], with more.
///
/// # Errors
/// As [`evaluate`]; the slices of a row cannot be read, or the views are not of the rows of the batches.
pub fn evaluate_with(
    predictor: &mut Predictor,
    loss: &mut LossRunner,
    metrics: &MetricSet,
    batches: &mut dyn BatchSource,
    classes: &[String],
    extras: EvaluationExtras<'_>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Evaluation>, TrainingError> {
    let EvaluationExtras { slices, mut views, sink } = extras;
    // of what rows are drawn from for intervals, the loss is known row by row
    let by_rows = metrics.bootstrap().is_some();
    let score = |batch| {
        let (batch, mut prediction) = predictor.predict(batch)?;
        if let Some(views) = &mut views {
            prediction = views.mean_with(&batch.rows, prediction)?;
        }
        if by_rows { loss.score_with_rows(batch, prediction) } else { loss.score(batch, prediction) }
    };
    gather_sliced(score, metrics, batches, classes, (slices, sink), progress)
}

/// As [`evaluate`], with what is measured from anywhere.
pub(crate) fn gather(
    score: impl FnMut(Batch) -> Result<(Batch, Scored), TrainingError>,
    metrics: &MetricSet,
    batches: &mut dyn BatchSource,
    classes: &[String],
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Evaluation>, TrainingError> {
    gather_sliced(score, metrics, batches, classes, (None, None), progress)
}

fn gather_sliced(
    mut score: impl FnMut(Batch) -> Result<(Batch, Scored), TrainingError>,
    metrics: &MetricSet,
    batches: &mut dyn BatchSource,
    classes: &[String],
    (mut slices, mut sink): (Option<&mut dyn RowSlices>, Option<&mut dyn PredictionSink>),
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Evaluation>, TrainingError> {
    let mut measurement = Measurement::start(metrics, classes)?;
    let columns = slices.as_ref().map_or_else(Vec::new, |slices| slices.columns());
    let mut slicing = Slicing::start(metrics, classes, columns)?;
    let (mut rows, mut mistakes) = (0, Mistakes::default());
    let (mut pictures, mut masks) = (MistakenPictures::default(), MistakenMasks::default());
    while let Some(batch) = batches.next_batch() {
        let batch = batch.map_err(TrainingError::batches)?;
        if !batch.is_empty() {
            let (batch, Scored { prediction, loss, weight, weights, lengths, row_losses }) = score(batch)?;
            let targets = batch.targets().ok_or_else(|| TrainingError::no_targets(&batch))?;
            let prediction = (prediction.shape.as_slice(), prediction.values.as_slice());
            let measured = MeasuredBatch::new(prediction, targets, weights.values(), metrics.reads())?;
            let measured = measured.with_lengths(lengths.as_deref());
            measurement.add(&measured, loss, weight)?;
            measurement.add_row_losses(row_losses.as_deref());
            mistakes.add(metrics.reads(), &batch.rows, &measured);
            pictures.add(&batch.rows, &measured);
            masks.add(&batch.rows, &measured);
            if let Some(slices) = &mut slices {
                let slices = slices.of_rows(&batch.rows).map_err(TrainingError::batches)?;
                slicing.add(&measured, weights.values(), &slices)?;
            }
            if let Some(sink) = &mut sink {
                sink.take(&batch.rows, &measured).map_err(|source| TrainingError::Predictions { source })?;
            }
            metrics.require_fit(measurement.bytes_held() + slicing.bytes_held())?;
            rows += batch.len() as u64;
        }
        if !progress(rows) {
            return Ok(None);
        }
    }
    let mut asked = Instant::now();
    let mut go_on = || {
        if asked.elapsed() < ASK_EVERY {
            return true;
        }
        asked = Instant::now();
        progress(rows)
    };
    let Ok(found) = measurement.finish_while(&mut go_on) else { return Ok(None) };
    let found = found.ok_or(TrainingError::NothingLabelled)?;
    let Ok(slices) = slicing.finish_while(&mut go_on) else { return Ok(None) };
    let (mistakes, mistaken_pictures, mistaken_masks) = (mistakes.finish(), pictures.finish(), masks.finish());
    Ok(Some(Evaluation { slices, mistakes, mistaken_pictures, mistaken_masks, ..found }))
}
