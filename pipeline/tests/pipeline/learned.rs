//! What encodings learned of the training rows, and the files that they read, held against what other rows are read with.

use std::path::Path;

use arrow_array::{ArrayRef, Float64Array, StringArray};
use millstream_pipeline::encodings::{self, Encoders, WantedTensor};
use millstream_pipeline::{Batches, Dataset, PipelineError, StreamOptions};
use millstream_schemas::recipe::{DamagedPolicy, OrderStrength};
use millstream_schemas::{Batch, Choice, Fingerprint, ResumePoint, TensorRole};
use serde_json::{Value, json};

use crate::corpus::{all, chain};
use crate::encodings::{only, open, table, words};
use crate::json_columns::{column, list};

fn floats(values: &[f64]) -> ArrayRef {
    std::sync::Arc::new(Float64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    std::sync::Arc::new(StringArray::from(values.to_vec()))
}

/// An input `x`, with what was learned for it of other rows.
fn open_with(dataset: &Dataset, kind: &str, options: Value, learned: Value) -> Result<Encoders, PipelineError> {
    let encoding = Choice::new(kind, options);
    let wanted = WantedTensor { name: "x".into(), role: TensorRole::Input, encoding, place: "data.inputs.x".into() };
    Encoders::open_with(dataset, encodings::standard(), &[wanted], &[], &json!({ "x": learned }))
}

#[test]
fn a_tokenizer_that_was_replaced_is_refused_with_its_path_and_both_fingerprints() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = words(folder.path());
    let dataset = table(&[("t", texts(&["a good film"]))]);
    let options = || json!({"column": "t", "tokenizer": tokenizer});
    let encoders = open(&dataset, TensorRole::Input, "token_ids", options()).unwrap();
    let then = encoders.learned();
    assert_eq!(encoders.relearned(&dataset, &then).unwrap().learned(), then);
    let text = std::fs::read_to_string(&tokenizer).unwrap();
    std::fs::write(&tokenizer, text.replace("\"film\"", "\"movie\"")).unwrap();
    let now = open(&dataset, TensorRole::Input, "token_ids", options()).unwrap().learned();
    let print = |learned: &Value| learned["x"]["tokenizer"].as_str().unwrap().to_owned();
    assert_ne!(print(&then), print(&now));
    let again = encoders.relearned(&dataset, &then).unwrap_err();
    let opened = open_with(&dataset, "token_ids", options(), then["x"].clone()).unwrap_err();
    for error in [again, opened].map(|error| error.to_string()) {
        for part in ["`x`", tokenizer.to_str().unwrap(), &print(&then), &print(&now), "put that one back"] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }
    std::fs::write(&tokenizer, text).unwrap();
    assert_eq!(encoders.relearned(&dataset, &then).unwrap().learned(), then);
}

#[test]
fn what_was_learned_of_other_rows_and_cannot_be_used_is_not_learned_again() {
    let dataset = table(&[
        ("number", floats(&[1.0, 3.0])),
        ("text", texts(&["a", "b"])),
        ("list", column(&list(arrow_schema::DataType::Float32), &[json!([1, 2]), json!([3, 4])])),
    ]);
    let scaled = json!({"column": "number", "standardize": true});
    for (kind, options, learned, part) in [
        ("number", scaled.clone(), json!({"scale": [[null], [1.0]]}), "invalid type: null"),
        ("number", scaled.clone(), json!({"values": ["a"]}), "unknown field `values`"),
        ("number", scaled.clone(), json!({"scale": [[1.0, 2.0], [1.0, 1.0]]}), "it is of 2 columns, not of 1"),
        ("number", scaled.clone(), json!("lost"), "\"lost\""),
        ("category", json!({"column": "text"}), json!({"values": ["a", 7]}), "`values`"),
        ("category", json!({"column": "text"}), json!({}), "`values`"),
        ("class_label", json!({"column": "text"}), json!({"classes": ["a", null]}), "`classes`"),
        ("vector", json!({"column": "list"}), json!({"length": "two"}), "`length`"),
        ("text", json!({"column": "text"}), json!({"vocabulary": 7}), "`vocabulary`"),
    ] {
        let error = open_with(&dataset, kind, options, learned.clone()).unwrap_err().to_string();
        assert!(error.starts_with("`x` would be made otherwise than in training: "), "{kind} {learned}: {error}");
        assert!(error.contains(part), "{kind} {learned}: {error}");
    }
    // Of nothing it is learned, and so it is of null.
    let fresh = open_with(&dataset, "number", scaled.clone(), Value::Null).unwrap();
    assert_eq!(fresh.learned(), json!({"x": {"scale": [[2.0], [1.0]]}}));
    let short = json!({"scale": [[0.1], [0.3]]});
    assert!(open_with(&dataset, "number", scaled, short).is_ok(), "floats of 32 bits written shorter are the same");
}

/// Rows of texts, and how they are streamed.
fn rows_of_texts(tokenizer: &Path) -> (Dataset, StreamOptions) {
    let texts = texts(&["a good film", "bad", "a film", "good", "a bad film", "film", "a a", "bad film"]);
    let dataset = table(&[("t", texts)]);
    let options = json!({"column": "t", "tokenizer": tokenizer, "pad_to_multiple_of": 1});
    let encoders = open(&dataset, TensorRole::Input, "token_ids", options).unwrap();
    let options = StreamOptions {
        batch: 2,
        epochs: 2,
        order: OrderStrength::Global,
        seed: 3,
        workers: 2,
        ..StreamOptions::new(chain(json!([])), encoders)
    };
    (dataset, options)
}

/// The fingerprint of the options of [`rows_of_texts`] as versions made it that counted where the tokenizer lies.
fn with_place(options: &StreamOptions) -> Fingerprint {
    let (_, _, choice) = options.encoders.choices().next().unwrap();
    let entry = json!([choice, options.encoders.columns(), options.encoders.learned()["x"]]);
    let order = (options.order, options.window, options.batch, options.drop_last, options.group_by_length);
    let encoders = Fingerprint::of(&[entry]);
    Fingerprint::of(&(encoders, options.chain.fingerprint(), order, options.transparency))
}

#[test]
fn a_tokenizer_that_lies_elsewhere_is_no_other_and_its_stream_goes_on() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (dataset, options) = rows_of_texts(&words(one.path()));
    let (_, moved) = rows_of_texts(&words(other.path()));
    assert_eq!(options.fingerprint(), moved.fingerprint());
    let whole = all(&dataset, &options).unwrap();
    let tokens = |batches: &[Batch]| -> Vec<Vec<i64>> {
        batches.iter().map(|batch| batch.tensors["x"].as_i64().unwrap().to_vec()).collect()
    };
    let resumed = |options: &StreamOptions, point: &ResumePoint| -> Result<Vec<Batch>, PipelineError> {
        Batches::open(&dataset, options.clone(), Some(point))?.collect()
    };
    let point = &whole[2].resume;
    assert_eq!(tokens(&resumed(&moved, point).unwrap()), tokens(&whole[3..]));
    // A resume point of an earlier version goes on where the file still lies, as one of this; elsewhere it says why not.
    let earlier = ResumePoint { recipe: with_place(&options), ..point.clone() };
    assert_ne!(earlier.recipe, point.recipe);
    let batches = resumed(&options, &earlier).unwrap();
    assert_eq!(tokens(&batches), tokens(&whole[3..]));
    assert_eq!(batches[0].resume.recipe, options.fingerprint());
    let error = resumed(&moved, &earlier).unwrap_err().to_string();
    assert!(error.contains("in resume points of earlier versions its place too"), "{error}");
    // Another file is another.
    let text = std::fs::read_to_string(other.path().join("tokenizer.json")).unwrap();
    std::fs::write(other.path().join("tokenizer.json"), text.replace("\"good\"", "\"fine\"")).unwrap();
    let replaced = open(
        &dataset,
        TensorRole::Input,
        "token_ids",
        json!({"column": "t", "tokenizer": other.path().join("tokenizer.json"), "pad_to_multiple_of": 1}),
    );
    let error = resumed(&StreamOptions { encoders: replaced.unwrap(), ..moved }, point).unwrap_err().to_string();
    assert!(error.contains("the content of a file that an encoding reads"), "{error}");
}

#[test]
fn one_number_that_no_model_can_take_does_not_ruin_its_column() {
    let dataset = table(&[("a", floats(&[1.0, 3.0, 1e39, f64::INFINITY, f64::NEG_INFINITY]))]);
    let options = json!({"column": "a", "standardize": true, "missing": "mean"});
    let encoders = open(&dataset, TensorRole::Input, "number", options).unwrap();
    assert_eq!(encoders.learned(), json!({"x": {"fill": [2.0], "scale": [[2.0], [1.0]]}}));
    let batch = only(&dataset, encoders, DamagedPolicy::Skip).unwrap();
    assert_eq!((batch.len(), &batch.tensors["x"].as_f32().unwrap()[..2]), (2, &[1.0, 3.0][..]));
    let damaged = table(&[("a", floats(&[1e39]))]);
    let error = open(&damaged, TensorRole::Input, "number", json!({"column": "a", "standardize": true})).unwrap_err();
    assert!(error.to_string().contains("column `a` has no number in any row"), "{error}");
}

#[test]
fn a_number_that_is_missing_does_not_make_those_missing_that_it_is_mixed_with() {
    let missing = f64::NAN;
    let learned = |values: &[f64]| {
        let dataset = table(&[("a", floats(values)), ("b", floats(&[7.0; 6]))]);
        let options = json!({"column": ["a", "b"], "missing": "mean"});
        let encoders = open(&dataset, TensorRole::Input, "number", options).unwrap();
        assert_eq!(encoders.learned(), json!({"x": {"fill": [4.0, 7.0]}}));
        let options = |transforms: Value| StreamOptions {
            batch: 3,
            epochs: 2,
            order: OrderStrength::Sequential,
            seed: 5,
            workers: 2,
            ..StreamOptions::new(chain(transforms), encoders.clone())
        };
        (dataset, options(json!([{"mix_up": {"alpha": 1}}])), options(json!([])))
    };
    let bits = |batches: &[Batch]| -> Vec<Vec<u32>> {
        let of = |batch: &Batch| batch.tensors["x"].as_f32().unwrap().iter().map(|value| value.to_bits()).collect();
        batches.iter().map(of).collect()
    };
    let (dataset, mixed, plain) = learned(&[1.0, missing, 3.0, 8.0, missing, 4.0]);
    let batches = all(&dataset, &mixed).unwrap();
    assert!(batches.iter().all(|batch| batch.tensors["x"].as_f32().unwrap().iter().all(|value| value.is_finite())));
    // as if the mean had been there
    let (filled, of_filled, _) = learned(&[1.0, 4.0, 3.0, 8.0, 4.0, 4.0]);
    assert_eq!(bits(&batches), bits(&all(&filled, &of_filled).unwrap()));
    assert_ne!(bits(&batches), bits(&all(&filled, &plain).unwrap()));
    let rest: Vec<Batch> =
        Batches::open(&dataset, mixed, Some(&batches[0].resume)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(bits(&rest), bits(&batches[1..]));
    // Where nothing is mixed, the model is told what is missing.
    let batches = all(&dataset, &plain).unwrap();
    assert!(batches[0].tensors["x"].as_f32().unwrap()[2].is_nan());
}
