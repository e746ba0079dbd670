//! The metrics that scikit-learn and jiwer have too, on random input and on input that leaves nothing to measure: `make.py` in this
//! folder wrote what they make of it.

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::{Tensor, mix};
use serde::Deserialize;
use serde_json::Value;

use super::{
    FINE, Input, ROWS, always_one, are_close, chosen, classes, labels, number, numbers, numbers_on, of_one_class,
    scores, tied, tied_numbers, tokens,
};

const TIMES: usize = 12;
const WANTED: usize = 6;
const SYMBOLS: usize = 5;

/// What one metric makes of one input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    metric: String,
    options: Value,
    input: String,
    source: String,
    figure: Option<f64>,
    table: Option<Value>,
}

impl Row {
    fn words(&self) -> String {
        format!("{} {} of {}, {}", self.metric, self.options, self.input, self.source)
    }
}

fn rows() -> Vec<Row> {
    serde_json::from_str(include_str!("of_scikit_learn.json")).unwrap()
}

/// By its name in the file.
fn input(name: &str) -> Input {
    match name {
        "classes(2)" => classes(2),
        "classes(4)" => classes(4),
        "tied(2)" => tied(2),
        "tied(4)" => tied(4),
        "of_one_class(3)" => of_one_class(3),
        "of_one_class(2)" => of_one_class(2),
        "always_one(3)" => always_one(3),
        "always_one(2)" => always_one(2),
        "one_and_always_one(3)" => scores(3, FINE, 1.0, Some(1), Some(1)),
        "one_and_always_another(3)" => scores(3, FINE, 1.0, Some(0), Some(1)),
        "tokens" => tokens(),
        "none_hold(3)" => labels_that_all(0.0),
        "all_hold(3)" => labels_that_all(1.0),
        "numbers(1)" => numbers(1),
        "numbers(3)" => numbers(3),
        "tied_numbers(2)" => tied_numbers(2),
        "first_is_constant(1)" => first_is_constant(1),
        "first_is_constant(3)" => first_is_constant(3),
        "along_time" => along_time(None),
        "along_time_always(0)" => along_time(Some(0)),
        "along_time_always(2)" => along_time(Some(2)),
        name => panic!("no input is called {name}"),
    }
}

/// Three labels, all of which hold, or none.
fn labels_that_all(hold: f32) -> Input {
    let like = labels(3);
    let targets = vec![hold; ROWS * 3];
    Input {
        prediction: (0..ROWS * 3).map(|at| number(3, at, FINE) + hold).collect(),
        targets: Tensor::f32([ROWS, 3], targets),
        ..like
    }
}

/// Numbers of which the first is 2 in all rows.
fn first_is_constant(count: usize) -> Input {
    let mut input = numbers_on(count, FINE);
    let mut targets = input.targets.as_f32().unwrap().to_vec();
    targets.iter_mut().step_by(count).for_each(|target| *target = 2.0);
    input.prediction = targets.iter().enumerate().map(|(at, target)| number(5, at, FINE) + 0.5 * target).collect();
    input.targets = Tensor::f32([ROWS, count], targets);
    input
}

/// Up to six symbols of 1 to 4 a row, none of which begins with a 4, at every second of twelve times; 0 is the blank. One symbol may be the
/// most likely of all throughout.
fn along_time(always: Option<usize>) -> Input {
    let length = |row: usize| (1 + mix(8_100_000 + row as u64) % WANTED as u64) as usize;
    let symbol = |row: usize, at: usize| {
        let kinds = if at > 0 { 4 } else { 3 };
        if at < length(row) { 1 + (mix(8_200_000 + (row * WANTED + at) as u64) % kinds) as i64 } else { -1 }
    };
    let score = |at: usize| {
        let (place, own) = (at / SYMBOLS, at % SYMBOLS);
        let (row, time) = (place / TIMES, place % TIMES);
        let is_said = time.is_multiple_of(2) && time / 2 < length(row);
        let leant = if is_said { symbol(row, time / 2) } else { 0 };
        let lean = if leant == own as i64 { 5.0 } else { 0.0 };
        let shift = if always == Some(own) { 100.0 } else { 0.0 };
        number(8, at, FINE) + lean + shift
    };
    let targets = (0..ROWS * WANTED).map(|at| symbol(at / WANTED, at % WANTED));
    Input {
        reads: PredictionKind::SequenceScores,
        classes: Vec::new(),
        shape: vec![ROWS, TIMES, SYMBOLS],
        prediction: (0..ROWS * TIMES * SYMBOLS).map(score).collect(),
        targets: Tensor::i64([ROWS, WANTED], targets.collect::<Vec<_>>()),
    }
}

/// Whether each number is the same, within rounding.
fn alike(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| alike(found, wanted))
        }
        // names of classes are ours alone
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(column, wanted)| found.get(column).is_some_and(|found| alike(found, wanted)))
        }
        (found, wanted) => are_close(&[found.as_f64()], &[wanted.as_f64()]),
    }
}

/// In this order, in batches of so many, all of the same weight or every second of none.
fn assert_rows(order: &[usize], in_a_batch: usize, weight: fn(usize) -> f64) {
    for row in rows() {
        let (input, metric, what) = (input(&row.input), chosen(&row.metric, &row.options), row.words());
        let meter = input.measured(&metric, order, in_a_batch, weight);
        let Some(wanted) = &row.table else {
            let found = meter.figures();
            assert!(are_close(&found, &[row.figure]), "{what}: {found:?}, wanted {:?}", row.figure);
            continue;
        };
        let tables = meter.tables();
        let [(_, found)] = tables.as_slice() else { panic!("{what}: one table") };
        let found = serde_json::to_value(found).unwrap();
        assert!(alike(&found, wanted), "{what}: {found}, wanted {wanted}");
    }
}

#[test]
fn figures_of_random_and_degenerate_input_are_those_of_scikit_learn_and_jiwer() {
    let in_order: Vec<usize> = (0..ROWS).collect();
    assert_rows(&in_order, ROWS, |_| 1.0);
}

#[test]
fn neither_order_nor_batches_nor_rows_without_weight_change_what_scikit_learn_has_too() {
    let shuffled: Vec<usize> = (0..ROWS).map(|row| row * 37 % ROWS).collect();
    let doubled: Vec<usize> = shuffled.iter().flat_map(|row| [*row, (row + 1) % ROWS]).collect();
    assert_rows(&shuffled, 7, |_| 1.0);
    assert_rows(&doubled, 16, |at: usize| if at.is_multiple_of(2) { 0.25 } else { 0.0 });
}

/// A row of a metric that gets lost in the file would be missed by nothing else.
#[test]
fn every_metric_of_scikit_learn_and_jiwer_has_random_and_degenerate_rows() {
    let rows = rows();
    for (metric, least) in [
        ("accuracy", 8),
        ("top_k", 8),
        ("log_loss", 8),
        ("confusion_matrix", 8),
        ("per_class", 8),
        ("mean_iou", 8),
        ("f1", 24),
        ("precision", 24),
        ("recall", 24),
        ("mse", 5),
        ("mae", 5),
        ("r2", 5),
        ("word_error_rate", 3),
        ("character_error_rate", 3),
    ] {
        let found = rows.iter().filter(|row| row.metric == metric).count();
        assert!(found >= least, "{metric}: {found} rows, wanted {least} or more");
    }
}
