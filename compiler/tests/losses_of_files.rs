//! Losses from ONNX files: they are worth what the same loss of the catalog is, and files that are no losses are refused.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod loss_files;
mod onnx_runtime;
mod opened_loss;

use std::path::PathBuf;

use loss_files::loss_file;
use millstream_compiler::graph::{ElementType, Graph, Length, TensorType, ValueId};
use millstream_compiler::{Loss, OperatorCatalog};
use opened_loss::{Batch, Computed, Opened, loss};
use serde_json::json;

fn named(names: &[&str]) -> TensorType {
    TensorType::f32(names.iter().map(|name| Length::named(name)).collect::<Vec<_>>())
}

fn of_file(file: &PathBuf) -> Loss {
    loss("onnx", json!({"file": file}))
}

type Nodes = fn(&mut Graph, ValueId, ValueId) -> ValueId;

/// The mean of the squared differences of each row, by `ReduceMean`, whose axes are written in two ways.
fn squares(graph: &mut Graph, prediction: ValueId, targets: ValueId) -> ValueId {
    let difference = graph.minus(prediction, targets).unwrap();
    let squares = graph.times(difference, difference).unwrap();
    if graph.opset < 18 {
        let attributes = [("axes", vec![1].into()), ("keepdims", 0.into())];
        return graph.add("ReduceMean", &[squares], &attributes).unwrap();
    }
    let axes = graph.integers(&[1]);
    graph.add("ReduceMean", &[squares, axes], &[("keepdims", 0.into())]).unwrap()
}

/// The same, from the sum, by the length that the shape tells.
fn squares_by_shape(graph: &mut Graph, prediction: ValueId, targets: ValueId) -> ValueId {
    let difference = graph.minus(prediction, targets).unwrap();
    let squares = graph.times(difference, difference).unwrap();
    let sum = graph.reduce_sum(squares, &[1], false).unwrap();
    let shape = graph.add("Shape", &[prediction], &[]).unwrap();
    let one = graph.integers(&[1]);
    let count = graph.add("Gather", &[shape, one], &[]).unwrap();
    let count = graph.cast(count, ElementType::F32).unwrap();
    graph.divided_by(sum, count).unwrap()
}

fn written(name: &str, opset: i64, targets: &TensorType, nodes: Nodes) -> PathBuf {
    loss_file(name, opset, |graph| {
        let prediction = graph.input("prediction", named(&["batch", "numbers"]));
        let targets = graph.input("targets", targets.clone());
        nodes(graph, prediction, targets)
    })
}

#[test]
fn a_loss_of_each_row_from_a_file_is_that_of_the_catalog() {
    if !onnx_runtime::available() {
        return;
    }
    let batch = Batch {
        shape: vec![3, 2],
        prediction: vec![0.5, -1.0, 2.0, 0.0, 9.0, 9.0],
        targets: vec![1.0, 1.0, -2.0, 0.5, 0.0, 0.0],
        weights: vec![1.0, 0.5, 0.0],
    };
    let wanted = Opened::new(&loss("mse", json!({})), &batch.shape).compute(&batch);
    let targets = named(&["batch", "numbers"]);
    for (name, opset, nodes) in
        [("squares", 13, squares as Nodes), ("later", 18, squares), ("shape", 17, squares_by_shape)]
    {
        let own = of_file(&written(name, opset, &targets, nodes));
        let Computed { loss, weight, gradient } = Opened::new(&own, &batch.shape).compute(&batch);
        assert!((loss - wanted.loss).abs() < 1e-6, "{name}: {loss}, wanted {}", wanted.loss);
        assert_eq!(weight, wanted.weight);
        let far = gradient.iter().zip(&wanted.gradient).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-6, "{name}: {gradient:?}, wanted {:?}", wanted.gradient);
    }
}

#[test]
fn targets_of_other_integers_and_doubles_are_given_as_batches_hold_them() {
    if !onnx_runtime::available() {
        return;
    }
    let batch = Batch {
        shape: vec![3, 2],
        prediction: vec![0.5, -1.0, 2.0, 0.0, 9.0, 9.0],
        targets: vec![1.0, 1.0, -2.0, 0.0, 0.0, 0.0],
        weights: vec![1.0, 0.5, 0.0],
    };
    let wanted = Opened::new(&loss("mse", json!({})), &batch.shape).compute(&batch);
    let of_whole: Nodes = |graph, prediction, targets| {
        let targets = graph.cast(targets, ElementType::F32).unwrap();
        squares(graph, prediction, targets)
    };
    let as_type = |dtype| TensorType { dtype, ..named(&["batch", "numbers"]) };
    for (name, dtype, given) in [
        ("int64", ElementType::I64, ElementType::I64),
        ("int32", ElementType::I32, ElementType::I64),
        ("int8", ElementType::I8, ElementType::I64),
        ("double", ElementType::F64, ElementType::F32),
    ] {
        let own = of_file(&written(name, 17, &as_type(dtype), of_whole));
        assert_eq!(own.target(&TensorType::f32([3, 2])).unwrap().dtype, given, "{name}");
        let found = Opened::new(&own, &batch.shape).compute(&batch);
        assert!((found.loss - wanted.loss).abs() < 1e-6, "{name}: {}, wanted {}", found.loss, wanted.loss);
    }
}

#[test]
fn a_single_number_takes_the_weights_and_an_older_file_is_written_as_newer_ones_are() {
    if !onnx_runtime::available() {
        return;
    }
    let file = loss_file("whole", 13, |graph| {
        let prediction = graph.input("scores", named(&["batch", "numbers"]));
        let targets = graph.input("targets", named(&["batch", "numbers"]));
        let weights = graph.input("weights", named(&["batch"]));
        let of_row = squares(graph, prediction, targets);
        let weighted = graph.times(of_row, weights).unwrap();
        let (sum, weight) = (graph.reduce_sum(weighted, &[0], false), graph.reduce_sum(weights, &[0], false));
        graph.divided_by(sum.unwrap(), weight.unwrap()).unwrap()
    });
    let batch = Batch {
        shape: vec![2, 2],
        prediction: vec![1.0, 0.0, 3.0, 0.0],
        targets: vec![0.0; 4],
        weights: vec![1.0, 3.0],
    };
    let own = of_file(&file);
    for opset in [17, 18] {
        let found = Opened::in_opset(&own, &batch.shape, opset).compute(&batch);
        assert!((found.loss - (0.5 + 3.0 * 4.5) / 4.0).abs() < 1e-6, "opset {opset}: {found:?}");
    }
}

#[test]
fn files_that_are_no_losses_are_refused() {
    let same = named(&["batch", "numbers"]);
    let prediction = TensorType::f32([3, 2]);
    let compiled = |own: &Loss| own.compile(&prediction, &OperatorCatalog::standard()).unwrap_err().to_string();
    let whole: Nodes = |graph, prediction, targets| {
        let of_row = squares(graph, prediction, targets);
        graph.reduce_sum(of_row, &[0], false).unwrap()
    };
    let of_both: Nodes = |graph, prediction, targets| {
        let [prediction, targets] = [prediction, targets].map(|value| graph.reduce_sum(value, &[1], false).unwrap());
        graph.plus(prediction, targets).unwrap()
    };
    let rows: [(&str, TensorType, Nodes, &str); 4] = [
        ("no_weights", same.clone(), whole, "gives a single number and takes no weights"),
        (
            "apart",
            same.clone(),
            |graph, a, b| graph.minus(a, b).unwrap(),
            "it gives float32 [3, 2], wanted float32 [batch]",
        ),
        ("other_axis", named(&["batch", "n"]), of_both, "an axis of its targets is `n`"),
        ("other_shape", TensorType::f32([3, 5]), |graph, a, _| graph.reduce_sum(a, &[1], false).unwrap(), ""),
    ];
    for (name, targets, nodes, message) in rows {
        let own = of_file(&written(name, 17, &targets, nodes));
        if message.is_empty() {
            assert_eq!(own.target(&prediction).unwrap(), targets, "{name}: the data are held against this");
            continue;
        }
        let error = compiled(&own);
        assert!(error.contains(message), "{name}: {error}");
    }
    let own = of_file(&written("later_opset", 20, &same, squares));
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let value = graph.input("prediction", prediction.clone());
    let inputs = own.inputs(&mut graph, value).unwrap();
    let error = own.nodes(&mut graph, &inputs).unwrap_err().to_string();
    assert!(error.contains("it is of opset 20, and the model of opset 17"), "{error}");
    let of_one = loss_file("one_input", 17, |graph| {
        let prediction = graph.input("prediction", named(&["batch", "numbers"]));
        graph.reduce_sum(prediction, &[1], false).unwrap()
    });
    assert!(compiled(&of_file(&of_one)).contains("it takes the prediction and the targets"));
    let own = of_file(&written("rank", 17, &same, squares));
    let error = own.compile(&TensorType::f32([3]), &OperatorCatalog::standard()).unwrap_err().to_string();
    assert!(error.contains("and the model's float32 [3]"), "{error}");
    let garbage = std::env::temp_dir().join(format!("millstream-garbage-{}.onnx", std::process::id()));
    std::fs::write(&garbage, [0xff; 64]).unwrap();
    assert!(compiled(&of_file(&garbage)).contains("is not a whole ONNX model"));
    assert!(compiled(&of_file(&PathBuf::from("nowhere.onnx"))).contains("cannot read nowhere.onnx"));
}
