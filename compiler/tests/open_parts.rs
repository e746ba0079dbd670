//! Tables of which a sequence of open length takes a part, and windows over one that end in a part of a window: one step takes
//! several lengths, and gives for each what a step of that length gives.
#![expect(clippy::print_stdout, reason = "a test that is left out says so")]

mod onnx_runtime;

use millstream_compiler::graph::{Attribute, Constant, Graph, Length, TensorType, ValueId};
use millstream_compiler::{CompilerError, FineTuning, HeadChoice, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_schemas::AxisLength;
use millstream_schemas::recipe::TrainSelection;

use onnx_runtime::{floats, run, session};

const CLASSES: usize = 5;
const WIDTH: usize = 4;
const LONGEST: usize = 24;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn weight(graph: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
    let values = numbers(shape.iter().product(), name.len());
    graph.constant(name, Constant::f32(shape, &values))
}

fn integers(graph: &mut Graph, values: &[i64]) -> ValueId {
    graph.constant("integers", Constant::i64([values.len()], values))
}

type Part = fn(&mut Graph, ValueId, ValueId) -> Result<ValueId, CompilerError>;

/// `x` [batch, sequence, 4] and the part of a table that `part` adds to it → dense layer → `scores` [batch, 5].
fn network(part: Part) -> Result<Model, CompilerError> {
    let mut graph = Graph::new(19, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), Length::named("sequence"), WIDTH.into()]));
    let lengths = graph.append("Shape", &[x], &[], "lengths")?;
    let second = integers(&mut graph, &[1]);
    let sequence = graph.append("Gather", &[lengths, second], &[], "length")?;
    let mixed = part(&mut graph, x, sequence)?;
    let mean: [(&str, Attribute); 2] = [("axes", vec![1].into()), ("keepdims", 0.into())];
    let axes = integers(&mut graph, &[1]);
    let mean = graph.append("ReduceMean", &[mixed, axes], &mean[1..], "mean")?;
    let head = weight(&mut graph, "head.weight", &[WIDTH, CLASSES]);
    let scores = graph.append("Gemm", &[mean, head], &[], "scores")?;
    graph.output(scores);
    Model::from_bytes(graph.to_onnx("parts"))
}

/// Rows of a table from `start` to `end`.
fn rows(graph: &mut Graph, table: ValueId, start: ValueId, end: ValueId) -> Result<ValueId, CompilerError> {
    let axes = integers(graph, &[0]);
    graph.append("Slice", &[table, start, end, axes], &[], "part")
}

/// The last entries of a table, from a start that may be counted from either end, as MPT has its biases.
fn last_entries(graph: &mut Graph, x: ValueId, sequence: ValueId) -> Result<ValueId, CompilerError> {
    let table = weight(graph, "bias.weight", &[LONGEST, WIDTH]);
    let (longest, end) = (integers(graph, &[LONGEST as i64]), integers(graph, &[i64::MAX]));
    let start = graph.append("Sub", &[longest, sequence], &[], "start")?;
    let part = rows(graph, table, start, end)?;
    graph.append("Add", &[x, part], &[], "mixed")
}

/// The same from a start that is at least 0.
fn last_entries_from_the_front(graph: &mut Graph, x: ValueId, sequence: ValueId) -> Result<ValueId, CompilerError> {
    let table = weight(graph, "bias.weight", &[LONGEST, WIDTH]);
    let (longest, end) = (integers(graph, &[LONGEST as i64]), integers(graph, &[i64::MAX]));
    let start = graph.append("Sub", &[longest, sequence], &[], "distance")?;
    let zero = integers(graph, &[0]);
    let start = graph.append("Max", &[start, zero], &[], "start")?;
    let part = rows(graph, table, start, end)?;
    graph.append("Add", &[x, part], &[], "mixed")
}

/// Both sides of the middle of a table, as DeBERTa has its relative positions: products with each of them are added up.
fn around_the_middle(graph: &mut Graph, x: ValueId, sequence: ValueId) -> Result<ValueId, CompilerError> {
    let table = weight(graph, "positions.weight", &[2 * LONGEST, WIDTH]);
    let middle = integers(graph, &[LONGEST as i64]);
    let start = graph.append("Sub", &[middle, sequence], &[], "start")?;
    let end = graph.append("Add", &[middle, sequence], &[], "end")?;
    let part = rows(graph, table, start, end)?;
    let turned = graph.append("Transpose", &[part], &[("perm", vec![1, 0].into())], "turned")?;
    let alike = graph.append("MatMul", &[x, turned], &[], "alike")?;
    let shares = graph.append("Softmax", &[alike], &[], "shares")?;
    graph.append("MatMul", &[shares, part], &[], "mixed")
}

/// Windows of two tokens, the last of which may have one, as Funnel pools; of three that overlap; and the largest of two.
fn windows(graph: &mut Graph, x: ValueId, _: ValueId) -> Result<ValueId, CompilerError> {
    let dense = weight(graph, "dense.weight", &[WIDTH, WIDTH]);
    let mut value = graph.append("MatMul", &[x, dense], &[], "dense")?;
    value = graph.append("Transpose", &[value], &[("perm", vec![0, 2, 1].into())], "channels")?;
    for (operator, size, stride, pads) in
        [("AveragePool", 2, 2, [0, 0]), ("AveragePool", 3, 2, [1, 0]), ("MaxPool", 2, 2, [0, 0])]
    {
        let attributes: [(&str, Attribute); 4] = [
            ("ceil_mode", 1.into()),
            ("kernel_shape", vec![size].into()),
            ("strides", vec![stride].into()),
            ("pads", pads.to_vec().into()),
        ];
        value = graph.append(operator, &[value], &attributes, "pooled")?;
    }
    graph.append("Transpose", &[value], &[("perm", vec![0, 2, 1].into())], "mixed")
}

fn compiled(
    model: &Model,
    train: &TrainSelection,
    batch: AxisLength,
    sequence: AxisLength,
) -> Result<TrainingProgram, CompilerError> {
    let wanted = FineTuning {
        inputs: [("x".to_owned(), vec![batch.clone(), sequence, WIDTH.into()])].into(),
        head: HeadChoice::keep(),
        train: train.clone(),
        ..FineTuning::head(batch, CLASSES)
    };
    compile(model, &wanted, &OperatorCatalog::standard())
}

/// What a step gives for so many rows of this length.
fn step(program: &TrainingProgram, batch: usize, sequence: usize) -> Result<Vec<Vec<f32>>, CompilerError> {
    let mut inputs = vec![("x".to_owned(), floats(&[batch, sequence, WIDTH], &numbers(batch * sequence * WIDTH, 3)))];
    let targets: Vec<f32> = (0..batch * CLASSES).map(|at| f32::from(u8::from(at % CLASSES == at / CLASSES))).collect();
    inputs.push((program.manifest.targets[0].name.clone(), floats(&[batch, CLASSES], &targets)));
    for (entry, values) in program.manifest.parameters.iter().zip(&program.parameters) {
        inputs.push((entry.name.clone(), floats(&entry.shape, values)));
    }
    Ok(run(&mut session(&program.step()?.to_vec()), inputs))
}

#[test]
fn a_step_of_open_lengths_takes_parts_of_tables_and_of_windows() -> Result<(), CompilerError> {
    let all: [(&str, Part, &[usize]); 4] = [
        ("last entries", last_entries, &[1, 2, 13, LONGEST]),
        ("last entries from the front", last_entries_from_the_front, &[1, 2, 13, LONGEST]),
        ("around the middle", around_the_middle, &[1, 2, 13, LONGEST]),
        ("windows", windows, &[7, 8, 9, 10, 11, 12, 23]),
    ];
    for (name, part, lengths) in all {
        let model = network(part)?;
        let open = compiled(&model, &TrainSelection::All, "batch".into(), "sequence".into())?;
        assert_eq!(open.manifest.parameters.len(), 2, "{name}");
        if !onnx_runtime::available() {
            println!("left out, there is no ONNX Runtime");
            continue;
        }
        for sequence in lengths {
            let fixed = compiled(&model, &TrainSelection::All, 3.into(), (*sequence).into())?;
            let (got, wanted) = (step(&open, 3, *sequence)?, step(&fixed, 3, *sequence)?);
            assert_eq!(got.len(), wanted.len());
            for (got, wanted) in got.iter().zip(&wanted) {
                let largest = wanted.iter().fold(1e-6, |largest: f32, value| largest.max(value.abs()));
                assert_eq!(got.len(), wanted.len(), "{name} of {sequence}");
                let apart = got.iter().zip(wanted).map(|(got, wanted)| (got - wanted).abs() / largest);
                let apart = apart.fold(0.0, f32::max);
                assert!(apart <= 2e-6, "{name} of {sequence}: {apart:.1e} apart: {got:?} instead of {wanted:?}");
            }
        }
    }
    Ok(())
}

/// A table that is repeated so often as the data say at each run: nobody knows how long that is before.
fn of_unknown_length(graph: &mut Graph, x: ValueId, sequence: ValueId) -> Result<ValueId, CompilerError> {
    let table = weight(graph, "bias.weight", &[LONGEST, WIDTH]);
    let (back, end, step) = (integers(graph, &[-1]), integers(graph, &[i64::MIN + 1]), integers(graph, &[-2]));
    let axes = integers(graph, &[0]);
    let start = graph.append("Sub", &[sequence, back], &[], "start")?;
    let part = graph.append("Slice", &[table, start, end, axes, step], &[], "part")?;
    let first = integers(graph, &[0]);
    let first = graph.append("Gather", &[part, first], &[], "first")?;
    graph.append("Add", &[x, first], &[], "mixed")
}

#[test]
fn lengths_that_are_open_in_the_frozen_part_do_not_stop_a_head_from_being_trained() -> Result<(), CompilerError> {
    let model = network(of_unknown_length)?;
    let head = compiled(&model, &TrainSelection::Head, "batch".into(), "sequence".into())?;
    assert_eq!(head.manifest.parameters.len(), 1);
    if onnx_runtime::available() {
        for sequence in [1, 6, 7] {
            let fixed = compiled(&model, &TrainSelection::Head, 3.into(), sequence.into())?;
            assert_eq!(step(&head, 3, sequence)?, step(&fixed, 3, sequence)?, "{sequence}");
        }
    }
    let error = compiled(&model, &TrainSelection::All, "batch".into(), "sequence".into()).err().map(|e| e.to_string());
    let error = error.unwrap_or_default();
    assert!(error.contains("`part` (Slice)") && error.contains("is open"), "{error}");
    Ok(())
}
