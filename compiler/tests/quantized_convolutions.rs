//! `lora` beside convolutions whose kernels are quantized, in each of the forms that quantizers write, and the same in floats.
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
use ort::value::DynValue;
use serde_json::{Value, json};

const ROWS: usize = 2;
const IMAGE: [usize; 4] = [ROWS, 4, 9, 9];
const CHANNELS: usize = 8;
const CLASSES: usize = 3;
/// Kernels of both convolutions; the second has two groups.
const KERNELS: [usize; 4] = [CHANNELS, 4, 3, 3];
const NAMES: [&str; 2] = ["features.stem", "features.grouped"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Floats,
    /// Kernels in floats; what they read is rounded to bytes and back.
    Rounded,
    /// The same with the kernels behind a `DequantizeLinear`, with a scale for each output, as `quantize_static` writes it.
    Behind,
    /// `DynamicQuantizeLinear`, `ConvInteger`, a cast and scales, as `quantize_dynamic` writes it.
    Dynamic,
}

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729 + 13) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// Whole numbers from −7 to 7.
fn whole(name: &str) -> Vec<i8> {
    let seed = name.bytes().map(usize::from).sum();
    numbers(KERNELS.iter().product(), seed).into_iter().map(|value| (value * 7.0).round() as i8).collect()
}

/// The scale of an output's kernel.
fn scale(form: Form, output: usize) -> f32 {
    if form == Form::Dynamic { 0.03 } else { 0.02 + 0.005 * (output % 3) as f32 }
}

/// Kernels as a file holds them: bytes around 128 of `ConvInteger`, signed ones behind `DequantizeLinear`.
fn stored(form: Form, name: &str) -> Vec<u8> {
    let zero = if form == Form::Dynamic { 128 } else { 0 };
    whole(name).into_iter().map(|value| value.to_le_bytes()[0].wrapping_add(zero)).collect()
}

fn bytes(dtype: ElementType, shape: &[usize], values: &[u8]) -> Constant {
    Constant { dtype, shape: shape.to_vec(), bytes: values.to_vec().into() }
}

/// A convolution and its bias; `of`: whose scales the floats have.
fn convolution(graph: &mut Graph, (form, of): (Form, Form), x: ValueId, name: &str) -> Result<ValueId, CompilerError> {
    let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
    let windows = match name == NAMES[0] {
        true => vec![("strides", ints(&[2, 1])), ("pads", ints(&[1, 1, 1, 1]))],
        false => vec![("dilations", ints(&[1, 2])), ("pads", ints(&[1, 2, 1, 2])), ("group", 2.into())],
    };
    let of_output = KERNELS[1..].iter().product::<usize>();
    let read = match form {
        Form::Rounded | Form::Behind => {
            let scale = graph.constant(&format!("{name}.input_scale"), Constant::f32([], &[4.0 / 127.0]));
            let zero = graph.constant(&format!("{name}.input_zero"), bytes(ElementType::U8, &[], &[128]));
            let rounded = graph.add("QuantizeLinear", &[x, scale, zero], &[])?;
            graph.add("DequantizeLinear", &[rounded, scale, zero], &[])?
        }
        _ => x,
    };
    let kernels = format!("{name}.weight_quantized");
    let made = match form {
        Form::Floats | Form::Rounded => {
            let own = whole(name).into_iter().enumerate();
            let own: Vec<f32> = own.map(|(at, value)| f32::from(value) * scale(of, at / of_output)).collect();
            let own = graph.constant(&format!("{name}.weight"), Constant::f32(KERNELS, &own));
            graph.add("Conv", &[read, own], &windows)?
        }
        Form::Behind => {
            let own = graph.constant(&kernels, bytes(ElementType::I8, &KERNELS, &stored(form, name)));
            let scales: Vec<f32> = (0..CHANNELS).map(|output| scale(form, output)).collect();
            let scales = graph.constant(&format!("{name}.weight_scale"), Constant::f32([CHANNELS], &scales));
            let own = graph.add("DequantizeLinear", &[own, scales], &[("axis", 0.into())])?;
            graph.add("Conv", &[read, own], &windows)?
        }
        Form::Dynamic => {
            let own = graph.constant(&kernels, bytes(ElementType::U8, &KERNELS, &stored(form, name)));
            let zero = graph.constant(&format!("{name}.weight_zero"), bytes(ElementType::U8, &[], &[128]));
            let factor = graph.constant(&format!("{name}.weight_scale"), Constant::f32([], &[scale(form, 0)]));
            let rounded = graph.add_with("DynamicQuantizeLinear", &[Some(x)], &[], 3)?;
            let made = graph.add("ConvInteger", &[rounded[0], own, rounded[2], zero], &windows)?;
            let made = graph.cast(made, ElementType::F32)?;
            let factor = graph.times(rounded[1], factor)?;
            graph.times(made, factor)?
        }
    };
    let bias = Constant::f32([1, CHANNELS, 1, 1], &numbers(CHANNELS, name.len()));
    let bias = graph.constant(&format!("{name}.bias"), bias);
    graph.plus(made, bias)
}

/// Two convolutions and a head.
fn file(form: Form, of: Form) -> Vec<u8> {
    let build = || {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32(IMAGE));
        let value = convolution(&mut graph, (form, of), x, NAMES[0])?;
        let value = graph.add("Tanh", &[value], &[])?;
        // channels are in pairs of groups of four
        let value = convolution(&mut graph, (form, of), value, NAMES[1])?;
        let value = graph.add("Tanh", &[value], &[])?;
        let value = graph.add("GlobalAveragePool", &[value], &[])?;
        let value = graph.add("Flatten", &[value], &[])?;
        let head = Constant::f32([CHANNELS, CLASSES], &numbers(CHANNELS * CLASSES, 5));
        let head = graph.constant("head.weight", head);
        let scores = graph.add("Gemm", &[value, head], &[])?;
        graph.set_outputs(&[scores]);
        Ok::<Vec<u8>, CompilerError>(graph.to_onnx("convolutions"))
    };
    build().unwrap()
}

fn compiled(file: Vec<u8>, options: Value) -> Result<TrainingProgram, CompilerError> {
    let model = Model::from_bytes(file).unwrap();
    let choice = Choice::new("lora", options);
    let methods = vec![Method::choose(methods::standard(), &choice, "model.methods[0]").unwrap()];
    let (head, train) = (HeadChoice::keep(), TrainSelection::Nothing);
    let wanted = FineTuning { head, train, methods, ..FineTuning::head(ROWS, CLASSES) };
    compile(&model, &wanted, &OperatorCatalog::standard())
}

fn lora() -> Value {
    json!({"rank": 2, "layers": "convolution"})
}

fn image() -> (String, DynValue) {
    ("x".to_owned(), floats(&IMAGE, &numbers(IMAGE.iter().product(), 1)))
}

fn scores(model: &[u8]) -> Vec<f32> {
    run(&mut session(model), vec![image()]).remove(0)
}

fn learned(program: &TrainingProgram) -> Vec<Vec<f32>> {
    let own =
        |(at, values): (usize, &Vec<f32>)| numbers(values.len(), at).into_iter().map(|value| value * 0.2).collect();
    program.parameters.iter().enumerate().map(own).collect()
}

/// The gradients of a step, by parameter.
fn gradients(program: &TrainingProgram, parameters: &[Vec<f32>]) -> BTreeMap<String, Vec<f32>> {
    let targets: Vec<f32> = (0..ROWS * CLASSES).map(|at| f32::from(at % (CLASSES + 1) == 0)).collect();
    let targets = floats(&[ROWS, CLASSES], &targets);
    let mut inputs = vec![image(), (program.manifest.targets[0].name.clone(), targets)];
    for (entry, values) in program.manifest.parameters.iter().zip(parameters) {
        inputs.push((entry.name.clone(), floats(&entry.shape, values)));
    }
    let mut step = session(&program.step().unwrap().to_vec());
    let names: Vec<String> = step.outputs().iter().map(|output| output.name().to_owned()).collect();
    let outputs: BTreeMap<String, Vec<f32>> = names.into_iter().zip(run(&mut step, inputs)).collect();
    let of = |entry: &millstream_schemas::ParameterEntry| (entry.name.clone(), outputs[&entry.gradient].clone());
    program.manifest.parameters.iter().map(of).collect()
}

fn length(values: &[f32]) -> f32 {
    values.iter().map(|value| value * value).sum::<f32>().sqrt()
}

/// How far apart, relative to the second.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    length(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f32>>()) / length(b)
}

#[test]
fn lora_beside_quantized_convolutions_finds_them_and_stays_there() {
    for form in [Form::Behind, Form::Dynamic] {
        let of_floats = compiled(file(Form::Floats, form), lora()).unwrap();
        let program = compiled(file(form, form), lora()).unwrap_or_else(|error| panic!("{form:?}: {error}"));
        let told = |program: &TrainingProgram| {
            let entries = program.manifest.parameters.iter();
            entries.map(|entry| (entry.name.clone(), entry.shape.clone())).collect::<Vec<_>>()
        };
        assert_eq!(told(&program), told(&of_floats), "{form:?}");
        assert_eq!(program.manifest.parameters[0].name, "features.stem.lora_A.weight");
        assert_eq!(program.parameters, of_floats.parameters, "{form:?}");
        let notes = program.notes.join("\n");
        assert!(
            notes.contains("2 layers, `features.stem` first, are quantized and stay as they are"),
            "{form:?}: {notes}"
        );
        let named = json!({"rank": 2, "layers": {"match": ["*.grouped"]}});
        let named = compiled(file(form, form), named).unwrap();
        assert_eq!(named.manifest.parameters.len(), 2, "{form:?}");
        let refused = named.require_adapters(false).unwrap_err().to_string();
        assert!(refused.contains("it is a dilated convolution"), "{form:?}: {refused}");
        let dora = compiled(file(form, form), json!({"rank": 2, "layers": "convolution", "dora": true}));
        let error = dora.unwrap_err().to_string();
        assert!(error.contains("`dora: true` computes with the weights of `features.stem`"), "{form:?}: {error}");
    }
}

#[test]
fn kernels_that_are_quantized_stay_to_the_byte_and_what_is_added_computes_what_it_does_beside_floats() {
    if !onnx_runtime::available() {
        return;
    }
    for form in [Form::Behind, Form::Dynamic] {
        let program = compiled(file(form, form), lora()).unwrap();
        let base = scores(&file(form, form));
        let parameters = learned(&program);
        // where what is read is rounded alike, nothing but the kernels' form is another
        let (twin, bound) = if form == Form::Behind { (Form::Rounded, 1e-4) } else { (Form::Floats, 0.05) };
        let twin = compiled(file(twin, form), lora()).unwrap();
        let wanted = scores(&twin.export_with(&parameters, AdaptersOutput::Unmerged, &[]).unwrap().to_vec());
        for adapters in [AdaptersOutput::Merged, AdaptersOutput::Unmerged] {
            let first = program.export_with(&program.parameters, adapters, &[]).unwrap().to_vec();
            assert!(apart(&scores(&first), &base) < 1e-5, "{form:?}: the first step is not the model's own");
            let tuned = program.export_with(&parameters, adapters, &[]).unwrap().to_vec();
            let found = scores(&tuned);
            assert!(apart(&found, &base) > 0.05, "{form:?}: nothing has changed");
            assert!(apart(&found, &wanted) < bound, "{form:?}: {found:?}, {wanted:?}");
            for name in NAMES {
                let bytes = stored(form, name);
                let is_there = tuned.windows(bytes.len()).any(|window| window == bytes);
                assert!(is_there, "{form:?}: the integers of `{name}` are others");
            }
        }
    }
}

#[test]
fn gradients_reach_what_lies_below_quantized_convolutions() {
    if !onnx_runtime::available() {
        return;
    }
    for form in [Form::Behind, Form::Dynamic] {
        let plain = compiled(file(Form::Floats, form), lora()).unwrap();
        let parameters = learned(&plain);
        let wanted = gradients(&plain, &parameters);
        let found = gradients(&compiled(file(form, form), lora()).unwrap(), &parameters);
        assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        for (name, wanted) in &wanted {
            let off = apart(&found[name], wanted);
            assert!(length(wanted) > 0.0 && off < 0.15, "{form:?} {name}: {off}");
        }
    }
}
