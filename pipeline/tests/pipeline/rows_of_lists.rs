//! Columns of lists as tensors: vectors, sequences, symbols, labels.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use millstream_pipeline::encodings::{self, Encoders, WantedTensor};
use millstream_pipeline::{Batches, Dataset, StreamOptions};
use millstream_schemas::recipe::DamagedPolicy;
use millstream_schemas::{Batch, Choice, TensorRole};
use serde_json::{Value as Json, json};

use crate::corpus::chain;
use crate::encodings::{only, open, table};
use crate::json_columns::{column, list};

fn of(data_type: DataType, rows: &Json) -> Dataset {
    table(&[("c", column(&data_type, rows.as_array().unwrap()))])
}

fn floats() -> DataType {
    list(DataType::Float32)
}

/// The batch of all rows, or what is wrong with the first that is damaged.
fn read(dataset: &Dataset, role: TensorRole, kind: &str, options: Json) -> Result<Batch, String> {
    let encoders = open(dataset, role, kind, options).map_err(|error| error.to_string())?;
    only(dataset, encoders, DamagedPolicy::Fail).map_err(|error| error.to_string())
}

#[test]
fn vectors_are_as_long_as_the_first() {
    let rows = json!([null, [1, 2, 3], [4, 5, 6]]);
    let dataset = of(floats(), &rows);
    let batch = read(&dataset, TensorRole::Target, "vector", json!({"column": "c"})).unwrap();
    assert_eq!(batch.tensors["x"].shape, [3, 3]);
    assert_eq!(batch.tensors["x"].as_f32().unwrap(), [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!((batch.weights.as_slice(), batch.lengths.len()), (&[0.0, 1.0, 1.0][..], 0));
    for (rows, options, wanted) in [
        (json!([[1], [1, 2]]), json!({}), "row 1: column `c` has 2 numbers, wanted 1"),
        (json!([[1, null]]), json!({}), "at place 2 of its list is missing (null)"),
        (json!([[1e300, 1]]), json!({}), "which is no number that a model can take"),
        (json!([null, [1]]), json!({}), "row 0: column `c` is missing (null)"),
        (json!([[1]]), json!({"length": 2}), "has 1 number, wanted 2"),
        (json!([[]]), json!({}), "column `c` has 0 numbers in the first list"),
        (json!([null]), json!({}), "column `c` has no list in any row"),
    ] {
        let of_doubles = of(list(DataType::Float64), &rows);
        let mut options = options;
        options["column"] = "c".into();
        let error = read(&of_doubles, TensorRole::Input, "vector", options).unwrap_err();
        assert!(error.contains(wanted), "{rows}: {error}");
    }
    let text = table(&[("c", column(&DataType::Utf8, &[json!("a")]))]);
    let error = read(&text, TensorRole::Input, "vector", json!({"column": "c"})).unwrap_err();
    assert!(error.contains("column `c` cannot be read as lists"), "{error}");
}

#[test]
fn sequences_are_padded_and_their_lengths_go_with_the_batch() {
    let numbers = of(floats(), &json!([[1, 2, 3], [4]]));
    let batch = read(&numbers, TensorRole::Input, "sequence", json!({"column": "c", "pad_to_multiple_of": 4})).unwrap();
    assert_eq!(batch.tensors["x"].shape, [2, 4]);
    assert_eq!(batch.tensors["x"].as_f32().unwrap(), [1.0, 2.0, 3.0, 0.0, 4.0, 0.0, 0.0, 0.0]);
    assert_eq!(batch.lengths["x"], [3, 1]);
    let vectors = of(list(floats()), &json!([[[1, 2]], [[3, 4], [5, 6]]]));
    let options = json!({"column": "c", "pad_to_multiple_of": 1, "attention_mask": "mask", "lengths": "frames"});
    let batch = read(&vectors, TensorRole::Input, "sequence", options).unwrap();
    assert_eq!(batch.tensors["x"].shape, [2, 2, 2]);
    assert_eq!(batch.tensors["x"].as_f32().unwrap(), [1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(batch.tensors["mask"].as_i64().unwrap(), [1, 0, 1, 1]);
    assert_eq!((batch.tensors["frames"].as_i64().unwrap(), &batch.lengths["x"]), (&[1, 2][..], &vec![1, 2]));
    for (of_vectors, rows, wanted) in [
        (false, json!([[1], []]), "row 1: column `c` has no step"),
        (false, json!([[1], null]), "row 1: column `c` is missing (null)"),
        (false, json!([[1, null]]), "at step 2 is missing (null)"),
        (false, json!([[1, 2, 3, 4]]), "has 4 steps, and `max_length` is 3; raise it"),
        (true, json!([[[1, 2]], [[1, 2], [3]]]), "row 1: column `c` at step 2 has 1 number, wanted 2"),
        (true, json!([[[1, 2], null]]), "at step 2 is missing (null)"),
        (true, json!([[], null]), "column `c` has no row with numbers"),
    ] {
        let dataset = of(if of_vectors { list(floats()) } else { floats() }, &rows);
        let options = json!({"column": "c", "max_length": 3});
        let error = read(&dataset, TensorRole::Input, "sequence", options).unwrap_err();
        assert!(error.contains(wanted), "{rows}: {error}");
    }
}

/// Batches of two of a stream whose rows are put together by their lengths.
#[test]
fn sequences_of_like_lengths_come_together() {
    let rows: Vec<Json> = (0..16).map(|row| json!(vec![1.0; if row % 2 == 0 { 2 } else { 30 }])).collect();
    let dataset = of(floats(), &json!(rows));
    let encoders = open(&dataset, TensorRole::Input, "sequence", json!({"column": "c"})).unwrap();
    let options = StreamOptions { batch: 2, workers: 2, seed: 3, ..StreamOptions::new(chain(json!([])), encoders) };
    let batches: Vec<Batch> = Batches::open(&dataset, options, None).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 8);
    for batch in batches {
        assert!(matches!(batch.lengths["x"][..], [2, 2] | [30, 30]), "{:?}", batch.lengths);
    }
}

#[test]
fn symbols_are_those_of_the_training_rows_around_the_blank_or_those_that_are_named() {
    let texts = table(&[("c", column(&DataType::Utf8, &["ba", "", "cab"].map(Json::from)))]);
    for (more, names, values) in [
        (json!({}), json!(["<blank>", "a", "b", "c"]), [2, 1, -1, -1, -1, -1, 3, 1, 2]),
        (json!({"blank": 3}), json!(["a", "b", "c", "<blank>"]), [1, 0, -1, -1, -1, -1, 2, 0, 1]),
        (
            json!({"symbols": ["c", "_", "b", "a"], "blank": 1}),
            json!(["c", "_", "b", "a"]),
            [2, 3, -1, -1, -1, -1, 0, 3, 2],
        ),
    ] {
        let mut options = more;
        options["column"] = "c".into();
        let encoders = open(&texts, TensorRole::Target, "symbols", options).unwrap();
        assert_eq!(encoders.learned(), json!({"x": {"symbols": names}}));
        assert_eq!(json!(encoders.classes()), names);
        let batch = only(&texts, encoders, DamagedPolicy::Fail).unwrap();
        assert_eq!(
            (batch.tensors["x"].shape.as_slice(), batch.tensors["x"].as_i64().unwrap()),
            (&[3, 3][..], &values[..])
        );
        assert_eq!((batch.weights.as_slice(), &batch.lengths["x"]), (&[1.0; 3][..], &vec![2, 0, 3]));
    }
    // Other rows are read by what these have taught.
    let learned = open(&texts, TensorRole::Target, "symbols", json!({"column": "c"})).unwrap().learned();
    let other = table(&[("c", column(&DataType::Utf8, &[json!("cz")]))]);
    let fresh = open(&other, TensorRole::Target, "symbols", json!({"column": "c"})).unwrap();
    let error = only(&other, fresh.relearned(&other, &learned).unwrap(), DamagedPolicy::Fail).unwrap_err().to_string();
    assert!(error.contains("column `c` has the symbol `z`, which is none of 4 that are known"), "{error}");
}

#[test]
fn symbols_may_be_strings_or_numbers_in_lists() {
    let strings = of(list(DataType::Utf8), &json!([["sh", "a"], null, ["a"]]));
    let batch = read(&strings, TensorRole::Target, "symbols", json!({"column": "c"})).unwrap();
    assert_eq!(batch.tensors["x"].as_i64().unwrap(), [2, 1, -1, -1, 1, -1]);
    assert_eq!(batch.weights, [1.0, 0.0, 1.0]);
    let numbers = of(list(DataType::Int64), &json!([[3, 1], [2]]));
    let encoders = open(&numbers, TensorRole::Target, "symbols", json!({"column": "c"})).unwrap();
    assert_eq!(encoders.classes(), ["0", "1", "2", "3"]);
    assert_eq!(only(&numbers, encoders, DamagedPolicy::Fail).unwrap().tensors["x"].as_i64().unwrap(), [3, 1, 2, -1]);
    for (rows, options, wanted) in [
        (json!([[1, 0]]), json!({}), "has the symbol `0`, which is the blank: it stands for none"),
        (json!([[1, -1]]), json!({}), "has the symbol `-1`, which is none of 2"),
        (json!([[1, null]]), json!({}), "has at place 2 of its list no symbol"),
        (json!([[1, 2, 3]]), json!({"max_length": 2}), "has 3 symbols, and `max_length` is 2; raise it"),
        (json!([[70_000]]), json!({}), "has a symbol 70000; at most 65536 are told apart"),
        (json!([[]]), json!({}), "column `c` has no symbol in any row"),
        (json!([[1]]), json!({"symbols": ["a"], "blank": 1}), "blank is one of the symbols, got 1 and 1 of them"),
    ] {
        let dataset = of(list(DataType::Int64), &rows);
        let mut options = options;
        options["column"] = "c".into();
        let error = read(&dataset, TensorRole::Target, "symbols", options).unwrap_err();
        assert!(error.contains(wanted), "{rows}: {error}");
    }
}

#[test]
fn one_symbol_that_is_too_large_is_a_damaged_row() {
    let rows = of(list(DataType::Int64), &json!([[1, 2], [70_000], [2]]));
    let encoders = open(&rows, TensorRole::Target, "symbols", json!({"column": "c"})).unwrap();
    assert_eq!(encoders.classes(), ["0", "1", "2"]);
    let error = only(&rows, encoders.clone(), DamagedPolicy::Fail).unwrap_err().to_string();
    assert!(error.contains("row 1: column `c` has the symbol `70000`, which is none of 3"), "{error}");
    assert_eq!(only(&rows, encoders, DamagedPolicy::Skip).unwrap().len(), 2);
}

#[test]
fn a_first_list_that_is_empty_is_a_damaged_row() {
    let rows = of(floats(), &json!([[], [1, 2], [3, 4]]));
    let encoders = open(&rows, TensorRole::Input, "vector", json!({"column": "c"})).unwrap();
    let error = only(&rows, encoders.clone(), DamagedPolicy::Fail).unwrap_err().to_string();
    assert!(error.contains("row 0: column `c` has 0 numbers, wanted 2"), "{error}");
    assert_eq!(only(&rows, encoders, DamagedPolicy::Skip).unwrap().tensors["x"].shape, [3, 2]);
    let rows = of(list(floats()), &json!([[[]], [[1, 2]]]));
    let encoders = open(&rows, TensorRole::Input, "sequence", json!({"column": "c"})).unwrap();
    assert_eq!(only(&rows, encoders, DamagedPolicy::Skip).unwrap().len(), 1);
}

#[test]
fn labels_of_a_list_hold_together() {
    let names = of(list(DataType::Utf8), &json!([["b", "a"], [], null, ["c"]]));
    let encoders = open(&names, TensorRole::Target, "multi_label", json!({"column": "c"})).unwrap();
    assert_eq!((encoders.classes(), encoders.classes_hold_together()), (&["a", "b", "c"].map(String::from)[..], true));
    let batch = only(&names, encoders.clone(), DamagedPolicy::Fail).unwrap();
    let wanted = [[1.0, 1.0, 0.0], [0.0; 3], [0.0; 3], [0.0, 0.0, 1.0]].concat();
    assert_eq!(batch.tensors["x"].as_f32().unwrap(), wanted);
    assert_eq!(batch.weights, [1.0, 1.0, 0.0, 1.0]);
    let other = of(list(DataType::Utf8), &json!([["d"]]));
    let of_other = encoders.relearned(&other, &encoders.learned()).unwrap();
    let error = only(&other, of_other, DamagedPolicy::Fail).unwrap_err().to_string();
    assert!(error.contains("label `d` is none of the 3 classes"), "{error}");
    let numbers = of(list(DataType::Int64), &json!([[2], [0, -1]]));
    let error = read(&numbers, TensorRole::Target, "multi_label", json!({"column": "c"})).unwrap_err();
    assert!(error.contains("row 1: column `c` has the label −1, which is none"), "{error}");
}

#[test]
fn probabilities_of_classes_sum_to_one() {
    let columns = |a: Json, b: Json| -> Vec<(&str, ArrayRef)> {
        let of = |values: Json| column(&DataType::Float64, values.as_array().unwrap());
        vec![("a", of(a)), ("b", of(b))]
    };
    let dataset = table(&columns(json!([0.25, null, 0.501]), json!([0.75, null, 0.501])));
    let encoders = open(&dataset, TensorRole::Target, "class_probabilities", json!({"column": ["a", "b"]})).unwrap();
    assert_eq!((encoders.classes(), encoders.classes_hold_together()), (&["a", "b"].map(String::from)[..], false));
    let batch = only(&dataset, encoders, DamagedPolicy::Fail).unwrap();
    assert_eq!(batch.tensors["x"].as_f32().unwrap(), [0.25, 0.75, 0.0, 0.0, 0.5, 0.5]);
    assert_eq!(batch.weights, [1.0, 0.0, 1.0]);
    for (a, b, wanted) in [
        (0.5, json!(0.4), "column `a, b` has 2 numbers that sum to 0.900; probabilities sum to 1"),
        (1.5, json!(-0.5), "has -0.5, which is no probability"),
        (0.5, json!(null), "column `b` is missing (null)"),
    ] {
        let dataset = table(&columns(json!([a]), json!([b])));
        let error =
            read(&dataset, TensorRole::Target, "class_probabilities", json!({"column": ["a", "b"]})).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
    let lists = of(list(DataType::Float64), &json!([[0.5, 0.5], [1, 0, 0]]));
    let with = |more: Json| {
        let mut options = more;
        options["column"] = "c".into();
        read(&lists, TensorRole::Target, "class_probabilities", options).unwrap_err()
    };
    assert!(with(json!({})).contains("row 1: column `c` has 3 numbers, wanted 2"));
    assert!(with(json!({"classes": ["a"]})).contains("are names of 1 classes, and a row has 2 numbers"));
    let both = table(&[("c", column(&floats(), &[json!([1])])), ("d", column(&DataType::Float64, &[json!(0)]))]);
    let error = read(&both, TensorRole::Target, "class_probabilities", json!({"column": ["c", "d"]})).unwrap_err();
    assert!(error.contains("a column of lists stands alone, got 2 columns"), "{error}");
}

#[test]
fn a_target_alone_may_have_rows_of_any_length() {
    let columns = [
        ("n", column(&DataType::Float64, &[json!(1), json!(2)])),
        ("c", column(&DataType::Utf8, &[json!("ab"), json!("a")])),
    ];
    let dataset = table(&columns.map(|(name, of)| (name, Arc::clone(&of))));
    let wanted = |name: &str, role, kind: &str, column: &str| {
        let encoding = Choice::new(kind, json!({"column": column}));
        WantedTensor { name: name.into(), role, encoding, place: format!("data.{name}") }
    };
    let all = [wanted("x", TensorRole::Input, "number", "n"), wanted("targets", TensorRole::Target, "symbols", "c")];
    let encoders = Encoders::open(&dataset, encodings::standard(), &all, &[]).unwrap();
    // Nobody says whether rows of like lengths come together: there are none.
    let options = StreamOptions { batch: 3, workers: 1, ..StreamOptions::new(chain(json!([])), encoders) };
    let batch = Batches::open(&dataset, options, None).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.tensors["targets"].shape, [3, 2]);
    let empty = batch.rows.iter().position(Option::is_none).unwrap();
    assert_eq!(batch.tensors["targets"].as_i64().unwrap()[2 * empty..][..2], [-1, -1], "an empty slot has no symbols");
}
