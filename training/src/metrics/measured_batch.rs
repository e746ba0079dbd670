use millstream_compiler::losses::PredictionKind;
use millstream_schemas::{Tensor, TensorData};

use super::highest::highest;
use crate::TrainingError;

/// What a model gave for a batch, and what it should have given.
#[derive(Clone, Copy, Debug)]
pub struct MeasuredBatch<'a> {
    prediction: &'a [f32],
    shape: &'a [usize],
    targets: Targets<'a>,
    weights: &'a [f64],
    reads: PredictionKind,
    thresholds: &'a [f64],
    /// Of each row; none where all of the second axis is everybody's.
    lengths: Option<&'a [usize]>,
}

#[derive(Clone, Copy, Debug)]
enum Targets<'a> {
    /// Of the shape of the prediction.
    Floats(&'a [f32]),
    /// Without its axis of classes.
    Classes(&'a [i64]),
    /// One for each place of a sequence.
    Tokens(&'a [i64]),
    /// Of a sequence, as many as there are in a row of the batch.
    Symbols(&'a [i64]),
    /// Of each picture boxes of five numbers, the sides as shares and the class.
    Boxes(&'a [f32]),
    /// Of a shape of their own: the loss alone compares them.
    Other,
}

/// A row of a batch, for itself.
#[derive(Clone, Debug)]
pub(super) struct MeasuredRow {
    prediction: Vec<f32>,
    shape: Vec<usize>,
    targets: RowTargets,
    reads: PredictionKind,
    lengths: Option<[usize; 1]>,
}

#[derive(Clone, Debug)]
enum RowTargets {
    Floats(Vec<f32>),
    Classes(Vec<i64>),
    Tokens(Vec<i64>),
    Symbols(Vec<i64>),
    Boxes(Vec<f32>),
    Other,
}

impl MeasuredRow {
    /// Bytes of what it holds.
    pub(super) fn bytes(&self) -> u64 {
        let targets = match &self.targets {
            RowTargets::Floats(targets) | RowTargets::Boxes(targets) => 4 * targets.len(),
            RowTargets::Classes(targets) | RowTargets::Tokens(targets) | RowTargets::Symbols(targets) => {
                8 * targets.len()
            }
            RowTargets::Other => 0,
        };
        (size_of::<Self>() + 8 * self.shape.len() + 4 * self.prediction.len() + targets) as u64
    }

    /// A row of which nothing but that it is there is known.
    pub(super) fn without_values(self) -> Self {
        Self { prediction: Vec::new(), shape: Vec::new(), targets: RowTargets::Other, ..self }
    }

    /// A batch of this row alone.
    pub(super) fn batch(&self) -> MeasuredBatch<'_> {
        let targets = match &self.targets {
            RowTargets::Floats(targets) => Targets::Floats(targets),
            RowTargets::Classes(targets) => Targets::Classes(targets),
            RowTargets::Tokens(targets) => Targets::Tokens(targets),
            RowTargets::Symbols(targets) => Targets::Symbols(targets),
            RowTargets::Boxes(targets) => Targets::Boxes(targets),
            RowTargets::Other => Targets::Other,
        };
        let (prediction, shape, reads) = (&self.prediction, &self.shape, self.reads);
        let lengths = self.lengths.as_ref().map(<[usize; 1]>::as_slice);
        MeasuredBatch { prediction, shape, targets, weights: &[1.0], reads, thresholds: &[], lengths }
    }
}

/// What was said of one place of a row, and what is true of it.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The class: the highest of the targets.
    pub truth: usize,
    /// The class with the highest score, the first of equals; of two classes with a threshold, the second where its log-odds are
    /// above that. None when a score is no number.
    pub predicted: Option<usize>,
    /// Score of each class.
    pub scores: &'a [f32],
    /// The row of the batch.
    pub row: usize,
}

/// What was said of one label at one place of a row, and what is true of it.
#[derive(Clone, Copy, Debug)]
pub struct LabelAnswer {
    /// The label.
    pub label: usize,
    /// Its score before the sigmoid.
    pub score: f32,
    /// From 0, it does not hold, to 1, it holds.
    pub target: f32,
    /// The row of the batch.
    pub row: usize,
    /// The score above which the label is said to hold; 0, a probability of ½, unless another was fitted.
    pub threshold: f64,
}

impl LabelAnswer {
    /// Whether the label holds: a target above ½.
    pub fn holds(&self) -> bool {
        self.target > 0.5
    }

    /// Whether it was said to hold: a score above the threshold. A score that is no number says what is wrong.
    pub fn is_said(&self) -> bool {
        if self.score.is_finite() { f64::from(self.score) > self.threshold } else { !self.holds() }
    }
}

/// The class of each place of a row, and the class that it was told as; its memory serves one row after the other.
#[derive(Debug, Default)]
pub(super) struct PlaceClasses {
    /// None where a place has no class.
    truth: Vec<Option<u32>>,
    /// None where a score is no number.
    told: Vec<Option<u32>>,
    /// The highest number of each place so far.
    highest: Vec<f32>,
    /// Places with a number of a kind that is looked for.
    marked: Vec<bool>,
}

impl PlaceClasses {
    /// Both of each place, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = [Option<u32>; 2]> + '_ {
        self.truth.iter().zip(&self.told).map(|(truth, told)| [*truth, *told])
    }

    /// Both of a place, by its number among those of the row.
    pub(super) fn at(&self, place: usize) -> [Option<u32>; 2] {
        [&self.truth, &self.told].map(|of| of.get(place).copied().flatten())
    }
}

/// Finds for each of so many places the class of the highest of its numbers, as [`highest`] does, and marks the places of which a number is
/// one that `marks` takes; `values` is row-major `[classes, places]`.
fn highest_of_places(
    values: &[f32],
    places: usize,
    found: &mut Vec<Option<u32>>,
    highest: &mut Vec<f32>,
    marked: &mut Vec<bool>,
    marks: impl Fn(f32) -> bool,
) {
    let first = values.get(..places).unwrap_or_default();
    highest.clear();
    highest.extend_from_slice(first);
    marked.clear();
    marked.extend(first.iter().map(|value| marks(*value)));
    found.clear();
    found.resize(first.len(), Some(0));
    for (class, of_class) in (0_u32..).zip(values.chunks_exact(places.max(1))).skip(1) {
        let so_far = found.iter_mut().zip(highest.iter_mut()).zip(marked.iter_mut());
        for (value, ((found, highest), is_marked)) in of_class.iter().zip(so_far) {
            *is_marked |= marks(*value);
            if *value > *highest {
                (*highest, *found) = (*value, Some(class));
            }
        }
    }
}

/// The class that a target says, where it is one of so many.
fn class_of(target: i64, classes: usize) -> Option<usize> {
    usize::try_from(target).ok().filter(|class| *class < classes)
}

impl<'a> MeasuredBatch<'a> {
    /// `prediction` is row-major `shape`; the weight of a row that is left out is 0.
    ///
    /// # Errors
    /// Prediction, targets and weights do not fit each other.
    pub fn new(
        (shape, prediction): (&'a [usize], &'a [f32]),
        targets: &'a Tensor,
        weights: &'a [f64],
        reads: PredictionKind,
    ) -> Result<Self, TrainingError> {
        let is_scores = reads == PredictionKind::ClassScores;
        let is_of_boxes = reads == PredictionKind::Boxes;
        let is_compared = is_scores || is_of_boxes || reads == PredictionKind::Numbers;
        let axes = match reads {
            PredictionKind::ClassScores => "[batch, classes, …]",
            PredictionKind::Boxes => "[batch, classes + 4, height, width]",
            _ => "[batch, …]",
        };
        let rows = weights.len();
        let fits = shape.first() == Some(&rows)
            && shape.iter().product::<usize>() == prediction.len()
            && (!is_scores || shape.len() >= 2)
            && (!is_of_boxes || shape.len() == 4);
        if !fits {
            return Err(TrainingError::Input {
                name: "prediction".into(),
                wanted: format!("{axes} for {rows} rows"),
                got: format!("{} numbers of shape {shape:?}", prediction.len()),
            });
        }
        let places = |classes: usize| prediction.len() / classes.max(1);
        let targets = match &targets.data {
            TensorData::F32(values) if is_of_boxes && matches!(targets.shape.as_slice(), [of, _, 5] if *of == rows) => {
                Targets::Boxes(values)
            }
            TensorData::F32(values) if !is_of_boxes && values.len() == prediction.len() => Targets::Floats(values),
            TensorData::I64(values) if is_scores && values.len() == places(shape[1]) => Targets::Classes(values),
            TensorData::I64(values)
                if reads == PredictionKind::SequenceScores
                    && values.len() == shape.iter().take(2).product::<usize>() =>
            {
                Targets::Tokens(values)
            }
            TensorData::I64(values)
                if reads == PredictionKind::SequenceScores
                    && shape.len() == 3
                    && targets.shape.len() == 2
                    && targets.shape.first() == Some(&rows) =>
            {
                Targets::Symbols(values)
            }
            _ if !is_compared => Targets::Other,
            _ => {
                return Err(TrainingError::Input {
                    name: "targets".into(),
                    wanted: match is_of_boxes {
                        true => format!("float32 [{rows}, boxes, 5]"),
                        false => format!("float32 {shape:?}, or int64 without the axis of classes"),
                    },
                    got: format!("{:?}", targets.shape),
                });
            }
        };
        Ok(Self { prediction, shape, targets, weights, reads, thresholds: &[], lengths: None })
    }

    /// With how many places of the second axis, that of a sequence, are each row's: [`MeasuredBatch::transcripts`] end there.
    #[must_use]
    pub fn with_lengths(self, lengths: Option<&'a [usize]>) -> Self {
        Self { lengths, ..self }
    }

    /// With thresholds, as [`MetricSet::with_thresholds`](super::MetricSet::with_thresholds) says.
    #[must_use]
    pub fn with_thresholds(self, thresholds: &'a [f64]) -> Self {
        Self { thresholds, ..self }
    }

    /// Of the rows of these weights alone.
    #[must_use]
    pub(super) fn of_rows(self, weights: &'a [f64]) -> Self {
        Self { weights, ..self }
    }

    /// What the prediction is read as.
    pub fn reads(&self) -> PredictionKind {
        self.reads
    }

    /// Length of each axis of the prediction.
    pub fn shape(&self) -> &[usize] {
        self.shape
    }

    fn in_a_row(&self) -> usize {
        self.prediction.len() / self.weights.len().max(1)
    }

    /// A row for itself.
    pub(super) fn row(&self, row: usize) -> MeasuredRow {
        let rows = self.weights.len();
        fn part<T: Clone>(of: &[T], row: usize, rows: usize) -> Vec<T> {
            let in_a_row = of.len() / rows;
            of[row * in_a_row..(row + 1) * in_a_row].to_vec()
        }
        let targets = match self.targets {
            Targets::Floats(targets) => RowTargets::Floats(part(targets, row, rows)),
            Targets::Classes(targets) => RowTargets::Classes(part(targets, row, rows)),
            Targets::Tokens(targets) => RowTargets::Tokens(part(targets, row, rows)),
            Targets::Symbols(targets) => RowTargets::Symbols(part(targets, row, rows)),
            Targets::Boxes(targets) => RowTargets::Boxes(part(targets, row, rows)),
            Targets::Other => RowTargets::Other,
        };
        let mut shape = self.shape.to_vec();
        shape[0] = 1;
        let lengths = self.lengths.and_then(|lengths| lengths.get(row)).map(|length| [*length]);
        MeasuredRow { prediction: part(self.prediction, row, rows), shape, targets, reads: self.reads, lengths }
    }

    /// Rows that count.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0).map(|(row, _)| row)
    }

    /// Whether all that was predicted for a row are numbers.
    pub fn is_finite(&self, row: usize) -> bool {
        let in_a_row = self.in_a_row();
        self.prediction[row * in_a_row..(row + 1) * in_a_row].iter().all(|value| value.is_finite())
    }

    /// Predicted and true numbers of each row that counts, with the row.
    pub fn numbers(&self) -> impl Iterator<Item = (usize, &[f32], &[f32])> {
        let in_a_row = self.in_a_row();
        let of_row = move |row: usize| row * in_a_row..(row + 1) * in_a_row;
        self.rows().filter_map(move |row| match self.targets {
            Targets::Floats(targets) => Some((row, &self.prediction[of_row(row)], &targets[of_row(row)])),
            _ => None,
        })
    }

    /// Hands on each label of each place of each row that counts, by row, then by label; nothing where the targets are not
    /// numbers of the prediction's shape.
    pub fn each_label(&self, mut take: impl FnMut(&LabelAnswer)) {
        let labels = self.shape.get(1).copied().unwrap_or(1).max(1);
        for (row, scores, targets) in self.numbers() {
            let places = (scores.len() / labels).max(1);
            for (at, (score, target)) in scores.iter().zip(targets).enumerate() {
                let label = at / places;
                let threshold = self.thresholds.get(label).copied().unwrap_or(0.0);
                take(&LabelAnswer { label, score: *score, target: *target, row, threshold });
            }
        }
    }

    /// Of each row that counts the scores, row-major `[sequence, symbols]`, and a token for each place of the sequence, with
    /// the row; nothing where the targets are no such tokens.
    pub fn sequences(&self) -> impl Iterator<Item = (usize, &[f32], &[i64])> {
        let (in_a_row, length) = (self.in_a_row(), self.shape.get(1).copied().unwrap_or(0));
        self.rows().filter_map(move |row| match self.targets {
            Targets::Tokens(tokens) => {
                let scores = &self.prediction[row * in_a_row..(row + 1) * in_a_row];
                Some((row, scores, &tokens[row * length..(row + 1) * length]))
            }
            _ => None,
        })
    }

    /// Of each row that counts the scores, row-major `[time, symbols]`, up to its length where that is known, and its symbols, padding
    /// included, with the row; nothing where the prediction is not `[batch, time, symbols]` or the targets are no symbols.
    pub fn transcripts(&self) -> impl Iterator<Item = (usize, &[f32], &[i64])> {
        let (in_a_row, rows) = (self.in_a_row(), self.weights.len().max(1));
        self.rows().filter_map(move |row| match self.targets {
            Targets::Tokens(symbols) | Targets::Symbols(symbols) if self.shape.len() == 3 => {
                let many = symbols.len() / rows;
                let length = self.lengths.and_then(|lengths| lengths.get(row)).map(|length| length * self.shape[2]);
                let scores = &self.prediction[row * in_a_row..(row + 1) * in_a_row];
                let scores = &scores[..length.unwrap_or(in_a_row).min(in_a_row)];
                Some((row, scores, &symbols[row * many..(row + 1) * many]))
            }
            _ => None,
        })
    }

    /// Of each row that counts what is told of its picture, row-major `[classes + 4, height, width]`, and its boxes of five numbers
    /// each, those that fill it up included, with the row; nothing where the targets are no boxes.
    pub fn pictures(&self) -> impl Iterator<Item = (usize, &[f32], &[f32])> {
        let (in_a_row, rows) = (self.in_a_row(), self.weights.len().max(1));
        self.rows().filter_map(move |row| match self.targets {
            Targets::Boxes(boxes) => {
                let many = boxes.len() / rows;
                let told = &self.prediction[row * in_a_row..(row + 1) * in_a_row];
                Some((row, told, &boxes[row * many..(row + 1) * many]))
            }
            _ => None,
        })
    }

    /// The class that scores of one place tell; none where one of them is no number.
    fn predicted(&self, scores: &[f32]) -> Option<usize> {
        // Comparisons with what is no number are false, so such a row would pass for a good one.
        scores.iter().all(|score| score.is_finite()).then(|| match (scores, self.thresholds) {
            ([first, second], [threshold]) => usize::from(f64::from(*second) - f64::from(*first) > *threshold),
            _ => highest(scores),
        })
    }

    /// Finds the class of each place of a row and the class that it was told as. It goes through the row class by class: the numbers of
    /// a class lie side by side, those of a place far apart.
    pub(super) fn classes_of_places(&self, row: usize, into: &mut PlaceClasses) {
        let in_a_row = self.in_a_row();
        let classes = self.shape.get(1).copied().unwrap_or(1).max(1);
        let places = in_a_row / classes;
        let own = row * in_a_row..(row + 1) * in_a_row;
        let PlaceClasses { truth, told, highest, marked } = into;
        match self.targets {
            Targets::Classes(targets) => {
                let number = |target: &i64| class_of(*target, classes).and_then(|class| u32::try_from(class).ok());
                truth.clear();
                truth.extend(targets[row * places..(row + 1) * places].iter().map(number));
            }
            Targets::Floats(targets) => {
                highest_of_places(&targets[own.clone()], places, truth, highest, marked, |target| target != 0.0);
                let without = truth.iter_mut().zip(marked.iter()).filter(|(_, has_any)| !**has_any);
                without.for_each(|(truth, _)| *truth = None);
            }
            Targets::Tokens(_) | Targets::Symbols(_) | Targets::Boxes(_) | Targets::Other => {
                truth.clear();
                truth.resize(places, None);
            }
        }
        let scores = &self.prediction[own];
        highest_of_places(scores, places, told, highest, marked, |score| !score.is_finite());
        if let (2, [threshold]) = (classes, self.thresholds) {
            let (first, second) = scores.split_at(places);
            for (told, (first, second)) in told.iter_mut().zip(first.iter().zip(second)) {
                *told = Some(u32::from(f64::from(*second) - f64::from(*first) > *threshold));
            }
        }
        let of_no_number = told.iter_mut().zip(marked.iter()).filter(|(_, is_no_number)| **is_no_number);
        of_no_number.for_each(|(told, _)| *told = None);
    }

    /// Hands on each place of each row that has a class.
    pub fn each_answer(&self, mut take: impl FnMut(&Answer<'_>)) {
        let in_a_row = self.in_a_row();
        let classes = self.shape.get(1).copied().unwrap_or(1).max(1);
        let places = in_a_row / classes;
        let (mut scores, mut wanted) = (vec![0.0; classes], vec![0.0; classes]);
        for (row, place) in self.rows().flat_map(|row| (0..places).map(move |place| (row, place))) {
            let gather = |from: &[f32], into: &mut [f32]| {
                for (class, value) in into.iter_mut().enumerate() {
                    *value = from[row * in_a_row + class * places + place];
                }
            };
            let truth = match self.targets {
                Targets::Classes(targets) => class_of(targets[row * places + place], classes),
                Targets::Floats(targets) => {
                    gather(targets, &mut wanted);
                    wanted.iter().any(|target| *target != 0.0).then(|| highest(&wanted))
                }
                Targets::Tokens(_) | Targets::Symbols(_) | Targets::Boxes(_) | Targets::Other => None,
            };
            let Some(truth) = truth else { continue };
            gather(self.prediction, &mut scores);
            let predicted = self.predicted(&scores);
            take(&Answer { truth, predicted, scores: &scores, row });
        }
    }
}
