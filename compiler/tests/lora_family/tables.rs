//! `lora` on tables of embeddings.

use std::collections::BTreeMap;

use millstream_compiler::adapter_files::{ModuleAdapter, PeftFolder};
use millstream_compiler::finetuning::methods;
use millstream_compiler::graph::{Constant, ElementType, Graph, TensorType};
use millstream_compiler::{
    CompilerError, FineTuning, HeadChoice, Method, Model, OperatorCatalog, TrainingProgram, compile,
};
use millstream_schemas::Choice;
use millstream_schemas::recipe::{AdaptersOutput, TrainSelection};
use serde_json::{Value, json};

use crate::onnx_runtime::{self, floats, run, session};
use crate::{assert_close, numbers, scaled, turned};

/// By peft 0.21.2 on torch 2.15.0: nn.Embedding(7, 6) of `numbers(42, 4)` at the rows 3, 1 and 3.
const EMBEDDED: [f32; 18] = [
    -0.493626, -0.619529, -0.390109, -0.516012, -0.641914, -0.767817, 0.411452, 0.233759, 0.96911, 0.791417, 0.613724,
    0.436031, -0.493626, -0.619529, -0.390109, -0.516012, -0.641914, -0.767817,
];

/// The same with `use_dora` and the magnitudes `numbers(6, 12)` + 1.5.
const EMBEDDED_WITH_MAGNITUDES: [f32; 18] = [
    -0.390133, -0.423216, -0.296418, -0.380927, -0.359647, -0.428357, 0.325187, 0.159687, 0.736363, 0.584234, 0.343853,
    0.243257, -0.390133, -0.423216, -0.296418, -0.380927, -0.359647, -0.428357,
];

/// Ids, a table of embeddings, and a head that hands on what it reads.
fn embedded(is_tied: bool) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let ids = graph.input("ids", TensorType { dtype: ElementType::I64, shape: vec![3.into()] });
    let table = graph.constant("table.weight", Constant::f32([7, 6], &numbers(42, 4)));
    let rows = graph.add("Gather", &[table, ids], &[]).unwrap();
    let scores = if is_tied {
        let turned = graph.add("Transpose", &[table], &[]).unwrap();
        graph.add("MatMul", &[rows, turned], &[]).unwrap()
    } else {
        let identity: Vec<f32> = (0..36).map(|at| f32::from(at / 6 == at % 6)).collect();
        let head = graph.constant("head.weight", Constant::f32([6, 6], &identity));
        graph.add("MatMul", &[rows, head], &[]).unwrap()
    };
    graph.set_outputs(&[scores]);
    Model::from_bytes(graph.to_onnx("embedded")).unwrap()
}

fn tuned_table(options: Value, is_tied: bool) -> Result<TrainingProgram, CompilerError> {
    let lora = Method::choose(methods::standard(), &Choice::new("lora", options), "model.methods[0]").unwrap();
    let classes = if is_tied { 7 } else { 6 };
    let (head, train) = (HeadChoice::keep(), TrainSelection::Nothing);
    let wanted = FineTuning { head, train, methods: vec![lora], ..FineTuning::head(3, classes) };
    compile(&embedded(is_tied), &wanted, &OperatorCatalog::standard())
}

#[test]
fn a_table_of_embeddings_that_is_named_is_adapted_as_peft_does() {
    if !onnx_runtime::available() {
        return;
    }
    let options = json!({"rank": 2, "alpha": 6, "layers": {"match": ["table"]}});
    let program = tuned_table(options.clone(), false).unwrap();
    let names: Vec<&str> = program.manifest.parameters.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["table.lora_embedding_A", "table.lora_embedding_B"]);
    assert!(program.parameters[0].iter().all(|value| *value == 0.0) && program.parameters[1][0] != 0.0);
    let learned = vec![turned(&scaled(numbers(14, 10), 0.5), 2), turned(&scaled(numbers(12, 11), 0.5), 6)];
    let ids = || ort::value::Tensor::from_array((vec![3], vec![3i64, 1, 3])).unwrap().into_dyn();
    let rows = |parameters: &[Vec<f32>], adapters| {
        let model = program.export_with(parameters, adapters, &[]).unwrap().to_vec();
        run(&mut session(&model), vec![("ids".to_owned(), ids())]).remove(0)
    };
    let table = numbers(42, 4);
    let base: Vec<f32> = [3, 1, 3].iter().flat_map(|row| table[row * 6..(row + 1) * 6].to_vec()).collect();
    for adapters in [AdaptersOutput::Merged, AdaptersOutput::Unmerged] {
        assert_eq!(rows(&program.parameters, adapters), base, "the start");
        assert_close(&rows(&learned, adapters), &EMBEDDED, 3e-6, "learned");
    }
    let (mut step, mut evaluation) =
        (session(&program.step().unwrap().to_vec()), session(&program.evaluation().unwrap().to_vec()));
    let inputs = |parameters: &[Vec<f32>]| {
        let targets: Vec<f32> = (0..18).map(|at| f32::from(at % 7 == 0)).collect();
        let mut inputs = vec![("ids".to_owned(), ids())];
        inputs.push((program.manifest.targets[0].name.clone(), floats(&[3, 6], &targets)));
        for (entry, values) in program.manifest.parameters.iter().zip(parameters) {
            inputs.push((entry.name.clone(), floats(&entry.shape, values)));
        }
        inputs
    };
    let outputs: Vec<String> = step.outputs().iter().map(|output| output.name().to_owned()).collect();
    let outputs: BTreeMap<String, Vec<f32>> = outputs.into_iter().zip(run(&mut step, inputs(&learned))).collect();
    for (at, entry) in program.manifest.parameters.iter().enumerate() {
        for (place, got) in outputs[&entry.gradient].iter().enumerate() {
            let mut loss_at = |delta: f32| {
                let mut moved = learned.clone();
                moved[at][place] += delta;
                f64::from(run(&mut evaluation, inputs(&moved))[0][0])
            };
            let wanted = (loss_at(4e-3) - loss_at(-4e-3)) / 8e-3;
            assert!((f64::from(*got) - wanted).abs() < 1e-3, "{} {place}: {got} {wanted}", entry.name);
        }
    }
    // a table that makes the scores as well stays what it is
    let tied = tuned_table(options, true).unwrap();
    assert!(
        tied.notes.iter().any(|note| note.contains("something else reads the weight of `table`")),
        "{:?}",
        tied.notes
    );
}

/// The norm of a magnitude is over all rows of the table.
#[test]
fn a_table_of_embeddings_has_the_magnitudes_that_peft_gives_it() {
    let options = json!({"rank": 2, "alpha": 6, "dora": true, "layers": {"match": ["table"]}});
    let program = tuned_table(options, false).unwrap();
    let names: Vec<&str> = program.manifest.parameters.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["table.lora_embedding_A", "table.lora_embedding_B", "table.lora_magnitude_vector"]);
    let table = numbers(42, 4);
    let norm = |column: usize| (0..7).map(|row| table[row * 6 + column].powi(2)).sum::<f32>().sqrt();
    let norms: Vec<f32> = (0..6).map(norm).collect();
    assert_close(&program.parameters[2], &norms, 1e-6, "magnitudes at the start");
    let magnitudes: Vec<f32> = numbers(6, 12).into_iter().map(|number| number + 1.5).collect();
    let learned =
        vec![turned(&scaled(numbers(14, 10), 0.5), 2), turned(&scaled(numbers(12, 11), 0.5), 6), magnitudes.clone()];
    // as PEFT has it, and back
    let adapter = program.adapters(&learned).unwrap().remove(0);
    assert_eq!(PeftFolder::of(&adapter).adapter().unwrap(), adapter);
    let ModuleAdapter::LowRank { magnitude: Some(magnitude), is_table: true, .. } = &adapter.modules["table"] else {
        panic!("{:?}", adapter.modules)
    };
    assert_eq!(magnitude.values(), magnitudes);
    if !onnx_runtime::available() {
        return;
    }
    let ids = || ort::value::Tensor::from_array((vec![3], vec![3i64, 1, 3])).unwrap().into_dyn();
    let rows = |parameters: &[Vec<f32>], adapters| {
        let model = program.export_with(parameters, adapters, &[]).unwrap().to_vec();
        run(&mut session(&model), vec![("ids".to_owned(), ids())]).remove(0)
    };
    let base: Vec<f32> = [3, 1, 3].iter().flat_map(|row| table[row * 6..(row + 1) * 6].to_vec()).collect();
    for adapters in [AdaptersOutput::Merged, AdaptersOutput::Unmerged] {
        assert_close(&rows(&program.parameters, adapters), &base, 1e-6, "the start");
        assert_close(&rows(&learned, adapters), &EMBEDDED_WITH_MAGNITUDES, 3e-6, "learned");
    }
}

#[test]
fn what_stays_in_the_model_is_no_adapter_for_it() {
    let options = json!({"rank": 2, "layers": {"match": ["table"]}});
    assert!(tuned_table(options.clone(), false).unwrap().require_adapters(true).is_ok());
    let tied = tuned_table(options, true).unwrap();
    assert!(tied.require_adapters(false).is_ok());
    let error = tied.require_adapters(true).unwrap_err().to_string();
    assert!(error.contains("what `lora` adds stays beside the model") && error.contains("write `peft`"), "{error}");
}

#[test]
fn tables_are_adapted_only_where_they_are_named_and_not_by_pissa() {
    let refused = |options: Value| tuned_table(options, false).unwrap_err().to_string();
    let both = tuned_table(json!({"rank": 1, "layers": {"match": ["t*", "head"]}}), false).unwrap();
    let layers: Vec<&str> = both.manifest.parameters.iter().map(|entry| entry.layer.as_str()).collect();
    assert_eq!(layers, ["table.lora_embedding_A", "table.lora_embedding_B", "head.lora_A", "head.lora_B"]);
    for (options, said) in [
        (json!({"rank": 1}), "the model has no linear layer or convolution beside its head"),
        (json!({"rank": 1, "layers": {"match": ["tabel"]}}), "no linear layer or convolution matches `tabel`"),
        (json!({"rank": 1, "start": "pissa", "layers": {"match": ["table"]}}), "`start: pissa` is not for tables"),
    ] {
        let error = refused(options);
        assert!(error.contains(said), "{error}");
    }
}
