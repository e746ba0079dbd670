//! Writes a small network for tables with fresh weights: its inputs side by side, then two dense layers.
//!
//! ```text
//! cargo run --example table_network -- target/tables/penguins.onnx 3 measurements=5 island=3 sex=2
//! ```
//!
//! Takes the named inputs `[batch, width]` and answers `[batch, outputs]`. Weights are drawn as He et al. 2015 describe,
//! biases start at zero.

use anyhow::{Context, Result};
use millstream::OperatorCatalog;
use millstream::compiler::graph::{Constant, Graph, Length, TensorType, ValueId};
use millstream::compiler::initializers::{Fans, Initializer};

const SEED: u64 = 5;
const HIDDEN: usize = 32;

fn main() -> Result<()> {
    let usage = "usage: table_network FILE.onnx OUTPUTS INPUT=WIDTH…";
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context(usage)?;
    let outputs: usize = arguments.next().context(usage)?.parse().context(usage)?;
    let mut inputs = Vec::new();
    for input in arguments {
        let (name, width) = input.split_once('=').context(usage)?;
        inputs.push((name.to_owned(), width.parse::<usize>().context(usage)?));
    }
    anyhow::ensure!(!inputs.is_empty(), usage);
    if let Some(folder) = std::path::Path::new(&path).parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, network(&inputs, outputs)?).with_context(|| format!("{path} cannot be written"))
}

/// The network as the bytes of an ONNX file. The first axis has a name, so it takes any number of rows.
fn network(inputs: &[(String, usize)], outputs: usize) -> Result<Vec<u8>> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let values: Vec<ValueId> = inputs.iter().map(|(name, width)| graph.input(name, rows_of(*width))).collect();
    let mut value = match values[..] {
        [only] => only,
        _ => graph.add("Concat", &values, &[("axis", 1.into())])?,
    };
    let mut width = inputs.iter().map(|(_, width)| width).sum();
    for name in ["hidden1", "hidden2"] {
        let layer = dense(&mut graph, name, value, width, HIDDEN)?;
        value = graph.add("Relu", &[layer], &[])?;
        width = HIDDEN;
    }
    let answer = dense(&mut graph, "answer", value, width, outputs)?;
    graph.rename(answer, "output")?;
    graph.output(answer);
    Ok(graph.to_onnx("table"))
}

fn rows_of(width: usize) -> TensorType {
    TensorType::f32([Length::named("batch"), width.into()])
}

/// A dense layer, its weight stored `[outputs, inputs]` as PyTorch exports it.
fn dense(graph: &mut Graph, name: &str, input: ValueId, inputs: usize, outputs: usize) -> Result<ValueId> {
    let weight = Initializer::named("he_normal").expect("it has no options").draw(
        &[outputs, inputs],
        Fans::of_dense(inputs, outputs),
        SEED,
        name,
    );
    let weight = graph.constant(&format!("{name}.weight"), weight);
    let bias = graph.constant(&format!("{name}.bias"), Constant::f32([outputs], &vec![0.0; outputs]));
    Ok(graph.add("Gemm", &[input, weight, bias], &[("transB", 1.into())])?)
}
