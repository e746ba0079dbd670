//! Losses of a class for each pixel or token, from the command line.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use arrow_array::ArrayRef;
use arrow_array::builder::{Int64Builder, ListBuilder, StringBuilder, StructBuilder};
use arrow_schema::{DataType, Field, Fields};
use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::columns::{bytes, texts};
use crate::learning::{figure, learns, measured, noise, place, recipe};
use crate::onnx::{model, node, tensor, weight};
use crate::workplace::has_runtime;

/// A bright square on a dark picture, and which of its pixels are of the square; of the lowest row it is not said.
pub(crate) fn square(row: usize) -> (Vec<u8>, Vec<u8>) {
    let corner = |at: usize| ((noise(2 * row + at) + 1.0) * 2.0) as u32;
    let is_inside = |x: u32, y: u32| x.wrapping_sub(corner(0)) < 4 && y.wrapping_sub(corner(1)) < 4;
    let grain = |x: u32, y: u32| (40.0 * (noise(row * 64 + (8 * y + x) as usize) + 1.0)) as u8;
    let picture = RgbImage::from_fn(8, 8, |x, y| Rgb([if is_inside(x, y) { 160 } else { 30 } + grain(x, y); 3]));
    let mask = GrayImage::from_fn(8, 8, |x, y| Luma([if y == 7 { 255 } else { u8::from(is_inside(x, y)) }]));
    let (mut of_picture, mut of_mask) = (Cursor::new(Vec::new()), Cursor::new(Vec::new()));
    picture.write_to(&mut of_picture, ImageFormat::Png).unwrap();
    mask.write_to(&mut of_mask, ImageFormat::Png).unwrap();
    (of_picture.into_inner(), of_mask.into_inner())
}

#[test]
fn pixels_are_learned_and_those_without_a_class_are_left_out() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let rows = || (first..first + count).map(square);
        // A row without a mask has no weight.
        let mask = |(row, (_, mask)): (usize, (Vec<u8>, Vec<u8>))| (row % 9 != 3).then_some(mask);
        vec![
            ("picture", bytes(rows().map(|(picture, _)| Some(picture)))),
            ("mask", bytes((first..first + count).zip(rows()).map(mask))),
        ]
    };
    let nodes = vec![node("Conv", &["picture", "w", "b"], "scores", &[])];
    let weights = vec![weight("w", &[2, 3, 1, 1]), weight("b", &[2])];
    let inputs = vec![tensor("picture", false, &["batch", "3", "8", "8"])];
    let network = model(nodes, weights, inputs, vec![tensor("scores", false, &["batch", "2", "8", "8"])]);
    let place = place(columns, network);
    for (loss, ignored, share) in [
        (json!({"sparse_cross_entropy": {"ignore_index": 255, "class_weights": [1, 2]}}), 255, 0.6),
        (json!({"sparse_focal": {"ignore_index": 255, "gamma": 1}}), 255, 0.6),
        (json!({"dice": {"cross_entropy": 0.5}}), -100, 0.7),
    ] {
        let _ = fs::remove_dir_all(place.path("run"));
        let mask = json!({"mask": {"column": "mask", "classes": ["dark", "bright"], "ignore_index": ignored}});
        let recipe = recipe(
            json!({"inputs": {"picture": {"image": {"column": "picture"}}}, "targets": {"mask": mask}}),
            json!({
                "loss": loss, "metrics": ["mean_iou", "dice", "accuracy"], "best": "mean_iou", "epochs": 10,
                "optimizer": {"adamw": {"learning_rate": 0.1}},
            }),
        );
        let found = learns(&place, &recipe, share);
        assert!(figure(&found, "mean_iou") > 0.8, "{found}");
    }
}

const WORDS: [&str; 8] = ["ada", "alan", "london", "paris", "is", "in", "and", "was"];

/// A tokenizer whose tokens are words: `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`, then these.
pub(crate) fn tokenizer(path: &Path, words: &[&str]) {
    let special = |name: &str, type_id: u32| json!({"SpecialToken": {"id": name, "type_id": type_id}});
    let sequence = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
    let all = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].into_iter().chain(words.iter().copied());
    let vocabulary: serde_json::Map<String, Value> = all.zip(0..).map(|(word, id)| (word.into(), id.into())).collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "decoder": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)],
            "pair": [
                special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0), sequence("B", 1), special("[SEP]", 1)
            ],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocabulary},
    });
    fs::write(path, file.to_string()).unwrap();
}

/// `input_ids` [batch, sequence] → embedding → dense → `scores` [batch, sequence, of each].
pub(crate) fn of_tokens(tokens: u64, scores: u64) -> Vec<u8> {
    let nodes = vec![
        node("Gather", &["embedding", "input_ids"], "embedded", &[]),
        node("MatMul", &["embedded", "w"], "product", &[]),
        node("Add", &["product", "b"], "scores", &[]),
    ];
    let weights = vec![weight("embedding", &[tokens, 8]), weight("w", &[8, scores]), weight("b", &[scores])];
    let ids = tensor("input_ids", true, &["batch", "sequence"]);
    model(nodes, weights, vec![ids], vec![tensor("scores", false, &["batch", "sequence", &scores.to_string()])])
}

/// Some words.
pub(crate) fn sentence(row: usize, words: &[&'static str]) -> Vec<&'static str> {
    let length = 3 + row % 6;
    let word = |at: usize| words[((noise(100 * row + at) + 1.0) / 2.0 * words.len() as f32) as usize % words.len()];
    (0..length).map(word).collect()
}

/// Lists of structs of start, end and label; null where a row is not annotated.
fn spans(rows: impl Iterator<Item = Option<Vec<(i64, i64, &'static str)>>>) -> ArrayRef {
    let kinds = [("start", DataType::Int64), ("end", DataType::Int64), ("label", DataType::Utf8)];
    let fields: Fields = kinds.map(|(name, kind)| Field::new(name, kind, true)).into_iter().collect();
    let inner = StructBuilder::new(
        fields,
        vec![Box::new(Int64Builder::new()), Box::new(Int64Builder::new()), Box::new(StringBuilder::new())],
    );
    let mut lists = ListBuilder::new(inner);
    for row in rows {
        for (start, end, label) in row.iter().flatten() {
            let entry = lists.values();
            entry.field_builder::<Int64Builder>(0).unwrap().append_value(*start);
            entry.field_builder::<Int64Builder>(1).unwrap().append_value(*end);
            entry.field_builder::<StringBuilder>(2).unwrap().append_value(label);
            entry.append(true);
        }
        lists.append(row.is_some());
    }
    Arc::new(lists.finish())
}

#[test]
fn tokens_are_learned_in_rows_of_any_length() {
    if !has_runtime() {
        return;
    }
    let of_row = |row: usize| {
        let (mut found, mut from) = (Vec::new(), 0);
        for word in sentence(row, &WORDS) {
            let place = WORDS.iter().position(|known| *known == word).unwrap();
            if place < 4 {
                found.push((from, from + word.len() as i64, if place < 2 { "person" } else { "place" }));
            }
            from += word.len() as i64 + 1;
        }
        (row % 7 != 2).then_some(found)
    };
    let columns = |first: usize, count: usize| {
        let rows = || first..first + count;
        let sentences = rows().map(|row| sentence(row, &WORDS).join(" "));
        vec![("text", texts(sentences)), ("entities", spans(rows().map(of_row)))]
    };
    let place = place(columns, of_tokens(12, 3));
    tokenizer(&place.path("tokenizer.json"), &WORDS);
    let tokens = json!({"token_ids": {"column": "text", "tokenizer": "tokenizer.json", "pad_to_multiple_of": 1}});
    let tags = json!({"spans": {"column": "entities", "tagging": "io"}});
    let recipe = recipe(
        json!({"inputs": {"input_ids": tokens}, "targets": {"tags": tags}}),
        json!({"loss": {"sparse_cross_entropy": {"label_smoothing": 0.05}}, "metrics": ["accuracy", "token_f1"]}),
    );
    let found = learns(&place, &recipe, 0.6);
    assert!(figure(&found, "accuracy") > 0.95 && figure(&found, "token_f1") > 0.95, "{found}");
    // Slots without a row count nothing, and padding nothing: rows by themselves have the same loss.
    let alone = measured(&place, &["data.batch=1"]);
    assert!((figure(&alone, "loss") - figure(&found, "loss")).abs() < 1e-5, "{alone}, in batches {found}");
}
