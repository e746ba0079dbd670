//! How much memory a run takes, watched from outside.

use std::fs;

use millstream::OperatorCatalog;
use millstream::compiler::graph::{Attribute, Constant, Graph, Length, TensorType};
use serde_json::Value;

use crate::workplace::{Workplace, has_runtime};

/// Numbers in a row of the hidden layers: 16 MiB are a matrix of this side.
const SIDE: usize = 2048;

/// `image` [batch, 3, 16, 16] → dense layers of this width → a dense layer with 7 classes. Also the bytes of all but the head.
fn dense_network(side: usize, layers: usize) -> (Vec<u8>, u64) {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let image = graph.input("image", TensorType::f32([Length::named("batch"), 3.into(), 16.into(), 16.into()]));
    let mut value = graph.add("Flatten", &[image], &[("axis", 1.into())]).unwrap();
    let mut width = 3 * 16 * 16;
    let mut bytes = 0;
    for layer in 0..=layers {
        let wide = if layer == layers { 7 } else { side };
        let values: Vec<f32> =
            (0..wide * width).map(|index| ((index * 40_503 + layer) % 1_009) as f32 / 16_000.0 - 0.031).collect();
        let weight = graph.constant(&format!("layer{layer}.weight"), Constant::f32([wide, width], &values));
        let bias = graph.constant(&format!("layer{layer}.bias"), Constant::f32([wide], &vec![0.1; wide]));
        value = graph.add("Gemm", &[value, weight, bias], &[("transB", Attribute::Int(1))]).unwrap();
        if layer < layers {
            bytes += 4 * (wide * width) as u64;
            value = graph.add("Relu", &[value], &[]).unwrap();
        }
        width = wide;
    }
    graph.output(value);
    (graph.to_onnx("dense"), bytes)
}

const CHANGES: [&str; 4] = ["model.train=head", "training.epochs=2", "output.checkpoint.keep=1", "data.memory=24 MiB"];

/// Bytes that `check` says a run would hold.
fn told(place: &Workplace) -> u64 {
    let mut arguments = vec!["check", "recipe.yaml", "--json"];
    arguments.extend(CHANGES.iter().flat_map(|change| ["--set", *change]));
    place.run(&arguments).json()["memory"]["total"].as_u64().unwrap()
}

/// Most bytes that a command held at a time, as it says itself at its end.
fn peak(place: &Workplace) -> Option<u64> {
    let mut arguments = vec!["train", "recipe.yaml", "--json", "--overwrite"];
    arguments.extend(CHANGES.iter().flat_map(|change| ["--set", *change]));
    let said = place.run(&arguments).done();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    last["peak_memory"].as_u64()
}

#[test]
fn frozen_weights_are_held_once_by_training_evaluation_and_export() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let peak_with = |side: usize, layers: usize| {
        let (model, bytes) = dense_network(side, layers);
        fs::write(place.path("model.onnx"), model).unwrap();
        (peak(&place), bytes)
    };
    let (Some(base), _) = peak_with(64, 1) else {
        println!("left out: this system does not tell the memory of a process");
        return;
    };
    let (peak, bytes) = peak_with(SIDE, 6);
    assert!(bytes > 80 << 20);
    let (peak, told) = (peak.unwrap(), told(&place));
    assert!(told.abs_diff(peak) * 100 < 15 * peak, "{peak} bytes are held, and `check` said {told}");
    let more = peak - base;
    // without this, it would not be the weights that are measured
    assert!(10 * more >= 9 * bytes, "{more} bytes more than a small model, and the weights have {bytes}");
    // activations are 8 rows of 2048 numbers
    assert!(2 * more <= 3 * bytes, "{more} bytes more than a small model, and the weights have {bytes}");
}
