//! `lora` with its options, `boft`, `oft` and `vera` against PEFT, on tables of embeddings, behind open axes, and what is refused.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod convolutions;
#[path = "../onnx_runtime/mod.rs"]
mod onnx_runtime;
mod tables;

use std::collections::BTreeMap;

use millstream_compiler::adapter_files::PeftFolder;
use millstream_compiler::finetuning::methods;
use millstream_compiler::graph::{Constant, ElementType, Graph, Length, TensorType};
use millstream_compiler::{
    CompilerError, FineTuning, HeadChoice, Method, Model, OperatorCatalog, TrainingProgram, compile,
};
use millstream_schemas::Choice;
use millstream_schemas::choice::Row as _;
use millstream_schemas::recipe::{AdaptersOutput, TrainSelection};
use onnx_runtime::{floats, run, session};
use serde_json::{Value, json};

const INPUTS: usize = 12;
const OUTPUTS: usize = 5;
const ROWS: usize = 2;

/// Numbers in −1 to 1, the same each time.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| (((at * 7919 + seed * 104_729) % 2003) as f64 / 1001.0 - 1.0) as f32).collect()
}

fn scaled(values: Vec<f32>, factor: f32) -> Vec<f32> {
    values.into_iter().map(|value| value * factor).collect()
}

/// A matrix of so many rows, turned.
fn turned(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows;
    (0..values.len()).map(|at| values[at % rows * columns + at / rows]).collect()
}

/// One linear layer, its weight as PyTorch stores it.
fn linear() -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([ROWS, INPUTS]));
    let weight = graph.constant("linear.weight", Constant::f32([OUTPUTS, INPUTS], &numbers(OUTPUTS * INPUTS, 1)));
    let bias = graph.constant("linear.bias", Constant::f32([OUTPUTS], &numbers(OUTPUTS, 2)));
    let scores = graph.add("Gemm", &[x, weight, bias], &[("transB", 1.into())]).unwrap();
    graph.set_outputs(&[scores]);
    Model::from_bytes(graph.to_onnx("linear")).unwrap()
}

fn tuned(model: &Model, methods: &[Choice], classes: usize) -> Result<TrainingProgram, CompilerError> {
    let chosen = methods.iter().map(|choice| Method::choose(methods::standard(), choice, "model.methods[0]").unwrap());
    let methods = chosen.collect();
    let (head, train) = (HeadChoice::keep(), TrainSelection::Nothing);
    let rows = ROWS;
    compile(
        model,
        &FineTuning { head, train, methods, ..FineTuning::head(rows, classes) },
        &OperatorCatalog::standard(),
    )
}

fn beside_linear(name: &str, mut options: Value) -> TrainingProgram {
    options["layers"] = json!({"match": ["linear"]});
    tuned(&linear(), &[Choice::new(name, options)], OUTPUTS).unwrap()
}

fn scores(program: &TrainingProgram, parameters: &[Vec<f32>], adapters: AdaptersOutput) -> Vec<f32> {
    let model = program.export_with(parameters, adapters, &[]).unwrap().to_vec();
    let x = floats(&[ROWS, INPUTS], &numbers(ROWS * INPUTS, 3));
    run(&mut session(&model), vec![("x".to_owned(), x)]).remove(0)
}

fn assert_close(found: &[f32], wanted: &[f32], within: f32, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let difference = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < within, "{what}: {found:?}, wanted {wanted:?}");
}

// Numbers of this section: peft 0.21.2 on torch 2.15.0, nn.Linear(12, 5) with weight, bias, x and parameters made by `numbers`,
// A and B in PEFT's layout; r 2, lora_alpha 6; gradients of F.cross_entropy with targets 0 and 1.
const BASE: [f32; 10] =
    [-2.133645, 1.15645, -1.368546, 0.404307, -0.179661, 6.644904, -1.919984, 1.489138, -1.900338, -1.011955];
const LORA: [f32; 10] =
    [-1.750716, 1.599938, -1.516657, 0.316756, -0.206651, 3.937637, -5.220906, 3.987529, 0.004397, 0.299124];
const DORA: [f32; 10] =
    [0.223567, -0.02766, 0.043226, -0.201069, -0.229039, -0.012637, 0.323114, -0.270774, -0.154486, -0.285983];
const DORA_A: [f32; 24] = [
    -0.008971, -0.000813, 0.007344, 0.015501, 0.023659, 0.031816, 0.039973, -0.048802, -0.040645, -0.032487, -0.02433,
    -0.016173, -0.007952, -0.00019, 0.007572, 0.015333, 0.023095, 0.030857, 0.038618, -0.046899, -0.039138, -0.031376,
    -0.023614, -0.015852,
];
const DORA_B: [f32; 10] =
    [0.055038, -0.092742, -0.073873, 0.19363, -0.000878, -0.024476, 0.011723, -0.089714, 0.005382, -0.056417];
const DORA_MAGNITUDE: [f32; 5] = [0.682432, 0.917217, 0.059353, 0.036329, 0.019296];
const OFT: [f32; 10] =
    [-2.338486, 0.953965, -1.47578, 0.269765, 0.737209, 5.917029, -1.127865, 1.32015, -1.147301, -1.611];
/// Blocks of 4, and two factors of blocks of 2; PEFT's own layer with `torch.block_diag` in the place of its CUDA kernel.
const BOFT: [f32; 10] =
    [0.629901, -0.266656, 0.303559, -0.30214, -0.707649, -1.195693, 0.732489, -1.343746, 0.783025, 0.485511];
const BOFT_OF_TWO: [f32; 10] =
    [0.947751, -0.39639, 0.548669, -0.416862, -0.256832, -2.142057, 0.847926, -0.778662, 0.758864, -0.507367];
/// One factor of blocks of 3 and of 12, two of blocks of 6, in float64.
const BOFT_OF_THREE: [f32; 10] =
    [0.919475, -0.399274, 0.617354, -0.441249, -0.370396, -2.094296, 0.86382, -1.043421, 0.807155, -0.369633];
const BOFT_OF_TWELVE: [f32; 10] =
    [-0.169551, 0.093351, -0.189828, 0.042854, -0.322094, 0.099824, -0.198682, 0.854065, -0.45976, -0.713454];
const BOFT_OF_SIX: [f32; 10] =
    [0.600947, -0.125819, -0.113992, -0.205209, 0.234442, -0.327097, -0.142542, 1.407187, -0.526224, -1.252578];
/// With the random matrices that `WeightRandom` draws by seed 0, rank 3.
const VERA: [f32; 10] =
    [-2.117995, 1.227066, -1.346225, 0.392638, -0.287625, 6.653435, -2.111046, 1.452722, -1.833574, -0.748071];
const PISSA_A: [f32; 24] = [
    -0.370339, -0.393131, -0.196791, -0.219583, 0.178102, 0.15531, 0.132517, 0.401464, 0.378671, 0.355879, 0.333086,
    0.310294, -0.1188, -0.124163, 0.302801, 0.297438, 0.459607, 0.454244, 0.448881, -0.091006, -0.096369, -0.101731,
    -0.107094, -0.112457,
];
const PISSA_B: [f32; 10] =
    [0.476969, -0.705855, -0.322801, 0.085561, 0.687448, 0.22123, -0.397309, -0.019315, 0.358264, 0.570898];

/// A and B as PEFT was given them, in our layout.
fn factors() -> Vec<Vec<f32>> {
    let a = scaled(numbers(2 * INPUTS, 10), 0.5);
    let b = scaled(numbers(OUTPUTS * 2, 11), 0.5);
    vec![turned(&a, 2), turned(&b, OUTPUTS)]
}

#[test]
fn each_computes_what_peft_does() {
    if !onnx_runtime::available() {
        return;
    }
    let lora = json!({"rank": 2, "alpha": 6});
    let dora = json!({"rank": 2, "alpha": 6, "dora": true});
    let with_magnitude = [factors(), vec![scaled(numbers(OUTPUTS, 12), 0.5)]].concat();
    let oft = vec![scaled(numbers(18, 10), 0.25)];
    let boft = |count: usize| vec![scaled(numbers(count, 10), 0.5), scaled(numbers(OUTPUTS, 11), 0.5)];
    let vera = vec![scaled(numbers(3, 10), 0.5), scaled(numbers(OUTPUTS, 11), 0.5)];
    for (name, options, learned, wanted) in [
        ("lora", lora, factors(), LORA),
        ("lora", dora, with_magnitude, DORA),
        ("oft", json!({"block_size": 4}), oft, OFT),
        ("boft", json!({}), boft(48), BOFT),
        ("boft", json!({"block_size": 2, "factors": 2}), boft(48), BOFT_OF_TWO),
        ("boft", json!({"block_size": 3}), boft(36), BOFT_OF_THREE),
        ("boft", json!({"block_size": 12}), boft(144), BOFT_OF_TWELVE),
        ("boft", json!({"block_size": 6, "factors": 2}), boft(144), BOFT_OF_SIX),
        ("vera", json!({"rank": 3}), vera, VERA),
    ] {
        let program = beside_linear(name, options.clone());
        for adapters in [AdaptersOutput::Merged, AdaptersOutput::Unmerged] {
            assert_close(&scores(&program, &program.parameters, adapters), &BASE, 3e-6, "the start");
            assert_close(&scores(&program, &learned, adapters), &wanted, 3e-6, &format!("{options}"));
        }
    }
}

#[test]
fn the_gradient_of_dora_takes_the_norm_for_a_constant_as_peft_does() {
    if !onnx_runtime::available() {
        return;
    }
    let program = beside_linear("lora", json!({"rank": 2, "alpha": 6, "dora": true}));
    let mut step = session(&program.step().unwrap().to_vec());
    let learned = [factors(), vec![scaled(numbers(OUTPUTS, 12), 0.5)]].concat();
    let mut targets = [0.0; ROWS * OUTPUTS];
    (targets[0], targets[OUTPUTS + 1]) = (1.0, 1.0);
    let mut inputs = vec![("x".to_owned(), floats(&[ROWS, INPUTS], &numbers(ROWS * INPUTS, 3)))];
    inputs.push((program.manifest.targets[0].name.clone(), floats(&[ROWS, OUTPUTS], &targets)));
    for (entry, values) in program.manifest.parameters.iter().zip(&learned) {
        inputs.push((entry.name.clone(), floats(&entry.shape, values)));
    }
    let names: Vec<String> = step.outputs().iter().map(|output| output.name().to_owned()).collect();
    let outputs: BTreeMap<String, Vec<f32>> = names.into_iter().zip(run(&mut step, inputs)).collect();
    assert_close(&outputs[&program.manifest.loss.name], &[1.297_287], 3e-6, "loss");
    let wanted = [turned(&DORA_A, 2), turned(&DORA_B, OUTPUTS), DORA_MAGNITUDE.to_vec()];
    for (entry, wanted) in program.manifest.parameters.iter().zip(wanted) {
        assert_close(&outputs[&entry.gradient], &wanted, 3e-6, &entry.name);
    }
}

#[test]
fn pissa_begins_with_the_factors_that_peft_does_and_merges_into_the_weight_as_it_was() {
    if !onnx_runtime::available() {
        return;
    }
    let program = beside_linear("lora", json!({"rank": 2, "alpha": 6, "start": "pissa"}));
    // a pair of vectors has either sign
    let [a, b] = [turned(&program.parameters[0], INPUTS), turned(&program.parameters[1], 2)];
    for k in 0..2 {
        let of_k = |a: &[f32], b: &[f32]| {
            let sign = a[k * INPUTS].signum();
            let a: Vec<f32> = a[k * INPUTS..(k + 1) * INPUTS].iter().map(|value| value * sign).collect();
            [a, (0..OUTPUTS).map(|output| b[output * 2 + k] * sign).collect()].concat()
        };
        assert_close(&of_k(&a, &b), &of_k(&PISSA_A, &PISSA_B), 3e-6, &format!("factors {k}"));
    }
    for adapters in [AdaptersOutput::Merged, AdaptersOutput::Unmerged] {
        assert_close(&scores(&program, &program.parameters, adapters), &BASE, 3e-6, "the start");
    }
    // without the factors, what is left of the weight
    let without: Vec<Vec<f32>> = program.parameters.iter().map(|values| vec![0.0; values.len()]).collect();
    let [merged, unmerged] =
        [AdaptersOutput::Merged, AdaptersOutput::Unmerged].map(|adapters| scores(&program, &without, adapters));
    assert_close(&merged, &unmerged, 3e-6, "without the factors");
    assert!(merged.iter().zip(BASE).any(|(left, whole)| (left - whole).abs() > 0.5), "{merged:?}");
}

/// One layer that is used twice, the second time with its bias or without, and a head.
fn used_twice(has_bias_again: bool) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([ROWS, INPUTS]));
    let values = scaled(numbers(INPUTS * INPUTS, 1), 0.3);
    let weight = graph.constant("twice.weight", Constant::f32([INPUTS, INPUTS], &values));
    let bias = graph.constant("twice.bias", Constant::f32([INPUTS], &numbers(INPUTS, 2)));
    let once = graph.add("Gemm", &[x, weight, bias], &[]).unwrap();
    let once = graph.add("Tanh", &[once], &[]).unwrap();
    let operands = [once, weight, bias];
    let twice = graph.add("Gemm", if has_bias_again { &operands } else { &operands[..2] }, &[]).unwrap();
    let head = graph.constant("head.weight", Constant::f32([INPUTS, OUTPUTS], &numbers(INPUTS * OUTPUTS, 3)));
    let scores = graph.add("MatMul", &[twice, head], &[]).unwrap();
    graph.set_outputs(&[scores]);
    Model::from_bytes(graph.to_onnx("twice")).unwrap()
}

#[test]
fn a_bias_behind_b_is_written_once_into_one_that_is_read_twice_and_not_where_one_use_has_none() {
    if !onnx_runtime::available() {
        return;
    }
    let options = json!({"rank": 2, "alpha": 6, "lora_bias": true, "layers": {"match": ["twice"]}});
    for (has_bias_again, stays_beside) in [(true, false), (false, true)] {
        let program = tuned(&used_twice(has_bias_again), &[Choice::new("lora", options.clone())], OUTPUTS).unwrap();
        let said = program.notes.iter().any(|note| note.contains("`twice` is also used without a bias"));
        assert_eq!(said, stays_beside, "{:?}", program.notes);
        let learned = program.parameters.iter().enumerate();
        let learned: Vec<Vec<f32>> = learned.map(|(at, first)| scaled(numbers(first.len(), 10 + at), 0.3)).collect();
        let [merged, unmerged] =
            [AdaptersOutput::Merged, AdaptersOutput::Unmerged].map(|adapters| scores(&program, &learned, adapters));
        assert_close(&merged, &unmerged, 1e-4, &format!("bias again: {has_bias_again}"));
    }
}

/// Two linear layers and a normalization over a sequence whose axes are open, then the mean over it.
fn sequence() -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let open = [Length::named("batch"), Length::named("tokens"), INPUTS.into()];
    let x = graph.input("x", TensorType { dtype: ElementType::F32, shape: open.to_vec() });
    let linear = |graph: &mut Graph, x, name: &str, [inputs, outputs]: [usize; 2]| {
        let weight = Constant::f32([inputs, outputs], &numbers(inputs * outputs, inputs + outputs));
        let weight = graph.constant(&format!("{name}.weight"), weight);
        let bias = graph.constant(&format!("{name}.bias"), Constant::f32([outputs], &numbers(outputs, 7)));
        let product = graph.add("MatMul", &[x, weight], &[]).unwrap();
        graph.add("Add", &[product, bias], &[]).unwrap()
    };
    let value = linear(&mut graph, x, "first", [INPUTS, 16]);
    let ones = graph.constant("norm.weight", Constant::f32([16], &[1.0; 16]));
    let zeros = graph.constant("norm.bias", Constant::f32([16], &[0.0; 16]));
    let value = graph.add("LayerNormalization", &[value, ones, zeros], &[]).unwrap();
    let value = linear(&mut graph, value, "second", [16, 8]);
    let value = graph.add("Tanh", &[value], &[]).unwrap();
    let pooled = graph.add("ReduceMean", &[value], &[("axes", vec![1].into()), ("keepdims", 0.into())]).unwrap();
    let scores = linear(&mut graph, pooled, "head", [8, OUTPUTS]);
    graph.set_outputs(&[scores]);
    Model::from_bytes(graph.to_onnx("sequence")).unwrap()
}

fn of_sequence(methods: &[Choice]) -> Result<TrainingProgram, CompilerError> {
    let chosen = methods.iter().map(|choice| Method::choose(methods::standard(), choice, "model.methods[0]").unwrap());
    let (head, train, methods) = (HeadChoice::keep(), TrainSelection::Nothing, chosen.collect());
    let batch = millstream_schemas::AxisLength::Named("batch".into());
    compile(
        &sequence(),
        &FineTuning { head, train, methods, ..FineTuning::head(batch, OUTPUTS) },
        &OperatorCatalog::standard(),
    )
}

#[test]
fn one_step_serves_sequences_of_any_length() {
    if !onnx_runtime::available() {
        return;
    }
    for (name, options) in [
        ("lora", json!({"rank": 2, "dora": true})),
        ("lora", json!({"rank": 2, "start": "pissa"})),
        ("oft", json!({"block_size": 4})),
        ("boft", json!({"block_size": 2, "factors": 2})),
        ("boft", json!({"block_size": 8, "factors": 2, "layers": {"match": ["second"]}})),
        ("vera", json!({"rank": 6})),
    ] {
        let program = of_sequence(&[Choice::new(name, options.clone())]).unwrap();
        let mut step = session(&program.step().unwrap().to_vec());
        let learned: Vec<Vec<f32>> =
            program.parameters.iter().enumerate().map(|(at, values)| scaled(numbers(values.len(), at), 0.3)).collect();
        let exported = [AdaptersOutput::Merged, AdaptersOutput::Unmerged]
            .map(|adapters| program.export_with(&learned, adapters, &[]).unwrap().to_vec());
        for [rows, tokens] in [[1, 4], [3, 7]] {
            let x = || floats(&[rows, tokens, INPUTS], &numbers(rows * tokens * INPUTS, 5));
            let [merged, unmerged] =
                exported.each_ref().map(|model| run(&mut session(model), vec![("x".to_owned(), x())]).remove(0));
            assert_close(&merged, &unmerged, 3e-6, &format!("{name} {options}"));
            let targets: Vec<f32> = (0..rows * OUTPUTS).map(|at| f32::from(at % OUTPUTS == 0)).collect();
            let mut inputs = vec![("x".to_owned(), x())];
            inputs.push((program.manifest.targets[0].name.clone(), floats(&[rows, OUTPUTS], &targets)));
            for (entry, values) in program.manifest.parameters.iter().zip(&learned) {
                inputs.push((entry.name.clone(), floats(&entry.shape, values)));
            }
            let outputs = run(&mut step, inputs);
            assert_close(&outputs[1], &merged, 3e-6, "the prediction of the step");
            assert!(outputs[2..].iter().all(|gradient| gradient.iter().any(|value| *value != 0.0)), "{name} {options}");
        }
    }
}

#[test]
fn ranks_scales_and_biases_by_layer() {
    let lora = |options: Value| of_sequence(&[Choice::new("lora", options)]);
    let shapes = |options: Value| -> Vec<(String, Vec<usize>)> {
        let program = lora(options).unwrap();
        program.manifest.parameters.iter().map(|entry| (entry.name.clone(), entry.shape.clone())).collect()
    };
    let of = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
    let first = [of("first.lora_A.weight", &[12, 2]), of("first.lora_B.weight", &[2, 16])];
    let second = [of("second.lora_A.weight", &[16, 3]), of("second.lora_B.weight", &[3, 8])];
    let ranks = json!({"rank": 2, "rank_patterns": {"sec*": 3}});
    assert_eq!(shapes(ranks), [first.as_slice(), &second].concat());
    let one = json!({"match": ["first"]});
    let own = [of("first.bias", &[16])];
    assert_eq!(shapes(json!({"rank": 2, "bias": "lora_only", "layers": one})), [first.as_slice(), &own].concat());
    let all = [of("first.bias", &[16]), of("norm.bias", &[16]), of("second.bias", &[8]), of("head.bias", &[5])];
    assert_eq!(shapes(json!({"rank": 2, "bias": "all", "layers": one})), [first.as_slice(), &all].concat());
    let notes = lora(json!({"rank": 2, "bias": "all", "layers": one})).unwrap().notes;
    for said in ["`lora` adds 56 numbers beside 1 layer, `first` first", "trains the biases of 4 layer(s), 45 numbers"]
    {
        assert!(notes.iter().any(|note| note.contains(said)), "{notes:?}");
    }
    for (options, said) in [
        (
            json!({"rank_patterns": {"frist": 3}}),
            "rank_patterns: no layer that `lora` goes to matches `frist`; did you mean `first`?",
        ),
        (json!({"alpha_patterns": {"head": 3}}), "alpha_patterns: no layer that `lora` goes to matches `head`"),
        (json!({"rank_patterns": {"*": 0}}), "rank_patterns: every layer has the rank 0, and nothing is adapted"),
        (
            json!({"rank_patterns": {"f*": 3, "*t": 4}}),
            "rank_patterns: `*t` and `f*` both match `first` and say different",
        ),
    ] {
        let error = lora(options).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(matches!(error, CompilerError::Setting { place, .. } if place == "model.methods[0].lora"));
    }
    for (options, said) in [
        (json!({"alpha_patterns": {"first": -1}}), "alpha_patterns.first is a finite number above 0, got -1"),
        (json!({"start": "svd"}), "start"),
    ] {
        let choice = Choice::new("lora", options);
        let error = Method::choose(methods::standard(), &choice, "model.methods[0]").unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_rank_of_0_leaves_a_layer_as_it_is() {
    let program =
        of_sequence(&[Choice::new("lora", json!({"rank": 2, "bias": "lora_only", "rank_patterns": {"sec*": 0}}))])
            .unwrap();
    let trained: Vec<&str> = program.manifest.parameters.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(trained, ["first.lora_A.weight", "first.lora_B.weight", "first.bias"]);
    let said = "lora leaves 1 layer(s) as they are, `second` first: their rank is 0";
    assert!(program.notes.iter().any(|note| note.contains(said)), "{:?}", program.notes);
}

#[test]
fn the_schema_of_patterns_says_what_is_taken() {
    let row = methods::standard().rows().iter().find(|row| row.name == "lora").unwrap();
    let schema = row.schema();
    let of = |option: &str| schema["properties"][option]["additionalProperties"].clone();
    assert_eq!((&of("rank_patterns")["minimum"], &of("alpha_patterns")["exclusiveMinimum"]), (&json!(0), &json!(0)));
}

#[test]
fn a_scale_of_a_pattern_is_that_of_its_layer() {
    if !onnx_runtime::available() {
        return;
    }
    let program =
        beside_linear("lora", json!({"rank": 1, "rank_patterns": {"l*": 2}, "alpha_patterns": {"linear": 6}}));
    for adapters in [AdaptersOutput::Merged, AdaptersOutput::Unmerged] {
        assert_close(&scores(&program, &factors(), adapters), &LORA, 3e-6, "as with rank 2 and alpha 6");
    }
}

#[test]
fn what_a_method_cannot_do_is_told() {
    let dora = || Choice::new("lora", json!({"rank": 2, "dora": true}));
    let plain = || Choice::new("lora", json!({"rank": 2, "layers": {"match": ["second"]}}));
    for methods in [vec![dora(), plain()], vec![plain(), dora()]] {
        let error = of_sequence(&methods).unwrap_err();
        let said = "`lora` and `lora` both go to layer `second`, where one of them must be alone";
        assert!(error.to_string().contains(said), "{error}");
        assert!(matches!(error, CompilerError::Setting { place, .. } if place == "model.methods"));
    }
    let first = Choice::new("lora", json!({"rank": 2, "dora": true, "layers": {"match": ["first"]}}));
    of_sequence(&[first, plain()]).unwrap();
    for (name, options, said) in [
        ("oft", json!({}), "block_size 32 does not divide the 12 inputs of `first`; take 4, which divides"),
        (
            "boft",
            json!({"factors": 3}),
            "block_size 4 with 3 factor(s) turns 16 inputs together, which do not divide the 12",
        ),
        (
            "boft",
            json!({"block_size": 3, "factors": 2}),
            "block_size is even where there are several factors, which exchange halves of blocks, got 3 with 2 factors",
        ),
        ("vera", json!({"layers": "convolution"}), "the model has no convolution"),
    ] {
        let error = of_sequence(&[Choice::new(name, options)]).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([ROWS, 4, 5, 5]));
    let kernel = graph.constant("conv.weight", Constant::f32([5, 4, 5, 5], &numbers(500, 1)));
    let made = graph.add("Conv", &[x, kernel], &[]).unwrap();
    let scores = graph.add("Flatten", &[made], &[]).unwrap();
    graph.set_outputs(&[scores]);
    let model = Model::from_bytes(graph.to_onnx("convolution")).unwrap();
    for name in ["boft", "oft", "vera"] {
        let method = Choice::new(name, json!({"layers": {"match": ["conv"]}}));
        let error = tuned(&model, &[method], 5).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}` is for linear layers, and `conv` is a convolution")), "{error}");
    }
}

/// With a root mean square of 0.3, as after much training.
#[test]
fn large_blocks_of_large_numbers_merge_to_what_they_trained() {
    if !onnx_runtime::available() {
        return;
    }
    let (inputs, outputs) = (256, 4);
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([ROWS, inputs]));
    let weight = graph.constant("linear.weight", Constant::f32([outputs, inputs], &numbers(outputs * inputs, 1)));
    let bias = graph.constant("linear.bias", Constant::f32([outputs], &numbers(outputs, 2)));
    let made = graph.add("Gemm", &[x, weight, bias], &[("transB", 1.into())]).unwrap();
    graph.set_outputs(&[made]);
    let model = Model::from_bytes(graph.to_onnx("wide")).unwrap();
    let layers = json!({"match": ["linear"]});
    for (name, options) in [
        ("boft", json!({"block_size": inputs, "layers": layers})),
        ("oft", json!({"block_size": inputs, "exact": true, "layers": layers})),
    ] {
        let program = tuned(&model, &[Choice::new(name, options)], outputs).unwrap();
        let learned: Vec<Vec<f32>> =
            program.parameters.iter().enumerate().map(|(at, own)| scaled(numbers(own.len(), at), 0.52)).collect();
        let [merged, unmerged] = [AdaptersOutput::Merged, AdaptersOutput::Unmerged].map(|adapters| {
            let model = program.export_with(&learned, adapters, &[]).unwrap().to_vec();
            let x = floats(&[ROWS, inputs], &numbers(ROWS * inputs, 3));
            run(&mut session(&model), vec![("x".to_owned(), x)]).remove(0)
        });
        let largest = merged.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        assert_close(&unmerged, &merged, 5e-4 * largest, name);
    }
}

#[test]
fn one_identity_serves_all_layers_of_boft() {
    let layers = json!({"match": ["first", "second"]});
    let program = of_sequence(&[Choice::new("boft", json!({"block_size": 2, "layers": layers}))]).unwrap();
    let step = program.step().unwrap().to_vec();
    let has = |name: &str| step.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    assert!(has("boft_identity"));
    // of a layer, and one more of the same name
    assert!(!has(".boft_identity") && !has("boft_identity_"));
}

#[test]
fn several_factors_of_boft_are_noted_since_peft_loads_them_with_its_cuda_extension_only() {
    for (factors, is_noted) in [(1, false), (2, true)] {
        let program = beside_linear("boft", json!({"block_size": 2, "factors": factors}));
        let (adapters, notes) = program.peft_adapters(&program.parameters).unwrap();
        assert_eq!(program.peft_notes().unwrap(), notes);
        assert_eq!(notes.iter().any(|note| note.contains("its CUDA extension")), is_noted, "{notes:?}");
        // which a folder that is read says, too
        let read = PeftFolder::of(&adapters[0]).adapter().unwrap();
        assert_eq!(read.note_of_peft().is_some(), is_noted);
    }
}
