//! Losses between vectors, from the command line: pairs, triplets, groups, and a teacher's vectors.

use arrow_array::ArrayRef;
use serde_json::{Value, json};

use crate::columns::{lists, numbers, texts};
use crate::learning::{figure, learns, measured, noise, place, recipe};
use crate::losses_of_classes::{dense, features};
use crate::losses_of_places::tokenizer;
use crate::onnx::{Message, model, node, tensor, weight, whole};
use crate::workplace::has_runtime;

/// Vectors of 4 → one dense layer for all of them, or one each → `vectors` [batch, as many, 3].
fn side_by_side(inputs: &[&str], is_shared: bool) -> Vec<u8> {
    let layer = |input: &str| if is_shared { "w".to_owned() } else { format!("{input}.w") };
    let mut nodes = Vec::new();
    for input in inputs {
        nodes.push(node("MatMul", &[input, &layer(input)], &format!("{input}.vector"), &[]));
        nodes.push(node("Unsqueeze", &[&format!("{input}.vector"), "second"], &format!("{input}.row"), &[]));
    }
    let rows: Vec<String> = inputs.iter().map(|input| format!("{input}.row")).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    nodes.push(node("Concat", &rows, "vectors", &[("axis", &[1])]));
    let mut weights: Vec<Message> = vec![whole("second", &[1])];
    let layers: std::collections::BTreeSet<String> = inputs.iter().map(|input| layer(input)).collect();
    weights.extend(layers.iter().map(|layer| weight(layer, &[4, 3])));
    let given = inputs.iter().map(|input| tensor(input, false, &["batch", "4"])).collect();
    let many = inputs.len().to_string();
    model(nodes, weights, given, vec![tensor("vectors", false, &["batch", &many, "3"])])
}

/// What belongs to a vector: its numbers in another order, one of them turned, and some noise.
fn counterpart(row: usize) -> Vec<f32> {
    let [a, b, c, d] = features(row);
    [b, -a, d, c].into_iter().enumerate().map(|(at, x)| x + 0.1 * noise(70_000 + 4 * row + at)).collect()
}

fn vectors(first: usize, count: usize, of: impl Fn(usize) -> Vec<f32>) -> ArrayRef {
    lists((first..first + count).map(|row| Some(of(row))))
}

fn inputs(names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), json!({"vector": {"column": name}}))).collect()
}

#[test]
fn pairs_that_belong_together_or_not_are_learned() {
    if !has_runtime() {
        return;
    }
    let is_pair = |row: usize| row.is_multiple_of(2);
    let columns = |first: usize, count: usize| {
        let other = |row: usize| if is_pair(row) { counterpart(row) } else { counterpart(row + 500) };
        // 1 and 0, or null where nobody knows
        let alike = |row: usize| (row % 10 != 7).then(|| f64::from(u8::from(is_pair(row))));
        vec![
            ("one", vectors(first, count, |row| features(row).to_vec())),
            ("other", vectors(first, count, other)),
            ("alike", numbers((first..first + count).map(alike))),
        ]
    };
    let place = place(columns, side_by_side(&["one", "other"], false));
    let target = json!({"number": {"column": "alike", "as": "scalar"}});
    let data = json!({"inputs": inputs(&["one", "other"]), "targets": {"alike": target}});
    let recipe = recipe(data, json!({"loss": {"cosine_embedding": {"margin": 0.2}}, "epochs": 20}));
    let found = learns(&place, &recipe, 0.5);
    assert_eq!(found["rows"], 27, "rows without a target are left out");
    // Without `as: scalar` a number has an axis of its own.
    let ran = place.run(&["check", "recipe.yaml", "--set", "data.targets.alike={number: {column: alike}}"]);
    ran.failed_with(&[
        "data.targets: ",
        "`cosine_embedding` wants targets of float32 [8], and the data give float32 [8, 1]",
    ]);
}

#[test]
fn the_vectors_of_a_teacher_are_learned() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let teacher = |row: usize| counterpart(row)[..3].to_vec();
        vec![("x", vectors(first, count, |row| features(row).to_vec())), ("teacher", vectors(first, count, teacher))]
    };
    let data = json!({"inputs": inputs(&["x"]), "targets": {"teacher": {"vector": {"column": "teacher"}}}});
    learns(&place(columns, dense(4, 3)), &recipe(data, json!({"loss": "cosine_embedding"})), 0.2);
}

#[test]
fn each_question_finds_its_answer_among_those_of_its_batch() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        vec![
            ("question", vectors(first, count, |row| features(row).to_vec())),
            ("answer", vectors(first, count, counterpart)),
        ]
    };
    let place = place(columns, side_by_side(&["question", "answer"], false));
    let data = json!({"inputs": inputs(&["question", "answer"]), "targets": {"pair": {"row_id": {}}}});
    let loss = json!({"info_nce": {"temperature": 0.2, "symmetric": true}});
    learns(&place, &recipe(data, json!({"loss": loss, "epochs": 20})), 0.6);
    let ran = place.run(&["check", "recipe.yaml", "--set", "data.targets.pair={row_id: {column: answer}}"]);
    ran.failed_with(&["data.targets.pair", "`row_id` reads no column, got 1"]);
}

/// Rows of four groups, those of each near to one of four points; groups to measure are others than those to train on.
fn groups(first: usize, count: usize) -> Vec<(&'static str, ArrayRef)> {
    let vector = |row: usize| -> Vec<f32> {
        let centre = [0, 1, 2, 3].map(|at| noise(80_000 + 4 * (row % 4) + at));
        centre.iter().zip(features(row)).map(|(centre, noise)| centre + 0.5 * noise).collect()
    };
    let product = (first..first + count).map(|row| format!("{first}-{}", row % 4));
    vec![("x", vectors(first, count, vector)), ("product", texts(product))]
}

#[test]
fn groups_that_were_never_seen_are_told_apart() {
    if !has_runtime() {
        return;
    }
    let place = place(groups, dense(4, 3));
    let target = json!({"category": {"column": "product", "as": "group"}});
    for loss in [
        json!({"triplet": {"margin": 0.5, "distance": "cosine"}}),
        json!({"triplet": {"margin": 0.5, "distance": "cosine", "mining": "all"}}),
        json!({"info_nce": {"temperature": 0.5}}),
    ] {
        let _ = std::fs::remove_dir_all(place.path("run"));
        let data = json!({"inputs": inputs(&["x"]), "targets": {"product": target}, "batch": 12});
        learns(&place, &recipe(data, json!({"loss": loss})), 0.9);
    }
    // A place among the values of the training rows is none for others.
    let change = "data.targets.product={category: {column: product, as: index}}";
    let ran = place.run(&["train", "recipe.yaml", "--overwrite", "--quiet", "--set", change]);
    ran.failed_with(&["column `product` is `1000-", "which no training row has"]);
}

#[test]
fn triplets_in_three_columns_are_learned() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let near = |row: usize| features(row).iter().zip(counterpart(row)).map(|(x, noise)| x + 0.2 * noise).collect();
        vec![
            ("anchor", vectors(first, count, |row| features(row).to_vec())),
            ("positive", vectors(first, count, near)),
            ("negative", vectors(first, count, |row| features(row + 300).to_vec())),
        ]
    };
    let names = ["anchor", "positive", "negative"];
    let place = place(columns, side_by_side(&names, true));
    let data = json!({"inputs": inputs(&names), "targets": {"none": {"row_id": {}}}});
    learns(&place, &recipe(data, json!({"loss": {"triplet": {"margin": 1}}})), 0.7);
}

const WORDS: [&str; 14] = ["q0", "q1", "q2", "q3", "q4", "q5", "a0", "a1", "a2", "a3", "a4", "a5", "well", "please"];

/// Two texts of different lengths → embeddings → their sums over the tokens → `vectors` [batch, 2, 6].
fn two_texts() -> Vec<u8> {
    let mut nodes = Vec::new();
    for text in ["question", "answer"] {
        let name = |part: &str| format!("{text}.{part}");
        let mask = format!("{text}_mask");
        let mut add = |operator: &str, inputs: &[&str], output: &str| {
            nodes.push(node(operator, inputs, output, if operator == "Cast" { &[("to", &[1])] } else { &[] }));
        };
        add("Gather", &[&name("embedding"), text], &name("embedded"));
        add("Cast", &[&mask], &name("is_token"));
        add("Unsqueeze", &[&name("is_token"), "third"], &name("column"));
        add("Mul", &[&name("embedded"), &name("column")], &name("kept"));
        nodes.push(node("ReduceSum", &[&name("kept"), "second"], &name("row"), &[("keepdims", &[1])]));
    }
    nodes.push(node("Concat", &["question.row", "answer.row"], "vectors", &[("axis", &[1])]));
    let weights = vec![
        weight("question.embedding", &[18, 6]),
        weight("answer.embedding", &[18, 6]),
        whole("second", &[1]),
        whole("third", &[2]),
    ];
    let text = |name: &str, length: &str| tensor(name, true, &["batch", length]);
    let inputs = vec![text("question", "q"), text("question_mask", "q"), text("answer", "a"), text("answer_mask", "a")];
    model(nodes, weights, inputs, vec![tensor("vectors", false, &["batch", "2", "6"])])
}

#[test]
fn questions_and_answers_are_texts_of_different_lengths() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let rows = || first..first + count;
        let topic = |row: usize| (noise(row) * 1000.0) as usize % 6;
        let question = |row: usize| format!("please q{} {}", topic(row), "well ".repeat(row % 5));
        let answer = |row: usize| format!("{} a{}", "well please ".repeat(1 + row % 3), topic(row));
        vec![
            ("question", texts(rows().map(question))),
            ("answer", texts(rows().map(answer))),
            ("topic", texts(rows().map(|row| topic(row).to_string()))),
        ]
    };
    let place = place(columns, two_texts());
    tokenizer(&place.path("tokenizer.json"), &WORDS);
    let text = |name: &str| {
        json!({"token_ids": {
            "column": name, "tokenizer": "tokenizer.json", "pad_to_multiple_of": 1, "attention_mask": format!("{name}_mask"),
        }})
    };
    let recipe = recipe(
        json!({
            "inputs": {"question": text("question"), "answer": text("answer")},
            "targets": {"topic": {"category": {"column": "topic", "as": "group"}}},
        }),
        json!({"loss": {"info_nce": {"temperature": 0.3}}}),
    );
    let found = learns(&place, &recipe, 0.7);
    // Without padding the rows have the same vectors, and so in batches of all the same loss.
    let whole = measured(&place, &["data.batch=30"]);
    let padded = measured(&place, &["data.batch=30", "data.inputs.answer.token_ids.pad_to_multiple_of=32"]);
    assert!((figure(&whole, "loss") - figure(&padded, "loss")).abs() < 1e-5, "{whole}, padded {padded}, {found}");
    place
        .run(&["check", "recipe.yaml", "--set", "data.inputs.answer.token_ids.attention_mask=question_mask"])
        .failed_with(&["two tensors are called `question_mask`"]);
}
