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

/// `image` → as many nodes of a few numbers → a dense layer with 7 classes.
fn long_network(nodes: usize) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let image = graph.input("image", TensorType::f32([Length::named("batch"), 3.into(), 16.into(), 16.into()]));
    let mut value = graph.add("ReduceMean", &[image], &[("axes", vec![2, 3].into()), ("keepdims", 0.into())]).unwrap();
    for node in 0..nodes {
        let operator = if node % 2 == 0 {
            ("Elu", [("alpha", Attribute::Float(0.5))])
        } else {
            ("LeakyRelu", [("alpha", Attribute::Float(0.9))])
        };
        value = graph.add(operator.0, &[value], &operator.1).unwrap();
    }
    let weight = graph.constant("head.weight", Constant::f32([7, 3], &[0.1; 21]));
    value = graph.add("Gemm", &[value, weight], &[("transB", Attribute::Int(1))]).unwrap();
    graph.output(value);
    graph.to_onnx("long")
}

/// `image` → a convolution with `channels` channels at one place → one whose kernel has most of the weights → a dense layer.
fn convolutions(channels: usize) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let mut value = graph.input("image", TensorType::f32([Length::named("batch"), 3.into(), 16.into(), 16.into()]));
    for (name, shape, pad) in [("first", [channels, 3, 16, 16], 0), ("second", [channels / 4, channels, 3, 3], 1)] {
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|at: usize| (at % 509) as f32 / 50_000.0 - 0.005).collect();
        let kernel = graph.constant(&format!("{name}.weight"), Constant::f32(shape, &values));
        value = graph.add("Conv", &[value, kernel], &[("pads", vec![pad; 4].into())]).unwrap();
        value = graph.add("Relu", &[value], &[]).unwrap();
    }
    value = graph.add("Flatten", &[value], &[]).unwrap();
    let weight = graph.constant("head.weight", Constant::f32([7, channels / 4], &vec![0.1; 7 * channels / 4]));
    value = graph.add("Gemm", &[value, weight], &[("transB", Attribute::Int(1))]).unwrap();
    graph.output(value);
    graph.to_onnx("convolutions")
}

/// `image` → its means, and the mean of numbers that a node makes of a shape of 16 bytes → a dense layer with 7 classes.
fn amplifying_network(side: i64) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let image = graph.input("image", TensorType::f32([Length::named("batch"), 3.into(), 16.into(), 16.into()]));
    let means = graph.add("ReduceMean", &[image], &[("axes", vec![2, 3].into()), ("keepdims", 0.into())]).unwrap();
    let shape = graph.constant("shape", Constant::i64([2], &[side, side]));
    let made = graph.add("ConstantOfShape", &[shape], &[]).unwrap();
    let twice = graph.add("Add", &[made, made], &[]).unwrap();
    let one = graph.add("ReduceMean", &[twice], &[("axes", vec![0, 1].into()), ("keepdims", 1.into())]).unwrap();
    let value = graph.add("Add", &[means, one], &[]).unwrap();
    let weight = graph.constant("head.weight", Constant::f32([7, 3], &[0.1; 21]));
    let value = graph.add("Gemm", &[value, weight], &[("transB", Attribute::Int(1))]).unwrap();
    graph.output(value);
    graph.to_onnx("amplifying")
}

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

/// Wants one of several measurements as it has to be. What threads hold at the same time depends on when they get a processor: a busy
/// machine makes an odd one now and then, and a fault is in all of them.
fn is_measured(mut measure: impl FnMut() -> Result<(), String>) {
    let mut problems = Vec::new();
    for _ in 0..5 {
        match measure() {
            Ok(()) => return,
            Err(problem) => problems.push(problem),
        }
    }
    panic!("{}", problems.join("\n"));
}

/// That so much is held as `check` says.
fn require_told(what: &str, peak: u64, told: u64) -> Result<(), String> {
    let is_near = told.abs_diff(peak) * 100 < 15 * peak;
    if is_near { Ok(()) } else { Err(format!("{what}: {peak} bytes are held, and `check` said {told}")) }
}

#[test]
fn frozen_weights_are_held_once_by_training_evaluation_and_export() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    require_once(&place, "dense layers of 16 MiB", (SIDE, 6));
    require_once(&place, "50 MB in dense layers of 1 MiB", (512, 48));
}

/// That a run with this network holds its weights once, beside what one with a small network holds.
fn require_once(place: &Workplace, what: &str, (side, layers): (usize, usize)) {
    let written = |side: usize, layers: usize| {
        let (model, bytes) = dense_network(side, layers);
        fs::write(place.path("model.onnx"), model).unwrap();
        bytes
    };
    is_measured(|| {
        written(64, 1);
        let Some(base) = peak(place) else {
            println!("left out: this system does not tell the memory of a process");
            return Ok(());
        };
        let bytes = written(side, layers);
        let peak = peak(place).unwrap();
        require_told(what, peak, told(place))?;
        let more = peak.saturating_sub(base);
        // without the first, it would not be the weights that are measured; activations are 8 rows of so many numbers
        let is_once = 10 * more >= 9 * bytes && 2 * more <= 3 * bytes;
        let said = format!("{what}: {more} bytes more than a small model, and the weights have {bytes}");
        if is_once { Ok(()) } else { Err(said) }
    });
}

#[test]
fn many_nodes_of_few_numbers_and_kernels_that_are_laid_out_anew_are_told_before() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for (name, model) in [("2000 nodes", long_network(2000)), ("a kernel of 38 MB", convolutions(2048))] {
        fs::write(place.path("model.onnx"), model).unwrap();
        let told = told(&place);
        is_measured(|| match peak(&place) {
            Some(peak) => require_told(name, peak, told),
            None => {
                println!("left out: this system does not tell the memory of a process");
                Ok(())
            }
        });
    }
}

#[test]
fn a_small_file_that_makes_terabytes_is_not_ready_to_train() {
    if !has_runtime() {
        return;
    }
    if !cfg!(target_os = "linux") {
        println!("left out: this system does not tell how much memory there is");
        return;
    }
    let place = Workplace::new();
    let changes = [&CHANGES[..], &["training.max_steps=1"]].concat();
    // 64 KiB have room everywhere
    fs::write(place.path("model.onnx"), amplifying_network(128)).unwrap();
    assert!(place.run_with("check", &changes).done().contains("ready to train"));
    // two values of 4 TiB
    let model = amplifying_network(1 << 20);
    assert!(model.len() < 2048);
    fs::write(place.path("model.onnx"), model).unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let ran = place.run_with("check", &changes);
    let said = words(&ran.stdout);
    assert_eq!(ran.code, Some(1), "{said}");
    for part in ["problem: a run would hold about ", "most of it computed values", "cannot be trained like this"] {
        assert!(said.contains(part), "wanted: {part}\n   got: {said}");
    }
    for command in ["train", "lr-find"] {
        let ran = place.run_with(command, &changes);
        ran.failed_with(&["training.memory_check", "`data.batch`"]);
    }
    assert!(!place.path("run").join("recipe.yaml").exists(), "nothing was begun");
    // many trials at a time, each of which has room: half a gibibyte and more
    fs::write(place.path("model.onnx"), amplifying_network(1 << 13)).unwrap();
    let many = [
        "search={objective: loss, trials: 256, parallel: 256}",
        "training.optimizer={sgd: {learning_rate: {choose: [0.1, 0.2]}}}",
    ];
    let ran = place.run_with("check", &[&changes[..], &many].concat());
    let said = words(&ran.stdout);
    let kibibytes = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = kibibytes.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    let has_room = kibibytes.is_some_and(|kibibytes| kibibytes > 80 << 20);
    assert!(has_room || ran.code == Some(1), "{said}");
    for part in ["problem: 256 runs at a time would hold about ", "at a time would fit (`search.parallel: "] {
        assert!(has_room || said.contains(part), "wanted: {part}\n   got: {said}");
    }
    fs::write(place.path("model.onnx"), amplifying_network(1 << 20)).unwrap();
    // who knows better goes on
    let warned = [&changes[..], &["training.memory_check=warn"]].concat();
    let ran = place.run_with("check", &warned);
    let said = words(&ran.stdout);
    assert!(said.contains("warning: a run would hold about "), "{said}");
    assert!(!said.contains("problem: a run would hold"), "{said}");
}
