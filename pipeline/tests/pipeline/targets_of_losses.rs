//! Numbers of classes, groups and rows, single numbers, and tokens, as losses take them.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::DataType;
use millstream_pipeline::Dataset;
use millstream_pipeline::encodings::{self, Encoders, WantedTensor};
use millstream_schemas::recipe::DamagedPolicy;
use millstream_schemas::{Batch, Choice, ElementType, TensorRole};
use serde_json::{Value as Json, json};

use crate::encodings::{only, open, table, words};
use crate::json_columns::column;

fn read(dataset: &Dataset, kind: &str, options: Json) -> Result<Batch, String> {
    let encoders = open(dataset, TensorRole::Target, kind, options).map_err(|error| error.to_string())?;
    only(dataset, encoders, DamagedPolicy::Fail).map_err(|error| error.to_string())
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

#[test]
fn a_class_by_its_number_and_what_stands_for_none() {
    let dataset = table(&[("label", numbers(&[2, -1, 0]))]);
    let batch = read(&dataset, "class_label", json!({"column": "label", "as": "index"})).unwrap();
    assert_eq!(
        (batch.tensors["x"].shape.as_slice(), batch.tensors["x"].as_i64().unwrap()),
        (&[3][..], &[2, -100, 0][..])
    );
    assert_eq!(batch.weights, [1.0, 0.0, 1.0]);
    assert_eq!([0, 1, 2].map(|slot| batch.class("x", slot)), [Some(2), None, Some(0)]);
    let of_255 = json!({"column": "label", "as": "index", "ignore_index": -255});
    assert_eq!(read(&dataset, "class_label", of_255).unwrap().tensors["x"].as_i64().unwrap(), [2, -255, 0]);
    let error = read(&dataset, "class_label", json!({"column": "label", "ignore_index": 1})).unwrap_err();
    assert!(error.contains("ignore_index"), "{error}");
}

#[test]
fn equal_values_are_one_group_whatever_other_rows_have() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), Some("a"), Some("b"), None]));
    let dataset = table(&[("c", texts)]);
    let group = |dataset: &Dataset| {
        let encoders = open(dataset, TensorRole::Target, "category", json!({"column": "c", "as": "group"})).unwrap();
        assert_eq!(encoders.learned(), json!({"x": {"values": []}}));
        only(dataset, encoders, DamagedPolicy::Skip).unwrap()
    };
    let batch = group(&dataset);
    let groups = batch.tensors["x"].as_i64().unwrap();
    assert!(groups[0] == groups[2] && groups[0] != groups[1], "{groups:?}");
    assert_eq!(batch.len(), 3, "null is in no group");
    let other = group(&table(&[("c", Arc::new(StringArray::from(vec!["z", "b"])) as ArrayRef)]));
    assert_eq!(other.tensors["x"].as_i64().unwrap()[1], groups[0]);
    let error = read(&dataset, "category", json!({"column": "c", "as": "group", "unknown": "zeros"})).unwrap_err();
    assert!(error.contains("as a group every value is known"), "{error}");
}

#[test]
fn each_row_has_a_number_that_no_other_has() {
    let dataset = table(&[("c", numbers(&[7, 7, 7]))]);
    let batch = read(&dataset, "row_id", json!({})).unwrap();
    let ids = batch.tensors["x"].as_i64().unwrap();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    assert_eq!(read(&dataset, "row_id", json!({})).unwrap().tensors["x"].as_i64().unwrap(), ids);
    let encoders = open(&dataset, TensorRole::Target, "row_id", json!({})).unwrap();
    assert!(encoders.have_targets() && encoders.columns().is_empty() && encoders.shown_input().is_none());
    let error = read(&dataset, "row_id", json!({"column": "c"})).unwrap_err();
    assert!(error.contains("`row_id` reads no column, got 1"), "{error}");
}

#[test]
fn a_scalar_has_no_axis_of_columns() {
    let dataset = table(&[("a", column(&DataType::Float64, &[json!(1.5), json!(null)])), ("b", numbers(&[1, 2]))]);
    let batch = read(&dataset, "number", json!({"column": "a", "as": "scalar"})).unwrap();
    assert_eq!(
        (batch.tensors["x"].shape.as_slice(), batch.tensors["x"].as_f32().unwrap()),
        (&[2][..], &[1.5, 0.0][..])
    );
    assert_eq!(batch.weights, [1.0, 0.0]);
    let error = read(&dataset, "number", json!({"column": ["a", "b"], "as": "scalar"})).unwrap_err();
    assert!(error.contains("a scalar is of one column, got 2"), "{error}");
}

fn texts() -> Dataset {
    let of = |values: [&str; 2]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    table(&[("one", of(["a b", "c"])), ("two", of(["c", "a a"]))])
}

/// Encodings of inputs and targets, opened for the model's inputs of these names.
fn of_texts(wanted: &[(&str, TensorRole, &str, Json)], inputs: &[&str]) -> Result<Batch, String> {
    let tensor = |(name, role, kind, options): &(&str, TensorRole, &str, Json)| WantedTensor {
        name: (*name).into(),
        role: *role,
        encoding: Choice::new(*kind, options.clone()),
        place: format!("data.{name}"),
    };
    let wanted: Vec<WantedTensor> = wanted.iter().map(tensor).collect();
    let (dataset, inputs) = (texts(), inputs.iter().map(|input| (*input).to_owned()).collect::<Vec<_>>());
    let encoders =
        Encoders::open(&dataset, encodings::standard(), &wanted, &inputs).map_err(|error| error.to_string())?;
    only(&dataset, encoders, DamagedPolicy::Fail).map_err(|error| error.to_string())
}

#[test]
fn the_tokens_of_a_row_are_its_targets_and_padding_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = words(folder.path());
    let tokens = |columns: Json| json!({"column": columns, "tokenizer": tokenizer, "pad_to_multiple_of": 4});
    let input = |columns: Json| ("input_ids", TensorRole::Input, "token_ids", tokens(columns));
    let target = |learn: &str| ("targets", TensorRole::Target, "own_tokens", json!({"learn": learn}));
    let batch = of_texts(&[input(json!("one")), target("all")], &["input_ids"]).unwrap();
    let (ids, targets) = (&batch.tensors["input_ids"], &batch.tensors["targets"]);
    assert_eq!((ids.shape.as_slice(), targets.shape.as_slice()), (&[2, 4][..], &[2, 4][..]));
    let ids = ids.as_i64().unwrap();
    assert_eq!(targets.as_i64().unwrap(), [&ids[..7], &[-100]].concat(), "the last place of the second row is padding");
    let batch = of_texts(&[input(json!(["one", "two"])), target("second_text")], &["input_ids"]).unwrap();
    let (ids, targets) = (batch.tensors["input_ids"].as_i64().unwrap(), batch.tensors["targets"].as_i64().unwrap());
    // 2 a b 3 c 3 with padding, and 2 c 3 a a 3
    assert_eq!(batch.tensors["input_ids"].shape, [2, 8]);
    assert_eq!(targets[..8], [-100, -100, -100, -100, ids[4], 3, -100, -100]);
    assert_eq!(targets[8..], [-100, -100, -100, ids[11], ids[12], 3, -100, -100]);
    let error = of_texts(&[target("all")], &[]).unwrap_err();
    assert!(error.contains("own_tokens are of one input that is `token_ids`, got 0 such inputs"), "{error}");
}

#[test]
fn two_texts_have_masks_of_their_own_names() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = words(folder.path());
    let input = |name: &'static str, column: &str, more: Json| {
        let mut options = json!({"column": column, "tokenizer": tokenizer, "pad_to_multiple_of": 1});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (name, TensorRole::Input, "token_ids", options)
    };
    let both = [
        input("q", "one", json!({"attention_mask": "q_mask"})),
        input("a", "two", json!({"attention_mask": "a_mask", "token_type_ids": "a_types"})),
    ];
    let batch = of_texts(&both, &["q", "q_mask", "a", "a_mask"]).unwrap();
    assert_eq!(batch.tensors.keys().collect::<Vec<_>>(), ["a", "a_mask", "q", "q_mask"]);
    assert_eq!(batch.tensors["q_mask"].as_i64().unwrap(), [1, 1, 1, 1, 1, 1, 1, 0]);
    assert_eq!(batch.tensors["a_mask"].as_i64().unwrap(), [1, 1, 1, 0, 1, 1, 1, 1]);
    assert_eq!(batch.tensors["a_mask"].element_type(), ElementType::I64);
    let error = of_texts(&[input("q", "one", json!({})), input("a", "two", json!({}))], &[]).unwrap_err();
    assert!(error.contains("two tensors are called `attention_mask`"), "{error}");
    let error = of_texts(&[input("q", "one", json!({"attention_mask": "token_type_ids"}))], &[]).unwrap_err();
    assert!(error.contains("are both `token_type_ids`"), "{error}");
}
