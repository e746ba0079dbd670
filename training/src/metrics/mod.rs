//! How good a model is: computed from what it gives, the same way wherever that comes from. Each file holds one metric.

mod accuracy;
mod agreement;
mod answer_share;
mod average;
mod average_precision;
mod balanced_accuracy;
mod bootstrap;
mod brier;
mod character_error_rate;
mod class_counts;
mod class_intervals;
mod cohen_kappa;
mod compared_boxes;
mod confusion_matrix;
mod detections;
mod dice;
mod edit_distance;
mod evaluation;
mod exact_match;
mod expected_calibration_error;
mod f1;
mod figure_kind;
mod figures;
mod held_scores;
mod highest;
mod interval;
mod log_loss;
mod mae;
mod matthews;
mod mean_average_precision;
mod mean_iou;
mod measured_batch;
mod measurement;
mod median_absolute_error;
mod metric;
mod metric_function;
mod metric_kind;
mod metric_set;
mod mistaken_masks;
mod mistaken_pictures;
mod mistakes;
mod mse;
mod number_columns;
mod number_mean;
mod per_class;
mod perplexity;
mod precision;
mod probabilities;
mod r2;
mod ranking;
mod recall;
mod rmse;
mod roc_auc;
mod slices;
mod slicing;
mod spearman;
mod table;
mod tags;
mod token_f1;
mod top_k;
mod transcripts;
mod word_error_rate;

use std::sync::OnceLock;

use millstream_schemas::choice::Catalog;

pub use bootstrap::Bootstrap;
pub use bootstrap::interval as percentiles;
pub use detections::{Detecting, Detection};
pub use evaluation::{Evaluation, Majority};
pub use figure_kind::{Better, FigureKind, Unit};
pub use figures::Figures;
pub use interval::{confidence_in_words, interval_in_words, wilson, with_interval};
pub use measured_batch::{Answer, LabelAnswer, MeasuredBatch};
pub(crate) use measurement::Measurement;
pub use metric::Metric;
pub use metric_function::{Meter, MetricFunction, RowCounts};
pub use metric_kind::{Build, MetricKind, Worked};
pub use metric_set::MetricSet;
pub(crate) use mistaken_masks::MistakenMasks;
pub use mistaken_masks::{ClassMap, MistakenMask};
pub(crate) use mistaken_pictures::MistakenPictures;
pub use mistaken_pictures::{BoxRole, MistakenPicture, PictureBox};
pub use mistakes::Mistake;
pub(crate) use mistakes::Mistakes;
pub use probabilities::{sigmoid, softmax};
pub use slices::{ColumnSlices, Slice, SliceName, SlicedColumn};
pub(crate) use slicing::Slicing;
pub use table::{Cell, CellIntervals, Record, Table};

/// The metrics of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<MetricKind> {
    static CATALOG: OnceLock<Catalog<MetricKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            accuracy::METRIC,
            average_precision::METRIC,
            balanced_accuracy::METRIC,
            brier::METRIC,
            character_error_rate::METRIC,
            cohen_kappa::METRIC,
            confusion_matrix::METRIC,
            dice::METRIC,
            exact_match::METRIC,
            expected_calibration_error::METRIC,
            f1::METRIC,
            log_loss::METRIC,
            mae::METRIC,
            matthews::METRIC,
            mean_average_precision::METRIC,
            mean_iou::METRIC,
            median_absolute_error::METRIC,
            mse::METRIC,
            per_class::METRIC,
            perplexity::METRIC,
            precision::METRIC,
            r2::METRIC,
            recall::METRIC,
            rmse::METRIC,
            roc_auc::METRIC,
            spearman::METRIC,
            token_f1::METRIC,
            top_k::METRIC,
            word_error_rate::METRIC,
        ])
    })
}

#[cfg(test)]
mod tests {
    use millstream_compiler::losses::PredictionKind;
    use millstream_schemas::choice::Row;
    use millstream_schemas::{Choice, ChoiceError, Tensor};
    use serde_json::{Map, Value, json};

    use super::*;

    fn chosen(name: &str, options: Value) -> Result<Metric, ChoiceError> {
        Metric::choose(standard(), &Choice::new(name, options), "training.metrics[0]")
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| class.to_string()).collect()
    }

    /// What a metric finds in a batch, by name.
    fn found(metric: &Metric, shape: &[usize], prediction: &[f32], targets: &[f32], weights: &[f64]) -> Value {
        let mut meter = metric.start(&classes_of(metric, shape)).unwrap();
        let targets = targets_of(metric, shape, targets);
        meter.add(&MeasuredBatch::new((shape, prediction), &targets, weights, metric.reads()).unwrap());
        let kinds = metric.figures().iter().map(|kind| kind.name.clone());
        let mut found: Map<String, Value> =
            kinds.zip(meter.figures()).map(|(name, value)| (name, json!(value))).collect();
        found.extend(meter.tables().into_iter().map(|(name, table)| (name, json!(table))));
        Value::Object(found)
    }

    fn classes_of(metric: &Metric, shape: &[usize]) -> Vec<String> {
        match metric.reads() {
            PredictionKind::ClassScores => names(shape[1]),
            PredictionKind::Boxes => names(shape[1] - 4),
            _ => Vec::new(),
        }
    }

    /// Symbols of sequences are as many as there are, and boxes of five numbers; all other targets are of the shape of the prediction.
    fn targets_of(metric: &Metric, shape: &[usize], targets: &[f32]) -> Tensor {
        if metric.reads() == PredictionKind::Boxes {
            return Tensor::f32([shape[0], targets.len() / shape[0] / 5, 5], targets.to_vec());
        }
        if metric.reads() != PredictionKind::SequenceScores {
            return Tensor::f32(shape, targets.to_vec());
        }
        let symbols: Vec<i64> = targets.iter().map(|symbol| *symbol as i64).collect();
        Tensor::i64([shape[0], symbols.len() / shape[0]], symbols)
    }

    fn is_close(found: &Value, wanted: &Value) -> bool {
        match (found, wanted) {
            (Value::Number(found), Value::Number(wanted)) => {
                (found.as_f64().unwrap() - wanted.as_f64().unwrap()).abs() < 1e-6
            }
            (Value::Array(found), Value::Array(wanted)) => {
                found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| is_close(a, b))
            }
            (Value::Object(found), Value::Object(wanted)) => {
                found.keys().eq(wanted.keys()) && found.values().zip(wanted.values()).all(|(a, b)| is_close(a, b))
            }
            (found, wanted) => found == wanted,
        }
    }

    #[test]
    fn every_row_finds_what_was_worked_by_hand_and_leaves_rows_without_weight_out() {
        for row in standard().rows() {
            assert!(row.summary.ends_with('.') && row.documentation.len() > row.summary.len(), "{}", row.name);
            assert!(!row.samples.is_empty(), "{}", row.name);
            for sample in row.samples {
                let metric = chosen(row.name, serde_json::from_str(sample.options).unwrap()).unwrap();
                let again = chosen(row.name, metric.choice().options.clone()).unwrap();
                assert_eq!(metric.choice(), again.choice());
                let schema = row.schema();
                let known = schema["properties"].as_object().map(|known| known.keys().cloned().collect::<Vec<_>>());
                let filled: Vec<_> = metric.choice().options.as_object().unwrap().keys().cloned().collect();
                assert_eq!(filled, known.unwrap_or_default(), "{}", row.name);
                let wanted: Value = serde_json::from_str(sample.wanted).unwrap();
                let weights = vec![1.0; sample.shape[0]];
                let got = found(&metric, sample.shape, sample.prediction, sample.targets, &weights);
                assert!(is_close(&got, &wanted), "{} {}: {got}, wanted {wanted}", row.name, sample.options);
                // A row more, of which nothing counts.
                let more = |values: &[f32]| [values, &vec![7.0; values.len() / sample.shape[0]]].concat();
                let (prediction, targets) = (more(sample.prediction), more(sample.targets));
                let shape = [&[sample.shape[0] + 1], &sample.shape[1..]].concat();
                let got = found(&metric, &shape, &prediction, &targets, &[weights, vec![0.0]].concat());
                assert!(is_close(&got, &wanted), "{} {}, with a row more: {got}", row.name, sample.options);
            }
        }
    }

    #[test]
    fn batches_add_up_to_what_one_batch_of_all_rows_gives() {
        for row in standard().rows() {
            let sample = &row.samples[0];
            let metric = chosen(row.name, serde_json::from_str(sample.options).unwrap()).unwrap();
            let mut meter = metric.start(&classes_of(&metric, sample.shape)).unwrap();
            let shape = [&[1], &sample.shape[1..]].concat();
            let in_a_row: usize = shape.iter().product();
            let of_row = sample.targets.chunks(sample.targets.len() / sample.shape[0]);
            for (prediction, targets) in sample.prediction.chunks(in_a_row).zip(of_row) {
                let targets = targets_of(&metric, &shape, targets);
                let batch = MeasuredBatch::new((&shape, prediction), &targets, &[1.0], metric.reads()).unwrap();
                meter.add(&batch);
            }
            let wanted: Value = serde_json::from_str(sample.wanted).unwrap();
            for (kind, value) in metric.figures().iter().zip(meter.figures()) {
                assert!(is_close(&json!(value), &wanted[&kind.name]), "{}: {value:?}, wanted {wanted}", row.name);
            }
        }
    }

    #[test]
    fn classes_may_be_given_as_numbers() {
        let metric = chosen("mean_iou", json!({})).unwrap();
        let mut meter = metric.start(&names(2)).unwrap();
        let targets = Tensor::i64([1, 2, 2], vec![0, 0, 1, 255]);
        let prediction = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        meter.add(&MeasuredBatch::new((&[1, 2, 2, 2], &prediction), &targets, &[1.0], metric.reads()).unwrap());
        // Class 0: one of two targets, one wrong answer; class 1: one target, none found, one wrong answer.
        let found = meter.figures()[0].unwrap();
        assert!((found - (1.0 / 3.0 + 0.0) / 2.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn choices_that_make_no_sense_are_refused_at_their_place() {
        let choose = |choices: &[Choice], best: Option<&str>, reads| {
            MetricSet::choose(standard(), Some(choices), best, reads).map_err(|error| error.to_string())
        };
        let named = |names: &[&str]| names.iter().map(|name| Choice::named(*name)).collect::<Vec<_>>();
        use PredictionKind::{ClassScores, Numbers};
        for (choices, best, reads, wanted) in [
            (
                named(&["acuracy"]),
                None,
                ClassScores,
                "training.metrics[0]: unknown metric `acuracy`; did you mean `accuracy`?",
            ),
            (
                named(&["f1", "mse"]),
                None,
                ClassScores,
                "training.metrics[1]: `mse` measures numbers, and the loss is one of classes",
            ),
            (
                named(&["f1"]),
                None,
                Numbers,
                "training.metrics[0]: `f1` measures classes or labels, and the loss is one of numbers",
            ),
            (
                named(&["f1", "f1"]),
                None,
                ClassScores,
                "training.metrics[1]: the figure `f1` is given by another metric already",
            ),
            (
                named(&["f1"]),
                Some("f2"),
                ClassScores,
                "training.best: no figure is called `f2`; did you mean `f1`?; there are f1, loss",
            ),
            (
                vec![Choice::new("top_k", json!({"k": 0}))],
                None,
                ClassScores,
                "training.metrics[0].top_k: k is 1 or more, got 0",
            ),
        ] {
            assert_eq!(choose(&choices, best, reads).unwrap_err(), wanted);
        }
        for (choices, best, reads, decides) in [
            (named(&["f1", "accuracy"]), None, ClassScores, "accuracy"),
            (named(&["f1"]), None, ClassScores, "loss"),
            (named(&["f1", "accuracy"]), Some("f1"), ClassScores, "f1"),
            (named(&["accuracy"]), Some("loss"), ClassScores, "loss"),
            (named(&["r2"]), None, Numbers, "loss"),
            (named(&["r2"]), Some("r2"), Numbers, "r2"),
        ] {
            assert_eq!(choose(&choices, best, reads).unwrap().decides().name, decides);
        }
        let binary = chosen("f1", json!({"average": "binary"})).unwrap();
        assert_eq!(binary.start(&names(3)).err().unwrap(), "`average: binary` is for two classes, and there are 3");
        assert_eq!(MetricSet::usual(ClassScores).figures(), FigureKind::of_older_builds());
    }

    #[test]
    fn scores_that_are_no_numbers_are_wrong_and_counted() {
        let classes = names(7);
        let good = [1.0_f32, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            // Of class 0, which all of its comparisons would favour.
            let mut measurement = Measurement::start(&MetricSet::usual(PredictionKind::ClassScores), &classes).unwrap();
            let (prediction, targets) = ([[broken; 7], good].concat(), Tensor::f32([2, 7], [good, good].concat()));
            let batch = ([2, 7].as_slice(), prediction.as_slice());
            let batch = MeasuredBatch::new(batch, &targets, &[1.0, 1.0], PredictionKind::ClassScores).unwrap();
            measurement.add(&batch, f32::NAN, 2.0).unwrap();
            let found = measurement.finish().unwrap();
            assert_eq!((found.rows, found.not_finite), (2, 1), "{broken}");
            assert_eq!((found.figure("accuracy"), found.figure("top_5")), (Some(0.5), Some(0.5)), "{broken}");
            let Some(Table::Matrix(counts)) = found.table("confusion_matrix") else { panic!() };
            let Some(Table::Classes(records)) = found.table("per_class") else { panic!() };
            assert_eq!((counts[0][0], records[0].get("recall")), (1, Some(&Cell::Share(Some(0.5)))), "{broken}");
            assert!(!found.loss.is_finite(), "{broken}");
        }
    }

    #[test]
    fn the_loss_is_the_mean_of_the_batches_by_their_weight_and_a_batch_without_weight_is_none() {
        let mut measurement = Measurement::start(&MetricSet::usual(PredictionKind::Numbers), &[]).unwrap();
        assert_eq!(measurement.finish(), None);
        for (loss, weights, targets) in
            [(0.5, [1.0, 1.0], [1.0, 3.0]), (2.0, [0.0, 0.5], [9.0, 2.0]), (f32::NAN, [0.0, 0.0], [9.0, 9.0])]
        {
            let targets = Tensor::f32([2, 1], targets.to_vec());
            let batch = ([2, 1].as_slice(), [1.0_f32, 2.0].as_slice());
            let batch = MeasuredBatch::new(batch, &targets, &weights, PredictionKind::Numbers).unwrap();
            measurement.add(&batch, loss, weights.iter().sum()).unwrap();
        }
        let found = measurement.finish().unwrap();
        assert_eq!((found.rows, found.not_finite, found.loss), (3, 0, (0.5 * 2.0 + 2.0 * 0.5) / 2.5));
        assert_eq!((found.figure("mse"), found.figure("mae")), (Some(1.0 / 3.0), Some(1.0 / 3.0)));
        assert_eq!(found.figure("r2"), Some(0.5));
    }

    #[test]
    fn of_what_the_loss_alone_compares_rows_are_counted_and_the_loss_decides() {
        let kinds = [PredictionKind::SequenceScores, PredictionKind::Embeddings];
        for (reads, targets) in kinds.into_iter().flat_map(|reads| {
            [Tensor::f32([2, 3], vec![1.0; 6]), Tensor::i64([2], vec![7, 8])].map(|targets| (reads, targets))
        }) {
            let metrics = MetricSet::usual(reads);
            assert_eq!((metrics.figures().len(), metrics.decides().name.as_str()), (0, "loss"));
            let mut measurement = Measurement::start(&metrics, &[]).unwrap();
            let batch = ([2, 3].as_slice(), [0.0_f32, 0.0, 0.0, 1.0, f32::NAN, 1.0].as_slice());
            measurement.add(&MeasuredBatch::new(batch, &targets, &[0.0, 1.0], reads).unwrap(), 0.25, 1.0).unwrap();
            let found = measurement.finish().unwrap();
            assert_eq!((found.rows, found.not_finite, found.loss), (1, 1, 0.25));
        }
        let error = MetricSet::choose(standard(), Some(&[Choice::named("f1")]), None, PredictionKind::Embeddings);
        let message = "training.metrics[0]: `f1` measures classes or labels, and the loss is one of vectors";
        assert_eq!(error.unwrap_err().to_string(), message);
    }

    #[test]
    fn a_model_of_several_labels_is_not_measured_by_its_loss_alone() {
        let metrics = MetricSet::usual(PredictionKind::LabelScores);
        let names: Vec<String> = metrics.figures().into_iter().map(|kind| kind.name).collect();
        assert_eq!(names, ["f1", "exact_match"]);
        let targets = Tensor::f32([2, 2], vec![1.0, 0.0, 1.0, 1.0]);
        let mut measurement = Measurement::start(&metrics, &[]).unwrap();
        let batch = ([2, 2].as_slice(), [2.0_f32, -1.0, 1.0, -1.0].as_slice());
        let batch = MeasuredBatch::new(batch, &targets, &[1.0, 1.0], PredictionKind::LabelScores).unwrap();
        measurement.add(&batch, 0.25, 2.0).unwrap();
        let found = measurement.finish().unwrap();
        assert_eq!((found.rows, found.figure("f1"), found.figure("exact_match")), (2, Some(0.5), Some(0.5)));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_wanted_and_got() {
        let targets = Tensor::f32([2, 2], vec![0.0; 4]);
        let new = |shape: &[usize], prediction: &[f32], weights: &[f64]| {
            let batch = MeasuredBatch::new((shape, prediction), &targets, weights, PredictionKind::ClassScores);
            batch.map(|_| ()).unwrap_err().to_string()
        };
        assert!(new(&[2], &[0.0; 2], &[1.0; 2]).contains("[batch, classes, …] for 2 rows"));
        assert!(new(&[2, 3], &[0.0; 6], &[1.0; 2]).contains("float32 [2, 3]"));
        assert!(new(&[3, 2], &[0.0; 6], &[1.0; 2]).contains("6 numbers of shape [3, 2]"));
        let mut measurement = Measurement::start(&MetricSet::usual(PredictionKind::ClassScores), &names(3)).unwrap();
        let batch = ([2, 2].as_slice(), [0.0_f32; 4].as_slice());
        let batch = MeasuredBatch::new(batch, &targets, &[1.0; 2], PredictionKind::ClassScores).unwrap();
        let message = measurement.add(&batch, 0.0, 2.0).unwrap_err().to_string();
        assert!(message.contains("wants [2, 3], one score for each class of the data"), "{message}");
    }
}
