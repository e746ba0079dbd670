use millstream_compiler::losses::PredictionKind;

use super::bootstrap::{Bootstrap, HeldRows, Stopped};
use super::class_intervals;
use super::evaluation::{Evaluation, Majority};
use super::figure_kind::FigureKind;
use super::measured_batch::{MeasuredBatch, MeasuredRow};
use super::metric::Metric;
use super::metric_function::{Meter, RowCounts};
use super::metric_set::MetricSet;
use super::table::Table;
use crate::{RowLoss, TrainingError};

/// An evaluation under way.
pub(crate) struct Measurement {
    reads: PredictionKind,
    classes: Vec<String>,
    meters: Vec<(Metric, Box<dyn Meter>)>,
    /// And the rows that it draws from.
    bootstrap: Option<(Bootstrap, Vec<MeasuredRow>)>,
    /// Of each meter what it counts of each of these rows; none where it is to see the rows again.
    counts: Vec<Vec<RowCounts>>,
    /// The loss of each row, where the bootstrap draws from them and all batches have told it.
    row_losses: Option<Vec<RowLoss>>,
    confidence: f64,
    thresholds: Vec<f64>,
    /// Of the rows that the bootstrap draws from.
    bytes: u64,
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
        let meters: Vec<_> = metrics.metrics().iter().cloned().zip(metrics.start(classes)?).collect();
        let classes = metrics.of_classes(classes);
        Ok(Self {
            reads: metrics.reads(),
            classes: classes.to_vec(),
            counts: meters.iter().map(|_| Vec::new()).collect(),
            meters,
            bootstrap: metrics.bootstrap().map(|bootstrap| (bootstrap, Vec::new())),
            row_losses: metrics.bootstrap().map(|_| Vec::new()),
            confidence: metrics.confidence(),
            thresholds: metrics.thresholds().to_vec(),
            bytes: 0,
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
        let (classes, batch) = (self.classes.len(), &batch.with_thresholds(&self.thresholds));
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
            | PredictionKind::Embeddings
            | PredictionKind::Boxes => rows.extend(batch.rows()),
        }
        self.rows += rows.len() as u64;
        self.not_finite += rows.iter().filter(|row| !batch.is_finite(**row)).count() as u64;
        self.meters.iter_mut().for_each(|(_, meter)| meter.add(batch));
        if let Some((_, held)) = &mut self.bootstrap {
            for row in &rows {
                let own = batch.row(*row);
                let mut is_seen_again = self.meters.is_empty();
                for ((_, meter), counts) in self.meters.iter().zip(&mut self.counts) {
                    match meter.counts_of(&own.batch().with_thresholds(&self.thresholds)) {
                        Some(of_row) => {
                            self.bytes += of_row.bytes;
                            counts.push(of_row);
                        }
                        None => is_seen_again = true,
                    }
                }
                let own = if is_seen_again { own } else { own.without_values() };
                self.bytes += own.bytes();
                held.push(own);
            }
        }
        Ok(())
    }

    /// Adds the loss of each row of a batch by itself; none where rows have none, and then the loss has no interval.
    pub(crate) fn add_row_losses(&mut self, rows: Option<&[RowLoss]>) {
        self.row_losses = self.row_losses.take().zip(rows).map(|(mut all, rows)| {
            self.bytes += size_of_val(rows) as u64;
            all.extend_from_slice(rows);
            all
        });
    }

    /// Bytes of what is held of each row.
    pub(crate) fn bytes_held(&self) -> u64 {
        self.bytes + self.meters.iter().map(|(_, meter)| meter.bytes_held()).sum::<u64>()
    }

    /// What was found; none when no row had a target.
    #[cfg(test)]
    pub(crate) fn finish(&self) -> Option<Evaluation> {
        self.finish_while(&mut || true).expect("nothing stops it")
    }

    /// What was found; none when no row had a target. `go_on` is asked again and again while intervals are found.
    ///
    /// # Errors
    /// It said no.
    pub(crate) fn finish_while(&self, go_on: &mut dyn FnMut() -> bool) -> Result<Option<Evaluation>, Stopped> {
        if self.rows == 0 {
            return Ok(None);
        }
        let (mut intervals, mut tables) = (Vec::new(), Vec::new());
        for ((metric, meter), counts) in self.meters.iter().zip(&self.counts) {
            intervals.extend(self.intervals(metric, &**meter, counts, go_on)?);
            tables.extend(self.tables(metric, &**meter, counts, go_on)?);
        }
        let loss = self.weighted_loss / self.weight;
        intervals.extend(self.interval_of_loss(loss, go_on)?.map(|ends| (FigureKind::LOSS.to_owned(), ends)));
        let named = |(metric, meter): &(Metric, Box<dyn Meter>)| names(metric).zip(meter.figures()).collect::<Vec<_>>();
        let figures = self.meters.iter().flat_map(named);
        Ok(Some(Evaluation {
            rows: self.rows,
            not_finite: self.not_finite,
            loss,
            figures: figures.collect(),
            tables,
            majority: self.majority(),
            confidence: self.confidence,
            intervals,
            slices: Vec::new(),
            mistakes: Vec::new(),
            mistaken_pictures: Vec::new(),
            mistaken_masks: Vec::new(),
        }))
    }

    /// Those that the meter knows, or else those of the bootstrap, of figures that have a value.
    fn intervals(
        &self,
        metric: &Metric,
        meter: &dyn Meter,
        counts: &[RowCounts],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<(String, [f64; 2])>, Stopped> {
        let (values, mut intervals) = (meter.figures(), meter.intervals(self.confidence));
        intervals.resize(values.len(), None);
        if let Some((bootstrap, rows)) = self.bootstrap.as_ref().filter(|_| intervals.contains(&None)) {
            let held = HeldRows { rows, counts, thresholds: &self.thresholds };
            let drawn = bootstrap.intervals(metric, &self.classes, held, self.confidence, go_on)?;
            intervals = intervals.into_iter().zip(drawn).map(|(known, drawn)| known.or(drawn)).collect();
        }
        let has_value = |value: Option<f64>| value.is_some_and(f64::is_finite);
        let of_values = names(metric).zip(values).zip(intervals).filter(|((_, value), _)| has_value(*value));
        Ok(of_values.filter_map(|((name, _), interval)| Some((name, interval?))).collect())
    }

    /// The tables of a metric, where rows are drawn with intervals of the shares of classes.
    fn tables(
        &self,
        metric: &Metric,
        meter: &dyn Meter,
        counts: &[RowCounts],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<(String, Table)>, Stopped> {
        let Some((bootstrap, rows)) = &self.bootstrap else { return Ok(meter.tables()) };
        let mut tables = meter.tables_with_intervals(self.confidence);
        let how = (*bootstrap, self.confidence);
        let held = HeldRows { rows, counts, thresholds: &self.thresholds };
        class_intervals::draw(how, metric, &self.classes, held, &mut tables, go_on)?;
        Ok(tables)
    }

    /// That of the mean loss, where it is a number and rows have one by themselves.
    fn interval_of_loss(&self, loss: f64, go_on: &mut dyn FnMut() -> bool) -> Result<Option<[f64; 2]>, Stopped> {
        match (&self.bootstrap, &self.row_losses) {
            (Some((bootstrap, _)), Some(rows)) if loss.is_finite() => {
                bootstrap.interval_of_loss(rows, self.confidence, go_on)
            }
            _ => Ok(None),
        }
    }

    fn majority(&self) -> Option<Majority> {
        // of things in pictures no class is the answer for all
        if self.reads != PredictionKind::ClassScores {
            return None;
        }
        let (class, of_class) = self.classes.iter().zip(&self.of_class).max_by_key(|(_, count)| **count)?;
        Some(Majority {
            class: class.clone(),
            of_class: *of_class,
            targets: self.of_class.iter().sum(),
            classes: self.classes.len() as u64,
            present: self.of_class.iter().filter(|count| **count > 0).count() as u64,
        })
    }
}

fn names(metric: &Metric) -> impl Iterator<Item = String> {
    metric.figures().iter().map(|figure| figure.name.clone())
}

#[cfg(test)]
mod tests {
    use millstream_schemas::{Choice, Tensor, mix};

    use super::super::standard;
    use super::*;

    fn named(names: &[&str], reads: PredictionKind) -> MetricSet {
        let choices: Vec<Choice> = names.iter().map(|name| Choice::named(*name)).collect();
        MetricSet::choose(standard(), Some(&choices), None, reads).unwrap()
    }

    /// Of rows of one number, in batches of so many.
    fn of_numbers(metrics: &MetricSet, predicted: &[f32], in_a_batch: usize) -> Evaluation {
        let mut measurement = Measurement::start(metrics, &[]).unwrap();
        for predicted in predicted.chunks(in_a_batch) {
            let (shape, weights) = ([predicted.len(), 1], vec![1.0; predicted.len()]);
            let targets = Tensor::f32(shape, vec![0.0; predicted.len()]);
            let batch = MeasuredBatch::new((&shape, predicted), &targets, &weights, PredictionKind::Numbers).unwrap();
            measurement.add(&batch, 0.0, 1.0).unwrap();
        }
        measurement.finish().unwrap()
    }

    #[test]
    fn shares_of_rows_have_wilsons_interval_and_shares_of_places_none() {
        let metrics = named(&["accuracy", "top_k", "exact_match", "f1"], PredictionKind::ClassScores);
        let classes: Vec<String> = ["a", "b"].map(String::from).to_vec();
        let mut of_rows = Measurement::start(&metrics, &classes).unwrap();
        // Nine of ten are right; the eleventh has no weight.
        let prediction: Vec<f32> = (0..11).flat_map(|_| [1.0, 0.0]).collect();
        let targets = Tensor::i64([11], [vec![0; 9], vec![1, 1]].concat());
        let weights = [vec![1.0; 10], vec![0.0]].concat();
        let batch = MeasuredBatch::new((&[11, 2], &prediction), &targets, &weights, PredictionKind::ClassScores);
        of_rows.add(&batch.unwrap(), 0.1, 10.0).unwrap();
        let found = of_rows.finish().unwrap();
        // scipy.stats.binomtest(9, 10).proportion_ci(0.95, method="wilson")
        for name in ["accuracy", "exact_match"] {
            let [low, high] = found.interval(name).unwrap();
            assert!((low - 0.595849973205).abs() < 1e-9 && (high - 0.982123786905).abs() < 1e-9, "{name}");
        }
        assert_eq!((found.interval("top_5"), found.interval("f1"), found.intervals.len()), (None, None, 2));

        let mut of_places = Measurement::start(&metrics, &classes).unwrap();
        let targets = Tensor::i64([2, 2], vec![0, 0, 1, 0]);
        let prediction = [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        let batch =
            MeasuredBatch::new((&[2, 2, 2], &prediction), &targets, &[1.0, 1.0], PredictionKind::ClassScores).unwrap();
        of_places.add(&batch, 0.1, 2.0).unwrap();
        let found = of_places.finish().unwrap();
        assert_eq!(found.figure("accuracy"), Some(0.75));
        assert_eq!((found.interval("accuracy"), found.interval("exact_match").is_some()), (None, true));
    }

    #[test]
    fn the_bootstrap_of_a_mean_is_as_wide_as_its_standard_error_says() {
        let predicted: Vec<f32> = (0..400).map(|row| (mix(row) % 1000) as f32 / 1000.0).collect();
        let metrics = named(&["mae", "rmse", "r2"], PredictionKind::Numbers).with_bootstrap(Bootstrap::default());
        let found = of_numbers(&metrics, &predicted, 32);
        let mean = found.figure("mae").unwrap();
        let variance = predicted.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / 400.0;
        let reach = 1.96 * (variance / 400.0).sqrt();
        let [low, high] = found.interval("mae").unwrap();
        assert!((low - (mean - reach)).abs() < 0.15 * reach, "{low} to {high}, wanted {mean} and {reach} about it");
        assert!((high - (mean + reach)).abs() < 0.15 * reach, "{low} to {high}, wanted {mean} and {reach} about it");
        let [low, high] = found.interval("rmse").unwrap();
        assert!(low < found.figure("rmse").unwrap() && found.figure("rmse").unwrap() < high);
        assert_eq!(found.interval("r2"), None, "all targets are the same");

        assert_eq!(of_numbers(&metrics, &predicted, 7), found, "batches change nothing");
        let other = metrics.clone().with_bootstrap(Bootstrap { seed: 1, ..Bootstrap::default() });
        assert_ne!(of_numbers(&other, &predicted, 32).intervals, found.intervals);
        let none = named(&["mae", "rmse", "r2"], PredictionKind::Numbers);
        assert!(of_numbers(&none, &predicted, 32).intervals.is_empty());
        assert!(of_numbers(&metrics, &predicted[..1], 32).intervals.is_empty(), "one row has no spread");
    }

    #[test]
    fn the_interval_of_the_loss_is_as_wide_as_its_standard_error_says_and_none_where_a_batch_has_no_losses_of_rows() {
        let metrics = named(&[], PredictionKind::Numbers).with_bootstrap(Bootstrap::default());
        let rows: Vec<RowLoss> = (0..400)
            .map(|row| RowLoss { loss: (mix(row) % 1000) as f64 / 1000.0, weight: (1 + mix(row + 1000) % 3) as f64 })
            .collect();
        let (mean, weight) = RowLoss::mean(rows.iter().copied());
        let measured = |of_last: bool| {
            let mut measurement = Measurement::start(&metrics, &[]).unwrap();
            for (at, part) in rows.chunks(50).enumerate() {
                let (shape, weights) = ([part.len(), 1], vec![1.0; part.len()]);
                let (predicted, targets) = (vec![0.0; part.len()], Tensor::f32(shape, vec![0.0; part.len()]));
                let batch = MeasuredBatch::new((&shape, &predicted), &targets, &weights, PredictionKind::Numbers);
                let (loss, weight) = RowLoss::mean(part.iter().copied());
                measurement.add(&batch.unwrap(), loss as f32, weight).unwrap();
                measurement.add_row_losses(Some(part).filter(|_| of_last || at < 7));
            }
            measurement.finish().unwrap()
        };
        let found = measured(true);
        // the standard error of a ratio of two sums over rows: Cochran, "Sampling techniques" (1977), 2.11
        let squares: f64 = rows.iter().map(|row| (row.weight * (row.loss - mean)).powi(2)).sum();
        let reach = 1.96 * squares.sqrt() / weight;
        let [low, high] = found.interval("loss").unwrap();
        assert!((found.loss - mean).abs() < 1e-6, "{} and {mean}", found.loss);
        assert!((low - (mean - reach)).abs() < 0.15 * reach, "{low} to {high}, wanted {mean} and {reach} about it");
        assert!((high - (mean + reach)).abs() < 0.15 * reach, "{low} to {high}, wanted {mean} and {reach} about it");
        assert_eq!(measured(false).intervals, Vec::new());
    }

    #[test]
    fn a_bootstrap_stops_between_two_resamples_when_it_is_asked_to() {
        let metrics = named(&["mae"], PredictionKind::Numbers).with_bootstrap(Bootstrap { resamples: 50, seed: 1 });
        let mut measurement = Measurement::start(&metrics, &[]).unwrap();
        let (targets, weights) = (Tensor::f32([4, 1], vec![0.0; 4]), [1.0; 4]);
        let predicted = [0.5, 1.0, 2.0, 4.0];
        let batch = MeasuredBatch::new((&[4, 1], &predicted), &targets, &weights, PredictionKind::Numbers).unwrap();
        measurement.add(&batch, 0.0, 1.0).unwrap();
        for (most, wanted_stop) in [(7, true), (50, false)] {
            let mut asked = 0;
            let found = measurement.finish_while(&mut || {
                asked += 1;
                asked <= most
            });
            assert_eq!((found.is_err(), asked), (wanted_stop, if wanted_stop { most + 1 } else { 50 }));
        }
    }

    #[test]
    fn what_is_held_of_the_rows_is_counted_and_bounded() {
        let classes: Vec<String> = ["a", "b"].map(String::from).to_vec();
        let held = |names: &[&str], bootstrap: Option<Bootstrap>| {
            let mut metrics = named(names, PredictionKind::ClassScores);
            metrics = bootstrap.into_iter().fold(metrics, MetricSet::with_bootstrap);
            let mut measurement = Measurement::start(&metrics, &classes).unwrap();
            let targets = Tensor::i64([40], (0..40).map(|row| row % 2).collect::<Vec<_>>());
            let prediction = vec![0.5; 80];
            let batch = MeasuredBatch::new((&[40, 2], &prediction), &targets, &[1.0; 40], PredictionKind::ClassScores);
            measurement.add(&batch.unwrap(), 0.1, 40.0).unwrap();
            measurement.bytes_held()
        };
        assert_eq!(held(&["accuracy", "f1", "log_loss"], None), 0);
        // Two scores and a class of each row, twice.
        assert_eq!(held(&["roc_auc", "average_precision"], None), 2 * 40 * 12);
        assert!(held(&["accuracy"], Some(Bootstrap::default())) >= 40 * 16);
        let metrics = MetricSet::usual(PredictionKind::ClassScores).with_memory(960);
        metrics.require_fit(960).unwrap();
        let message = metrics.require_fit(961).unwrap_err().to_string();
        assert!(message.contains("than the 960 B that they may") && message.contains("`data.memory`"), "{message}");
    }

    #[test]
    fn the_bootstrap_of_boxes_holds_what_was_found_and_not_the_maps() {
        const PLACES: usize = 16 * 16;
        let metrics = named(&["mean_average_precision"], PredictionKind::Boxes);
        let metrics = metrics.with_bootstrap(Bootstrap { resamples: 40, seed: 2 });
        let mut measurement = Measurement::start(&metrics, &[]).unwrap();
        let (one, rows) = (5 * PLACES, 6);
        for at in 0..rows {
            // a thing at the first place, which is a box of the picture in two of three
            let mut prediction = vec![-9.0_f32; one];
            prediction[0] = 2.0 + at as f32 / 10.0;
            (1..5).for_each(|side| prediction[side * PLACES] = -std::f32::consts::LN_2);
            let side = 1.0 / 16.0;
            let own = if at % 3 == 0 { [0.5, 0.5, 0.75, 0.75, 0.0] } else { [0.0, 0.0, side, side, 0.0] };
            let targets = Tensor::f32([1, 1, 5], own.to_vec());
            let batch = MeasuredBatch::new((&[1, 5, 16, 16], &prediction), &targets, &[1.0], PredictionKind::Boxes);
            measurement.add(&batch.unwrap(), 0.1, 1.0).unwrap();
        }
        let held = measurement.bytes_held();
        assert!(held < rows as u64 * 400, "{held} B, and the maps alone are {}", rows * one * 4);
        let found = measurement.finish().unwrap();
        let value = found.figures.get("mean_average_precision").unwrap();
        let (_, [low, high]) = found.intervals.iter().find(|(name, _)| name == "mean_average_precision").unwrap();
        assert!(0.0 < *low && *low < value && value < *high && *high <= 1.0, "{low} {value} {high}");
    }

    #[test]
    fn the_bootstrap_leaves_wilsons_intervals_as_they_are() {
        let metrics = named(&["accuracy", "f1"], PredictionKind::ClassScores);
        let classes: Vec<String> = ["a", "b"].map(String::from).to_vec();
        let measure = |metrics: &MetricSet| {
            let mut measurement = Measurement::start(metrics, &classes).unwrap();
            let prediction: Vec<f32> = (0..40).flat_map(|row| [0.5, (mix(row) % 2) as f32]).collect();
            let targets = Tensor::i64([40], (0..40).map(|row| i64::from(mix(row) % 10 < 5)).collect::<Vec<_>>());
            let batch = MeasuredBatch::new((&[40, 2], &prediction), &targets, &[1.0; 40], PredictionKind::ClassScores);
            measurement.add(&batch.unwrap(), 0.1, 40.0).unwrap();
            measurement.finish().unwrap()
        };
        let with = measure(&metrics.clone().with_bootstrap(Bootstrap { resamples: 200, seed: 3 }));
        assert_eq!(with.interval("accuracy"), measure(&metrics).interval("accuracy"));
        let ([low, high], f1) = (with.interval("f1").unwrap(), with.figure("f1").unwrap());
        assert!(low < f1 && f1 < high && high - low < 0.5, "{low} {f1} {high}");
    }
}
