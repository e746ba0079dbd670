//! Fine-tuning methods: every row on a network with linear layers and convolutions of every form.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod networks;
mod of_attention;
#[path = "../onnx_runtime/mod.rs"]
mod onnx_runtime;
mod option_schemas;
mod prefix_forms;
mod prefixes;
mod prompts;
mod selections;
mod shared_heads;

use std::collections::BTreeMap;

use millstream_compiler::finetuning::methods;
use millstream_compiler::graph::{ElementType, Graph, TensorType};
use millstream_compiler::{
    CompilerError, FineTuning, HeadChoice, Method, Model, OperatorCatalog, TrainingProgram, compile, describe,
};
use millstream_schemas::recipe::{AdaptersOutput, TrainSelection};
use millstream_schemas::{Choice, MaskEntry};
use networks::{network, numbers, transformer, weight, weight_values};
use onnx_runtime::{floats, run, session};
use ort::value::{DynValue, Tensor};
use serde_json::json;

const ROWS: usize = 2;
const IMAGE: [usize; 4] = [ROWS, 4, 9, 9];
const CLASSES: usize = 5;

fn compiled(methods: &[Choice], train: TrainSelection) -> Result<TrainingProgram, CompilerError> {
    compiled_in(&network()?, methods, train)
}

fn compiled_in(model: &Model, methods: &[Choice], train: TrainSelection) -> Result<TrainingProgram, CompilerError> {
    let chosen = methods.iter().map(|choice| Method::choose(methods::standard(), choice, "model.methods[0]").unwrap());
    let wanted = FineTuning { train, methods: chosen.collect(), ..fine_tuning(model) };
    compile(model, &wanted, &OperatorCatalog::standard())
}

/// Of a model of images, or of one of text whose rows are as long as the data has them.
fn fine_tuning(model: &Model) -> FineTuning {
    let inputs = model.inputs().into_iter().filter(|(name, _)| name != "x");
    let inputs = inputs.map(|(name, _)| (name, vec![ROWS.into(), prompts::TOKENS.into()])).collect();
    FineTuning { head: HeadChoice::keep(), inputs, ..FineTuning::head(ROWS, CLASSES) }
}

/// What models read, by the names of their inputs.
fn data<'a>(inputs: impl Iterator<Item = &'a str>) -> Vec<(String, DynValue)> {
    let of = |name: &str| match name {
        "x" => floats(&IMAGE, &numbers(IMAGE.iter().product(), 3)),
        other => prompts::rows(other),
    };
    inputs.map(|name| (name.to_owned(), of(name))).collect()
}

fn scores(model: &[u8]) -> Vec<f32> {
    let mut session = session(model);
    let inputs: Vec<String> = session.inputs().iter().map(|input| input.name().to_owned()).collect();
    run(&mut session, data(inputs.iter().map(String::as_str))).remove(0)
}

/// Whether what is added makes nothing at first, so that the first step is the model's own to the bit.
fn starts_at_zero(choice: &Choice) -> bool {
    choice.options["dora"] != true && choice.options["start"] != "pissa"
}

/// ‖W + s·A·B‖ of each output of a layer of the network, written out.
fn norms(layer: &str, [a, b]: [&[f32]; 2], (rank, scale): (usize, f64)) -> Vec<f64> {
    // shape; whether outputs come first; groups; what the weight is multiplied by
    let (shape, is_outputs_first, groups, factor): (&[usize], bool, usize, f64) = match layer {
        "plain" => (&[48, 32], true, 1, 1.0),
        "turned" => (&[40, 48], true, 1, 0.5),
        "columns" | "tied" => (&[40, 40], false, 1, 1.0),
        "encoder.strided" => (&[16, 4, 3, 3], true, 1, 1.0),
        "encoder.grouped" => (&[32, 8, 3, 3], true, 2, 1.0),
        other => panic!("layer `{other}` is not written down here"),
    };
    let stored = weight_values(&format!("{layer}.weight"), shape);
    let outputs = if is_outputs_first { shape[0] } else { shape[1] };
    let columns = stored.len() / outputs;
    let is_dense = shape.len() == 2;
    let used = |output: usize, column: usize| {
        let own = stored[if is_outputs_first { output * columns + column } else { column * outputs + output }];
        let first = output / (outputs / groups) * rank;
        let products = (0..rank).map(|k| {
            let a = if is_dense { a[column * rank + k] } else { a[(first + k) * columns + column] };
            let b = if is_dense { b[k * outputs + output] } else { b[output * rank + k] };
            f64::from(a) * f64::from(b)
        });
        factor * f64::from(own) + scale * products.sum::<f64>()
    };
    (0..outputs).map(|output| (0..columns).map(|column| used(output, column).powi(2)).sum::<f64>().sqrt()).collect()
}

/// Every sample on the transformer, and those that need no attention on the network without one as well; virtual tokens on
/// a model of text.
fn samples() -> impl Iterator<Item = (Choice, Model)> {
    // `peft` reads files: `compiler/tests/adapters/main.rs`
    let rows = methods::standard().rows().iter().filter(|row| row.name != "peft");
    let all =
        rows.flat_map(|row| row.samples.iter().map(|text| Choice::new(row.name, serde_json::from_str(text).unwrap())));
    all.flat_map(|choice| {
        if matches!(choice.name.as_str(), "p_tuning" | "prompt_tuning") || choice.options["moves_places"] == true {
            return vec![(choice, prompts::text(prompts::Text::default()))];
        }
        let by_roles = |layers: &serde_json::Value| layers.get("roles").is_some();
        let is_of_blocks = matches!(choice.name.as_str(), "adapter" | "ia3" | "prefix_tuning");
        let needs_attention = choice.options.get("layers").map_or(is_of_blocks, by_roles);
        let network = (!needs_attention).then(|| (choice.clone(), network().unwrap()));
        // of names or widths of the network, or with norms that are written out for its layers
        let is_of_network = matches!(choice.name.as_str(), "boft" | "oft" | "vera")
            || choice.options["dora"] == true
            || choice.options.get("rank_patterns").is_some();
        network.into_iter().chain((!is_of_network).then(|| (choice, transformer().unwrap()))).collect()
    })
}

/// Methods that stay beside the model.
const STAY: [&str; 3] = ["adapter", "prefix_tuning", "prompt_tuning"];
/// Methods whose first step is another than that of the model itself.
const START_ELSEWHERE: [&str; 3] = ["p_tuning", "prefix_tuning", "prompt_tuning"];

#[test]
fn the_first_step_is_that_of_the_model_itself_and_merged_computes_what_unmerged_does() {
    if !onnx_runtime::available() {
        return;
    }
    for (choice, model) in samples() {
        let untouched = compile(&model, &fine_tuning(&model), &OperatorCatalog::standard()).unwrap();
        let untouched = untouched.export(&untouched.parameters, &[]).unwrap();
        let base = scores(&untouched.to_vec());
        let program = compiled_in(&model, std::slice::from_ref(&choice), TrainSelection::Nothing).unwrap();
        let export = |parameters: &[Vec<f32>], adapters| program.export_with(parameters, adapters, &[]).unwrap();
        let both = [AdaptersOutput::Merged, AdaptersOutput::Unmerged];
        let largest = base.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let difference = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let starts_elsewhere = START_ELSEWHERE.contains(&choice.name.as_str());
        for adapters in both {
            let first = scores(&export(&program.parameters, adapters).to_vec());
            match starts_at_zero(&choice) {
                true => assert_eq!(first == base, !starts_elsewhere, "{choice:?}: {first:?}, {base:?}"),
                false => {
                    assert!(difference(&first, &base) < 2e-6 * largest.max(1.0), "{choice:?}: {first:?}, {base:?}")
                }
            }
        }
        // whatever it has learned
        let learned: Vec<Vec<f32>> = program
            .parameters
            .iter()
            .enumerate()
            .map(|(at, values)| numbers(values.len(), at).into_iter().map(|value| value * 0.2).collect())
            .collect();
        let [merged, unmerged] = both.map(|adapters| export(&learned, adapters));
        let (together, apart) = (scores(&merged.to_vec()), scores(&unmerged.to_vec()));
        assert!(difference(&together, &apart) < 2e-6 * largest.max(1.0), "{choice:?}: {together:?}, {apart:?}");
        assert!(difference(&together, &base) > 1e-3 * largest, "{choice:?} has changed nothing");
        // of layers without a bias of their own, that of B stays
        let stays = STAY.contains(&choice.name.as_str()) || choice.options["lora_bias"] == true;
        let same = merged.length() == unmerged.length();
        assert!(merged.length() < unmerged.length() || stays && same, "{choice:?}: merged, nothing is added");
    }
}

/// A mask that leaves out every seventh number.
fn mask(entry: &MaskEntry) -> (String, DynValue) {
    let shape: Vec<usize> = entry.shape.iter().map(|length| length.fixed().unwrap()).collect();
    let kept: Vec<bool> = (0..shape.iter().product()).map(|at| at % 7 != 3).collect();
    (entry.name.clone(), Tensor::from_array((shape, kept)).unwrap().into_dyn())
}

/// The loss and the gradients of the step, by parameter, against central differences of the evaluation graph. Those of `dora`
/// take its norm for a constant: where A or B is moved, the magnitude is moved with the norm, so that their quotient stays.
#[test]
fn gradients_of_what_is_added_are_central_differences() {
    if !onnx_runtime::available() {
        return;
    }
    for (choice, model) in samples() {
        let program = compiled_in(&model, std::slice::from_ref(&choice), TrainSelection::Nothing).unwrap();
        // B of zero would hide the gradient of A; powers of large rotations leave no function that is nearly straight
        let spread = if choice.name == "oft" { 0.1 } else { 1.0 };
        let drawn = |(at, values): (usize, &Vec<f32>)| -> Vec<f32> {
            numbers(values.len(), at).into_iter().map(|value| value * spread).collect()
        };
        let parameters: Vec<Vec<f32>> = program.parameters.iter().enumerate().map(drawn).collect();
        let named = |name: String| program.manifest.parameters.iter().position(|entry| entry.name == name);
        let inputs = |parameters: &[Vec<f32>]| {
            let targets: Vec<f32> = (0..ROWS * CLASSES).map(|at| f32::from(at % (CLASSES + 1) == 0)).collect();
            let mut inputs = data(program.manifest.inputs.iter().map(|entry| entry.name.as_str()));
            inputs.push((program.manifest.targets[0].name.clone(), floats(&[ROWS, CLASSES], &targets)));
            for (entry, values) in program.manifest.parameters.iter().zip(parameters) {
                inputs.push((entry.name.clone(), floats(&entry.shape, values)));
            }
            inputs.extend(program.manifest.masks.iter().map(mask));
            inputs
        };
        let mut step = session(&program.step().unwrap().to_vec());
        // what is dropped is dropped in the step alone
        let compared = if program.manifest.masks.is_empty() { program.evaluation() } else { program.step() };
        let mut evaluation = session(&compared.unwrap().to_vec());
        let names: Vec<String> = step.outputs().iter().map(|output| output.name().to_owned()).collect();
        let outputs: BTreeMap<String, Vec<f32>> = names.into_iter().zip(run(&mut step, inputs(&parameters))).collect();
        for (at, entry) in program.manifest.parameters.iter().enumerate() {
            let gradient = &outputs[&entry.gradient];
            let place = gradient.len() / 2;
            let layer = entry.name.split(".lora_").next().unwrap();
            let [a, b, magnitude] = ["lora_A.weight", "lora_B.weight", "lora_magnitude_vector"]
                .map(|part| named(format!("{layer}.{part}")));
            let is_factor = Some(at) == a || Some(at) == b;
            let norms_of = |parameters: &[Vec<f32>]| {
                let factors = [&parameters[a.unwrap()], &parameters[b.unwrap()]].map(Vec::as_slice);
                norms(layer, factors, (2, 1.5))
            };
            let mut loss_at = |delta: f32| {
                let mut moved = parameters.clone();
                moved[at][place] += delta;
                if let Some(magnitude) = magnitude.filter(|_| is_factor) {
                    let norms = norms_of(&parameters).into_iter().zip(norms_of(&moved));
                    let moves = moved[magnitude].iter_mut().zip(norms);
                    moves.for_each(|(value, (before, after))| *value = (f64::from(*value) * after / before) as f32);
                }
                f64::from(run(&mut evaluation, inputs(&moved))[0][0])
            };
            let got = f64::from(gradient[place]);
            // the nearest of several steps: attention bends within a long one, a short one is rounded away
            let differences = [4e-3, 1e-3, 3e-4].map(|h: f32| (loss_at(h) - loss_at(-h)) / (2.0 * f64::from(h)));
            let off = |wanted: f64| (got - wanted).abs() - 0.02 * wanted.abs();
            assert!(
                differences.into_iter().any(|wanted| off(wanted) < 2e-3),
                "{choice:?} {}: {got} {differences:?}",
                entry.name
            );
        }
    }
}

#[test]
fn layers_are_chosen_and_what_does_not_fit_is_told_at_its_place() {
    let lora = |options: serde_json::Value| Choice::new("lora", options);
    // options; names of the parameters without their ends, or what is said
    let rows = [
        (json!({}), Ok("plain turned columns tied")),
        (json!({"rank": 2, "layers": "convolution"}), Ok("encoder.strided encoder.grouped")),
        (json!({"rank": 2, "layers": "all"}), Ok("encoder.strided encoder.grouped plain turned columns tied")),
        (json!({"rank": 2, "layers": {"match": ["t*", "head"]}}), Ok("turned tied head")),
        (
            json!({"layers": {"match": ["plian"]}}),
            Err("layers.match: no linear layer or convolution matches `plian`; did you mean `plain`?"),
        ),
        (
            json!({"rank": 2, "layers": {"match": ["*.depthwise"]}}),
            Err("rank 2 holds no fewer numbers than the weights"),
        ),
        (json!({"rank": 500}), Err("rank 500 holds no fewer numbers than the weights themselves (`plain`)")),
    ];
    for (options, wanted) in rows {
        match (compiled(&[lora(options.clone())], TrainSelection::Nothing), wanted) {
            (Ok(program), Ok(wanted)) => {
                let names = program.manifest.parameters.iter().map(|entry| entry.name.as_str());
                let added: Vec<&str> = names.filter_map(|name| name.strip_suffix(".lora_A.weight")).collect();
                assert_eq!(added.join(" "), wanted, "{options}");
                assert_eq!(program.manifest.parameters.len(), 2 * added.len(), "nothing else is trained");
            }
            (Err(error), Err(wanted)) => {
                assert!(error.to_string().contains(wanted), "{error}");
                let CompilerError::Setting { place, .. } = error else { panic!("no place: {error}") };
                assert_eq!(place, "model.methods[0].lora");
            }
            (found, wanted) => panic!("{options}: wanted {wanted:?}, found {:?}", found.map(|_| ())),
        }
    }
    for (options, wanted) in [
        (json!({"rank": 0}), "rank is 1 or more, got 0"),
        (json!({"alpha": 1e40}), "alpha of 1"),
        (json!({"alpha": -1}), "alpha is a finite number above 0, got -1"),
        (json!({"layers": {"match": []}}), "layers.match: no pattern"),
        (json!({"ranks": 3}), "did you mean `rank`?"),
    ] {
        let error = Method::choose(methods::standard(), &lora(options), "model.methods[0]").unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn each_layer_of_a_report_has_its_roles() {
    let report = describe(&transformer().unwrap(), None, &OperatorCatalog::standard()).unwrap();
    let roles = |name: &str| {
        let layer = report.layers.iter().find(|layer| layer.name == name).unwrap();
        layer.roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(" ")
    };
    for (layer, wanted) in [
        ("encoder.0.qkv", "query key value"),
        ("encoder.1.key", "key"),
        ("encoder.0.up", "feed_forward_in"),
        ("encoder.1.down", "feed_forward_out"),
    ] {
        assert_eq!(roles(layer), wanted, "{layer}");
    }
}

#[test]
fn layers_are_chosen_by_what_they_do_and_what_is_not_there_is_told_with_what_was_found() {
    let compiled = |name: &str, options: serde_json::Value, model: &Model| {
        compiled_in(model, &[Choice::new(name, options)], TrainSelection::Nothing)
    };
    let (with, without) = (transformer().unwrap(), network().unwrap());
    // method; options; layers that something is added beside; what is said of their roles
    let rows = [
        (
            "lora",
            json!({"rank": 1, "layers": {"roles": ["query", "value"]}}),
            "encoder.0.qkv encoder.1.query encoder.1.value",
            "`lora` is at query (2 layers in 2 blocks), key (1 layer in 1 of 2 blocks), value (2 layers in 2 blocks)",
        ),
        (
            "lora",
            json!({"rank": 1, "layers": {"roles": ["query", "value"]}}),
            "encoder.0.qkv encoder.1.query encoder.1.value",
            "`encoder.0.qkv` makes queries, keys and values in one: `lora` goes to all of that, not only to query, value",
        ),
        (
            "lora",
            json!({"rank": 1, "layers": {"roles": ["feed_forward_in"]}}),
            "encoder.0.up encoder.1.up",
            "`lora` is at feed_forward_in (2 layers in 2 blocks)",
        ),
        (
            "ia3",
            json!({}),
            "encoder.0.qkv encoder.1.key encoder.1.value encoder.0.down encoder.1.down",
            "feed_forward_out (2 layers in 2 blocks)",
        ),
        (
            "adapter",
            json!({"placement": "pfeiffer"}),
            "encoder.0.down encoder.1.down",
            "`adapter` reads the normalized sum in 1 place(s), and what the layer gives in the others",
        ),
    ];
    for (name, options, layers, note) in rows {
        let program = compiled(name, options.clone(), &with).unwrap();
        let beside = |layer: &str| layer.rsplit_once('.').map(|(layer, _)| layer.to_owned()).unwrap();
        let mut found: Vec<String> = program.manifest.parameters.iter().map(|entry| beside(&entry.layer)).collect();
        found.dedup();
        assert_eq!(found.join(" "), layers, "{name} {options}");
        assert!(program.notes.iter().any(|found| found.contains(note)), "{name} {options}: {:?}", program.notes);
    }
    let linear = |layers: &str| {
        let program = compiled("lora", json!({"rank": 1, "layers": layers}), &with).unwrap();
        program.manifest.parameters.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(linear("all_linear"), linear("linear"));
    for (name, options, model, wanted) in [
        (
            "ia3",
            json!({}),
            &without,
            "layers.roles: no layer is `key`; found: no attention was found. Name layers with",
        ),
        ("adapter", json!({}), &without, "layers.roles: no layer is `output`; found: no attention was found"),
        ("adapter", json!({"layers": "convolution"}), &with, "`adapter` goes behind linear layers"),
    ] {
        let error = compiled(name, options, model).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(matches!(error, CompilerError::Setting { place, .. } if place == format!("model.methods[0].{name}")));
    }
    for (name, options, wanted) in [
        ("lora", json!({"layers": {"roles": []}}), "layers.roles: no role; there are query, key, value, output,"),
        ("lora", json!({"layers": {"roles": ["querry"]}}), "querry"),
        ("ia3", json!({"layers": null, "feed_forward": null}), "so nothing is scaled"),
        ("adapter", json!({"reduction": 0}), "reduction is 1 or more, got 0"),
        ("adapter", json!({"scale": -1}), "scale is a finite number above 0, got -1"),
        ("adapter", json!({"placement": "parallel", "layers": "linear"}), "say where they go"),
    ] {
        let choice = Choice::new(name, options);
        let error = Method::choose(methods::standard(), &choice, "model.methods[0]").unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

/// What is added later lies within what was added before, and is merged first.
#[test]
fn methods_on_the_same_layers_merge_to_what_they_compute_in_any_order() {
    if !onnx_runtime::available() {
        return;
    }
    let lora = || Choice::new("lora", json!({"rank": 2, "layers": "all"}));
    let pissa = || Choice::new("lora", json!({"rank": 2, "start": "pissa", "layers": "all"}));
    let ia3 = || Choice::new("ia3", json!({"layers": "all", "feed_forward": "all"}));
    let adapter = || Choice::new("adapter", json!({"layers": "linear"}));
    let rows = [
        vec![lora(), ia3()],
        vec![ia3(), lora()],
        vec![pissa(), ia3()],
        vec![ia3(), pissa()],
        vec![ia3(), ia3()],
        vec![ia3(), adapter(), lora()],
        vec![lora(), ia3(), adapter(), ia3()],
    ];
    let runs = rows.iter().flat_map(|row| [(row, network().unwrap()), (row, transformer().unwrap())]);
    // the model's own weights may be trained beside what is added to them
    let runs = runs.flat_map(|(row, model)| {
        [TrainSelection::Nothing, TrainSelection::All].map(|train| (row, model.clone(), train))
    });
    for (methods, model, train) in runs {
        let program = compiled_in(&model, methods, train).unwrap();
        let learned: Vec<Vec<f32>> = program
            .parameters
            .iter()
            .enumerate()
            .map(|(at, values)| {
                values.iter().zip(numbers(values.len(), at)).map(|(first, by)| first + 0.2 * by).collect()
            })
            .collect();
        let [merged, unmerged] = [AdaptersOutput::Merged, AdaptersOutput::Unmerged]
            .map(|adapters| scores(&program.export_with(&learned, adapters, &[]).unwrap().to_vec()));
        let largest = merged.iter().fold(1.0, |largest: f32, value| largest.max(value.abs()));
        let apart = merged.iter().zip(&unmerged).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 4e-6 * largest, "{methods:?}: {merged:?}, {unmerged:?}");
    }
}

#[test]
fn two_methods_on_different_layers_and_a_weight_that_something_else_reads_merge_to_what_they_compute() {
    if !onnx_runtime::available() {
        return;
    }
    let on = |layer: &str| Choice::new("lora", json!({"rank": 2, "layers": {"match": [layer]}}));
    let program = compiled(&[on("plain"), on("turned"), on("columns")], TrainSelection::Nothing).unwrap();
    let layers: Vec<&str> = program.manifest.parameters.iter().map(|entry| entry.layer.as_str()).collect();
    let wanted = ["plain", "turned", "columns"].map(|name| ["lora_A", "lora_B"].map(|part| format!("{name}.{part}")));
    assert_eq!(layers, wanted.concat());

    // an embedding whose table, transposed, makes the scores as well
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let ids = graph.input("ids", TensorType { dtype: ElementType::I64, shape: vec![ROWS.into()] });
    let table = weight(&mut graph, "table", &[CLASSES, 16]);
    let embedded = graph.add("Gather", &[table, ids], &[]).unwrap();
    let hidden = weight(&mut graph, "hidden.weight", &[16, 16]);
    let hidden = graph.add("MatMul", &[embedded, hidden], &[]).unwrap();
    let turned = graph.add("Transpose", &[table], &[]).unwrap();
    let scores = graph.add("MatMul", &[hidden, turned], &[]).unwrap();
    graph.set_outputs(&[scores]);
    let model = Model::from_bytes(graph.to_onnx("tied")).unwrap();
    let everywhere = Choice::new("lora", json!({"rank": 1, "layers": {"match": ["*"]}}));
    let lora = Method::choose(methods::standard(), &everywhere, "model.methods[0]").unwrap();
    let wanted = FineTuning {
        head: HeadChoice::keep(),
        train: TrainSelection::Nothing,
        methods: vec![lora],
        ..FineTuning::head(ROWS, CLASSES)
    };
    let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
    assert!(program.notes.iter().any(|note| note.contains("something else reads")), "{:?}", program.notes);
    let learned: Vec<Vec<f32>> =
        program.parameters.iter().enumerate().map(|(at, values)| numbers(values.len(), at)).collect();
    let [merged, unmerged] = [AdaptersOutput::Merged, AdaptersOutput::Unmerged].map(|adapters| {
        let exported = program.export_with(&learned, adapters, &[]).unwrap();
        let ids = ort::value::Tensor::from_array((vec![ROWS], vec![3i64, 1])).unwrap().into_dyn();
        run(&mut session(&exported.to_vec()), vec![("ids".to_owned(), ids)]).remove(0)
    });
    assert_eq!(merged, unmerged);
}

#[test]
fn a_new_head_that_nobody_trains_is_refused_and_layer_decay_reaches_what_is_added() {
    let lora = Method::choose(methods::standard(), &Choice::new("lora", json!({})), "model.methods[0]").unwrap();
    let wanted = FineTuning { methods: vec![lora], layer_decay: 0.5, ..FineTuning::head(ROWS, CLASSES) };
    let nothing = FineTuning { train: TrainSelection::Nothing, ..wanted.clone() };
    let error = compile(&network().unwrap(), &nothing, &OperatorCatalog::standard()).unwrap_err().to_string();
    assert!(error.contains("the new head would stay as it was drawn"), "{error}");
    let program = compile(&network().unwrap(), &wanted, &OperatorCatalog::standard()).unwrap();
    let rate = |layer: &str| {
        let mut entries = program.manifest.parameters.iter();
        entries.find(|entry| entry.layer == layer).unwrap().learning_rate_multiplier
    };
    assert_eq!(
        ["head", "tied.lora_A", "columns.lora_B", "turned.lora_A", "plain.lora_A"].map(rate),
        [1.0, 0.5, 0.25, 0.125, 0.0625]
    );
}

#[test]
fn methods_go_together_with_layers_that_are_trained_and_learn_at_their_own_rates() {
    let plus = Choice::new("lora", json!({"rank": 2, "b_learning_rate_ratio": 16, "layers": {"match": ["plain"]}}));
    let program = compiled(&[plus.clone(), plus], TrainSelection::Head).unwrap();
    let entries = program.manifest.parameters.iter();
    let found: Vec<(&str, f32)> = entries.map(|entry| (entry.name.as_str(), entry.learning_rate_multiplier)).collect();
    let wanted = [
        ("head.weight", 1.0),
        ("head.bias", 1.0),
        ("plain.lora_A.weight", 1.0),
        ("plain.lora_B.weight", 16.0),
        ("plain.lora_A.weight_2", 1.0),
        ("plain.lora_B.weight_2", 16.0),
    ];
    assert_eq!(found, wanted);
    assert_eq!(program.trained, 40 * 5 + 5 + 2 * (32 * 2 + 2 * 48));
    assert!(
        program.notes.iter().any(|note| note == "`lora` adds 160 numbers beside 1 layer, `plain` first"),
        "{:?}",
        program.notes
    );
}
