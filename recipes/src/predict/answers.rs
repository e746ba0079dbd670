use millstream_compiler::losses::PredictionKind;
use millstream_schemas::{Batch, RowId};
use millstream_training::Prediction;
use millstream_training::metrics::{sigmoid, softmax};

use super::mask_files::MaskFiles;
use super::{ClassProbability, ClassShare, PredictOptions, PredictedAs, RowAnswer};
use crate::RecipeError;

/// What a model's scores say.
pub(super) struct Answers {
    reads: PredictionKind,
    classes: Vec<String>,
    /// Log-odds from where on labels, or the second of two classes, are said to hold.
    thresholds: Vec<f64>,
    /// Classes named of each row; 0 for all.
    top: usize,
    masks: Option<MaskFiles>,
}

impl Answers {
    /// # Errors
    /// Such scores are not read.
    pub(super) fn new(
        reads: PredictionKind,
        classes: Vec<String>,
        thresholds: Vec<f64>,
        options: &PredictOptions,
    ) -> Result<Self, RecipeError> {
        if reads == PredictionKind::SequenceScores {
            let message = "the model gives scores of symbols for a sequence (the loss `ctc`), which `predict` does not decode; \
                           `evaluate` measures them";
            return Err(RecipeError::mismatch("model", message));
        }
        let masks = options.masks.as_deref().map(MaskFiles::new).transpose()?;
        Ok(Self { reads, classes, thresholds, top: options.top, masks })
    }

    pub(super) fn kind(&self) -> PredictedAs {
        match self.reads {
            PredictionKind::ClassScores | PredictionKind::SequenceScores => PredictedAs::Classes,
            PredictionKind::LabelScores => PredictedAs::Labels,
            PredictionKind::Numbers | PredictionKind::Embeddings => PredictedAs::Numbers,
        }
    }

    /// What the model says of each row of a batch.
    ///
    /// # Errors
    /// The prediction is of another shape than can be read, or of pixels, and there is no place for masks.
    pub(super) fn of_batch(
        &self,
        batch: &Batch,
        prediction: &Prediction,
    ) -> Result<Vec<(RowId, RowAnswer)>, RecipeError> {
        let of_row: usize = prediction.shape.iter().skip(1).product();
        let rows = batch.rows.iter().zip(prediction.values.chunks(of_row.max(1))).enumerate();
        let rows = rows.filter_map(|(slot, (row, scores))| Some((slot, row.clone()?, scores)));
        rows.map(|(slot, row, scores)| Ok((row, self.of_row(&prediction.shape, scores, || length(batch, slot))?)))
            .collect()
    }

    fn of_row(
        &self,
        shape: &[usize],
        scores: &[f32],
        length: impl Fn() -> Option<usize>,
    ) -> Result<RowAnswer, RecipeError> {
        if scores.iter().any(|score| !score.is_finite()) {
            return Ok(RowAnswer::Unusable { error: "the model gives scores that are no numbers".into() });
        }
        match (self.reads, shape) {
            (PredictionKind::ClassScores, [_, _]) => Ok(self.class(scores)),
            (PredictionKind::ClassScores, [_, classes, places]) => {
                let places_of_row = length().unwrap_or(*places).min(*places);
                let best = (0..places_of_row).map(|place| highest(*classes, |class| scores[class * places + place]));
                Ok(RowAnswer::Tokens { classes: best.map(|class| self.name(class)).collect() })
            }
            (PredictionKind::ClassScores, [_, classes, height, width]) => self.mask([*classes, *height, *width], scores),
            (PredictionKind::LabelScores, [_, _]) => Ok(self.labels(scores)),
            (PredictionKind::Numbers | PredictionKind::Embeddings, _) => {
                Ok(RowAnswer::Numbers { values: scores.to_vec() })
            }
            _ => {
                let message = format!("it gives scores of the shape {shape:?}, which `predict` does not read");
                Err(RecipeError::mismatch("model", message))
            }
        }
    }

    fn class(&self, scores: &[f32]) -> RowAnswer {
        let mut probabilities = Vec::new();
        softmax(scores, &mut probabilities);
        let probabilities: Vec<f32> = probabilities.into_iter().map(|probability| probability as f32).collect();
        let index = match (scores, self.thresholds.as_slice()) {
            ([first, second], [threshold]) => usize::from(f64::from(*second) - f64::from(*first) > *threshold),
            _ => highest(scores.len(), |class| scores[class]),
        };
        let class = self.name(index);
        let probability = probabilities.get(index).copied().unwrap_or_default();
        RowAnswer::Class { class, index, probability, top: self.top(&probabilities), probabilities }
    }

    fn labels(&self, scores: &[f32]) -> RowAnswer {
        let probabilities: Vec<f32> = scores.iter().map(|score| sigmoid(*score) as f32).collect();
        let threshold = |label: usize| self.thresholds.get(label).copied().unwrap_or(0.0);
        let holds = |label: &usize| f64::from(scores[*label]) > threshold(*label);
        let labels = (0..scores.len()).filter(holds).map(|label| self.name(label)).collect();
        RowAnswer::Labels { labels, top: self.top(&probabilities), probabilities }
    }

    fn mask(&self, [classes, height, width]: [usize; 3], scores: &[f32]) -> Result<RowAnswer, RecipeError> {
        if self.masks.is_none() {
            let message = "the model gives a class for each pixel; name a folder for the masks by `--masks`";
            return Err(RecipeError::mismatch("model", message));
        }
        let pixels = height * width;
        let best: Vec<u16> =
            (0..pixels).map(|pixel| highest(classes, |class| scores[class * pixels + pixel]) as u16).collect();
        let mut counts = vec![0_u64; classes];
        best.iter().for_each(|class| counts[usize::from(*class)] += 1);
        let mut shares: Vec<(usize, u64)> = counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect();
        shares.sort_by_key(|(class, count)| (std::cmp::Reverse(*count), *class));
        let share =
            |(class, count)| ClassShare { class: self.name(class), share: count as f64 / pixels.max(1) as f64 };
        let shares = shares.into_iter().map(share).collect();
        Ok(RowAnswer::Mask { mask: Default::default(), size: [width, height], shares, pixels: best })
    }

    /// An answer that was handed on, with what of it lies in files; `file` is what the row is called without its folder.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn finished(&mut self, answer: RowAnswer, file: &str) -> Result<RowAnswer, RecipeError> {
        match (answer, &mut self.masks) {
            (RowAnswer::Mask { size, shares, pixels, .. }, Some(masks)) => {
                let mask = masks.write(file, size, &pixels)?;
                Ok(RowAnswer::Mask { mask, size, shares, pixels: Vec::new() })
            }
            (answer, _) => Ok(answer),
        }
    }

    fn top(&self, probabilities: &[f32]) -> Vec<ClassProbability> {
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]).then(a.cmp(b)));
        let most = if self.top == 0 { order.len() } else { self.top };
        let entry = |class: usize| ClassProbability { class: self.name(class), probability: probabilities[class] };
        order.into_iter().take(most).map(entry).collect()
    }

    fn name(&self, class: usize) -> String {
        self.classes.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

/// The first of the highest.
fn highest(count: usize, score: impl Fn(usize) -> f32) -> usize {
    (0..count).fold(0, |best, class| if score(class) > score(best) { class } else { best })
}

/// How long a slot's row was, where rows have lengths of their own.
fn length(batch: &Batch, slot: usize) -> Option<usize> {
    batch.lengths.values().next()?.get(slot).copied()
}
