//! ONNX files with losses.

use std::path::PathBuf;

use millstream_compiler::OperatorCatalog;
use millstream_compiler::graph::{Graph, ValueId};

/// A file with a loss that `nodes` makes, of this name and process.
pub(crate) fn loss_file(name: &str, opset: i64, nodes: impl FnOnce(&mut Graph) -> ValueId) -> PathBuf {
    let mut graph = Graph::new(opset, OperatorCatalog::standard());
    let made = nodes(&mut graph);
    graph.set_outputs(&[made]);
    let file = std::env::temp_dir().join(format!("millstream-loss-{name}-{}.onnx", std::process::id()));
    std::fs::write(&file, graph.to_onnx("loss")).unwrap();
    file
}
