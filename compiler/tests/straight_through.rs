//! Operators that round what they multiply: they compute what they do, and have the gradients of the same in floats.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use millstream_compiler::OperatorCatalog;
use millstream_compiler::backward::gradients;
use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, TensorType, ValueId};
use onnx_runtime::{floats, run, session};

const STEPS: usize = 4;
const ROWS: usize = 2;
const INNER: usize = 3;
const HIDDEN: usize = 2;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729 + 13) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// Signed bytes.
fn bytes(count: usize, seed: usize) -> Vec<i8> {
    numbers(count, seed).into_iter().map(|number| (number * 100.0) as i8).collect()
}

/// The hidden states, weighted and added up; the states, and the gradients of x, of the biases and of the first state.
fn results(make: impl Fn(&mut Graph, [ValueId; 3]) -> Vec<ValueId>, goes_back: bool) -> Vec<Vec<f32>> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let shapes = [&[STEPS, ROWS, INNER][..], &[1, 8 * HIDDEN], &[1, ROWS, HIDDEN]];
    let named: Vec<(&str, &[usize])> = ["x", "bias", "first"].into_iter().zip(shapes).collect();
    let inputs: Vec<ValueId> = named.iter().map(|(name, shape)| graph.input(name, TensorType::f32(*shape))).collect();
    let made = make(&mut graph, [inputs[0], inputs[1], inputs[2]]);
    let mut outputs = made.clone();
    if goes_back {
        let mut loss = graph.scalar(0.0);
        for (at, made) in made.iter().enumerate() {
            let known = graph.known_type(*made).unwrap().fixed_shape().unwrap();
            let weights = Constant::f32(known.clone(), &numbers(known.iter().product(), 50 + at));
            let weights = graph.constant("weights", weights);
            let weighted = graph.times(*made, weights).unwrap();
            let axes: Vec<i64> = (0..known.len() as i64).collect();
            let part = graph.reduce_sum(weighted, &axes, false).unwrap();
            loss = graph.plus(loss, part).unwrap();
        }
        outputs.extend(gradients(&mut graph, loss, &inputs, &OperatorCatalog::standard()).unwrap());
    }
    graph.set_outputs(&outputs);
    let given = named.iter().enumerate().map(|(seed, (name, shape))| {
        let values = numbers(shape.iter().product(), seed);
        ((*name).to_owned(), floats(shape, &values))
    });
    run(&mut session(&graph.to_onnx("layer")), given.collect())
}

#[test]
fn a_quantized_lstm_computes_what_it_does_and_has_the_gradients_of_one_of_floats() {
    if !onnx_runtime::available() {
        return;
    }
    let [w, r] = [(INNER, 1), (HIDDEN, 2)].map(|(rows, seed)| bytes(rows * 4 * HIDDEN, seed));
    let hidden = || ("hidden_size", Attribute::Int(HIDDEN as i64));
    let scale = 0.01;
    let quantized = |graph: &mut Graph, [x, bias, first]: [ValueId; 3]| {
        let mut whole = |rows: usize, values: &[i8]| {
            let bytes: Vec<u8> = values.iter().map(|value| value.to_le_bytes()[0]).collect();
            graph.constant(
                "bytes",
                Constant { dtype: ElementType::I8, shape: vec![1, rows, 4 * HIDDEN], bytes: bytes.into() },
            )
        };
        let (w, r) = (whole(INNER, &w), whole(HIDDEN, &r));
        let scale = graph.constant("scale", Constant::f32([1], &[scale]));
        let zero = Constant { dtype: ElementType::I8, shape: vec![1], bytes: vec![0].into() };
        let zero = graph.constant("zero", zero);
        let inputs = [Some(x), Some(w), Some(r), Some(bias), None, Some(first), None, None, Some(scale), Some(zero)];
        let inputs = [inputs.as_slice(), &[Some(scale), Some(zero)]].concat();
        graph.add_in("com.microsoft", "DynamicQuantizeLSTM", &inputs, &[hidden()], 3).unwrap()
    };
    let plain = |graph: &mut Graph, [x, bias, first]: [ValueId; 3]| {
        let mut turned = |rows: usize, values: &[i8]| {
            let at = |column: usize, row: usize| f32::from(values[row * 4 * HIDDEN + column]) * scale;
            let values: Vec<f32> =
                (0..4 * HIDDEN).flat_map(|column| (0..rows).map(move |row| at(column, row))).collect();
            graph.constant("weight", Constant::f32([1, 4 * HIDDEN, rows], &values))
        };
        let (w, r) = (turned(INNER, &w), turned(HIDDEN, &r));
        let inputs = [Some(x), Some(w), Some(r), Some(bias), None, Some(first)];
        graph.add_with("LSTM", &inputs, &[hidden()], 3).unwrap()
    };
    let (forward, trained, float) = (results(quantized, false), results(quantized, true), results(plain, true));
    let close = |a: &[f32], b: &[f32], by: f32| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= by);
    let mut rounds = false;
    for at in 0..3 {
        assert!(close(&forward[at], &trained[at], 1e-6), "output {at}: {:?} instead of {:?}", trained[at], forward[at]);
        rounds |= !close(&forward[at], &float[at], 1e-5);
    }
    assert!(rounds, "nothing is rounded");
    for at in 3..6 {
        assert!(close(&trained[at], &float[at], 1e-6), "gradient {at}: {:?} instead of {:?}", trained[at], float[at]);
        assert!(float[at].iter().any(|slope| *slope != 0.0));
    }
}
