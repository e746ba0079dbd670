//! Means over several views of the same rows.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::RowId;
use millstream_schemas::recipe::ByteSize;

use crate::TrainingError;
use crate::batches::BatchSource;
use crate::session::{Prediction, Predictor};

/// What the mean over views is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Averaged {
    /// Probabilities of classes, the softmax along the second axis: the mean is handed on as their logarithms, which are scores
    /// of the same softmax.
    Classes,
    /// Probabilities of labels, each the sigmoid of its score: the mean is handed on as its log-odds.
    Labels,
    /// What the model gives.
    Scores,
}

impl Averaged {
    /// Probabilities of what is read so; of numbers and vectors what the model gives.
    pub fn probabilities(reads: PredictionKind) -> Self {
        match reads {
            PredictionKind::ClassScores => Self::Classes,
            PredictionKind::LabelScores => Self::Labels,
            PredictionKind::Numbers
            | PredictionKind::SequenceScores
            | PredictionKind::Embeddings
            | PredictionKind::Boxes => Self::Scores,
        }
    }
}

/// What a model gives for several views of the same rows in the same batches, added up: 8 bytes a number, or 16 for labels.
///
/// Probabilities are added as logarithms, so that a mean is exact to the double where all of them are next to 0 or to 1.
#[derive(Debug)]
pub struct ViewMean {
    averaged: Averaged,
    most_bytes: u64,
    bytes: u64,
    views: u64,
    /// The batch of the view under way that comes next.
    next: usize,
    sums: Vec<Sum>,
}

/// Of a batch.
#[derive(Debug)]
struct Sum {
    rows: Vec<Option<RowId>>,
    shape: Vec<usize>,
    /// Σ, or log Σ of probabilities.
    values: Vec<f64>,
    /// log Σ of what labels lack to 1.
    others: Vec<f64>,
}

impl ViewMean {
    /// Of no view so far; `most_bytes` bounds what is held.
    pub fn new(averaged: Averaged, most_bytes: u64) -> Self {
        Self { averaged, most_bytes, bytes: 0, views: 0, next: 0, sums: Vec::new() }
    }

    /// Adds what a model gives for a view, batch after batch. `progress` is told the rows done so far and may stop it: then it
    /// says `false`.
    ///
    /// # Errors
    /// A batch fails or does not fit the model, the batches are not those of the views before, or more would be held than may.
    pub fn add(
        &mut self,
        predictor: &mut Predictor,
        batches: &mut dyn BatchSource,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, TrainingError> {
        let mut rows = 0;
        while let Some(batch) = batches.next_batch() {
            let batch = batch.map_err(TrainingError::batches)?;
            if !batch.is_empty() {
                let (batch, prediction) = predictor.predict(batch)?;
                self.add_batch(&batch.rows, &prediction)?;
                rows += batch.len() as u64;
            }
            if !progress(rows) {
                return Ok(false);
            }
        }
        if self.next != self.sums.len() {
            return Err(other_rows());
        }
        (self.next, self.views) = (0, self.views + 1);
        Ok(true)
    }

    /// The mean over the views so far and this last one, whose batches come in order.
    pub(crate) fn mean_with(
        &mut self,
        rows: &[Option<RowId>],
        prediction: Prediction,
    ) -> Result<Prediction, TrainingError> {
        if self.views == 0 {
            return Ok(prediction);
        }
        let at = self.next;
        self.add_batch(rows, &prediction)?;
        let views = (self.views + 1) as f64;
        let sum = &mut self.sums[at];
        let values = match self.averaged {
            Averaged::Scores => sum.values.iter().map(|sum| (sum / views) as f32).collect(),
            Averaged::Classes => sum.values.iter().map(|sum| (sum - views.ln()) as f32).collect(),
            Averaged::Labels => sum.values.iter().zip(&sum.others).map(|(sum, other)| (sum - other) as f32).collect(),
        };
        // It is not asked for again.
        (sum.values, sum.others) = (Vec::new(), Vec::new());
        Ok(Prediction { shape: prediction.shape, values })
    }

    fn add_batch(&mut self, rows: &[Option<RowId>], prediction: &Prediction) -> Result<(), TrainingError> {
        let (values, others) = self.terms(prediction);
        if self.views == 0 {
            self.bytes += 8 * (values.len() + others.len()) as u64;
            if self.bytes > self.most_bytes {
                let message = format!(
                    "the mean over views of all rows takes more than the {} that may be held; allow more \
                     (`data.memory`), or measure fewer rows",
                    ByteSize(self.most_bytes)
                );
                return Err(TrainingError::Views { message });
            }
            self.sums.push(Sum { rows: rows.to_vec(), shape: prediction.shape.clone(), values, others });
            self.next += 1;
            return Ok(());
        }
        let sum = self.sums.get_mut(self.next).filter(|sum| sum.rows == rows && sum.shape == prediction.shape);
        let sum = sum.ok_or_else(other_rows)?;
        let add: fn(f64, f64) -> f64 = if self.averaged == Averaged::Scores { |a, b| a + b } else { log_sum };
        for (sums, terms) in [(&mut sum.values, values), (&mut sum.others, others)] {
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum = add(*sum, term));
        }
        self.next += 1;
        Ok(())
    }

    /// What is added up of a prediction.
    fn terms(&self, prediction: &Prediction) -> (Vec<f64>, Vec<f64>) {
        let scores = prediction.values.iter().copied().map(f64::from);
        match self.averaged {
            Averaged::Scores => (scores.collect(), Vec::new()),
            Averaged::Labels => scores.map(|score| (log_sigmoid(score), log_sigmoid(-score))).unzip(),
            Averaged::Classes => (log_softmax(&prediction.shape, &prediction.values), Vec::new()),
        }
    }
}

fn other_rows() -> TrainingError {
    let message = "the views of the rows do not come in the same batches of the same shape; transforms of views keep all rows, \
                   and end at one size";
    TrainingError::Views { message: message.into() }
}

/// ln(e^a + e^b).
fn log_sum(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == high { high + std::f64::consts::LN_2 } else { high + (low - high).exp().ln_1p() }
}

/// ln(1 / (1 + e^−x)).
fn log_sigmoid(x: f64) -> f64 {
    if x < 0.0 { x - x.exp().ln_1p() } else { -(-x).exp().ln_1p() }
}

/// Along the second axis.
fn log_softmax(shape: &[usize], scores: &[f32]) -> Vec<f64> {
    let classes = shape.get(1).copied().unwrap_or(1).max(1);
    let places = shape.iter().skip(2).product::<usize>().max(1);
    let mut found = vec![0.0; scores.len()];
    for (row, scores) in scores.chunks(classes * places).enumerate() {
        for place in 0..places {
            let of_place = || scores.iter().skip(place).step_by(places).copied().map(f64::from);
            let highest = of_place().fold(f64::NEG_INFINITY, f64::max);
            let whole = highest + of_place().map(|score| (score - highest).exp()).sum::<f64>().ln();
            for (class, score) in of_place().enumerate() {
                found[(row * classes + class) * places + place] = score - whole;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(averaged: Averaged, views: &[&[f32]], shape: &[usize]) -> Vec<f32> {
        let mut mean = ViewMean::new(averaged, 1 << 20);
        let of = |values: &[f32]| Prediction { shape: shape.to_vec(), values: values.to_vec() };
        let (last, before) = views.split_last().unwrap();
        for view in before {
            mean.add_batch(&[None], &of(view)).unwrap();
            (mean.next, mean.views) = (0, mean.views + 1);
        }
        mean.mean_with(&[None], of(last)).unwrap().values
    }

    #[test]
    fn means_are_those_of_probabilities_or_of_scores() {
        let views: [&[f32]; 3] = [&[1.0, -0.5, 2.0], &[0.0, 3.0, 1.0], &[-1.0, 0.5, 0.25]];
        // scipy: log(mean(softmax(views, axis=1), axis=0)); logit(mean(expit(views), axis=0)); mean(views, axis=0)
        for (averaged, wanted) in [
            (Averaged::Classes, [-1.99710309, -0.7621942, -0.92223161]),
            (Averaged::Labels, [0.0, 0.62281296, 0.96778302]),
            (Averaged::Scores, [0.0, 1.0, 1.08333333]),
        ] {
            let found = mean(averaged, &views, &[1, 3]);
            let close =
                found.iter().zip(wanted).all(|(found, wanted): (&f32, f64)| (f64::from(*found) - wanted).abs() < 1e-6);
            assert!(close, "{averaged:?}: {found:?}");
        }
        // A probability next to 1 in all views stays what it is.
        assert_eq!(mean(Averaged::Labels, &[&[80.0], &[80.0]], &[1, 1]), [80.0]);
        assert_eq!(mean(Averaged::Labels, &[&[-80.0], &[-80.0]], &[1, 1]), [-80.0]);
        assert_eq!(mean(Averaged::Classes, &[&[90.0, 0.0]], &[1, 2]), [90.0, 0.0], "one view is as it was");
        let of_places = mean(Averaged::Classes, &[&[1.0, 5.0, 1.0, 5.0], &[1.0, 5.0, 1.0, 5.0]], &[1, 2, 2]);
        assert!(of_places.iter().all(|value| (value - 0.5_f32.ln()).abs() < 1e-6), "{of_places:?}");
    }

    #[test]
    fn views_of_other_rows_and_too_many_of_them_are_refused() {
        let of = |shape: [usize; 2]| Prediction { shape: shape.to_vec(), values: vec![0.0; shape[0] * shape[1]] };
        let mut mean = ViewMean::new(Averaged::Scores, 40);
        mean.add_batch(&[None, None], &of([2, 2])).unwrap();
        let message = mean.add_batch(&[None], &of([1, 2])).unwrap_err().to_string();
        assert!(message.contains("takes more than the 40 B") && message.contains("`data.memory`"), "{message}");
        (mean.next, mean.views) = (0, 1);
        for (rows, shape) in [(vec![None], [1, 2]), (vec![None, None], [1, 4])] {
            let message = mean.mean_with(&rows, of(shape)).unwrap_err().to_string();
            assert!(message.contains("do not come in the same batches"), "{message}");
        }
        mean.mean_with(&[None, None], of([2, 2])).unwrap();
        assert!(mean.mean_with(&[None, None], of([2, 2])).is_err(), "there was one batch");
    }
}
