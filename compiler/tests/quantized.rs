//! Methods beside weights that are quantized: a block of a transformer whose layers multiply integers in each of the forms that
//! quantizers write, and the same in floats.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use std::collections::BTreeMap;

use millstream_compiler::finetuning::methods;
use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, TensorType, ValueId};
use millstream_compiler::{
    CompilerError, FineTuning, HeadChoice, Method, Model, OperatorCatalog, TrainingProgram, compile,
};
use millstream_schemas::Choice;
use millstream_schemas::recipe::{AdaptersOutput, TrainSelection};
use onnx_runtime::{floats, run, session};
use serde_json::json;

const ROWS: usize = 2;
const TOKENS: usize = 5;
const WIDTH: usize = 32;
const WIDE: usize = 64;
const CLASSES: usize = 3;
const SCALE: f32 = 0.03;
/// Numbers that share a scale in `MatMulNBits`.
const BLOCK: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Floats,
    /// `DynamicQuantizeLinear`, `MatMulInteger`, a cast and scales, as `quantize_dynamic` writes it.
    Dynamic,
    /// The same as one node, as ONNX Runtime's optimizer writes it.
    OneNode,
    /// What is read, the matrix and what is made behind `DequantizeLinear`, as `quantize_static` writes it.
    Behind,
    /// `MatMulNBits` of 4 bits.
    Bits,
    /// `MatMulNBits` of 8 bits.
    Bytes,
    /// As `Dynamic`, and the products of queries and keys too: both operands are rounded in the run.
    Pairs,
    /// In floats, but for one layer whose product names no zero point: what that adds up to is taken off behind it.
    NoZero,
}

const QUANTIZED: [Form; 5] = [Form::Dynamic, Form::OneNode, Form::Behind, Form::Bits, Form::Bytes];

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729 + 13) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// Whole numbers from −7 to 7, `[inputs, outputs]`.
fn whole(name: &str, shape: [usize; 2]) -> Vec<i8> {
    let seed = name.bytes().map(usize::from).sum();
    numbers(shape[0] * shape[1], seed).into_iter().map(|value| (value * 7.0).round() as i8).collect()
}

fn integers(graph: &mut Graph, name: &str, dtype: ElementType, shape: &[usize], values: &[u8]) -> ValueId {
    graph.constant(name, Constant { dtype, shape: shape.to_vec(), bytes: values.to_vec().into() })
}

/// Rounded to bytes and back, within ±6.
fn rounded(graph: &mut Graph, value: ValueId) -> Result<ValueId, CompilerError> {
    let scale = graph.named_constant("rounded.scale", Constant::f32([], &[6.0 / 127.0]));
    let name = graph.name(value).to_owned();
    let zero = integers(graph, &format!("{name}.zero"), ElementType::U8, &[], &[128]);
    let bytes = graph.add("QuantizeLinear", &[value, scale, zero], &[])?;
    graph.add("DequantizeLinear", &[bytes, scale, zero], &[])
}

/// The weights of a layer as its file holds them: of `MatMulNBits` by outputs, those of 4 bits two in a byte.
fn stored(form: Form, name: &str, shape: [usize; 2]) -> Vec<u8> {
    let (own, [inputs, outputs]) = (whole(name, shape), shape);
    let byte = |value: i8| value.to_le_bytes()[0];
    if form == Form::Bytes {
        let places = (0..outputs).flat_map(|output| (0..inputs).map(move |input| input * outputs + output));
        return places.map(|at| byte(own[at]).wrapping_add(128)).collect();
    }
    if form != Form::Bits {
        return own.into_iter().map(byte).collect();
    }
    let nibble = |output: usize, input: usize| (own[input * outputs + output] + 8).to_le_bytes()[0];
    let pairs = (0..outputs).flat_map(|output| (0..inputs).step_by(2).map(move |input| (output, input)));
    pairs.map(|(output, input)| nibble(output, input) | nibble(output, input + 1) << 4).collect()
}

fn product(graph: &mut Graph, form: Form, x: ValueId, name: &str, shape: [usize; 2]) -> Result<ValueId, CompilerError> {
    let bytes = stored(form, name, shape);
    let form = match form {
        Form::Pairs => Form::Dynamic,
        Form::NoZero if name != "block.output" => Form::Floats,
        form => form,
    };
    let matrix =
        |graph: &mut Graph| integers(graph, &format!("{name}.weight_quantized"), ElementType::I8, &shape, &bytes);
    let scale = |graph: &mut Graph| graph.constant(&format!("{name}.weight_scale"), Constant::f32([], &[SCALE]));
    match form {
        Form::Floats => {
            let values: Vec<f32> = whole(name, shape).iter().map(|value| f32::from(*value) * SCALE).collect();
            let matrix = graph.constant(&format!("{name}.weight"), Constant::f32(shape, &values));
            graph.add("MatMul", &[x, matrix], &[])
        }
        Form::Dynamic => {
            let (matrix, scale) = (matrix(graph), scale(graph));
            let zero = integers(graph, &format!("{name}.weight_zero"), ElementType::I8, &[], &[0]);
            let read = graph.add_with("DynamicQuantizeLinear", &[Some(x)], &[], 3)?;
            let product = graph.add("MatMulInteger", &[read[0], matrix, read[2], zero], &[])?;
            let product = graph.cast(product, ElementType::F32)?;
            let scale = graph.times(read[1], scale)?;
            graph.times(product, scale)
        }
        Form::OneNode => {
            let (matrix, scale) = (matrix(graph), scale(graph));
            let inputs = [x, matrix, scale].map(Some);
            Ok(graph.add_in("com.microsoft", "DynamicQuantizeMatMul", &inputs, &[], 1)?[0])
        }
        Form::Behind => {
            let (matrix, scale) = (matrix(graph), scale(graph));
            let matrix = graph.add("DequantizeLinear", &[matrix, scale], &[])?;
            let read = rounded(graph, x)?;
            let product = graph.add("MatMul", &[read, matrix], &[])?;
            rounded(graph, product)
        }
        Form::Bits | Form::Bytes => {
            let [inputs, outputs] = shape;
            let (blocks, bits) = (inputs / BLOCK, if form == Form::Bits { 4 } else { 8 });
            let shape = [outputs, blocks, BLOCK * bits / 8];
            let packed = integers(graph, &format!("{name}.weight_Q{bits}"), ElementType::U8, &shape, &bytes);
            let scales = Constant::f32([outputs * blocks], &vec![SCALE; outputs * blocks]);
            let scales = graph.constant(&format!("{name}.weight_scales"), scales);
            let attributes = [("K", inputs), ("N", outputs), ("bits", bits), ("block_size", BLOCK)];
            let attributes = attributes.map(|(name, value)| (name, Attribute::Int(value as i64)));
            let inputs = [x, packed, scales].map(Some);
            Ok(graph.add_in("com.microsoft", "MatMulNBits", &inputs, &attributes, 1)?[0])
        }
        Form::NoZero => {
            let (matrix, scale) = (matrix(graph), scale(graph));
            let own = whole(name, shape);
            let column =
                |output: usize| own.iter().skip(output).step_by(shape[1]).map(|value| f32::from(*value)).sum::<f32>();
            let sums: Vec<f32> = (0..shape[1]).map(column).collect();
            let sums = graph.constant("column_sums", Constant::f32([shape[1]], &sums));
            let read = graph.add_with("DynamicQuantizeLinear", &[Some(x)], &[], 3)?;
            let product = graph.add("MatMulInteger", &[read[0], matrix], &[])?;
            let product = graph.cast(product, ElementType::F32)?;
            let zero = graph.cast(read[2], ElementType::F32)?;
            let zeros = graph.times(zero, sums)?;
            let product = graph.minus(product, zeros)?;
            let scale = graph.times(read[1], scale)?;
            graph.times(product, scale)
        }
        Form::Pairs => unreachable!("its layers are of another form"),
    }
}

/// One block and a head; keys have no bias.
fn block(form: Form) -> Model {
    Model::from_bytes(file(form)).unwrap()
}

fn file(form: Form) -> Vec<u8> {
    graph(form).unwrap().to_onnx("block")
}

fn graph(form: Form) -> Result<Graph, CompilerError> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([ROWS, TOKENS, WIDTH]));
    let linear = |graph: &mut Graph, x: ValueId, name: &str, shape: [usize; 2]| {
        let product = product(graph, form, x, name, shape)?;
        let bias = graph.constant(&format!("{name}.bias"), Constant::f32([shape[1]], &numbers(shape[1], name.len())));
        graph.add("Add", &[product, bias], &[])
    };
    let heads = |graph: &mut Graph, value: ValueId| {
        let shape = graph.named_constant("heads", Constant::i64([4], &[-1, TOKENS as i64, 2, WIDTH as i64 / 2]));
        let value = graph.add("Reshape", &[value, shape], &[])?;
        graph.transpose(value, &[0, 2, 1, 3])
    };
    let q = linear(&mut graph, x, "block.query", [WIDTH, WIDTH])?;
    let k = product(&mut graph, form, x, "block.key", [WIDTH, WIDTH])?;
    let v = linear(&mut graph, x, "block.value", [WIDTH, WIDTH])?;
    let [q, k, v] = [heads(&mut graph, q)?, heads(&mut graph, k)?, heads(&mut graph, v)?];
    let k = graph.transpose(k, &[0, 1, 3, 2])?;
    let scores = match form {
        Form::Pairs => {
            let [q, k] = [q, k].map(|value| graph.add_with("DynamicQuantizeLinear", &[Some(value)], &[], 3));
            let (q, k) = (q?, k?);
            let product = graph.add("MatMulInteger", &[q[0], k[0], q[2], k[2]], &[])?;
            let product = graph.cast(product, ElementType::F32)?;
            let scale = graph.times(q[1], k[1])?;
            graph.times(product, scale)?
        }
        _ => graph.add("MatMul", &[q, k], &[])?,
    };
    let quarter = graph.scalar(0.25);
    let scores = graph.times(scores, quarter)?;
    let weights = graph.add("Softmax", &[scores], &[("axis", (-1).into())])?;
    let mixed = graph.add("MatMul", &[weights, v], &[])?;
    let mixed = graph.transpose(mixed, &[0, 2, 1, 3])?;
    let shape = graph.named_constant("stream", Constant::i64([3], &[-1, TOKENS as i64, WIDTH as i64]));
    let mixed = graph.add("Reshape", &[mixed, shape], &[])?;
    let output = linear(&mut graph, mixed, "block.output", [WIDTH, WIDTH])?;
    let stream = graph.plus(output, x)?;
    let up = linear(&mut graph, stream, "block.up", [WIDTH, WIDE])?;
    let active = graph.add("Tanh", &[up], &[])?;
    let down = linear(&mut graph, active, "block.down", [WIDE, WIDTH])?;
    let stream = graph.plus(stream, down)?;
    let pooled = graph.add("ReduceMean", &[stream], &[("axes", vec![1].into()), ("keepdims", 0.into())])?;
    let matrix = graph.constant("head.weight", Constant::f32([WIDTH, CLASSES], &numbers(WIDTH * CLASSES, 5)));
    let scores = graph.add("Gemm", &[pooled, matrix], &[])?;
    graph.set_outputs(&[scores]);
    Ok(graph)
}

fn compiled(model: &Model, choice: &Choice) -> Result<TrainingProgram, CompilerError> {
    let methods = vec![Method::choose(methods::standard(), choice, "model.methods[0]").unwrap()];
    let (head, train) = (HeadChoice::keep(), TrainSelection::Nothing);
    let wanted = FineTuning { head, train, methods, ..FineTuning::head(ROWS, CLASSES) };
    compile(model, &wanted, &OperatorCatalog::standard())
}

fn scores(model: &[u8]) -> Vec<f32> {
    let x = floats(&[ROWS, TOKENS, WIDTH], &numbers(ROWS * TOKENS * WIDTH, 1));
    run(&mut session(model), vec![("x".to_owned(), x)]).remove(0)
}

/// The gradients of a step, by parameter.
fn gradients(program: &TrainingProgram, parameters: &[Vec<f32>]) -> BTreeMap<String, Vec<f32>> {
    let targets: Vec<f32> = (0..ROWS * CLASSES).map(|at| f32::from(at % (CLASSES + 1) == 0)).collect();
    let x = floats(&[ROWS, TOKENS, WIDTH], &numbers(ROWS * TOKENS * WIDTH, 1));
    let targets = floats(&[ROWS, CLASSES], &targets);
    let mut inputs = vec![("x".to_owned(), x), (program.manifest.targets[0].name.clone(), targets)];
    for (entry, values) in program.manifest.parameters.iter().zip(parameters) {
        inputs.push((entry.name.clone(), floats(&entry.shape, values)));
    }
    let mut step = session(&program.step().unwrap().to_vec());
    let names: Vec<String> = step.outputs().iter().map(|output| output.name().to_owned()).collect();
    let outputs: BTreeMap<String, Vec<f32>> = names.into_iter().zip(run(&mut step, inputs)).collect();
    let of = |entry: &millstream_schemas::ParameterEntry| (entry.name.clone(), outputs[&entry.gradient].clone());
    program.manifest.parameters.iter().map(of).collect()
}

fn learned(program: &TrainingProgram) -> Vec<Vec<f32>> {
    let own =
        |(at, values): (usize, &Vec<f32>)| numbers(values.len(), at).into_iter().map(|value| value * 0.2).collect();
    program.parameters.iter().enumerate().map(own).collect()
}

#[test]
fn lora_beside_quantized_weights_finds_the_layers_and_stays_there() {
    let rows = [
        (json!({"roles": ["query", "key"]}), "block.query block.key"),
        (json!({"roles": ["output", "feed_forward_out"]}), "block.output block.down"),
        (json!("all_linear"), "block.query block.key block.value block.output block.up block.down"),
        (json!({"match": ["*.up", "*.key"]}), "block.key block.up"),
    ];
    for form in QUANTIZED {
        let model = block(form);
        for (layers, wanted) in &rows {
            let choice = Choice::new("lora", json!({"rank": 2, "layers": layers}));
            let program = compiled(&model, &choice).unwrap_or_else(|error| panic!("{form:?} {layers}: {error}"));
            let names = program.manifest.parameters.iter().map(|entry| entry.name.as_str());
            let found: Vec<&str> = names.filter_map(|name| name.strip_suffix(".lora_A.weight")).collect();
            assert_eq!(found.join(" "), *wanted, "{form:?} {layers}");
            let notes = program.notes.join("\n");
            assert!(notes.contains("are quantized and stay as they are"), "{form:?} {layers}: {notes}");
            assert!(layers.is_object() || notes.contains("query (1 layer in 1 block)"), "{form:?} {layers}: {notes}");
        }
        for (options, wanted) in [
            (
                json!({"rank": 2, "dora": true}),
                "`dora: true` computes with the weights of `block.query`, which are quantized",
            ),
            (json!({"rank": 2, "start": "pissa"}), "`start: pissa` computes with the weights of `block.query`"),
        ] {
            let error = compiled(&model, &Choice::new("lora", options)).unwrap_err().to_string();
            assert!(error.contains(wanted), "{form:?}: {error}");
        }
        let error = compiled(&model, &Choice::new("ia3", json!({}))).unwrap_err().to_string();
        assert!(
            error.contains("the weights of `block.key` are quantized: `lora`, `vera` and `adapter`"),
            "{form:?}: {error}"
        );
    }
}

#[test]
fn weights_that_are_quantized_are_the_same_to_the_byte_in_the_exported_model() {
    if !onnx_runtime::available() {
        return;
    }
    let choices = [
        ("lora", json!({"rank": 2})),
        ("vera", json!({"rank": 4})),
        ("adapter", json!({})),
        ("prefix_tuning", json!({})),
    ];
    for form in QUANTIZED {
        let model = block(form);
        let base = scores(&file(form));
        for (name, options) in &choices {
            let program = compiled(&model, &Choice::new(*name, options.clone())).unwrap();
            for adapters in [AdaptersOutput::Merged, AdaptersOutput::Unmerged] {
                let first = program.export_with(&program.parameters, adapters, &[]).unwrap().to_vec();
                // alone, ONNX Runtime carries a product between roundings out in integers: it may round to the next one
                let bound = if form == Form::Behind { 0.5 } else { 0.0 };
                let is_near = scores(&first).iter().zip(&base).all(|(first, base)| (first - base).abs() <= bound);
                assert!(*name == "prefix_tuning" || is_near, "{form:?} {name}: the first step is not the model's own");
                let tuned = program.export_with(&learned(&program), adapters, &[]).unwrap().to_vec();
                assert!(scores(&tuned) != base, "{form:?} {name} has changed nothing");
                for layer in ["query", "key", "value", "output", "up", "down"] {
                    let shape = match layer {
                        "up" => [WIDTH, WIDE],
                        "down" => [WIDE, WIDTH],
                        _ => [WIDTH, WIDTH],
                    };
                    let bytes = stored(form, &format!("block.{layer}"), shape);
                    let is_there = tuned.windows(bytes.len()).any(|window| window == bytes);
                    assert!(is_there, "{form:?} {name}: the integers of `{layer}` are others");
                }
            }
        }
    }
}

/// What is rounded has no slope: gradients are those of the same in floats, but for what rounding changes of the numbers
/// themselves.
#[test]
fn gradients_reach_what_lies_below_quantized_layers() {
    if !onnx_runtime::available() {
        return;
    }
    are_those_of_floats(&QUANTIZED, &Choice::new("lora", json!({"rank": 2})));
}

#[test]
fn gradients_reach_both_operands_of_a_product_of_integers_and_what_is_rounded_around_no_zero_point() {
    if !onnx_runtime::available() {
        return;
    }
    let layers = json!({"match": ["*.query", "*.key", "*.value"]});
    are_those_of_floats(&[Form::Pairs, Form::NoZero], &Choice::new("lora", json!({"rank": 2, "layers": layers})));
}

fn are_those_of_floats(forms: &[Form], choice: &Choice) {
    let plain = compiled(&block(Form::Floats), choice).unwrap();
    let parameters = learned(&plain);
    let wanted = gradients(&plain, &parameters);
    for form in forms.iter().copied() {
        let program = compiled(&block(form), choice).unwrap();
        let found = gradients(&program, &parameters);
        assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        for (name, wanted) in &wanted {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            let found = &found[name];
            let length = dot(wanted, wanted).sqrt();
            let difference: Vec<f32> = found.iter().zip(wanted).map(|(a, b)| a - b).collect();
            let off = dot(&difference, &difference).sqrt() / length;
            let bound = if matches!(form, Form::Bits | Form::Bytes) { 1e-4 } else { 0.15 };
            assert!(length > 0.0 && off < bound, "{form:?} {name}: {off}");
        }
    }
}
