//! Operators that only ONNX Runtime for CUDA has, beside those that say the same and that it has on the CPU too.

use millstream_compiler::OperatorCatalog;
use millstream_compiler::backward::gradients;
use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, TensorType, ValueId};

use crate::{floats, numbers, onnx_runtime, run, session};

const MICROSOFT: &str = "com.microsoft";

fn graph() -> Graph {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    graph.other_opsets.insert(MICROSOFT.into(), 1);
    graph
}

fn whole(graph: &mut Graph, shape: &[usize], values: &[i32]) -> ValueId {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    graph.constant("whole", Constant { dtype: ElementType::I32, shape: shape.to_vec(), bytes: bytes.into() })
}

fn weight(graph: &mut Graph, shape: &[usize], seed: usize) -> ValueId {
    graph.constant("weight", Constant::f32(shape, &numbers(shape.iter().product(), seed)))
}

/// What a value is of `x` of these numbers, its nodes written out where a gradient by `x` needs it.
fn of(mut graph: Graph, x: ValueId, y: ValueId, values: &[f32]) -> Vec<f32> {
    let axes: Vec<i64> = (0..graph.shape(y).unwrap().len() as i64).collect();
    let loss = graph.reduce_sum(y, &axes, false).unwrap();
    gradients(&mut graph, loss, &[x], &OperatorCatalog::standard()).unwrap();
    graph.set_outputs(&[y]);
    let shape = graph.known_type(x).unwrap().fixed_shape().unwrap();
    let inputs = vec![(graph.name(x).to_owned(), floats(&shape, values))];
    run(&mut session(&graph.to_onnx("operator")), inputs).remove(0)
}

#[track_caller]
fn assert_close(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    let far = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-5, "{found:?}, wanted {wanted:?}");
}

/// Buckets of T5 as the transformers library tells them, for 8 buckets up to a distance of 9: those of the first, the sixth and the last of
/// twelve queries.
#[test]
fn a_bias_by_distance_has_the_buckets_of_t5() {
    if !onnx_runtime::available() {
        return;
    }
    let rows: [(i64, [[i32; 12]; 3]); 2] = [
        (
            1,
            [
                [0, 5, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7],
                [3, 2, 2, 2, 1, 0, 5, 6, 6, 6, 7, 7],
                [3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 1, 0],
            ],
        ),
        (0, [[0; 12], [5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0], [7, 7, 7, 7, 6, 6, 5, 4, 3, 2, 1, 0]]),
    ];
    for (both, wanted) in rows {
        let mut graph = graph();
        let table = graph.input("table", TensorType::f32([8usize, 2]));
        let length = graph.constant("length", Constant::i64([1], &[12]));
        let attributes = [("max_distance", Attribute::Int(9)), ("is_bidirectional", both.into())];
        let inputs = [Some(table), Some(length), Some(length)];
        let y = graph.add_in(MICROSOFT, "RelativePositionBias", &inputs, &attributes, 1).unwrap()[0];
        // each number of the table is its place, heads behind each other
        let places: Vec<f32> = (0..16).map(|place| place as f32).collect();
        let found = of(graph, table, y, &places);
        for (query, wanted) in [0, 5, 11].into_iter().zip(wanted) {
            for head in 0..2 {
                let found = &found[(head * 12 + query) * 12..][..12];
                let wanted: Vec<f32> = wanted.iter().map(|bucket| (*bucket + 8 * head as i32) as f32).collect();
                assert_eq!(found, wanted, "query {query}, head {head}, both ways {both}");
            }
        }
    }
}

#[test]
fn packed_rows_are_attended_to_as_padded_ones_with_a_mask_are() {
    if !onnx_runtime::available() {
        return;
    }
    const COUNTS: [i32; 2] = [2, 3];
    let heads = [("num_heads", Attribute::Int(2))];
    let x_values = numbers(2 * 3 * 6, 4);
    let outcome = |is_packed: bool, is_split: bool| {
        let mut g = graph();
        let x = g.input("x", TensorType::f32([2usize, 3, 6]));
        let (w, b) = (weight(&mut g, &[6, 12], 5), weight(&mut g, &[12], 6));
        let counts = whole(&mut g, &[2], &COUNTS);
        let mut rows = vec![x];
        if is_packed {
            rows = g.add_in(MICROSOFT, "RemovePadding", &[Some(x), Some(counts)], &[], 4).unwrap();
        }
        let (operator, inputs) = match (is_packed, is_split) {
            (true, false) => ("PackedAttention", vec![Some(rows[0]), Some(w), Some(b), Some(rows[1]), Some(rows[2])]),
            (false, false) => ("Attention", vec![Some(x), Some(w), Some(b), Some(counts)]),
            (is_packed, true) => {
                let [q, k, v] = [7, 8, 9].map(|seed| {
                    let own = weight(&mut g, &[6, 4], seed);
                    Some(g.add("MatMul", &[rows[0], own], &[]).unwrap())
                });
                match is_packed {
                    true => ("PackedMultiHeadAttention", vec![q, k, v, Some(b), Some(rows[1]), Some(rows[2])]),
                    false => ("MultiHeadAttention", vec![q, k, v, Some(b), Some(counts)]),
                }
            }
        };
        let mut y = g.add_in(MICROSOFT, operator, &inputs, &heads, 1).unwrap()[0];
        if is_packed {
            y = g.add_in(MICROSOFT, "RestorePadding", &[Some(y), Some(rows[1])], &[], 1).unwrap()[0];
        }
        of(g, x, y, &x_values)
    };
    for is_split in [false, true] {
        let (found, mut wanted) = (outcome(true, is_split), outcome(false, is_split));
        // the first row has two tokens, and zeros where its padding was
        wanted[2 * 4..3 * 4].fill(0.0);
        assert_close(&found, &wanted);
    }
}

#[test]
fn queries_and_keys_are_normalized_inside_of_an_attention_as_in_front_of_it() {
    if !onnx_runtime::available() {
        return;
    }
    let x_values = numbers(2 * 3 * 32, 4);
    let outcome = |is_inside: bool| {
        let mut g = graph();
        let x = g.input("x", TensorType::f32([2usize, 3, 32]));
        let [k, v] = [5, 6].map(|seed| {
            let own = weight(&mut g, &[32, 16], seed);
            g.add("MatMul", &[x, own], &[]).unwrap()
        });
        let scales = [weight(&mut g, &[8], 7), weight(&mut g, &[8], 8)];
        let (last, total) = (whole(&mut g, &[2], &[2, 2]), whole(&mut g, &[], &[3]));
        let mut parts = [x, k];
        if !is_inside {
            for ((part, scale), heads) in parts.iter_mut().zip(scales).zip([4, 2]) {
                let of_heads = g.reshape(*part, &[2usize, 3, heads, 8]).unwrap();
                let own = [("axis", (-1).into()), ("epsilon", Attribute::Float(1e-6))];
                let made = g.add("SimplifiedLayerNormalization", &[of_heads, scale], &own).unwrap();
                *part = g.reshape(made, &[2usize, 3, heads * 8]).unwrap();
            }
        }
        let mut inputs = vec![Some(parts[0]), Some(parts[1]), Some(v), None, None, Some(last), Some(total)];
        if is_inside {
            inputs.resize(14, None);
            inputs.extend(scales.map(Some));
        }
        let heads = [("num_heads", Attribute::Int(4)), ("kv_num_heads", Attribute::Int(2))];
        let y = g.add_in(MICROSOFT, "GroupQueryAttention", &inputs, &heads, 1).unwrap()[0];
        of(g, x, y, &x_values)
    };
    assert_close(&outcome(true), &outcome(false));
}
