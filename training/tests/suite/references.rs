//! Metrics against scikit-learn 1.9, SciPy 1.17, seqeval 1.2, torchmetrics 1.9 and PyTorch, on inputs that are made alike in
//! both languages. The line above a row is what made its figures, of scores `s`, their softmax `p`, answers `a` and truth `y`:
//!
//! ```python
//! def mix(z):  # SplitMix64's finalizer, in 64 bits
//!     z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) % 2**64
//!     z = ((z ^ z >> 27) * 0x94D049BB133111EB) % 2**64
//!     return z ^ z >> 31
//!
//! def number(stream, i, steps=1009, divisor=128):
//!     return mix(1_000_000 * stream + i) % steps / divisor - steps / divisor / 2
//! ```
//!
//! `c` are all classes, `k` is their number. Streams, and which scores lean to the truth, are in the functions below; `tied` ones
//! have seven values. `references/` has those of scikit-learn that a script writes.

mod of_scikit_learn;

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::{Choice, Tensor, mix};
use millstream_training::metrics::{MeasuredBatch, Meter, Metric, standard};
use serde_json::{Value, json};

const ROWS: usize = 60;
const FINE: (u64, f32) = (1009, 128.0);
const TIED: (u64, f32) = (7, 2.0);
const TAGS: [&str; 5] = ["O", "B-a", "I-a", "B-b", "I-b"];

fn number(stream: u64, at: usize, (steps, divisor): (u64, f32)) -> f32 {
    (mix(1_000_000 * stream + at as u64) % steps) as f32 / divisor - steps as f32 / divisor / 2.0
}

#[derive(Clone)]
struct Input {
    reads: PredictionKind,
    classes: Vec<String>,
    shape: Vec<usize>,
    prediction: Vec<f32>,
    targets: Tensor,
}

/// Scores that lean to the truth by so much; truth and answers may be one class throughout.
fn scores(classes: usize, grid: (u64, f32), lean: f32, truth: Option<usize>, answer: Option<usize>) -> Input {
    let drawn = |row: usize| (mix(1_500_000 + row as u64) % classes as u64) as usize;
    let truths: Vec<usize> = (0..ROWS).map(|row| truth.unwrap_or_else(|| drawn(row))).collect();
    let score = |at: usize| {
        let (row, class) = (at / classes, at % classes);
        let lean = if class == truths[row] { lean } else { 0.0 };
        let shift = if Some(class) == answer { 100.0 } else { 0.0 };
        number(2, at, grid) + lean + shift
    };
    Input {
        reads: PredictionKind::ClassScores,
        classes: (0..classes).map(|class| class.to_string()).collect(),
        shape: vec![ROWS, classes],
        prediction: (0..ROWS * classes).map(score).collect(),
        targets: Tensor::i64([ROWS], truths.iter().map(|truth| *truth as i64).collect::<Vec<_>>()),
    }
}

fn classes(count: usize) -> Input {
    scores(count, FINE, 1.0, None, None)
}

fn tied(count: usize) -> Input {
    scores(count, TIED, 0.5, None, None)
}

fn of_one_class(count: usize) -> Input {
    scores(count, FINE, 1.0, Some(1), None)
}

fn always_one(count: usize) -> Input {
    scores(count, FINE, 1.0, None, Some(1))
}

/// A third of the labels hold.
fn labels_on(count: usize, grid: (u64, f32)) -> Input {
    let targets: Vec<f32> =
        (0..ROWS * count).map(|at| if mix(3_500_000 + at as u64).is_multiple_of(3) { 1.0 } else { 0.0 }).collect();
    Input {
        reads: PredictionKind::LabelScores,
        classes: Vec::new(),
        shape: vec![ROWS, count],
        prediction: targets.iter().enumerate().map(|(at, target)| number(3, at, grid) + target).collect(),
        targets: Tensor::f32([ROWS, count], targets),
    }
}

fn labels(count: usize) -> Input {
    labels_on(count, FINE)
}

fn tied_labels(count: usize) -> Input {
    labels_on(count, TIED)
}

fn numbers_on(count: usize, grid: (u64, f32)) -> Input {
    let targets: Vec<f32> = (0..ROWS * count).map(|at| number(4, at, grid)).collect();
    Input {
        reads: PredictionKind::Numbers,
        classes: Vec::new(),
        shape: vec![ROWS, count],
        prediction: targets.iter().enumerate().map(|(at, target)| number(5, at, grid) + 0.5 * target).collect(),
        targets: Tensor::f32([ROWS, count], targets),
    }
}

fn numbers(count: usize) -> Input {
    numbers_on(count, FINE)
}

fn tied_numbers(count: usize) -> Input {
    numbers_on(count, TIED)
}

/// Nine tokens a row, of which one in seven has no class.
fn tokens() -> Input {
    let length = 9;
    let truth = |at: usize| {
        let has_none = mix(6_500_000 + at as u64).is_multiple_of(7);
        if has_none { -100 } else { (mix(6_700_000 + at as u64) % 5) as i64 }
    };
    let truths: Vec<i64> = (0..ROWS * length).map(truth).collect();
    let score = |at: usize| {
        let (row, class, place) = (at / (5 * length), at / length % 5, at % length);
        number(6, at, FINE) + if truths[row * length + place] == class as i64 { 3.0 } else { 0.0 }
    };
    Input {
        reads: PredictionKind::ClassScores,
        classes: TAGS.map(String::from).to_vec(),
        shape: vec![ROWS, 5, length],
        prediction: (0..ROWS * 5 * length).map(score).collect(),
        targets: Tensor::i64([ROWS, length], truths),
    }
}

/// Seven tokens a row of a vocabulary of eleven, of which one in five is ignored.
fn sequences() -> Input {
    let (length, vocabulary) = (7, 11);
    let token = |at: usize| {
        let is_ignored = mix(7_500_000 + at as u64).is_multiple_of(5);
        if is_ignored { -100 } else { (mix(7_700_000 + at as u64) % vocabulary as u64) as i64 }
    };
    Input {
        reads: PredictionKind::SequenceScores,
        classes: Vec::new(),
        shape: vec![ROWS, length, vocabulary],
        prediction: (0..ROWS * length * vocabulary).map(|at| number(7, at, FINE)).collect(),
        targets: Tensor::i64([ROWS, length], (0..ROWS * length).map(token).collect::<Vec<_>>()),
    }
}

impl Input {
    /// A batch of these rows, in this order.
    fn rows(&self, rows: &[usize]) -> (Vec<usize>, Vec<f32>, Tensor) {
        fn picked<T: Copy>(of: &[T], rows: &[usize]) -> Vec<T> {
            let in_a_row = of.len() / ROWS;
            rows.iter().flat_map(|row| of[row * in_a_row..(row + 1) * in_a_row].iter().copied()).collect()
        }
        let with_rows = |shape: &[usize]| [&[rows.len()], &shape[1..]].concat();
        let shape = with_rows(&self.targets.shape);
        let targets = match (self.targets.as_f32(), self.targets.as_i64()) {
            (Some(floats), _) => Tensor::f32(shape, picked(floats, rows)),
            (_, whole) => Tensor::i64(shape, picked(whole.unwrap(), rows)),
        };
        (with_rows(&self.shape), picked(&self.prediction, rows), targets)
    }

    /// The figures of rows in this order, in batches of at most so many, those with an odd place in the order ignored or not.
    fn figures(
        &self,
        metric: &Metric,
        rows: &[usize],
        in_a_batch: usize,
        weight: fn(usize) -> f64,
    ) -> Vec<Option<f64>> {
        self.measured(metric, rows, in_a_batch, weight).figures()
    }

    /// What a metric counts of them.
    fn measured(&self, metric: &Metric, rows: &[usize], in_a_batch: usize, weight: fn(usize) -> f64) -> Box<dyn Meter> {
        let mut meter = metric.start(&self.classes).unwrap();
        for (first, rows) in rows.chunks(in_a_batch).enumerate() {
            let (shape, prediction, targets) = self.rows(rows);
            let weights: Vec<f64> = (0..rows.len()).map(|row| weight(first * in_a_batch + row)).collect();
            meter.add(&MeasuredBatch::new((&shape, &prediction), &targets, &weights, self.reads).unwrap());
        }
        meter
    }
}

fn chosen(name: &str, options: &Value) -> Metric {
    Metric::choose(standard(), &Choice::new(name, options.clone()), "training.metrics[0]").unwrap()
}

fn are_close(found: &[Option<f64>], wanted: &[Option<f64>]) -> bool {
    // torchmetrics sums in single precision.
    let close = |(found, wanted): (&Option<f64>, &Option<f64>)| match (found, wanted) {
        (Some(found), Some(wanted)) => (found - wanted).abs() < 1e-7 * wanted.abs().max(1.0),
        (found, wanted) => found == wanted,
    };
    found.len() == wanted.len() && found.iter().zip(wanted).all(close)
}

type Row = (&'static str, Value, Input, &'static [Option<f64>]);

#[test]
fn figures_are_those_of_other_libraries() {
    let in_order: Vec<usize> = (0..ROWS).collect();
    for (name, options, input, wanted) in table() {
        let found = input.figures(&chosen(name, &options), &in_order, ROWS, |_| 1.0);
        assert!(are_close(&found, wanted), "{name} {options} of {:?}: {found:?}, wanted {wanted:?}", input.shape);
    }
}

#[test]
fn neither_the_order_of_rows_nor_batches_change_a_figure_and_rows_without_weight_are_none() {
    let shuffled: Vec<usize> = (0..ROWS).map(|row| row * 37 % ROWS).collect();
    // Each row twice, the second time without weight.
    let doubled: Vec<usize> = shuffled.iter().flat_map(|row| [*row, (row + 1) % ROWS]).collect();
    for (name, options, input, wanted) in table() {
        let metric = chosen(name, &options);
        for (rows, in_a_batch) in [(&shuffled, 7), (&shuffled, 1), (&doubled, 16)] {
            let weight =
                if rows.len() == ROWS { |_| 1.0 } else { |at: usize| if at.is_multiple_of(2) { 0.25 } else { 0.0 } };
            let found = input.figures(&metric, rows, in_a_batch, weight);
            assert!(are_close(&found, wanted), "{name} {options}: {found:?}, wanted {wanted:?}");
        }
        let nothing = input.figures(&metric, &shuffled, 8, |_| 0.0);
        assert!(nothing.iter().all(Option::is_none), "{name} {options} of no rows: {nothing:?}");
    }
}

#[test]
fn scores_that_are_no_numbers_are_as_wrong_as_can_be() {
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for (name, options, input, _) in table() {
            // The figure of all rows, half of which are no numbers, is not better than that of the others.
            if ["perplexity", "rmse", "spearman", "median_absolute_error"].contains(&name) {
                continue;
            }
            let metric = chosen(name, &options);
            let mut damaged = input.clone();
            let in_a_row = damaged.prediction.len() / ROWS;
            damaged.prediction[..ROWS / 2 * in_a_row].fill(broken);
            let rows: Vec<usize> = (0..ROWS).collect();
            let whole = damaged.figures(&metric, &rows, 9, |_| 1.0);
            let rest = damaged.figures(&metric, &rows[ROWS / 2..], 9, |_| 1.0);
            for (kind, (whole, rest)) in metric.figures().iter().zip(whole.iter().zip(&rest)) {
                // What agrees by chance alone has nothing to lose, and weights by type are those of other rows.
                let is_guess = ["cohen_kappa", "matthews"].contains(&name) && *rest == Some(0.0);
                if is_guess || kind.name == "token_precision_weighted" {
                    continue;
                }
                assert!(whole.is_none_or(f64::is_finite), "{name} {options}: {whole:?}");
                assert!(
                    !kind.is_better(*whole, *rest) || rest.is_none(),
                    "{name} {options}: {whole:?}, of the others {rest:?}"
                );
            }
        }
    }
}

#[test]
fn a_token_beyond_the_scores_leaves_no_perplexity() {
    let mut input = sequences();
    let mut targets = input.targets.as_i64().unwrap().to_vec();
    targets[8] = 11;
    input.targets = Tensor::i64([ROWS, 7], targets);
    let rows: Vec<usize> = (0..ROWS).collect();
    assert_eq!(input.figures(&chosen("perplexity", &json!({})), &rows, ROWS, |_| 1.0), [None]);
    let ignoring = chosen("perplexity", &json!({"ignore_index": 11}));
    assert_eq!(input.figures(&ignoring, &rows, ROWS, |_| 1.0), [None], "−100 is a token now");
}

#[test]
fn what_makes_no_sense_for_the_classes_is_refused_in_words() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (name, options, classes, wanted) in [
        ("token_f1", json!({}), names(&["O", "person"]), "class 1 is called `person`, and tags are `O`, `B-person`"),
        ("token_f1", json!({"tags": ["O"]}), names(&["0", "1"]), "`tags` are 1, and there are 2 classes"),
        ("token_f1", json!({"entities": "strict"}), names(&["O", "S-a"]), "`entities: strict` is for the tags"),
        ("roc_auc", json!({"multi_class": "one_vs_one"}), names(&[]), "`multi_class: one_vs_one` is for classes"),
        ("f1", json!({"average": "binary"}), names(&[]), "`average: binary` is for two classes"),
    ] {
        let message = chosen(name, &options).start(&classes).err().unwrap();
        assert!(message.starts_with(wanted), "{name}: {message}");
    }
    for (name, options, wanted) in [
        ("token_f1", json!({"average": "binary"}), "average is `micro`, `macro` or `weighted`"),
        ("token_f1", json!({"tags": ["O", "x"]}), "class 1 is called `x`"),
        ("roc_auc", json!({"multi_class": "one_vs_one", "average": "micro"}), "`one_vs_one` has the averages"),
        ("expected_calibration_error", json!({"bins": 0}), "bins is between 1 and 10000, got 0"),
    ] {
        let message = Metric::choose(standard(), &Choice::new(name, options), "training.metrics[0]").err().unwrap();
        assert!(message.to_string().contains(wanted), "{name}: {message}");
    }
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    vec![
        // balanced_accuracy_score(y, a)
        ("balanced_accuracy", json!({}), classes(2), &[Some(0.685520361991)]),
        // balanced_accuracy_score(y, a, adjusted=True)
        ("balanced_accuracy", json!({"adjusted": true}), classes(2), &[Some(0.371040723982)]),
        // cohen_kappa_score(y, a, labels=c)
        ("cohen_kappa", json!({}), classes(2), &[Some(0.377880184332)]),
        // matthews_corrcoef(y, a)
        ("matthews", json!({}), classes(2), &[Some(0.381543950866)]),
        // brier_score_loss(y, p[:, 1])
        ("brier", json!({}), classes(2), &[Some(0.249002417874)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=15)
        ("expected_calibration_error", json!({}), classes(2), &[Some(0.211053311825)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=4)
        ("expected_calibration_error", json!({"bins": 4}), classes(2), &[Some(0.214451313019)]),
        // np.exp(log_loss(y, p, labels=c))
        ("perplexity", json!({}), classes(2), &[Some(2.44198065428)]),
        // accuracy_score(y, a)
        ("exact_match", json!({}), classes(2), &[Some(0.7)]),
        // f1_score(y, a, average="macro")
        ("dice", json!({}), classes(2), &[Some(0.6875)]),
        // roc_auc_score(y, p[:, 1])
        ("roc_auc", json!({}), classes(2), &[Some(0.70757918552)]),
        // average_precision_score(y, p[:, 1])
        ("average_precision", json!({}), classes(2), &[Some(0.726431753663)]),
        // balanced_accuracy_score(y, a)
        ("balanced_accuracy", json!({}), classes(4), &[Some(0.414880952381)]),
        // balanced_accuracy_score(y, a, adjusted=True)
        ("balanced_accuracy", json!({"adjusted": true}), classes(4), &[Some(0.219841269841)]),
        // cohen_kappa_score(y, a, labels=c)
        ("cohen_kappa", json!({}), classes(4), &[Some(0.20295202952)]),
        // cohen_kappa_score(y, a, labels=c, weights="linear")
        ("cohen_kappa", json!({"weights": "linear"}), classes(4), &[Some(0.238178633975)]),
        // cohen_kappa_score(y, a, labels=c, weights="quadratic")
        ("cohen_kappa", json!({"weights": "quadratic"}), classes(4), &[Some(0.274611398964)]),
        // matthews_corrcoef(y, a)
        ("matthews", json!({}), classes(4), &[Some(0.206689345934)]),
        // brier_score_loss(y, p, labels=c)
        ("brier", json!({}), classes(4), &[Some(0.915566544224)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=15)
        ("expected_calibration_error", json!({}), classes(4), &[Some(0.348771512508)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=4)
        ("expected_calibration_error", json!({"bins": 4}), classes(4), &[Some(0.361587643623)]),
        // np.exp(log_loss(y, p, labels=c))
        ("perplexity", json!({}), classes(4), &[Some(8.17413608055)]),
        // accuracy_score(y, a)
        ("exact_match", json!({}), classes(4), &[Some(0.4)]),
        // f1_score(y, a, average="macro")
        ("dice", json!({}), classes(4), &[Some(0.39)]),
        // roc_auc_score(y, p, multi_class="ovr", average="macro")
        ("roc_auc", json!({}), classes(4), &[Some(0.644502782091)]),
        // average_precision_score(np.eye(k)[y], p, average="macro")
        ("average_precision", json!({}), classes(4), &[Some(0.398771754965)]),
        // roc_auc_score(y, p, multi_class="ovr", average="micro")
        ("roc_auc", json!({"average": "micro"}), classes(4), &[Some(0.638611111111)]),
        // average_precision_score(np.eye(k)[y], p, average="micro")
        ("average_precision", json!({"average": "micro"}), classes(4), &[Some(0.36744470264)]),
        // roc_auc_score(y, p, multi_class="ovr", average="weighted")
        ("roc_auc", json!({"average": "weighted"}), classes(4), &[Some(0.637653985507)]),
        // average_precision_score(np.eye(k)[y], p, average="weighted")
        ("average_precision", json!({"average": "weighted"}), classes(4), &[Some(0.40758567395)]),
        // roc_auc_score(y, p, multi_class="ovo")
        ("roc_auc", json!({"multi_class": "one_vs_one"}), classes(4), &[Some(0.648639455782)]),
        // roc_auc_score(y, p, multi_class="ovo", average="weighted")
        ("roc_auc", json!({"multi_class": "one_vs_one", "average": "weighted"}), classes(4), &[Some(0.644047619048)]),
        // balanced_accuracy_score(y, a)
        ("balanced_accuracy", json!({}), tied(2), &[Some(0.554298642534)]),
        // balanced_accuracy_score(y, a, adjusted=True)
        ("balanced_accuracy", json!({"adjusted": true}), tied(2), &[Some(0.108597285068)]),
        // cohen_kappa_score(y, a, labels=c)
        ("cohen_kappa", json!({}), tied(2), &[Some(0.109589041096)]),
        // matthews_corrcoef(y, a)
        ("matthews", json!({}), tied(2), &[Some(0.109847007276)]),
        // brier_score_loss(y, p[:, 1])
        ("brier", json!({}), tied(2), &[Some(0.277733631836)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=15)
        ("expected_calibration_error", json!({}), tied(2), &[Some(0.187207862735)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=4)
        ("expected_calibration_error", json!({"bins": 4}), tied(2), &[Some(0.180363580585)]),
        // np.exp(log_loss(y, p, labels=c))
        ("perplexity", json!({}), tied(2), &[Some(2.17541143245)]),
        // accuracy_score(y, a)
        ("exact_match", json!({}), tied(2), &[Some(0.566666666667)]),
        // f1_score(y, a, average="macro")
        ("dice", json!({}), tied(2), &[Some(0.554285714286)]),
        // roc_auc_score(y, p[:, 1])
        ("roc_auc", json!({}), tied(2), &[Some(0.601809954751)]),
        // average_precision_score(y, p[:, 1])
        ("average_precision", json!({}), tied(2), &[Some(0.574485295543)]),
        // balanced_accuracy_score(y, a)
        ("balanced_accuracy", json!({}), tied(4), &[Some(0.376785714286)]),
        // balanced_accuracy_score(y, a, adjusted=True)
        ("balanced_accuracy", json!({"adjusted": true}), tied(4), &[Some(0.169047619048)]),
        // cohen_kappa_score(y, a, labels=c)
        ("cohen_kappa", json!({}), tied(4), &[Some(0.17225950783)]),
        // cohen_kappa_score(y, a, labels=c, weights="linear")
        ("cohen_kappa", json!({"weights": "linear"}), tied(4), &[Some(0.20704845815)]),
        // cohen_kappa_score(y, a, labels=c, weights="quadratic")
        ("cohen_kappa", json!({"weights": "quadratic"}), tied(4), &[Some(0.25652173913)]),
        // matthews_corrcoef(y, a)
        ("matthews", json!({}), tied(4), &[Some(0.173098842522)]),
        // brier_score_loss(y, p, labels=c)
        ("brier", json!({}), tied(4), &[Some(0.753343606214)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=15)
        ("expected_calibration_error", json!({}), tied(4), &[Some(0.208356320858)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=4)
        ("expected_calibration_error", json!({"bins": 4}), tied(4), &[Some(0.162426829338)]),
        // np.exp(log_loss(y, p, labels=c))
        ("perplexity", json!({}), tied(4), &[Some(4.01139667621)]),
        // accuracy_score(y, a)
        ("exact_match", json!({}), tied(4), &[Some(0.383333333333)]),
        // f1_score(y, a, average="macro")
        ("dice", json!({}), tied(4), &[Some(0.38081871345)]),
        // balanced_accuracy_score(y, a)
        ("balanced_accuracy", json!({}), of_one_class(3), &[Some(0.45)]),
        // cohen_kappa_score(y, a, labels=c)
        ("cohen_kappa", json!({}), of_one_class(3), &[Some(0.0)]),
        // cohen_kappa_score(y, a, labels=c, weights="linear")
        ("cohen_kappa", json!({"weights": "linear"}), of_one_class(3), &[Some(0.0)]),
        // cohen_kappa_score(y, a, labels=c, weights="quadratic")
        ("cohen_kappa", json!({"weights": "quadratic"}), of_one_class(3), &[Some(0.0)]),
        // matthews_corrcoef(y, a)
        ("matthews", json!({}), of_one_class(3), &[Some(0.0)]),
        // brier_score_loss(y, p, labels=c)
        ("brier", json!({}), of_one_class(3), &[Some(0.831855040616)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=15)
        ("expected_calibration_error", json!({}), of_one_class(3), &[Some(0.38049903512)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=4)
        ("expected_calibration_error", json!({"bins": 4}), of_one_class(3), &[Some(0.342403382063)]),
        // np.exp(log_loss(y, p, labels=c))
        ("perplexity", json!({}), of_one_class(3), &[Some(4.87024437405)]),
        // accuracy_score(y, a)
        ("exact_match", json!({}), of_one_class(3), &[Some(0.45)]),
        // f1_score(y, a, average="macro")
        ("dice", json!({}), of_one_class(3), &[Some(0.206896551724)]),
        // None
        ("roc_auc", json!({}), of_one_class(3), &[None]),
        // None
        ("roc_auc", json!({"multi_class": "one_vs_one"}), of_one_class(3), &[None]),
        // average_precision_score(y == 1, p[:, 1])
        ("average_precision", json!({}), of_one_class(3), &[Some(1.0)]),
        // balanced_accuracy_score(y, a)
        ("balanced_accuracy", json!({}), always_one(3), &[Some(0.333333333333)]),
        // balanced_accuracy_score(y, a, adjusted=True)
        ("balanced_accuracy", json!({"adjusted": true}), always_one(3), &[Some(0.0)]),
        // cohen_kappa_score(y, a, labels=c)
        ("cohen_kappa", json!({}), always_one(3), &[Some(0.0)]),
        // cohen_kappa_score(y, a, labels=c, weights="linear")
        ("cohen_kappa", json!({"weights": "linear"}), always_one(3), &[Some(0.0)]),
        // cohen_kappa_score(y, a, labels=c, weights="quadratic")
        ("cohen_kappa", json!({"weights": "quadratic"}), always_one(3), &[Some(0.0)]),
        // matthews_corrcoef(y, a)
        ("matthews", json!({}), always_one(3), &[Some(0.0)]),
        // brier_score_loss(y, p, labels=c)
        ("brier", json!({}), always_one(3), &[Some(1.16666666667)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=15)
        ("expected_calibration_error", json!({}), always_one(3), &[Some(0.58333337307)]),
        // multiclass_calibration_error(torch.tensor(p), torch.tensor(y), k, n_bins=4)
        ("expected_calibration_error", json!({"bins": 4}), always_one(3), &[Some(0.58333337307)]),
        // accuracy_score(y, a)
        ("exact_match", json!({}), always_one(3), &[Some(0.416666666667)]),
        // f1_score(y, a, average="macro")
        ("dice", json!({}), always_one(3), &[Some(0.196078431373)]),
        // roc_auc_score(y, s, average="macro")
        ("roc_auc", json!({}), labels(4), &[Some(0.633663932154)]),
        // average_precision_score(y, s, average="macro")
        ("average_precision", json!({}), labels(4), &[Some(0.576287686624)]),
        // f1_score(y, a, average="macro")
        ("f1", json!({}), labels(4), &[Some(0.539591981684)]),
        // precision_score(y, a, average="macro")
        ("precision", json!({}), labels(4), &[Some(0.463167249417)]),
        // recall_score(y, a, average="macro")
        ("recall", json!({}), labels(4), &[Some(0.653671328671)]),
        // roc_auc_score(y, s, average="micro")
        ("roc_auc", json!({"average": "micro"}), labels(4), &[Some(0.631242655699)]),
        // average_precision_score(y, s, average="micro")
        ("average_precision", json!({"average": "micro"}), labels(4), &[Some(0.563732303544)]),
        // f1_score(y, a, average="micro")
        ("f1", json!({"average": "micro"}), labels(4), &[Some(0.542986425339)]),
        // precision_score(y, a, average="micro")
        ("precision", json!({"average": "micro"}), labels(4), &[Some(0.46511627907)]),
        // recall_score(y, a, average="micro")
        ("recall", json!({"average": "micro"}), labels(4), &[Some(0.652173913043)]),
        // roc_auc_score(y, s, average="weighted")
        ("roc_auc", json!({"average": "weighted"}), labels(4), &[Some(0.630676141547)]),
        // average_precision_score(y, s, average="weighted")
        ("average_precision", json!({"average": "weighted"}), labels(4), &[Some(0.578617352702)]),
        // f1_score(y, a, average="weighted")
        ("f1", json!({"average": "weighted"}), labels(4), &[Some(0.539078571055)]),
        // precision_score(y, a, average="weighted")
        ("precision", json!({"average": "weighted"}), labels(4), &[Some(0.462938076416)]),
        // recall_score(y, a, average="weighted")
        ("recall", json!({"average": "weighted"}), labels(4), &[Some(0.652173913043)]),
        // mean_squared_error(y, p)
        ("brier", json!({}), labels(4), &[Some(0.316191486865)]),
        // accuracy_score(y, a)
        ("exact_match", json!({}), labels(4), &[Some(0.0833333333333)]),
        // roc_auc_score(y, s, average="macro")
        ("roc_auc", json!({}), tied_labels(3), &[Some(0.693515437021)]),
        // average_precision_score(y, s, average="macro")
        ("average_precision", json!({}), tied_labels(3), &[Some(0.613830332099)]),
        // f1_score(y, a, average="macro")
        ("f1", json!({}), tied_labels(3), &[Some(0.570504441093)]),
        // precision_score(y, a, average="macro")
        ("precision", json!({}), tied_labels(3), &[Some(0.490264458006)]),
        // recall_score(y, a, average="macro")
        ("recall", json!({}), tied_labels(3), &[Some(0.684057971014)]),
        // roc_auc_score(y, s, average="micro")
        ("roc_auc", json!({"average": "micro"}), tied_labels(3), &[Some(0.699573588319)]),
        // average_precision_score(y, s, average="micro")
        ("average_precision", json!({"average": "micro"}), tied_labels(3), &[Some(0.631032293935)]),
        // f1_score(y, a, average="micro")
        ("f1", json!({"average": "micro"}), tied_labels(3), &[Some(0.576470588235)]),
        // precision_score(y, a, average="micro")
        ("precision", json!({"average": "micro"}), tied_labels(3), &[Some(0.494949494949)]),
        // recall_score(y, a, average="micro")
        ("recall", json!({"average": "micro"}), tied_labels(3), &[Some(0.69014084507)]),
        // roc_auc_score(y, s, average="weighted")
        ("roc_auc", json!({"average": "weighted"}), tied_labels(3), &[Some(0.69591263799)]),
        // average_precision_score(y, s, average="weighted")
        ("average_precision", json!({"average": "weighted"}), tied_labels(3), &[Some(0.624845917281)]),
        // f1_score(y, a, average="weighted")
        ("f1", json!({"average": "weighted"}), tied_labels(3), &[Some(0.578396674668)]),
        // precision_score(y, a, average="weighted")
        ("precision", json!({"average": "weighted"}), tied_labels(3), &[Some(0.498704520058)]),
        // recall_score(y, a, average="weighted")
        ("recall", json!({"average": "weighted"}), tied_labels(3), &[Some(0.69014084507)]),
        // mean_squared_error(y, p)
        ("brier", json!({}), tied_labels(3), &[Some(0.229982015755)]),
        // accuracy_score(y, a)
        ("exact_match", json!({}), tied_labels(3), &[Some(0.133333333333)]),
        // root_mean_squared_error(y, s)
        ("rmse", json!({}), numbers(1), &[Some(2.53584606972)]),
        // median_absolute_error(y, s)
        ("median_absolute_error", json!({}), numbers(1), &[Some(1.947265625)]),
        // np.mean([spearmanr(s[:, i], y[:, i]).statistic for i in range(y.shape[1])])
        ("spearman", json!({}), numbers(1), &[Some(0.304986315102)]),
        // root_mean_squared_error(y, s)
        ("rmse", json!({}), numbers(3), &[Some(2.36694603249)]),
        // median_absolute_error(y, s)
        ("median_absolute_error", json!({}), numbers(3), &[Some(1.95703125)]),
        // np.mean([spearmanr(s[:, i], y[:, i]).statistic for i in range(y.shape[1])])
        ("spearman", json!({}), numbers(3), &[Some(0.444856947837)]),
        // root_mean_squared_error(y, s)
        ("rmse", json!({}), tied_numbers(2), &[Some(1.12112040344)]),
        // median_absolute_error(y, s)
        ("median_absolute_error", json!({}), tied_numbers(2), &[Some(0.875)]),
        // np.mean([spearmanr(s[:, i], y[:, i]).statistic for i in range(y.shape[1])])
        ("spearman", json!({}), tied_numbers(2), &[Some(0.390575294144)]),
        // [score(y, a) for score in [f1_score, precision_score, recall_score]] of seqeval
        ("token_f1", json!({}), tokens(), &[Some(0.52188006483), Some(0.512738853503), Some(0.531353135314)]),
        // [score(y, a, average="macro") for score in [f1_score, precision_score, recall_score]] of seqeval
        ("token_f1", json!({"average": "macro"}), tokens(), &[Some(0.521908164338), Some(0.51286525974), Some(0.531920460492)]),
        // [score(y, a, average="weighted") for score in [f1_score, precision_score, recall_score]] of seqeval
        ("token_f1", json!({"average": "weighted"}), tokens(), &[Some(0.521736506949), Some(0.513061752604), Some(0.531353135314)]),
        // [score(y, a, mode="strict", scheme=IOB2) for score in [f1_score, precision_score, recall_score]] of seqeval
        ("token_f1", json!({"entities": "strict"}), tokens(), &[Some(0.507692307692), Some(0.485294117647), Some(0.532258064516)]),
        // [score(y, a, mode="strict", scheme=IOB2, average="macro") for score in [f1_score, precision_score, recall_score]] of seqeval
        ("token_f1", json!({"entities": "strict", "average": "macro"}), tokens(), &[Some(0.507731958763), Some(0.485292704028), Some(0.532620011567)]),
        // np.mean([(a[r] == y[r])[y[r] >= 0].all() for r in range(60)])
        ("exact_match", json!({}), tokens(), &[Some(0.0166666666667)]),
        // np.mean([f1_score(y[r][y[r] >= 0], a[r][y[r] >= 0], labels=range(0, 5), average="macro", zero_division=np.nan) for r in range(60)])
        ("dice", json!({"per_row": true, "background": true}), tokens(), &[Some(0.482040343915)]),
        // np.mean([f1_score(y[r][y[r] >= 0], a[r][y[r] >= 0], labels=range(1, 5), average="macro", zero_division=np.nan) for r in range(60)])
        ("dice", json!({"per_row": true, "background": false}), tokens(), &[Some(0.486524470899)]),
        // f1_score(y[y >= 0], a[y >= 0], average="macro")
        ("dice", json!({}), tokens(), &[Some(0.556780694623)]),
        // torch.exp(cross_entropy(s[:, :-1].reshape(-1, 11), y[:, 1:].reshape(-1)))
        ("perplexity", json!({}), sequences(), &[Some(56.1945522566)]),
    ]
}
