//! ONNX files with losses.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_compiler::OperatorCatalog;
use millstream_compiler::graph::{Graph, ValueId};

/// Files that this process made.
static MADE: AtomicU64 = AtomicU64::new(0);

/// A file with a loss that `nodes` makes, whose name is this call's own.
pub(crate) fn loss_file(name: &str, opset: i64, nodes: impl FnOnce(&mut Graph) -> ValueId) -> PathBuf {
    let mut graph = Graph::new(opset, OperatorCatalog::standard());
    let made = nodes(&mut graph);
    graph.set_outputs(&[made]);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("millstream-loss-{name}-{}-{number}.onnx", std::process::id()));
    std::fs::write(&file, graph.to_onnx("loss")).unwrap();
    file
}
