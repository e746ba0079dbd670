//! Losses of one class for each row, from the command line.

use arrow_array::ArrayRef;
use serde_json::json;

use crate::columns::{lists, numbers, texts, whole};
use crate::learning::{figure, learns, noise, place, recipe};
use crate::onnx::{model, node, tensor, weight};
use crate::workplace::has_runtime;

/// `x` [batch, from] → dense → `y` [batch, to].
pub(crate) fn dense(from: u64, to: u64) -> Vec<u8> {
    let nodes = vec![node("Gemm", &["x", "w", "b"], "y", &[("transB", &[1])])];
    let weights = vec![weight("w", &[to, from]), weight("b", &[to])];
    let axes = [from, to].map(|length| length.to_string());
    let (x, y) = (tensor("x", false, &["batch", &axes[0]]), tensor("y", false, &["batch", &axes[1]]));
    model(nodes, weights, vec![x], vec![y])
}

/// Four numbers of a row.
pub(crate) fn features(row: usize) -> [f32; 4] {
    [0, 1, 2, 3].map(|at| noise(4 * row + at))
}

/// The largest of its first three numbers.
fn class(row: usize) -> usize {
    let of_row = features(row);
    (0..3).max_by(|a, b| of_row[*a].total_cmp(&of_row[*b])).unwrap()
}

/// What three annotators of ten would say.
fn votes(row: usize) -> [f32; 3] {
    let powers = [0, 1, 2].map(|at| (6.0 * features(row)[at]).exp());
    powers.map(|power| power / powers.iter().sum::<f32>())
}

fn x(first: usize, count: usize) -> (&'static str, ArrayRef) {
    ("x", lists((first..first + count).map(|row| Some(features(row).to_vec()))))
}

/// Every eleventh row has no class.
fn has_none(row: usize) -> bool {
    row % 11 == 5
}

#[test]
fn soft_labels_in_columns_or_in_lists_are_learned() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let rows = || first..first + count;
        let of = |at: usize| numbers(rows().map(|row| (!has_none(row)).then(|| f64::from(votes(row)[at]))));
        let list = lists(rows().map(|row| (!has_none(row)).then(|| votes(row).to_vec())));
        vec![x(first, count), ("cat", of(0)), ("dog", of(1)), ("neither", of(2)), ("votes", list)]
    };
    let place = place(columns, dense(4, 3));
    let names = json!(["cat", "dog", "neither"]);
    for (targets, loss) in [
        (json!({"column": names}), json!({"cross_entropy": {"label_smoothing": 0.05, "class_weights": [1, 2, 1]}})),
        (json!({"column": "votes", "classes": names}), json!({"focal": {"gamma": 1}})),
    ] {
        let _ = std::fs::remove_dir_all(place.path("run"));
        let recipe = recipe(
            json!({"inputs": {"x": {"vector": {"column": "x"}}}, "targets": {"animal": {"class_probabilities": targets}}}),
            json!({"loss": loss, "metrics": ["accuracy", "log_loss"], "best": "log_loss"}),
        );
        let found = learns(&place, &recipe, 0.75);
        assert!(figure(&found, "accuracy") > 0.8, "{found}");
        assert_eq!(found["rows"], (1000..1030).filter(|row| !has_none(*row)).count());
        assert_eq!(place.read("run/labels.txt"), b"cat\ndog\nneither\n");
    }
}

#[test]
fn classes_by_their_numbers_are_learned_and_rows_without_one_are_left_out() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let class = |row: usize| if has_none(row) { -1 } else { class(row) as i64 };
        vec![x(first, count), ("label", whole((first..first + count).map(class)))]
    };
    let place = place(columns, dense(4, 3));
    for loss in [
        json!({"sparse_cross_entropy": {"ignore_index": -7, "class_weights": [1, 2, 1]}}),
        json!({"sparse_focal": {"ignore_index": -7, "gamma": 1, "alpha": [1, 2, 1]}}),
    ] {
        let _ = std::fs::remove_dir_all(place.path("run"));
        let label = json!({"class_label": {"column": "label", "as": "index", "ignore_index": -7}});
        let recipe = recipe(
            json!({"inputs": {"x": {"vector": {"column": "x"}}}, "targets": {"label": label}}),
            json!({"loss": loss}),
        );
        let found = learns(&place, &recipe, 0.6);
        assert!(figure(&found, "accuracy") > 0.8, "{found}");
        assert_eq!(found["rows"], (1000..1030).filter(|row| !has_none(*row)).count());
    }
    // The loss must know the number of those without.
    let change = "training.loss=sparse_cross_entropy";
    let ran = place.run(&["train", "recipe.yaml", "--overwrite", "--quiet", "--set", change]);
    ran.failed_with(&["the loss is inf at step"]);
}

#[test]
fn names_of_classes_are_learned_under_a_focal_loss() {
    if !has_runtime() {
        return;
    }
    let columns = |first: usize, count: usize| {
        let name = |row: usize| ["cat", "dog", "neither"][class(row)];
        vec![x(first, count), ("kind", texts((first..first + count).map(name)))]
    };
    let recipe = recipe(
        json!({"inputs": {"x": {"vector": {"column": "x"}}}, "label": "kind"}),
        json!({"loss": {"focal": {"alpha": [1, 2, 1]}}}),
    );
    let found = learns(&place(columns, dense(4, 3)), &recipe, 0.5);
    assert!(figure(&found, "accuracy") > 0.8, "{found}");
}
