//! An operator from outside the crate: its row is written here, and a model that uses it is compiled.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use millstream_compiler::backward::Expansion;
use millstream_compiler::graph::{Constant, Graph, TensorType, ValueId};
use millstream_compiler::operators::{Gradient, Operator, Sample, TypeRuleInput, varied};
use millstream_compiler::{CompilerError, FineTuning, Model, OperatorCatalog, compile, describe};
use millstream_schemas::recipe::TrainSelection;
use onnx_runtime::{floats, run, session};

const DOMAIN: &str = "test.extension";
/// Rows in a batch, numbers in a row, classes.
const SIZES: (usize, usize, usize) = (2, 4, 3);

/// `test.extension.Swish`: y = x · sigmoid(β · x), with β = 1 unless it is given.
const SWISH: Operator = Operator {
    domain: DOMAIN,
    name: "Swish",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || vec![Sample::new("default beta", vec![varied(&[2, 3])], vec![])],
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    if x.shape.is_empty() {
        return Err(rule.error("takes no single number"));
    }
    Ok(vec![x.clone()])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let x = node.input(0)?;
    let beta = node.graph.scalar(node.node.float("beta").unwrap_or(1.0));
    let scaled = node.graph.times(x, beta)?;
    let gate = node.graph.add("Sigmoid", &[scaled], &[])?;
    Ok(vec![node.graph.times(x, gate)?])
}

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// x → dense → what `bend` makes of it → dense.
fn network(catalog: &OperatorCatalog, bend: impl Fn(&mut Graph, ValueId) -> Result<ValueId, CompilerError>) -> Model {
    let (rows, width, classes) = SIZES;
    let mut graph = Graph::new(17, catalog.clone());
    let x = graph.input("x", TensorType::f32([rows, width]));
    let weight = |graph: &mut Graph, name: &str, shape: &[usize]| {
        graph.constant(name, Constant::f32(shape, &numbers(shape.iter().product(), name.len())))
    };
    let body = weight(&mut graph, "body.weight", &[width, width]);
    let head = weight(&mut graph, "head.weight", &[width, classes]);
    let hidden = graph.add("MatMul", &[x, body], &[]).unwrap();
    let bent = bend(&mut graph, hidden).unwrap();
    graph.rename(bent, "bent").unwrap();
    let logits = graph.add("Gemm", &[bent, head], &[]).unwrap();
    graph.output(logits);
    Model::from_bytes(graph.to_onnx("network")).unwrap()
}

/// Whether a model has a node of this operator.
fn holds(model: &[u8], operator: &str) -> bool {
    let field = [&[0x22, operator.len() as u8], operator.as_bytes()].concat(); // field 4 of a node: its operator
    model.windows(field.len()).any(|window| window == field)
}

#[test]
fn a_model_with_an_operator_of_its_own_is_trained_and_keeps_the_operator() {
    let catalog = OperatorCatalog::standard().with_operator(SWISH);
    let beta = [("beta", 0.5.into())];
    let swish = |graph: &mut Graph, x| Ok(graph.add_in(DOMAIN, "Swish", &[Some(x)], &beta, 1)?[0]);
    let model = network(&catalog, swish);
    let head = FineTuning::head(SIZES.0, SIZES.2);
    let all = FineTuning { train: TrainSelection::All, ..head.clone() };

    let program = compile(&model, &all, &catalog).unwrap();
    let files = [program.step(), program.evaluation(), program.export(&program.parameters, &[])];
    let found = files.map(|file| holds(&file.unwrap().to_vec(), "Swish"));
    assert_eq!(found, [false, true, true], "only the step, which needs the gradient, holds other nodes in its place");
    let of_head = compile(&model, &head, &catalog).unwrap();
    assert!(holds(&of_head.step().unwrap().to_vec(), "Swish"), "below the trained layers nothing is expanded");

    let report = describe(&model, Some(&all), &catalog).unwrap();
    let row = report.operators.iter().find(|row| row.operator == "test.extension.Swish").unwrap();
    assert_eq!((row.nodes, row.gradient, row.on_trained_path), (1, true, 1));
    let error = compile(&model, &all, &OperatorCatalog::standard()).unwrap_err().to_string();
    assert!(error.contains("operator test.extension.Swish (opset 1), node `Swish`: it is not in the"), "{error}");

    // the same function by operators that the runtime has: the step is theirs, to the last bit
    let spelled = network(&catalog, |graph, x| {
        let beta = graph.scalar(0.5);
        let scaled = graph.times(x, beta)?;
        let gate = graph.add("Sigmoid", &[scaled], &[])?;
        graph.times(x, gate)
    });
    let spelled = compile(&spelled, &all, &catalog).unwrap();
    assert_eq!(spelled.manifest.parameters.len(), 2);
    if !onnx_runtime::available() {
        return;
    }
    let outputs = [&program, &spelled].map(|program| {
        let manifest = &program.manifest;
        let mut inputs = vec![
            ("x".to_owned(), floats(&[SIZES.0, SIZES.1], &numbers(SIZES.0 * SIZES.1, 1))),
            (manifest.targets[0].name.clone(), floats(&[SIZES.0, SIZES.2], &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0])),
        ];
        let values = manifest.parameters.iter().zip(&program.parameters);
        inputs.extend(values.map(|(entry, values)| (entry.name.clone(), floats(&entry.shape, values))));
        run(&mut session(&program.step().unwrap().to_vec()), inputs)
    });
    assert_eq!(outputs[0], outputs[1]);
    assert!(outputs[0][2..].iter().all(|gradient| gradient.iter().any(|value| *value != 0.0)));
}

#[test]
fn an_expansion_that_does_not_compute_the_same_type_or_never_ends_is_refused() {
    let endless: fn(&mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> = |node| {
        let x = node.node.input(0);
        node.graph.add_in(DOMAIN, "Swish", &[x], &[], 1)
    };
    let rows: [(_, &str); 3] = [
        (endless, "expansions"),
        (
            |node| {
                let x = node.input(0)?;
                Ok(vec![node.graph.transpose(x, &[1, 0])?])
            },
            "float32 [4, 2] stands for it, wanted float32 [2, 4]",
        ),
        (|_| Ok(vec![]), "nothing stands for it"),
    ];
    for (rule, reason) in rows {
        let catalog = OperatorCatalog::standard().with_operator(Operator { gradient: Gradient::Expand(rule), ..SWISH });
        let model = network(&catalog, |graph, x| Ok(graph.add_in(DOMAIN, "Swish", &[Some(x)], &[], 1)?[0]));
        let all = FineTuning { train: TrainSelection::All, ..FineTuning::head(SIZES.0, SIZES.2) };
        let error = compile(&model, &all, &catalog).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    // a value that was there before stands for the output as well
    let same: fn(&mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> = |node| Ok(vec![node.input(0)?]);
    let catalog = OperatorCatalog::standard().with_operator(Operator { gradient: Gradient::Expand(same), ..SWISH });
    let model = network(&catalog, |graph, x| Ok(graph.add_in(DOMAIN, "Swish", &[Some(x)], &[], 1)?[0]));
    let all = FineTuning { train: TrainSelection::All, ..FineTuning::head(SIZES.0, SIZES.2) };
    assert!(holds(&compile(&model, &all, &catalog).unwrap().step().unwrap().to_vec(), "Identity"));
}
