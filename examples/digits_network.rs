//! Writes a small convolutional network with fresh weights: what `cargo demo` pretrains on handwritten digits.
//!
//! ```text
//! cargo run --example digits_network -- target/demo/network.onnx     # of colours
//! cargo run --example digits_network -- target/demo/network.onnx 1   # of grey
//! ```
//!
//! Takes images `[batch, channels, 16, 16]` and gives scores `[batch, 5]`. Weights are drawn as He et al. 2015 describe, biases
//! start at zero.

use anyhow::{Context, Result};
use millstream::OperatorCatalog;
use millstream::compiler::graph::{Attribute, Constant, Graph, Length, TensorType, ValueId};
use millstream::compiler::initializers::{Fans, Initializer};

const SEED: u64 = 5;
const SIDE: usize = 16;
const CLASSES: usize = 5;

fn main() -> Result<()> {
    let usage = "usage: digits_network FILE.onnx [CHANNELS]";
    let path = std::env::args().nth(1).context(usage)?;
    let channels = std::env::args().nth(2).map_or(Ok(3), |channels| channels.parse()).context(usage)?;
    let network = network(channels)?;
    if let Some(folder) = std::path::Path::new(&path).parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, network).with_context(|| format!("{path} cannot be written"))
}

/// The network as the bytes of an ONNX file. The first axis has a name, so it takes any number of images.
fn network(channels: usize) -> Result<Vec<u8>> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let axes = [Length::named("batch"), channels.into(), SIDE.into(), SIDE.into()];
    let image = graph.input("image", TensorType::f32(axes));
    let mut value = image;
    for (name, channels, stride) in [("conv1", 16, 1), ("conv2", 32, 2), ("conv3", 64, 2)] {
        value = convolution(&mut graph, name, value, channels, stride)?;
    }
    let features = graph.add("Flatten", &[value], &[("axis", 1.into())])?;
    graph.rename(features, "features")?;
    let logits = dense(&mut graph, "classifier", features, CLASSES)?;
    graph.rename(logits, "logits")?;
    graph.output(logits);
    Ok(graph.to_onnx("digits"))
}

/// A 3×3 convolution and a ReLU.
fn convolution(graph: &mut Graph, name: &str, input: ValueId, channels: usize, stride: i64) -> Result<ValueId> {
    let inputs = graph.shape(input)?[1].fixed().context("the number of channels is open")?;
    let shape = [channels, inputs, 3, 3];
    let weight = weight(graph, name, &shape, Fans::of_convolution(&shape));
    let bias = graph.constant(&format!("{name}.bias"), Constant::f32([channels], &vec![0.0; channels]));
    let attributes = [
        ("kernel_shape", Attribute::Ints(vec![3, 3])),
        ("pads", Attribute::Ints(vec![1, 1, 1, 1])),
        ("strides", Attribute::Ints(vec![stride, stride])),
    ];
    let output = graph.add("Conv", &[input, weight, bias], &attributes)?;
    Ok(graph.add("Relu", &[output], &[])?)
}

/// A dense layer, its weight stored `[outputs, inputs]` as PyTorch exports it.
fn dense(graph: &mut Graph, name: &str, input: ValueId, outputs: usize) -> Result<ValueId> {
    let inputs = graph.shape(input)?[1].fixed().context("the number of features is open")?;
    let weight = weight(graph, name, &[outputs, inputs], Fans::of_dense(inputs, outputs));
    let bias = graph.constant(&format!("{name}.bias"), Constant::f32([outputs], &vec![0.0; outputs]));
    Ok(graph.add("Gemm", &[input, weight, bias], &[("transB", 1.into())])?)
}

fn weight(graph: &mut Graph, layer: &str, shape: &[usize], fans: Fans) -> ValueId {
    let name = format!("{layer}.weight");
    let values = Initializer::named("he_normal").expect("it has no options").draw(shape, fans, SEED, &name);
    graph.constant(&name, values)
}
