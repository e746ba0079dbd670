//! What becomes of small graphs, and steps of whole models with every rounding to 16 bits.

use std::collections::HashMap;

use super::*;
use crate::graph::{Constant, TensorType};
use crate::operators::OperatorCatalog;
use crate::{FineTuning, HeadChoice, Model, TrainingProgram, compile};
use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{AxisLength, TensorEntry};
use onnx_runtime::{floats, run, session};

#[path = "../../tests/onnx_runtime/mod.rs"]
mod onnx_runtime;

/// Operators in order, each with the type of what it makes.
fn operators(graph: &Graph) -> Vec<String> {
    let made = |node: &&Node| node.outputs[0].and_then(|made| graph.tensor_type(made)).map_or("?", |t| t.dtype.name());
    graph.live_nodes().iter().map(|node| format!("{} {}", node.operator, made(node))).collect()
}

fn mixed(graph: &mut Graph, format: ElementType, parameters: &[ValueId], wide: ValueId) -> MixedPrecision {
    let mut evaluation = graph.clone();
    mix_both([graph, &mut evaluation], &Plan { format, parameters, wide, loss: &[] })
}

#[test]
fn what_lies_between_products_stays_in_16_bits_and_all_is_cast_once() {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([2, 6]));
    let weight = graph.input("weight", TensorType::f32([6, 6]));
    let bias = graph.input("bias", TensorType::f32([6]));
    let frozen = graph.constant("frozen", Constant::f32([6, 6], &[0.25; 36]));
    let a = graph.add("MatMul", &[x, weight], &[]).unwrap();
    let a = graph.plus(a, bias).unwrap();
    let a = graph.add("Relu", &[a], &[]).unwrap();
    let a = graph.add("MatMul", &[a, frozen], &[]).unwrap();
    // softmax is computed in 32 bits from what was made in 16, and its result read twice in 16
    let b = graph.add("Softmax", &[a], &[]).unwrap();
    let turned = graph.transpose(b, &[1, 0]).unwrap();
    let c = graph.add("MatMul", &[turned, b], &[]).unwrap();
    let residual = graph.plus(c, weight).unwrap();
    graph.set_outputs(&[residual]);
    let report = mixed(&mut graph, ElementType::F16, &[weight, bias], residual);
    let wanted = [
        "Cast float16", // x
        "Cast float16", // weight
        "MatMul float16",
        "Cast float16", // bias
        "Add float16",
        "Relu float16",
        "MatMul float16", // by a constant of 16 bits
        "Cast float32",
        "Softmax float32",
        "Cast float16",
        "Transpose float16",
        "MatMul float16",
        "Cast float32",
        "Add float32", // beside a matrix of 32 bits
    ];
    assert_eq!(operators(&graph), wanted);
    assert_eq!((report.nodes, report.in_16_bits, report.products, report.casts), (8, 6, 3, 6));
    assert_eq!(graph.tensor_type(residual), Some(&TensorType::f32([6, 6])));
}

#[test]
fn lengths_are_read_of_what_is_there() {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), 4.into()]));
    let weight = graph.input("weight", TensorType::f32([4, 4]));
    let a = graph.add("MatMul", &[x, weight], &[]).unwrap();
    let lengths = graph.add("Shape", &[a], &[]).unwrap();
    let b = graph.add("MatMul", &[a, weight], &[]).unwrap();
    graph.set_outputs(&[b, lengths]);
    let report = mixed(&mut graph, ElementType::F16, &[weight], b);
    assert_eq!((report.casts, report.in_16_bits), (3, 3), "{:?}", operators(&graph));
}

#[test]
fn numbers_beyond_the_range_of_a_format_keep_their_node_in_32_bits() {
    for (format, number, is_narrow) in [
        (ElementType::F16, 2.0, true),
        (ElementType::F16, 1e-6, false),
        (ElementType::F16, 1e5, false),
        (ElementType::Bf16, 1e5, true),
    ] {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([2, 2]));
        let weight = graph.constant("weight", Constant::f32([2, 2], &[number, 0.0, 0.0, 1.0]));
        let factor = graph.scalar(number);
        let a = graph.add("MatMul", &[x, x], &[]).unwrap();
        let a = graph.times(a, factor).unwrap();
        let a = graph.add("MatMul", &[a, weight], &[]).unwrap();
        graph.set_outputs(&[a]);
        mixed(&mut graph, format, &[], a);
        let all = operators(&graph);
        assert!(
            all.contains(&format!("Mul {}", if is_narrow { format.name() } else { "float32" })),
            "{number}: {all:?}"
        );
        // a small weight is rounded, one beyond the range is not used
        let of_product = if number == 1e5 && format == ElementType::F16 { "float32" } else { format.name() };
        assert_eq!(all.iter().filter(|name| **name == format!("MatMul {of_product}")).count().min(1), 1, "{all:?}");
    }
}

#[test]
fn a_mask_of_the_least_number_does_not_become_infinite() {
    for (number, of_where) in
        [(f32::MIN, "Where float32"), (f32::NEG_INFINITY, "Where bfloat16"), (-1e9, "Where bfloat16")]
    {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([2, 2]));
        let mask = graph.input("mask", TensorType { dtype: ElementType::Bool, ..TensorType::f32([2, 2]) });
        let least = graph.scalar(number);
        let scores = graph.add("MatMul", &[x, x], &[]).unwrap();
        let masked = graph.add("Where", &[mask, least, scores], &[]).unwrap();
        let shares = graph.add("Softmax", &[masked], &[]).unwrap();
        graph.set_outputs(&[shares]);
        mixed(&mut graph, ElementType::Bf16, &[], shares);
        let all = operators(&graph);
        assert!(all.iter().any(|made| made == of_where), "{number}: {all:?}");
    }
}

#[test]
fn bfloat16_has_convolutions_from_opset_22_on_and_says_so_below() {
    for (opset, format, wanted) in [
        (17, ElementType::F16, None),
        (22, ElementType::Bf16, None),
        (17, ElementType::Bf16, Some("it takes bfloat16 from opset 22 on, and the model follows 17")),
    ] {
        let mut graph = Graph::new(opset, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([1, 2, 5, 5]));
        let kernel = graph.input("kernel", TensorType::f32([3, 2, 3, 3]));
        let made = graph.add("Conv", &[x, kernel], &[]).unwrap();
        graph.set_outputs(&[made]);
        let report = mixed(&mut graph, format, &[kernel], made);
        let said = report.in_float32.first().map(|row| (row.operator.as_str(), row.nodes, row.reason.as_str()));
        assert_eq!(said, wanted.map(|reason| ("Conv", 1, reason)), "{opset} {format:?}");
        assert_eq!(report.products, usize::from(wanted.is_none()));
        assert_eq!(report.to_string().contains("1 Conv stay in float32: it takes"), wanted.is_some(), "{report}");
    }
}

/// The graph as the CPU can run it: each node computes in 32 bits what it reads of 16, and what it makes is rounded. ONNX
/// Runtime would do this for float16 by itself, but without some of the roundings, and not for bfloat16.
fn emulated(graph: &Graph, format: ElementType) -> Graph {
    let mut graph = graph.clone();
    let is_narrow = |graph: &Graph, value: ValueId| graph.tensor_type(value).is_some_and(|t| t.dtype == format);
    let mut wide: HashMap<ValueId, ValueId> = HashMap::new();
    for mut node in graph.take_nodes() {
        if node.is("Cast") || node.is("ConstantOfShape") {
            graph.push_node(node);
            continue;
        }
        let mut rounded = Vec::new();
        for input in node.inputs.iter_mut().flatten() {
            if !is_narrow(&graph, *input) {
                continue;
            }
            *input = *wide.entry(*input).or_insert_with(|| graph.cast(*input, ElementType::F32).unwrap());
        }
        for output in node.outputs.iter_mut().flatten() {
            if !is_narrow(&graph, *output) {
                continue;
            }
            let known = TensorType { dtype: ElementType::F32, ..graph.tensor_type(*output).unwrap().clone() };
            let made = graph.typed_value("computed", known);
            rounded.push((made, *output));
            *output = made;
        }
        graph.push_node(node);
        for (from, to) in rounded {
            let attributes = [("to".to_owned(), i64::from(format.to_onnx()).into())].into();
            let (inputs, outputs) = (vec![Some(from)], vec![Some(to)]);
            graph.push_node(Node { operator: "Cast".into(), inputs, outputs, attributes, ..Node::default() });
        }
    }
    graph
}

const CLASSES: usize = 5;

/// A public architecture with a few random weights, compiled to train all of it.
fn compiled(file: &str, head: HeadChoice, precision: Precision) -> TrainingProgram {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/architectures/{file}.onnx"));
    let model = Model::read(&path).unwrap();
    let wanted = FineTuning { head, train: TrainSelection::All, precision, ..FineTuning::head(2, CLASSES) };
    compile(&model, &wanted, &OperatorCatalog::standard()).unwrap()
}

/// Loss, and all gradients in one row, of a step of pictures.
fn step(program: &TrainingProgram, graph: &Graph) -> (f32, Vec<f32>) {
    let manifest = &program.manifest;
    let shape =
        |entry: &TensorEntry| entry.shape.iter().map(|axis| AxisLength::fixed(axis).unwrap()).collect::<Vec<_>>();
    let mut inputs = Vec::new();
    for entry in &manifest.inputs {
        let values: Vec<f32> =
            (0..shape(entry).iter().product()).map(|at: usize| (at * 7919 % 2003) as f32 / 1001.0 - 1.0).collect();
        inputs.push((entry.name.clone(), floats(&shape(entry), &values)));
    }
    let of_target = shape(&manifest.targets[0]);
    let (inner, count): (usize, usize) = (of_target[2..].iter().product(), of_target.iter().product());
    let chances: Vec<f32> = (0..count).map(|at| f32::from(at / inner % CLASSES == at * 3 % CLASSES)).collect();
    inputs.push((manifest.targets[0].name.clone(), floats(&of_target, &chances)));
    for (entry, values) in manifest.parameters.iter().zip(&program.parameters) {
        inputs.push((entry.name.clone(), floats(&entry.shape, values)));
    }
    if let Some(entry) = &manifest.loss_scale {
        inputs.push((entry.name.clone(), floats(&[], &[1024.0])));
    }
    let mut session = session(&graph.to_onnx("step"));
    let names: Vec<String> = session.outputs().iter().map(|output| output.name().to_owned()).collect();
    let outputs = run(&mut session, inputs);
    let of = |name: &str| outputs[names.iter().position(|known| known == name).unwrap()].clone();
    (of(&manifest.loss.name)[0], manifest.parameters.iter().flat_map(|entry| of(&entry.gradient)).collect())
}

#[test]
fn steps_in_16_bits_are_those_of_32_within_the_tolerance_of_the_format() {
    if !onnx_runtime::available() {
        return;
    }
    for (file, head) in [("vit.export", HeadChoice::default()), ("unet.script", HeadChoice::keep())] {
        let full = compiled(file, head.clone(), Precision::Float32);
        let (wanted_loss, wanted) = step(&full, full.step_graph());
        // one rounding is off by 2⁻¹² or 2⁻⁹ at most, relative to the number
        for (precision, format, rounding) in [
            (Precision::Float16, ElementType::F16, 2.0_f64.powi(-12)),
            (Precision::Bfloat16, ElementType::Bf16, 2.0_f64.powi(-9)),
        ] {
            let program = compiled(file, head.clone(), precision);
            assert_eq!(program.manifest.loss_scale.is_some(), precision == Precision::Float16);
            let (loss, got) = step(&program, &emulated(program.step_graph(), format));
            let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            let off = norm(&mut got.iter().zip(&wanted).map(|(a, b)| a - b)) / norm(&mut wanted.iter().copied());
            let of_loss = f64::from((loss - wanted_loss).abs() / wanted_loss);
            let counted = program.mixed.unwrap();
            println!("{file}: gradients off by {off:.1e}, loss by {of_loss:.1e}; {counted}");
            // gates of Relu flip where what they read is rounded
            assert!((rounding / 4.0..rounding * 64.0).contains(&off), "{file} {precision:?}: gradients off by {off}");
            assert!(of_loss < rounding * 4.0, "{file} {precision:?}: loss {loss}, wanted {wanted_loss}");
        }
    }
}
