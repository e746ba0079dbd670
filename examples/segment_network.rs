//! Writes a small U-Net with fresh weights: images `[batch, 3, height, width]` to scores `[batch, classes, height, width]`.
//!
//! ```text
//! cargo run --example segment_network -- target/segmentation/network.onnx 6 48
//! ```
//!
//! Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation" (2015), with two steps
//! down and up. Weights are drawn as He et al. 2015 describe, biases start at zero.

use anyhow::{Context, Result, ensure};
use millstream::OperatorCatalog;
use millstream::compiler::graph::{Attribute, Constant, Graph, Length, TensorType, ValueId};
use millstream::compiler::initializers::{Fans, Initializer};

const SEED: u64 = 5;

fn main() -> Result<()> {
    let usage = "usage: segment_network FILE.onnx CLASSES SIDE";
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context(usage)?;
    let mut number = || arguments.next().context(usage)?.parse::<usize>().context(usage);
    let (classes, side) = (number()?, number()?);
    ensure!(side > 0 && side.is_multiple_of(4), "the side is a multiple of 4, got {side}");
    if let Some(folder) = std::path::Path::new(&path).parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, network(classes, side)?).with_context(|| format!("{path} cannot be written"))
}

/// The network as the bytes of an ONNX file. The first axis is symbolic, so it takes any number of images.
fn network(classes: usize, side: usize) -> Result<Vec<u8>> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let image = graph.input("image", TensorType::f32([Length::named("batch"), 3.into(), side.into(), side.into()]));
    let fine = convolutions(&mut graph, "fine", image, 3, 16)?;
    let down = halved(&mut graph, fine)?;
    let middle = convolutions(&mut graph, "middle", down, 16, 32)?;
    let down = halved(&mut graph, middle)?;
    let coarse = convolutions(&mut graph, "coarse", down, 32, 64)?;
    let up = doubled(&mut graph, "up_to_middle", coarse, 64, 32)?;
    let joined = graph.add("Concat", &[middle, up], &[("axis", 1.into())])?;
    let middle = convolutions(&mut graph, "middle_again", joined, 64, 32)?;
    let up = doubled(&mut graph, "up_to_fine", middle, 32, 16)?;
    let joined = graph.add("Concat", &[fine, up], &[("axis", 1.into())])?;
    let fine = convolutions(&mut graph, "fine_again", joined, 32, 16)?;
    let logits = convolution(&mut graph, "classes", fine, 16, classes, 1)?;
    graph.rename(logits, "logits")?;
    graph.output(logits);
    Ok(graph.to_onnx("u_net"))
}

/// Two 3×3 convolutions, each with a ReLU.
fn convolutions(graph: &mut Graph, name: &str, input: ValueId, from: usize, to: usize) -> Result<ValueId> {
    let first = convolution(graph, &format!("{name}.first"), input, from, to, 3)?;
    let first = graph.add("Relu", &[first], &[])?;
    let second = convolution(graph, &format!("{name}.second"), first, to, to, 3)?;
    Ok(graph.add("Relu", &[second], &[])?)
}

fn convolution(
    graph: &mut Graph,
    name: &str,
    input: ValueId,
    from: usize,
    to: usize,
    kernel: usize,
) -> Result<ValueId> {
    let shape = [to, from, kernel, kernel];
    let (weight, bias) = weights(graph, name, &shape, Fans::of_convolution(&shape), to);
    let pad = (kernel / 2) as i64;
    let attributes =
        [("kernel_shape", Attribute::Ints(vec![kernel as i64; 2])), ("pads", Attribute::Ints(vec![pad; 4]))];
    Ok(graph.add("Conv", &[input, weight, bias], &attributes)?)
}

/// Half as wide and high, by the largest of four.
fn halved(graph: &mut Graph, input: ValueId) -> Result<ValueId> {
    let two = || Attribute::Ints(vec![2, 2]);
    Ok(graph.add("MaxPool", &[input], &[("kernel_shape", two()), ("strides", two())])?)
}

/// Twice as wide and high, by a transposed convolution.
fn doubled(graph: &mut Graph, name: &str, input: ValueId, from: usize, to: usize) -> Result<ValueId> {
    let shape = [from, to, 2, 2];
    let (weight, bias) = weights(graph, name, &shape, Fans::of_convolution(&[to, from, 1, 1]), to);
    let two = || Attribute::Ints(vec![2, 2]);
    Ok(graph.add("ConvTranspose", &[input, weight, bias], &[("kernel_shape", two()), ("strides", two())])?)
}

fn weights(graph: &mut Graph, name: &str, shape: &[usize], fans: Fans, outputs: usize) -> (ValueId, ValueId) {
    let weight = Initializer::named("he_normal").expect("it has no options").draw(shape, fans, SEED, name);
    let weight = graph.constant(&format!("{name}.weight"), weight);
    (weight, graph.constant(&format!("{name}.bias"), Constant::f32([outputs], &vec![0.0; outputs])))
}
