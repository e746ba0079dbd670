//! Graphs as skl2onnx writes them.

use millstream_compiler::{Model, OperatorCatalog, compile, describe};
use prost::Message;

use crate::onnx_file::onnx::{ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, type_proto};
use crate::onnx_file::{Value, floats, graph, integers, model, node, of_type, rows, weight};
use crate::{
    CLASSES, FLOAT, answer, compiled, everything, holds, holds_within, ints, lengths_of, network, onnx_runtime, slopes,
};

fn numbers(tensor: &str, count: usize) -> Value {
    Value::Floats(weight(tensor, &[count as i64]).float_data)
}

fn classifier(post_transform: &'static str, outputs: &str) -> NodeProto {
    node("ai.onnx.ml.LinearClassifier", "r", outputs)
        .with("coefficients", numbers("coefficients", 8 * CLASSES))
        .with("intercepts", numbers("intercepts", CLASSES))
        .with("classlabels_ints", ints(&[0, 1, 2, 3, 4]))
        .with("post_transform", Value::Text(post_transform))
}

/// A scaled input, a hidden layer, and what makes `y` of its eight numbers.
fn perceptron(tail: Vec<NodeProto>) -> ModelProto {
    let scaler = node("ai.onnx.ml.Scaler", "x", "s");
    let body = vec![
        scaler.with("offset", numbers("offset", 6)).with("scale", numbers("scale", 6)),
        node("MatMul", "s coefficient", "m"),
        node("Add", "m intercepts", "a"),
        node("Relu", "a", "r"),
    ];
    let mut weights = vec![weight("coefficient", &[6, 8]), weight("intercepts", &[1, 8])];
    if tail.iter().any(|node| node.input.iter().any(|name| name == "last.weight")) {
        weights.push(weight("last.weight", &[CLASSES as i64, CLASSES as i64]));
    }
    let (inputs, outputs) = (vec![rows("x", FLOAT, &[6])], vec![rows("y", FLOAT, &[CLASSES as i64])]);
    model(17, graph([body, tail].concat(), weights, inputs, outputs), vec![])
}

/// Rows of numbers normalized in each way, those above a bound, and single ones of them.
fn prepared() -> ModelProto {
    let norm = |name: &'static str, to: &str| node("ai.onnx.ml.Normalizer", "i", to).with("norm", Value::Text(name));
    let nodes = vec![
        node("ai.onnx.ml.Imputer", "x", "i")
            .with("imputed_value_floats", numbers("imputed", 4))
            .with("replaced_value_float", Value::Float(f32::NAN)),
        norm("L1", "n1"),
        norm("L2", "n2"),
        norm("MAX", "n3"),
        node("ai.onnx.ml.Binarizer", "i", "b").with("threshold", Value::Float(0.25)),
        node("ai.onnx.ml.ArrayFeatureExtractor", "i places", "e"),
        node("ai.onnx.ml.FeatureVectorizer", "n1 n2 n3 b e", "f").with("inputdimensions", ints(&[4, 4, 4, 4, 3])),
        node("MatMul", "f a.weight", "z"),
    ];
    network(15, &[4], nodes, vec![integers("places", &[1, 3], &[3, 0, 2]), weight("a.weight", &[19, 8])])
}

fn categories() -> ModelProto {
    let nodes = vec![
        node("Mul", "x three", "t"),
        node("Cast", "t", "c").with("to", Value::Int(7)),
        node("ai.onnx.ml.OneHotEncoder", "c", "o").with("cats_int64s", ints(&[-2, 0, 1])).with("zeros", Value::Int(1)),
        node("Flatten", "o", "flat"),
        node("MatMul", "flat a.weight", "z"),
    ];
    network(15, &[4], nodes, vec![floats("three", &[], &[3.0]), weight("a.weight", &[12, 8])])
}

fn regressor() -> NodeProto {
    node("ai.onnx.ml.LinearRegressor", "r", "y")
        .with("coefficients", numbers("coefficients", 8 * CLASSES))
        .with("intercepts", numbers("intercepts", CLASSES))
        .with("targets", Value::Int(CLASSES as i64))
}

#[test]
fn linear_models_and_what_prepares_their_inputs_are_trained() {
    if !onnx_runtime::available() {
        return;
    }
    // as the last it gives no scores that a cross-entropy takes
    let normalized = node("ai.onnx.ml.Normalizer", "p", "n").with("norm", Value::Text("L1"));
    let logistic = vec![classifier("LOGISTIC", "label p"), normalized, node("MatMul", "n last.weight", "y")];
    // shares of a whole that are divided by their sum are scores that one takes
    let shares = node("ai.onnx.ml.Normalizer", "p", "y").with("norm", Value::Text("L1"));
    let shares = vec![classifier("SOFTMAX", "label p"), shares];
    let (body, linear) = (48 + 8, 45);
    let rows: Vec<(&str, ModelProto, usize)> = vec![
        ("scores", perceptron(vec![classifier("NONE", "label y")]), body + linear),
        ("softmax", perceptron(vec![classifier("SOFTMAX", "label y")]), body + linear),
        ("softmax, by its sum", perceptron(shares), body + linear),
        ("logistic", perceptron(logistic), body + linear + 25),
        ("regression", perceptron(vec![regressor()]), body + linear),
        ("prepared", prepared(), 19 * 8 + 45),
        ("categories", categories(), 12 * 8 + 45),
    ];
    for (name, file, trained) in rows {
        holds_within(1e-5, name, &file, &[], trained);
    }
}

#[test]
fn what_lies_in_front_of_support_vectors_is_trained_through_them() {
    if !onnx_runtime::available() {
        return;
    }
    let machine = |operator: &str, outputs: &str, vectors: usize| {
        node(operator, "r", outputs)
            .with("kernel_type", Value::Text("RBF"))
            .with("kernel_params", Value::Floats(vec![0.25, 0.0, 0.0]))
            .with("support_vectors", numbers("vectors", 8 * vectors))
    };
    let classifier = |per_class: &[i64], labels: &[i64]| {
        let (vectors, classes) = (per_class.iter().sum::<i64>() as usize, labels.len());
        machine("ai.onnx.ml.SVMClassifier", "label p", vectors)
            .with("vectors_per_class", ints(per_class))
            .with("coefficients", numbers("coefficients", (classes - 1) * vectors))
            .with("rho", numbers("rho", classes * (classes - 1) / 2))
            .with("classlabels_ints", ints(labels))
    };
    let linear = node("ai.onnx.ml.SVMClassifier", "r", "label y")
        .with("kernel_params", Value::Floats(vec![0.0; 3]))
        .with("coefficients", numbers("coefficients", 8 * CLASSES))
        .with("rho", Value::Floats(vec![0.25]))
        .with("classlabels_ints", ints(&[0, 1, 2, 3, 4]));
    let regressor = machine("ai.onnx.ml.SVMRegressor", "p", 3)
        .with("n_supports", Value::Int(3))
        .with("coefficients", numbers("coefficients", 3))
        .with("rho", Value::Floats(vec![0.25]));
    let ended = |machine: NodeProto, scores: i64| {
        let mut file = perceptron(vec![machine, node("MatMul", "p end.weight", "y")]);
        file.graph.as_mut().unwrap().initializer.push(weight("end.weight", &[scores, CLASSES as i64]));
        (file, 56 + scores as usize * CLASSES)
    };
    for (name, (file, trained)) in [
        ("a number", ended(regressor, 1)),
        ("two classes", ended(classifier(&[2, 3], &[0, 1]), 2)),
        ("pairs of four classes", ended(classifier(&[2, 1, 1, 2], &[0, 1, 2, 3]), 6)),
        ("a linear machine", (perceptron(vec![linear]), 56)),
    ] {
        holds_within(1e-5, name, &file, &[], trained);
    }
    // what is searched for in the run has no gradient here, and that is said
    let machine = classifier(&[2, 3], &[0, 1]);
    let probabilities = machine.with("prob_a", Value::Floats(vec![-1.0])).with("prob_b", Value::Floats(vec![0.0]));
    let (file, _) = ended(probabilities, 2);
    let model = Model::from_bytes(file.encode_to_vec()).unwrap();
    let error = compile(&model, &everything(), &OperatorCatalog::standard()).unwrap_err().to_string();
    assert!(error.contains("prob_a"), "{error}");
}

#[test]
fn maps_of_probabilities_become_the_tensor_that_they_are_made_of() {
    if !onnx_runtime::available() {
        return;
    }
    let plain = perceptron(vec![classifier("SOFTMAX", "label y")]);
    let map = type_proto::Map { key_type: Some(7), value_type: rows("", FLOAT, &[]).r#type.map(Box::new) };
    let map = TypeProto { value: Some(type_proto::Value::MapType(Box::new(map))), ..TypeProto::default() };
    let maps = type_proto::Value::SequenceType(Box::new(type_proto::Sequence { elem_type: Some(Box::new(map)) }));
    let mut mapped = perceptron(vec![
        classifier("SOFTMAX", "label p"),
        node("ai.onnx.ml.ZipMap", "p", "y").with("classlabels_int64s", ints(&[0, 1, 2, 3, 4])),
    ]);
    mapped.graph.as_mut().unwrap().output = vec![ValueInfoProto {
        name: Some("y".into()),
        r#type: Some(TypeProto { value: Some(maps), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }];
    let program = compiled(&mapped.encode_to_vec());
    let note = "`y` is a tensor here and in the exported model, where the file has a map for each row (ZipMap)";
    assert_eq!(program.notes, [note]);
    let (bytes, shape) = (plain.encode_to_vec(), lengths_of(&plain));
    let exported = program.export(&program.parameters, &[]).unwrap().to_vec();
    for (found, own) in answer(&exported, &shape).iter().zip(answer(&bytes, &shape)) {
        assert!((found - own).abs() < 1e-6, "{found} instead of {own}");
    }
}

#[test]
fn forms_that_are_not_read_are_named() {
    let rows = [
        (classifier("PROBIT", "label y"), "node `label` (ai.onnx.ml.LinearClassifier) with post_transform PROBIT"),
        (
            node("ai.onnx.ml.LinearClassifier", "r", "label y")
                .with("coefficients", numbers("c", 8))
                .with("classlabels_strings", Value::Texts(vec!["a", "b"])),
            "with 1 rows of coefficients for 2 classes",
        ),
        (
            node("ai.onnx.ml.LinearClassifier", "r", "label y")
                .with("coefficients", numbers("c", 8))
                .with("classlabels_ints", ints(&[0, 1])),
            "with 1 rows of coefficients for 2 classes",
        ),
        (
            node("ai.onnx.ml.Imputer", "r", "y").with("imputed_value_int64s", ints(&[0])),
            "with values that are no floats",
        ),
        (node("ai.onnx.ml.LinearRegressor", "r", "y"), "0 coefficients for 1 outputs of a LinearRegressor"),
        (node("ai.onnx.ml.Scaler", "r", "y"), "it has no offset or no scale"),
    ];
    for (tail, wanted) in rows {
        let model = Model::from_bytes(perceptron(vec![tail]).encode_to_vec()).unwrap();
        let error = describe(&model, None, &OperatorCatalog::standard()).unwrap_err().to_string();
        assert!(error.contains(wanted), "wanted `{wanted}` in `{error}`");
    }
}

const TEXT: i32 = 8;

/// Strings in a file.
fn texts(name: &str, values: &[&'static str]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![values.len() as i64],
        data_type: Some(TEXT),
        string_data: values.iter().map(|text| text.as_bytes().into()).collect(),
        ..TensorProto::default()
    }
}

/// With further outputs, of strings.
fn with_labels(mut file: ModelProto, names: &[&str]) -> ModelProto {
    let graph = file.graph.as_mut().unwrap();
    let labels: Vec<ValueInfoProto> = names.iter().map(|name| rows(name, TEXT, &[])).collect();
    graph.output.splice(0..0, labels);
    file
}

/// What the file itself makes of a batch as its output `y`.
fn scores_of(mut file: ModelProto) -> Vec<f32> {
    let shape = lengths_of(&file);
    file.graph.as_mut().unwrap().output.retain(|output| output.name() == "y");
    answer(&file.encode_to_vec(), &shape)
}

#[test]
fn labels_that_are_strings_are_left_aside_and_the_scores_beside_them_are_trained() {
    if !onnx_runtime::available() {
        return;
    }
    let named = ["ash", "birch", "elm", "fir", "yew"];
    let linear = node("ai.onnx.ml.LinearClassifier", "r", "label y")
        .with("coefficients", numbers("coefficients", 8 * CLASSES))
        .with("intercepts", numbers("intercepts", CLASSES))
        .with("classlabels_strings", Value::Texts(named.to_vec()))
        .with("post_transform", Value::Text("SOFTMAX"));
    // as skl2onnx writes a perceptron: the label is picked by the best score
    let picked = vec![
        node("MatMul", "r last.weight", "y"),
        node("ArgMax", "y", "best").with("axis", Value::Int(1)),
        node("ai.onnx.ml.ArrayFeatureExtractor", "classes best", "found"),
        node("Reshape", "found flat", "label"),
    ];
    let mut perceptron_of_names = perceptron(picked);
    let graph = perceptron_of_names.graph.as_mut().unwrap();
    graph.initializer.push(texts("classes", &named));
    graph.initializer.push(integers("flat", &[1], &[-1]));
    graph.initializer.retain(|tensor| tensor.name() != "last.weight");
    graph.initializer.push(weight("last.weight", &[8, CLASSES as i64]));
    let files = [
        ("classifier", with_labels(perceptron(vec![linear]), &["label"]), 56 + 45),
        ("perceptron", with_labels(perceptron_of_names, &["label"]), 56 + 40),
    ];
    for (name, file, trained) in files {
        let program = compiled(&file.encode_to_vec());
        assert_eq!(program.trained, trained, "{name}");
        let note =
            "output `label` is of strings, maps or sequences, and is left aside; the exported model goes without";
        assert_eq!(program.notes, [note], "{name}");
        let exported = program.export(&program.parameters, &[]).unwrap().to_vec();
        let own = scores_of(file.clone());
        for (found, own) in answer(&exported, &lengths_of(&file)).iter().zip(&own) {
            assert!((found - own).abs() < 1e-5, "{name}: {found} instead of {own}");
        }
        let (square, slope) = slopes(&program, &lengths_of(&file));
        assert!((slope - square).abs() <= 2e-2 * square, "{name}: slope {slope}, squared gradient {square}");
    }
}

#[test]
fn scores_are_found_beside_labels_that_are_whole_numbers() {
    let mut file = perceptron(vec![classifier("SOFTMAX", "label y")]);
    file.graph.as_mut().unwrap().output.insert(0, rows("label", 7, &[]));
    assert_eq!(compiled(&file.encode_to_vec()).manifest.prediction.name, "label.scores");
}

#[test]
fn what_reads_strings_is_left_aside_with_them_and_what_needs_them_is_refused() {
    let beside = |needs_them: bool| {
        let mut file = perceptron(vec![
            node("ai.onnx.ml.LabelEncoder", "name", "number")
                .with("keys_strings", Value::Texts(vec!["ash", "elm"]))
                .with("values_floats", Value::Floats(vec![1.0, 2.0])),
            node("ai.onnx.ml.LinearRegressor", "r", "t")
                .with("coefficients", numbers("coefficients", 8 * CLASSES))
                .with("targets", Value::Int(CLASSES as i64)),
            if needs_them { node("Add", "t number", "y") } else { node("Identity", "t", "y") },
        ]);
        let graph = file.graph.as_mut().unwrap();
        graph.input.push(rows("name", TEXT, &[1]));
        graph.output.push(rows("number", FLOAT, &[1]));
        file
    };
    let program = compiled(&beside(false).encode_to_vec());
    let inputs: Vec<&str> = program.manifest.inputs.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(inputs, ["x"]);
    assert_eq!(
        program.notes,
        [
            "input `name` is of strings, maps or sequences, and is left aside; the exported model goes without",
            "output `number` is of strings, maps or sequences, and is left aside; the exported model goes without",
        ]
    );
    let model = Model::from_bytes(beside(true).encode_to_vec()).unwrap();
    let error = describe(&model, None, &OperatorCatalog::standard()).unwrap_err().to_string();
    assert!(error.contains("a model whose outputs are made of strings, maps or sequences (`y`, `number`)"), "{error}");
}

#[test]
fn trees_stay_as_they_are_below_what_is_trained() {
    if !onnx_runtime::available() {
        return;
    }
    let trees = node("ai.onnx.ml.TreeEnsembleRegressor", "x", "t")
        .with("n_targets", Value::Int(1))
        .with("nodes_treeids", ints(&[0, 0, 0]))
        .with("nodes_nodeids", ints(&[0, 1, 2]))
        .with("nodes_featureids", ints(&[2, 0, 0]))
        .with("nodes_values", Value::Floats(vec![0.1, 0.0, 0.0]))
        .with("nodes_modes", Value::Texts(vec!["BRANCH_LEQ", "LEAF", "LEAF"]))
        .with("nodes_truenodeids", ints(&[1, 0, 0]))
        .with("nodes_falsenodeids", ints(&[2, 0, 0]))
        .with("target_treeids", ints(&[0, 0]))
        .with("target_nodeids", ints(&[1, 2]))
        .with("target_ids", ints(&[0, 0]))
        .with("target_weights", Value::Floats(vec![0.5, -2.0]));
    let nodes =
        vec![trees, node("Concat", "x t", "both").with("axis", Value::Int(1)), node("MatMul", "both a.weight", "z")];
    holds("trees", &network(15, &[4], nodes, vec![weight("a.weight", &[5, 8])]), &[], 5 * 8 + 45);
}

#[test]
fn optional_values_become_those_that_are_there() {
    if !onnx_runtime::available() {
        return;
    }
    let then_branch = graph(vec![node("OptionalGetElement", "maybe", "v")], vec![], vec![], vec![of_type("v", FLOAT)]);
    let else_branch = graph(vec![node("Neg", "x", "n")], vec![], vec![], vec![of_type("n", FLOAT)]);
    let nodes = vec![
        node("Optional", "x", "maybe"),
        node("OptionalHasElement", "maybe", "is_there"),
        node("If", "is_there", "taken")
            .with("then_branch", Value::Graph(then_branch))
            .with("else_branch", Value::Graph(else_branch)),
        node("MatMul", "taken a.weight", "z"),
    ];
    let note = "functions, branches and loops of the file are written out, in the exported model too";
    holds("Optional", &network(17, &[6], nodes, vec![weight("a.weight", &[6, 8])]), &[note], 48 + 45);
}
