//! Models of a few nodes, run by ONNX Runtime.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use millstream_compiler::graph::{Constant, Graph, TensorType, ValueId};
use millstream_compiler::{CompilerError, Model};
use onnx_runtime::{floats, run, session};

/// Rows in a batch.
const ROWS: usize = 3;
/// Numbers in a row.
const WIDTH: usize = 4;
/// Classes.
const CLASSES: usize = 5;

/// Numbers in −1 to 1, the same each time.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn weight(graph: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
    let count = shape.iter().product();
    graph.constant(name, Constant::f32(shape, &numbers(count, name.len())))
}

fn dense(graph: &mut Graph, x: ValueId) -> Result<ValueId, CompilerError> {
    let (weights, bias) = (weight(graph, "head.weight", &[CLASSES, WIDTH]), weight(graph, "head.bias", &[CLASSES]));
    graph.add("Gemm", &[x, weights, bias], &[("transB", 1.into())])
}

type Tail = fn(&mut Graph, ValueId) -> Result<ValueId, CompilerError>;

#[test]
fn the_scores_of_a_model_that_ends_in_softmax_are_its_logits() {
    if !onnx_runtime::available() {
        return;
    }
    // what follows the head, and whether the scores are still what the model gives
    let rows: [(Tail, bool); 5] = [
        (|_, logits| Ok(logits), true),
        (|graph, logits| graph.add("Softmax", &[logits], &[("axis", 1.into())]), false),
        (|graph, logits| graph.add("LogSoftmax", &[logits], &[]), false),
        (
            |graph, logits| {
                let probability = graph.add("Softmax", &[logits], &[])?;
                graph.add("Identity", &[probability], &[])
            },
            false,
        ),
        (|graph, logits| graph.add("Sigmoid", &[logits], &[]), true),
    ];
    for (has_dense_head, (tail, whole)) in [true, false].into_iter().flat_map(|dense| rows.map(|row| (dense, row))) {
        let mut graph = Graph::new(17);
        let x = graph.input("x", TensorType::f32([ROWS, WIDTH]));
        let logits = if has_dense_head { dense(&mut graph, x) } else { graph.add("Tanh", &[x], &[]) }.unwrap();
        let last = tail(&mut graph, logits).unwrap();
        graph.set_outputs(&[logits]);
        let x = || vec![("x".to_owned(), floats(&[ROWS, WIDTH], &numbers(ROWS * WIDTH, 1)))];
        let wanted = if whole { last } else { logits };
        graph.set_outputs(&[wanted]);
        let wanted = run(&mut session(&graph.to_onnx("scores")), x()).remove(0);
        graph.set_outputs(&[last]);
        let scoring = Model::from_bytes(graph.to_onnx("network")).unwrap().scoring(None).unwrap();
        let mut session = session(&scoring.model);
        let at = session.outputs().iter().position(|output| output.name() == scoring.scores).unwrap();
        assert_eq!(run(&mut session, x())[at], wanted, "scores `{}`", scoring.scores);
    }
}
