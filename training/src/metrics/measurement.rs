use millstream_compiler::losses::PredictionKind;

use super::evaluation::{Evaluation, Majority};
use super::measured_batch::MeasuredBatch;
use super::metric::Metric;
use super::metric_function::Meter;
use super::metric_set::MetricSet;
use crate::TrainingError;

/// An evaluation under way.
pub(crate) struct Measurement {
    reads: PredictionKind,
    classes: Vec<String>,
    meters: Vec<(Vec<String>, Box<dyn Meter>)>,
    rows: u64,
    not_finite: u64,
    weight: f64,
    weighted_loss: f64,
    of_class: Vec<u64>,
}

impl Measurement {
    /// For these classes, in the order of the scores.
    ///
    /// # Errors
    /// A metric makes no sense for these classes.
    pub(crate) fn start(metrics: &MetricSet, classes: &[String]) -> Result<Self, TrainingError> {
        let names = |metric: &Metric| metric.figures().iter().map(|figure| figure.name.clone()).collect();
        let meters = metrics.metrics().iter().map(names).zip(metrics.start(classes)?).collect();
        Ok(Self {
            reads: metrics.reads(),
            classes: classes.to_vec(),
            meters,
            rows: 0,
            not_finite: 0,
            weight: 0.0,
            weighted_loss: 0.0,
            of_class: vec![0; classes.len()],
        })
    }

    /// Adds the rows of a batch that have a target, and their mean loss, which is over so much weight.
    ///
    /// # Errors
    /// There are not as many scores as classes.
    pub(crate) fn add(&mut self, batch: &MeasuredBatch<'_>, loss: f32, weight: f64) -> Result<(), TrainingError> {
        let classes = self.classes.len();
        if self.reads == PredictionKind::ClassScores && batch.shape().get(1) != Some(&classes) {
            return Err(TrainingError::Input {
                name: "scores".into(),
                wanted: format!("[{}, {classes}], one score for each class of the data", batch.shape()[0]),
                got: format!("{:?}", batch.shape()),
            });
        }
        if weight != 0.0 {
            self.weight += weight;
            self.weighted_loss += f64::from(loss) * weight;
        }
        let mut rows = Vec::new();
        match self.reads {
            PredictionKind::ClassScores => batch.each_answer(|answer| {
                self.of_class[answer.truth] += 1;
                if rows.last() != Some(&answer.row) {
                    rows.push(answer.row);
                }
            }),
            PredictionKind::Numbers
            | PredictionKind::LabelScores
            | PredictionKind::SequenceScores
            | PredictionKind::Embeddings => rows.extend(batch.rows()),
        }
        self.rows += rows.len() as u64;
        self.not_finite += rows.iter().filter(|row| !batch.is_finite(**row)).count() as u64;
        self.meters.iter_mut().for_each(|(_, meter)| meter.add(batch));
        Ok(())
    }

    /// What was found; none when no row had a target.
    pub(crate) fn finish(&self) -> Option<Evaluation> {
        let figures = self.meters.iter().flat_map(|(names, meter)| names.clone().into_iter().zip(meter.figures()));
        (self.rows > 0).then(|| Evaluation {
            rows: self.rows,
            not_finite: self.not_finite,
            loss: self.weighted_loss / self.weight,
            figures: figures.collect(),
            tables: self.meters.iter().flat_map(|(_, meter)| meter.tables()).collect(),
            majority: self.majority(),
        })
    }

    fn majority(&self) -> Option<Majority> {
        let (class, of_class) = self.classes.iter().zip(&self.of_class).max_by_key(|(_, count)| **count)?;
        Some(Majority {
            class: class.clone(),
            of_class: *of_class,
            targets: self.of_class.iter().sum(),
            classes: self.classes.len() as u64,
        })
    }
}
