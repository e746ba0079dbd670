//! Columns of rows as tensors of batches.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use millstream_pipeline::encodings::{self, Encoders, StreamFacts, WantedTensor};
use millstream_pipeline::{Batches, Dataset, PipelineError, StreamOptions};
use millstream_schemas::recipe::{DamagedPolicy, OrderStrength};
use millstream_schemas::{Batch, Choice, ElementType, TensorRole};
use serde_json::{Value, json};

use crate::corpus::{all, chain, corpus};

pub(crate) fn table(columns: &[(&str, ArrayRef)]) -> Dataset {
    let columns = columns.iter().map(|(name, column)| (*name, Arc::clone(column), true));
    let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    Dataset::from_batches("table", &[rows], 100).unwrap()
}

fn floats(values: &[Option<f64>]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(crate) fn open(dataset: &Dataset, role: TensorRole, kind: &str, options: Value) -> Result<Encoders, PipelineError> {
    let wanted =
        WantedTensor { name: "x".into(), role, encoding: Choice::new(kind, options), place: "data.inputs.x".into() };
    Encoders::open(dataset, encodings::standard(), &[wanted], &[])
}

fn options(encoders: Encoders, batch: usize) -> StreamOptions {
    StreamOptions {
        batch,
        order: OrderStrength::Sequential,
        workers: 2,
        ..StreamOptions::new(chain(json!([])), encoders)
    }
}

pub(crate) fn only(dataset: &Dataset, encoders: Encoders, damaged: DamagedPolicy) -> Result<Batch, PipelineError> {
    let options = StreamOptions { damaged, group_by_length: Some(false), ..options(encoders, dataset.rows() as usize) };
    Batches::open(dataset, options, None)?.next().expect("a batch")
}

#[test]
fn numbers_stand_side_by_side_and_what_is_missing_is_left_to_the_model() {
    let dataset = table(&[
        ("a", floats(&[Some(1.0), None, Some(3.0), Some(8.0)])),
        ("b", Arc::new(Int64Array::from(vec![Some(10), Some(20), Some(30), Some(40)]))),
    ]);
    let both = json!({"column": ["b", "a"], "missing": "mean", "standardize": true});
    let encoders = open(&dataset, TensorRole::Input, "number", both).unwrap();
    // Means 25 and 4; deviations √125 and √(26/3), by hand.
    let learned = encoders.learned();
    let near = |pointer: &str, wanted: f64| {
        let got = learned.pointer(pointer).and_then(Value::as_f64).unwrap();
        assert!((got - wanted).abs() < 1e-5, "{pointer}: {got}, wanted {wanted}");
    };
    near("/x/fill/0", 25.0);
    near("/x/fill/1", 4.0);
    near("/x/scale/1/0", 125.0_f64.sqrt());
    near("/x/scale/1/1", (26.0_f64 / 3.0).sqrt());
    let batch = only(&dataset, encoders.clone(), DamagedPolicy::Fail).unwrap();
    assert_eq!(batch.tensors["x"].shape, [4, 2]);
    let values = batch.tensors["x"].as_f32().unwrap();
    assert_eq!(
        (&values[..3], values[3].is_nan(), &values[4..]),
        (&[10.0, 1.0, 20.0][..], true, &[30.0, 3.0, 40.0, 8.0][..])
    );
    // Other rows are read by what these have taught.
    let other = table(&[("a", floats(&[Some(0.0)])), ("b", floats(&[Some(0.0)]))]);
    let fresh = open(&other, TensorRole::Input, "number", json!({"column": ["b", "a"], "standardize": true})).unwrap();
    assert_ne!(fresh.learned(), learned);
    assert_eq!(fresh.relearned(&other, &learned).unwrap().learned(), learned);
}

#[test]
fn a_number_that_is_missing_is_a_damaged_row_or_a_target_without_weight() {
    let dataset = table(&[("a", floats(&[Some(1.0), None, Some(f64::NAN), Some(4.0)]))]);
    let encoders = || open(&dataset, TensorRole::Input, "number", json!({"column": "a"})).unwrap();
    let error = only(&dataset, encoders(), DamagedPolicy::Fail).unwrap_err().to_string();
    assert!(error.starts_with("table, row group 0, row 1: column `a` is missing (null)"), "{error}");
    let batch = only(&dataset, encoders(), DamagedPolicy::Skip).unwrap();
    assert_eq!((batch.len(), batch.weights.as_slice()), (2, &[1.0, 0.0, 0.0, 1.0][..]));
    let target = open(&dataset, TensorRole::Target, "number", json!({"column": "a"})).unwrap();
    let batch = only(&dataset, target, DamagedPolicy::Fail).unwrap();
    assert_eq!((batch.len(), batch.weights.as_slice()), (4, &[1.0, 0.0, 0.0, 1.0][..]));
    assert_eq!(batch.tensors["x"].as_f32().unwrap(), [1.0, 0.0, 0.0, 4.0]);
    let huge = table(&[("a", floats(&[Some(1e300)]))]);
    let encoders = open(&huge, TensorRole::Input, "number", json!({"column": "a"})).unwrap();
    let error = only(&huge, encoders, DamagedPolicy::Fail).unwrap_err().to_string();
    assert!(error.contains("no number that a model can take"), "{error}");
    let empty = table(&[("a", floats(&[None, None]))]);
    let error = open(&empty, TensorRole::Input, "number", json!({"column": "a", "standardize": true})).unwrap_err();
    assert!(error.to_string().contains("column `a` has no number in any row"), "{error}");
}

#[test]
fn a_category_is_its_place_among_the_sorted_values() {
    let dataset = table(&[
        ("island", texts(&[Some("Dream"), Some("Biscoe"), None, Some("Torgersen"), Some("Dream")])),
        ("floor", Arc::new(Int64Array::from(vec![10, 9, -1, 10, 9]))),
    ]);
    let one_hot = json!({"column": "island", "unknown": "zeros"});
    let encoders = open(&dataset, TensorRole::Input, "category", one_hot).unwrap();
    assert_eq!(encoders.learned(), json!({"x": {"values": ["Biscoe", "Dream", "Torgersen"]}}));
    let batch = only(&dataset, encoders.clone(), DamagedPolicy::Fail).unwrap();
    let wanted = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0; 3], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]].concat();
    assert_eq!(batch.tensors["x"].as_f32().unwrap(), wanted);
    let index = open(&dataset, TensorRole::Input, "category", json!({"column": "floor", "as": "index"})).unwrap();
    assert_eq!(index.learned(), json!({"x": {"values": ["-1", "9", "10"]}}));
    let batch = only(&dataset, index, DamagedPolicy::Fail).unwrap();
    assert_eq!((batch.tensors["x"].element_type(), batch.tensors["x"].shape.as_slice()), (ElementType::I64, &[5][..]));
    assert_eq!(batch.tensors["x"].as_i64().unwrap(), [2, 1, 0, 2, 1]);
    // A value that no training row has.
    let other = table(&[("island", texts(&[Some("Java")])), ("floor", floats(&[Some(1.5)]))]);
    let strict = open(&other, TensorRole::Input, "category", json!({"column": "island"})).unwrap();
    let strict = strict.relearned(&other, &encoders.learned()).unwrap();
    let error = only(&other, strict, DamagedPolicy::Fail).unwrap_err().to_string();
    assert!(error.contains("column `island` is `Java`, which no training row has"), "{error}");
    let error = open(&other, TensorRole::Input, "category", json!({"column": "floor"})).unwrap_err().to_string();
    assert!(error.contains("holds fractions such as 1.5"), "{error}");
}

/// A column `c` of the numbers of classes with these names.
fn classes(names: &[&str], numbers: &[i64]) -> Dataset {
    let declared = json!({"info": {"features": {"c": {"names": names, "_type": "ClassLabel"}}}}).to_string();
    let metadata = HashMap::from([("huggingface".to_owned(), declared)]);
    let schema = Schema::new_with_metadata(vec![Field::new("c", DataType::Int64, true)], metadata);
    let column: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    Dataset::from_batches("classes", &[RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap()], 100).unwrap()
}

#[test]
fn a_category_of_numbered_classes_is_known_by_their_names_wherever_rows_come_from() {
    let dataset = classes(&["old", "new"], &[1, 0, 1]);
    let encoders = open(&dataset, TensorRole::Input, "category", json!({"column": "c"})).unwrap();
    let learned = encoders.learned();
    assert_eq!(learned, json!({"x": {"values": ["old", "new"], "names": ["old", "new"]}}));
    let read = |dataset: &Dataset, learned: &Value| {
        let batch = only(dataset, encoders.relearned(dataset, learned).unwrap(), DamagedPolicy::Fail).unwrap();
        batch.tensors["x"].as_f32().unwrap().to_vec()
    };
    assert_eq!(read(&dataset, &learned), [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    for other in [
        table(&[("c", texts(&[Some("new"), Some("old")]))]),
        table(&[("c", texts(&[Some("1"), Some("0")]))]),
        table(&[("c", floats(&[Some(1.0), Some(0.0)]))]),
        classes(&["new", "old"], &[0, 1]),
    ] {
        assert_eq!(read(&other, &learned), [0.0, 1.0, 1.0, 0.0], "{:?}", other.features());
    }
    // as was learned before names were noted
    assert_eq!(read(&dataset, &json!({"x": {"values": ["0", "1"]}})), [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn a_category_of_numbers_or_truth_values_is_known_in_a_table_of_texts() {
    let truths: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    for (column, values, rows, wanted) in [
        (
            floats(&[Some(1.0), Some(2.0), None]),
            json!(["1", "2"]),
            texts(&[Some("1.0"), Some("2"), Some(""), Some("NA"), Some("3.0"), Some("x")]),
            &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0][..],
        ),
        (truths, json!(["0", "1"]), texts(&[Some("True"), Some("false"), None]), &[0.0, 1.0, 1.0, 0.0, 0.0, 0.0]),
        (
            texts(&[Some("True"), Some("False")]),
            json!(["False", "True"]),
            floats(&[Some(1.0), Some(0.0)]),
            &[0.0, 1.0, 1.0, 0.0],
        ),
        // codes are no numbers
        (texts(&[Some("007"), Some("1")]), json!(["007", "1"]), texts(&[Some("7"), Some("1")]), &[0.0, 0.0, 0.0, 1.0]),
    ] {
        let dataset = table(&[("c", column)]);
        let options = json!({"column": "c", "unknown": "zeros"});
        let encoders = open(&dataset, TensorRole::Input, "category", options).unwrap();
        assert_eq!(encoders.learned(), json!({"x": {"values": values}}));
        let other = table(&[("c", rows)]);
        let encoders = encoders.relearned(&other, &encoders.learned()).unwrap();
        let batch = only(&other, encoders, DamagedPolicy::Fail).unwrap();
        assert_eq!(batch.tensors["x"].as_f32().unwrap(), wanted, "{values}");
    }
}

#[test]
fn zero_below_zero_is_the_category_zero() {
    let dataset = table(&[("floor", floats(&[Some(0.0), Some(-0.0), Some(1.0)]))]);
    let index = open(&dataset, TensorRole::Input, "category", json!({"column": "floor", "as": "index"})).unwrap();
    assert_eq!(index.learned(), json!({"x": {"values": ["0", "1"]}}));
    assert_eq!(only(&dataset, index, DamagedPolicy::Fail).unwrap().tensors["x"].as_i64().unwrap(), [0, 0, 1]);
    let group = open(&dataset, TensorRole::Input, "category", json!({"column": "floor", "as": "group"})).unwrap();
    let batch = only(&dataset, group, DamagedPolicy::Fail).unwrap();
    let groups = batch.tensors["x"].as_i64().unwrap();
    assert!(groups[0] == groups[1] && groups[1] != groups[2], "{groups:?}");
}

#[test]
fn one_fraction_among_categories_is_a_damaged_row() {
    let dataset = table(&[("floor", floats(&[Some(2.0), Some(2.5), Some(1.0), Some(f64::INFINITY), Some(2.0)]))]);
    let encoders = open(&dataset, TensorRole::Input, "category", json!({"column": "floor", "as": "index"})).unwrap();
    assert_eq!(encoders.learned(), json!({"x": {"values": ["1", "2"]}}));
    let error = only(&dataset, encoders.clone(), DamagedPolicy::Fail).unwrap_err().to_string();
    assert!(error.contains("row 1: column `floor` is 2.5, which is no category"), "{error}");
    assert_eq!(only(&dataset, encoders, DamagedPolicy::Skip).unwrap().len(), 3);
}

#[test]
fn texts_that_the_special_tokens_leave_no_place_for_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = words(folder.path());
    let dataset = table(&[("first", texts(&[Some("a good film")])), ("second", texts(&[Some("bad")]))]);
    let of = |column: Value, most: u32, special: bool| {
        let mut options =
            json!({"column": column, "tokenizer": tokenizer, "max_length": most, "pad_to_multiple_of": 1});
        options["special_tokens"] = special.into();
        open(&dataset, TensorRole::Input, "token_ids", options).map_err(|error| error.to_string())
    };
    let both = || json!(["first", "second"]);
    for (column, most, part) in [
        (json!("first"), 1, "max_length: it is 1, and the tokenizer adds 2 special tokens to each text,"),
        (json!("first"), 2, "max_length: it is 2, and the tokenizer adds 2 special tokens to each text,"),
        (both(), 2, "max_length: it is 2, and the tokenizer adds 3 special tokens to each pair of texts,"),
        (both(), 3, "max_length: it is 3, and the tokenizer adds 3 special tokens to each pair of texts,"),
    ] {
        let error = of(column, most, true).unwrap_err();
        assert!(error.starts_with(part), "{error}");
    }
    for (column, most, special, wanted) in [
        (json!("first"), 3, true, &[2, 4, 3][..]),
        (json!("first"), 1, false, &[4]),
        (both(), 4, true, &[2, 4, 3, 3]),
        (both(), 2, false, &[4, 7]),
    ] {
        let batch = only(&dataset, of(column, most, special).unwrap(), DamagedPolicy::Fail).unwrap();
        assert_eq!(batch.tensors["x"].as_i64().unwrap(), wanted, "{most} {special}");
    }
}

#[test]
fn options_and_columns_that_an_encoding_does_not_take_are_told() {
    let dataset = table(&[("a", floats(&[Some(1.0)])), ("t", texts(&[Some("x")]))]);
    for (kind, options, part) in [
        ("numbr", json!({}), "did you mean `number`?"),
        ("number", json!({"column": "t"}), "column `t` cannot be read as numbers"),
        ("number", json!({"column": "b"}), "no column `b`"),
        ("number", json!({"column": ["a", "a"]}), "column names `a` twice"),
        ("number", json!({"column": "a", "standardise": true}), "did you mean `standardize`?"),
        ("category", json!({"column": ["a", "t"]}), "`category` reads 1 column at most, got 2"),
        ("category", json!({"column": "t", "as": "index", "unknown": "zeros"}), "an index of 0 is a value"),
        ("token_ids", json!({"column": "t", "tokenizer": "/nowhere/tokenizer.json"}), "/nowhere/tokenizer.json"),
        ("token_ids", json!({"column": "t", "tokenizer": "x", "max_length": 0}), "max_length"),
    ] {
        let error = open(&dataset, TensorRole::Input, kind, options).unwrap_err().to_string();
        assert!(error.contains(part), "{kind}: {error}");
    }
}

/// A tokenizer of whole words: unknown ones are 1, padding is 0, and each text stands between 2 and 3.
pub(crate) fn words(folder: &Path) -> std::path::PathBuf {
    let vocabulary: BTreeMap<&str, u32> =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "film", "bad"].into_iter().zip(0..).collect();
    let file = json!({
        "version": "1.0", "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
            ],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        "decoder": null, "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    let path = folder.join("tokenizer.json");
    std::fs::write(&path, file.to_string()).unwrap();
    path
}

#[test]
fn texts_become_tokens_with_a_mask_and_types_as_long_as_the_longest_of_their_batch() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = words(folder.path());
    let dataset = table(&[
        ("first", texts(&[Some("a good film"), Some("bad"), Some("a a a a a a a")])),
        ("second", texts(&[Some("film"), Some("good film"), Some("unheard")])),
    ]);
    let tokens = |column: Value, max_length: u32, multiple: u32| {
        let options = json!({
            "column": column, "tokenizer": tokenizer, "max_length": max_length, "pad_to_multiple_of": multiple,
        });
        let encoders = open(&dataset, TensorRole::Input, "token_ids", options).unwrap();
        only(&dataset, encoders, DamagedPolicy::Fail).unwrap()
    };
    // The file's own truncation to 4 and padding to 9 are left aside.
    let batch = tokens(json!("first"), 6, 1);
    assert_eq!(batch.tensors["x"].shape, [3, 6]);
    let rows = [[2, 4, 5, 6, 3, 0], [2, 7, 3, 0, 0, 0], [2, 4, 4, 4, 4, 3]];
    assert_eq!(batch.tensors["x"].as_i64().unwrap(), rows.concat());
    let mask = rows.map(|row| row.map(|token| i64::from(token != 0)));
    assert_eq!(batch.tensors["attention_mask"].as_i64().unwrap(), mask.concat());
    assert_eq!(batch.tensors["token_type_ids"].as_i64().unwrap(), [0; 18]);
    assert_eq!(tokens(json!("first"), 32, 8).tensors["x"].shape, [3, 16]);
    // Of a pair the longer text is cut.
    let batch = tokens(json!(["first", "second"]), 7, 1);
    let rows = [[2, 4, 5, 6, 3, 6, 3], [2, 7, 3, 5, 6, 3, 0], [2, 4, 4, 4, 3, 1, 3]];
    assert_eq!(batch.tensors["x"].as_i64().unwrap(), rows.concat());
    let types = [[0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1, 1]];
    assert_eq!(batch.tensors["token_type_ids"].as_i64().unwrap(), types.concat());
    // A model without types is given none.
    let options = json!({"column": "first", "tokenizer": tokenizer});
    let wanted = WantedTensor {
        name: "x".into(),
        role: TensorRole::Input,
        encoding: Choice::new("token_ids", options),
        place: String::new(),
    };
    let inputs = ["x", "attention_mask"].map(str::to_owned);
    let encoders = Encoders::open(&dataset, encodings::standard(), &[wanted], &inputs).unwrap();
    let chain = chain(json!([]));
    let spec = encoders.spec(&StreamFacts { dataset: &dataset, chain: &chain, seed: 0 }, 2).unwrap();
    assert_eq!(spec.tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), inputs);
}

#[test]
fn little_of_a_batch_of_reviews_is_padding_and_every_review_comes_once() {
    let Some(corpus) = corpus("padding of reviews") else { return };
    let dataset = Dataset::open("data/sst2/sst2-train-*.parquet", &corpus).unwrap();
    let tokenizer = corpus.join("models/minilm-l6-h384-v12k/tokenizer.json");
    let encoders = || {
        let options = json!({"tokenizer": tokenizer, "max_length": 64, "column": "text", "pad_to_multiple_of": 1});
        open(&dataset, TensorRole::Input, "token_ids", options).unwrap()
    };
    let waste = |group_by_length: bool, order: OrderStrength| {
        let options = StreamOptions {
            group_by_length: Some(group_by_length),
            order,
            seed: 5,
            epochs: 1,
            ..options(encoders(), 32)
        };
        let (mut tokens, mut places, mut rows) = (0, 0, std::collections::HashSet::new());
        for batch in all(&dataset, &options).unwrap() {
            let mask = batch.tensors["attention_mask"].as_i64().unwrap();
            let length = mask.len() / batch.capacity();
            let real = |slot: &usize| batch.rows[*slot].is_some();
            tokens += (0..batch.capacity())
                .filter(real)
                .map(|slot| mask[slot * length..][..length].iter().sum::<i64>())
                .sum::<i64>();
            places += (batch.len() * length) as i64;
            rows.extend(batch.rows.into_iter().flatten());
        }
        assert_eq!(rows.len() as u64, dataset.rows());
        1.0 - tokens as f64 / places as f64
    };
    for order in [OrderStrength::Windowed, OrderStrength::Global] {
        let (grouped, by_chance) = (waste(true, order), waste(false, order));
        println!("{order:?}: padding is {:.1} % of a batch, by chance {:.1} %", 100.0 * grouped, 100.0 * by_chance);
        assert!(grouped <= 0.10 && by_chance > 0.3, "{order:?}: {grouped} {by_chance}");
    }
}

#[test]
fn lengths_do_not_depend_on_who_measures_them() {
    let Some(corpus) = corpus("lengths of reviews") else { return };
    let dataset = Dataset::open("data/sst2/sst2-train-*.parquet", &corpus).unwrap();
    let tokenizer = corpus.join("models/minilm-l6-h384-v12k/tokenizer.json");
    let first = |workers: usize| {
        let wanted = json!({"tokenizer": tokenizer, "max_length": 64, "column": "text"});
        let encoders = open(&dataset, TensorRole::Input, "token_ids", wanted).unwrap();
        let order = OrderStrength::Global;
        let options = StreamOptions { workers, order, group_by_length: None, ..options(encoders, 32) };
        let began = std::time::Instant::now();
        let mut batches = Batches::open(&dataset, options, None).unwrap();
        let rows: Vec<_> = batches.by_ref().take(50).map(|batch| batch.unwrap().rows).collect();
        println!("{workers} workers: {:.2} s to 50 batches", began.elapsed().as_secs_f64());
        rows
    };
    let one = first(1);
    assert_eq!(one.len(), 50);
    for workers in [2, 5] {
        assert_eq!(first(workers), one, "{workers} workers");
    }
}
