//! Several models as one: what ONNX Runtime makes of the whole is what it makes of the members, combined.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod mirrored;
#[expect(dead_code, reason = "other suites need the rest of it")]
#[path = "../forms/onnx_file.rs"]
mod onnx_file;
#[path = "../onnx_runtime/mod.rs"]
mod onnx_runtime;

use std::collections::BTreeMap;
use std::path::PathBuf;

use millstream_compiler::fused::{
    Combination, FuseOptions, FusedModel, LinearFeatures, MOST_MEMBERS, Member, RankTable, average_weights, fuse,
};
use millstream_compiler::losses::PredictionKind;
use millstream_compiler::{CompilerError, Model, OperatorCatalog};
use onnx_file::onnx::tensor_shape_proto::dimension::Value as Length;
use onnx_file::onnx::{ModelProto, NodeProto, StringStringEntryProto, TensorProto, type_proto};
use onnx_file::{Value, graph, integers, model, node, rows, weight};
use onnx_runtime::{floats, run, session};
use prost::Message;

const FLOAT: i32 = 1;
const ROWS: usize = 5;
const CLASSES: usize = 3;
use PredictionKind::{ClassScores, LabelScores, Numbers};

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// A backbone, its images preprocessed inside, and a head of a name of its own; `tail` is what it ends in.
fn network(head: &str, tail: &[&str], opset: i64) -> ModelProto {
    let wide = [CLASSES as i64];
    let (w, b) = (format!("{head}.weight"), format!("{head}.bias"));
    let mut nodes = vec![
        node("Sub", "image mean", "centred"),
        node("Div", "centred std", "normalized"),
        node("Conv", "normalized conv.weight conv.bias", "convolved").with("pads", Value::Ints(vec![1, 1, 1, 1])),
        node("Relu", "convolved", "relu"),
        node("GlobalAveragePool", "relu", "pooled"),
        node("Flatten", "pooled", "features"),
        node("Gemm", &format!("features {w} {b}"), "scores"),
    ];
    let mut last = "scores".to_owned();
    for (at, operator) in tail.iter().enumerate() {
        let made = format!("tail{at}");
        nodes.push(node(operator, &last, &made));
        last = made;
    }
    nodes.push(node("Identity", &last, "logits"));
    let weights = vec![
        weight("mean", &[1, 3, 1, 1]),
        onnx_file::floats("std", &[1, 3, 1, 1], &[0.5, 0.75, 1.25]),
        weight("conv.weight", &[8, 3, 3, 3]),
        weight("conv.bias", &[8]),
        weight(&w, &[8, CLASSES as i64]),
        weight(&b, &wide),
    ];
    let (inputs, outputs) = (vec![rows("image", FLOAT, &[3, 6, 6])], vec![rows("logits", FLOAT, &wide)]);
    model(opset, graph(nodes, weights, inputs, outputs), vec![])
}

fn read(file: &ModelProto) -> Model {
    Model::from_bytes(file.encode_to_vec()).unwrap()
}

fn equal(members: usize) -> Vec<f64> {
    vec![1.0 / members as f64; members]
}

fn options(reads: PredictionKind, combination: Combination) -> FuseOptions {
    FuseOptions {
        reads,
        classes: None,
        axes: None,
        combination,
        flips: false,
        layouts: BTreeMap::new(),
        metadata: Vec::new(),
    }
}

fn fused(files: &[ModelProto], options: &FuseOptions) -> Result<FusedModel, CompilerError> {
    let models: Vec<Model> = files.iter().map(read).collect();
    let members: Vec<Member<'_>> = models.iter().map(|model| Member { model, name: None, output: None }).collect();
    fuse(&members, options, &OperatorCatalog::standard())
}

fn images(seed: usize) -> Vec<f32> {
    numbers(ROWS * 3 * 36, seed)
}

/// What a file makes of a batch of images under its only input's name.
fn answer(file: &[u8], pixels: &[f32]) -> Vec<f32> {
    let mut opened = session(file);
    let name = opened.inputs()[0].name().to_owned();
    assert_eq!((opened.inputs().len(), opened.outputs().len()), (1, 1));
    run(&mut opened, vec![(name, floats(&[ROWS, 3, 6, 6], pixels))]).remove(0)
}

#[track_caller]
fn assert_near(found: &[f32], wanted: &[f32], what: &str) {
    assert_within(1e-6, found, wanted, what);
}

#[track_caller]
fn assert_within(tolerance: f32, found: &[f32], wanted: &[f32], what: &str) {
    let off = found.iter().zip(wanted).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
    assert!(found.len() == wanted.len() && off < tolerance, "{what}: {off:e}: {found:?}, wanted {wanted:?}");
}

/// Ranks rise fast between scores that lie close together, and with them what 32-bit floats round.
fn tolerance(combination: &Combination) -> f32 {
    if matches!(combination, Combination::Ranks { .. }) { 1e-4 } else { 1e-6 }
}

/// All ways to combine members whose scores on these rows are known.
fn combinations(reads: PredictionKind, members: &[Vec<f32>]) -> Vec<Combination> {
    let weights: Vec<f64> = (1..=members.len()).map(|at| at as f64).collect();
    let sum: f64 = weights.iter().sum();
    let weights: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
    let tables = members.iter().map(|scores| {
        let ranked = Combination::ranked(reads, CLASSES, scores);
        let of_class = |class: usize| ranked.iter().skip(class).step_by(CLASSES).copied().collect::<Vec<f32>>();
        (0..CLASSES).map(|class| RankTable::of(&of_class(class)).unwrap()).collect()
    });
    let mut all = vec![
        Combination::Median {},
        Combination::Probabilities { weights: equal(members.len()) },
        Combination::Probabilities { weights: weights.clone() },
        Combination::Ranks { weights: weights.clone(), tables: tables.collect() },
        Combination::Scores { weights: weights.clone() },
        Combination::Votes { weights },
    ];
    if reads == ClassScores {
        let coefficients = numbers(members.len() * CLASSES * CLASSES, 5);
        let coefficients: Vec<Vec<f64>> =
            coefficients.chunks(CLASSES).map(|row| row.iter().map(|value| f64::from(*value)).collect()).collect();
        for features in [LinearFeatures::LogProbabilities, LinearFeatures::Probabilities, LinearFeatures::Scores] {
            let intercepts = vec![0.25, -0.5, 0.125];
            all.push(Combination::Linear { features, coefficients: coefficients.clone(), intercepts });
        }
    }
    all
}

/// Scores of members before what they end in.
fn scores_of(files: &[ModelProto], pixels: &[f32]) -> Vec<Vec<f32>> {
    files.iter().map(|file| answer(&file.encode_to_vec(), pixels)).collect()
}

#[test]
fn five_heads_on_one_backbone_run_it_once_and_give_what_the_members_give() {
    if !onnx_runtime::available() {
        return;
    }
    let bare: Vec<ModelProto> = (0..5).map(|at| network(&format!("head{at}"), &[], 17)).collect();
    let softmax: Vec<ModelProto> = (0..5).map(|at| network(&format!("head{at}"), &["Softmax"], 17)).collect();
    let sigmoid: Vec<ModelProto> = (0..5).map(|at| network(&format!("head{at}"), &["Sigmoid"], 17)).collect();
    let scores = scores_of(&bare, &images(1));
    let slices: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
    for (reads, files) in [(ClassScores, &bare), (ClassScores, &softmax), (LabelScores, &bare), (LabelScores, &sigmoid)]
    {
        for combination in combinations(reads, &scores) {
            let (what, within) = (format!("{reads:?} {combination:?}"), tolerance(&combination));
            let wanted = combination.apply(reads, CLASSES, &slices).unwrap();
            let found = fused(files, &options(reads, combination)).unwrap();
            assert_within(within, &answer(&found.file.to_vec(), &images(1)), &wanted, &what);
            // the last one hands the scores on
            assert!(found.member_nodes.iter().all(|nodes| (7..=8).contains(nodes)), "{what}: {:?}", found.member_nodes);
            let written = ModelProto::decode(found.file.to_vec().as_slice()).unwrap().graph.unwrap();
            let count = |operator: &str| written.node.iter().filter(|node| node.op_type() == operator).count();
            assert_eq!((count("Conv"), count("Sub") > 0, count("GlobalAveragePool")), (1, true, 1), "{what}");
            assert_eq!((found.nodes, written.node.len()), (written.node.len(), found.nodes));
            let kernels = written.initializer.iter().filter(|tensor| tensor.dims == [8, 3, 3, 3]).count();
            assert_eq!((kernels, written.output[0].name()), (1, "logits"), "{what}");
        }
    }
    let scores = |weights: Vec<f64>| Combination::Scores { weights };
    // members without weight are no part of it
    let found = fused(&bare, &options(ClassScores, scores(vec![0.0, 0.0, 1.0, 0.0, 0.0]))).unwrap();
    assert_eq!((found.nodes, found.notes.len()), (7, 4));
    assert_near(&answer(&found.file.to_vec(), &images(1)), slices[2], "one member");
}

#[test]
fn numbers_are_combined_by_mean_median_and_linear_function_as_the_members_give_them() {
    if !onnx_runtime::available() {
        return;
    }
    let files: Vec<ModelProto> = (0..5).map(|at| network(&format!("head{at}"), &[], 17)).collect();
    let scores = scores_of(&files, &images(1));
    // an odd and an even number, and one, which stays as it is
    for members in [5, 4, 2, 1] {
        let slices: Vec<&[f32]> = scores[..members].iter().map(Vec::as_slice).collect();
        // of the first and of the last alone
        let coefficient = |row: usize, class: usize| match row / CLASSES {
            _ if row % CLASSES != class => 0.0,
            0 => 0.75,
            member if member + 1 == members => 1.5,
            _ => 0.0,
        };
        let of_row = |row: usize| (0..CLASSES).map(|class| coefficient(row, class)).collect();
        let coefficients: Vec<Vec<f64>> = (0..members * CLASSES).map(of_row).collect();
        let (features, intercepts) = (LinearFeatures::Scores, vec![0.5, -2.0, 0.0]);
        let linear = Combination::Linear { features, coefficients, intercepts };
        for combination in [Combination::Scores { weights: equal(members) }, Combination::Median {}, linear] {
            let what = format!("{members} members, {combination:?}");
            let wanted = combination.apply(Numbers, CLASSES, &slices).unwrap();
            let is_linear = matches!(combination, Combination::Linear { .. });
            let found = fused(&files[..members], &options(Numbers, combination)).unwrap();
            assert_near(&answer(&found.file.to_vec(), &images(1)), &wanted, &what);
            let left_out = found.notes.iter().filter(|note| note.contains("is left out of the model")).count();
            assert_eq!(left_out, if is_linear { members.saturating_sub(2) } else { 0 }, "{what}");
        }
    }
    // each row's own middle, which no weights give
    let slices: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
    let median = Combination::Median {}.apply(Numbers, CLASSES, &slices).unwrap();
    for (at, found) in median.iter().enumerate() {
        let below = slices.iter().filter(|scores| scores[at] < *found).count();
        let above = slices.iter().filter(|scores| scores[at] > *found).count();
        assert!(below <= 2 && above <= 2 && slices.iter().any(|scores| scores[at] == *found), "{at}: {found}");
    }
}

#[test]
fn mirrored_images_are_seen_inside_of_the_graph() {
    if !onnx_runtime::available() {
        return;
    }
    let files = [network("a", &[], 17), network("b", &[], 17)];
    let pixels = images(2);
    let mirrored: Vec<f32> = pixels.chunks(6).flat_map(|row| row.iter().rev().copied()).collect();
    let (seen, other) = (scores_of(&files, &pixels), scores_of(&files, &mirrored));
    assert_ne!(seen, other);
    for reads in [ClassScores, LabelScores, Numbers] {
        let mean = |weights: Vec<f64>| match reads {
            Numbers => Combination::Scores { weights },
            _ => Combination::Probabilities { weights },
        };
        let of_both: Vec<Vec<f32>> =
            seen.iter().zip(&other).map(|(a, b)| mean(equal(2)).apply(reads, CLASSES, &[a, b]).unwrap()).collect();
        let wanted = mean(vec![0.25, 0.75]).apply(reads, CLASSES, &[&of_both[0], &of_both[1]]).unwrap();
        let options = FuseOptions { flips: true, ..options(reads, mean(vec![0.25, 0.75])) };
        let found = fused(&files, &options).unwrap();
        assert_near(&answer(&found.file.to_vec(), &pixels), &wanted, &format!("{reads:?}"));
        // two backbones: one for each side
        let written = ModelProto::decode(found.file.to_vec().as_slice()).unwrap().graph.unwrap();
        assert_eq!(written.node.iter().filter(|node| node.op_type() == "Conv").count(), 2);
    }
    let table = |name: &str| linear(name, 17, "batch");
    let options = FuseOptions { flips: true, ..options(ClassScores, Combination::Scores { weights: equal(2) }) };
    let message = fused(&[table("a"), table("b")], &options).unwrap_err().to_string();
    assert!(message.contains("there is nothing to flip"), "{message}");
}

/// From `x` `[rows, 4]` to scores.
fn linear(head: &str, opset: i64, rows_are: &str) -> ModelProto {
    let (w, b) = (format!("{head}.weight"), format!("{head}.bias"));
    let nodes = vec![node("Gemm", &format!("x {w} {b}"), "y")];
    let weights = vec![weight(&w, &[4, CLASSES as i64]), weight(&b, &[CLASSES as i64])];
    let mut inputs = vec![rows("x", FLOAT, &[4])];
    for info in &mut inputs {
        let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        else {
            panic!()
        };
        let length = rows_are.parse().map_or(Length::DimParam(rows_are.into()), Length::DimValue);
        tensor.shape.as_mut().unwrap().dim[0].value = Some(length);
    }
    model(opset, graph(nodes, weights, inputs, vec![rows("y", FLOAT, &[CLASSES as i64])]), vec![])
}

#[test]
fn members_of_several_opsets_and_names_of_lengths_become_one_of_the_newest() {
    if !onnx_runtime::available() {
        return;
    }
    let x = numbers(8, 3);
    let files = [linear("a", 9, "batch"), linear("b", 20, "N"), linear("a", 13, "2")];
    let run_of = |file: &[u8]| run(&mut session(file), vec![("x".into(), floats(&[2, 4], &x))]).remove(0);
    let scores: Vec<Vec<f32>> = files.iter().map(|file| run_of(&file.encode_to_vec())).collect();
    let combination = Combination::Probabilities { weights: vec![0.5, 0.25, 0.25] };
    let wanted =
        combination.apply(ClassScores, CLASSES, &scores.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    let found = fused(&files, &options(ClassScores, combination)).unwrap();
    assert_near(&run_of(&found.file.to_vec()), &wanted, "three opsets");
    let again = Model::from_bytes(found.file.to_vec()).unwrap();
    assert_eq!((again.opset(), again.inputs()), (20, vec![("x".to_owned(), vec![Some(2), Some(4)])]));
}

/// Operators whose form has changed: of opset 17 in a file beside one of opset 20.
#[test]
fn operators_that_have_changed_mean_what_they_meant() {
    if !onnx_runtime::available() {
        return;
    }
    let of = |opset: i64, nodes: Vec<NodeProto>, weights: Vec<TensorProto>| {
        let head = vec![node("Flatten", "z", "flat"), node("Gemm", "flat fc.weight fc.bias", "logits")];
        let weights =
            [weights, vec![weight("fc.weight", &[108, CLASSES as i64]), weight("fc.bias", &[CLASSES as i64])]].concat();
        let (inputs, outputs) =
            (vec![rows("image", FLOAT, &[3, 6, 6])], vec![rows("logits", FLOAT, &[CLASSES as i64])]);
        model(opset, graph([nodes, head].concat(), weights, inputs, outputs), vec![])
    };
    let newest = of(20, vec![node("Tanh", "image", "z")], vec![]);
    let grid = |mode: &'static str| {
        let shape = [ROWS as i64, 6, 6, 2];
        of(
            17,
            vec![node("GridSample", "image grid", "z").with("mode", Value::Text(mode))],
            vec![weight("grid", &shape)],
        )
    };
    let transform = of(
        17,
        vec![
            node("Unsqueeze", "image behind", "real"),
            node("DFT", "real", "pairs").with("axis", Value::Int(3)),
            node("Gather", "pairs zero", "z").with("axis", Value::Int(4)),
        ],
        vec![integers("behind", &[1], &[4]), integers("zero", &[], &[0])],
    );
    let of_axes = of(
        13,
        vec![node("ReduceMean", "image", "mean").with("axes", Value::Ints(vec![1])), node("Mul", "image mean", "z")],
        vec![],
    );
    for (name, older) in [
        ("bilinear", grid("bilinear")),
        ("bicubic", grid("bicubic")),
        ("nearest", grid("nearest")),
        ("axis", transform),
        ("axes", of_axes),
    ] {
        let files = [older, newest.clone()];
        let scores = scores_of(&files, &images(4));
        let combination = Combination::Scores { weights: vec![0.75, 0.25] };
        let wanted = combination.apply(ClassScores, CLASSES, &[&scores[0], &scores[1]]).unwrap();
        let found = fused(&files, &options(ClassScores, combination)).unwrap();
        let off = answer(&found.file.to_vec(), &images(4))
            .iter()
            .zip(&wanted)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(off < 1e-5, "{name}: {off:e}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused_with_the_member() {
    let catalog = OperatorCatalog::standard();
    let probabilities = |members: usize| options(ClassScores, Combination::Probabilities { weights: equal(members) });
    let wide = |classes: i64| {
        let nodes = vec![node("Gemm", "x w", "y")];
        let outputs = vec![rows("y", FLOAT, &[classes])];
        model(17, graph(nodes, vec![weight("w", &[4, classes])], vec![rows("x", FLOAT, &[4])], outputs), vec![])
    };
    let old = {
        let nodes = vec![
            node("GroupNormalization", "x scale bias", "z").with("num_groups", Value::Int(2)),
            node("Gemm", "z w", "y"),
        ];
        let weights = vec![weight("scale", &[2]), weight("bias", &[2]), weight("w", &[4, 3])];
        model(18, graph(nodes, weights, vec![rows("x", FLOAT, &[4])], vec![rows("y", FLOAT, &[3])]), vec![])
    };
    let unknown = {
        let nodes = vec![node("Whatever", "x", "z"), node("Gemm", "z w", "y")];
        model(
            17,
            graph(nodes, vec![weight("w", &[4, 3])], vec![rows("x", FLOAT, &[4])], vec![rows("y", FLOAT, &[3])]),
            vec![],
        )
    };
    let two = {
        let mut file = wide(3);
        let graph = file.graph.as_mut().unwrap();
        graph.node.push(node("Relu", "y", "z"));
        graph.output.push(rows("z", FLOAT, &[3]));
        file
    };
    let lines = |rows_are: &str| linear("a", 17, rows_are);
    let features = |count: i64| {
        let weights = vec![weight("w", &[count, 3])];
        model(
            17,
            graph(
                vec![node("Gemm", "x w", "y")],
                weights,
                vec![rows("x", FLOAT, &[count])],
                vec![rows("y", FLOAT, &[3])],
            ),
            vec![],
        )
    };
    for (files, wanted) in [
        (vec![wide(3), wide(4)], "member 2 gives 4 scores, and the first 3"),
        (vec![wide(3), two], "member 2: the model has 2 outputs (y, z)"),
        (vec![linear("a", 22, "batch"), old], "it means something else in opset 22"),
        (vec![linear("a", 22, "batch"), unknown], "not known to mean the same in opset 22, which another model needs"),
        (vec![lines("2"), lines("3")], "member 2 gives float32 [3, 3], and the first float32 [2, 3]"),
        (vec![], "an ensemble has members"),
        (vec![wide(3); MOST_MEMBERS + 1], "an ensemble has at most 64"),
    ] {
        let message = fused(&files, &probabilities(files.len().max(1))).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    }
    let message = fused(&[wide(3)], &probabilities(2)).unwrap_err().to_string();
    assert!(message.contains("2 weights for 1 members"), "{message}");
    // inputs that cannot be one are two, with a note
    let found = fused(&[features(4), features(5)], &probabilities(2)).unwrap();
    assert!(found.notes[0].contains("input `x` of member 2 is of another type"), "{:?}", found.notes);
    let again = Model::from_bytes(found.file.to_vec()).unwrap();
    assert_eq!(again.inputs().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["x", "m1/x"]);
    let models: Vec<Model> = [wide(3), wide(3)].iter().map(read).collect();
    for (name, wanted) in
        [(None, "member 1: the model has no output `z`"), (Some("0000"), "member `0000`: the model has no output `z`")]
    {
        let named: Vec<Member<'_>> = models.iter().map(|model| Member { model, name, output: Some("z") }).collect();
        let message = fuse(&named, &probabilities(2), &catalog).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn a_member_that_is_left_out_is_told_by_its_name() {
    let models = ["a", "b"].map(|head| read(&linear(head, 17, "batch")));
    let named = [("0000", &models[0]), ("0001", &models[1])].map(|(name, model)| Member {
        model,
        name: Some(name),
        output: None,
    });
    let first = Combination::Probabilities { weights: vec![0.0, 1.0] };
    let found = fuse(&named, &options(ClassScores, first), &OperatorCatalog::standard()).unwrap();
    assert!(found.notes.iter().any(|note| note.starts_with("member `0000` has no weight")), "{:?}", found.notes);
}

/// Names that a file may have on purpose.
#[test]
fn names_that_are_ours_already_do_no_harm() {
    if !onnx_runtime::available() {
        return;
    }
    let named = |head: &str, inner: &str, output: &str| {
        let weights = vec![weight(head, &[4, 3])];
        let nodes = vec![node("Tanh", "x", inner), node("MatMul", &format!("{inner} {head}"), output)];
        model(17, graph(nodes, weights, vec![rows("x", FLOAT, &[4])], vec![rows(output, FLOAT, &[3])]), vec![])
    };
    let x = numbers(8, 6);
    let run_of = |file: &[u8]| run(&mut session(file), vec![("x".into(), floats(&[2, 4], &x))]).remove(0);
    let files = [
        named("m1/w", "m0/h", "ensemble.mean"),
        named("ensemble.weight", "m0/m1/w", "ensemble.axes"),
        named("w", "ensemble.mean", "y"),
        named("m1/w", "m2/ensemble.mean", "ensemble.mean_2"),
    ];
    let scores: Vec<Vec<f32>> = files.iter().map(|file| run_of(&file.encode_to_vec())).collect();
    let slices: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
    for combination in combinations(ClassScores, &scores) {
        let wanted = combination.apply(ClassScores, CLASSES, &slices).unwrap();
        let within = tolerance(&combination);
        let found = fused(&files, &options(ClassScores, combination)).unwrap();
        assert_within(within, &run_of(&found.file.to_vec()), &wanted, "names");
        let again = Model::from_bytes(found.file.to_vec()).unwrap();
        assert_eq!(again.outputs()[0].0, "ensemble.mean");
    }
}

#[test]
fn what_all_members_say_of_themselves_is_said_of_the_whole() {
    let mut files = [linear("a", 17, "batch"), linear("b", 20, "batch")];
    let entry = |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
    files[0].metadata_props = vec![entry("author", "a"), entry("task", "flowers"), entry("millstream.accuracy", "0.5")];
    files[1].metadata_props = vec![entry("author", "b"), entry("task", "flowers"), entry("millstream.accuracy", "0.5")];
    files[1].ir_version = Some(9);
    let options = FuseOptions {
        metadata: vec![("millstream.ensemble".into(), "2 members".into())],
        ..options(ClassScores, Combination::Scores { weights: equal(2) })
    };
    let found = fused(&files, &options).unwrap();
    let written = ModelProto::decode(found.file.to_vec().as_slice()).unwrap();
    let said: Vec<(&str, &str)> = written.metadata_props.iter().map(|entry| (entry.key(), entry.value())).collect();
    assert_eq!(said, [("task", "flowers"), ("millstream.ensemble", "2 members")]);
    assert_eq!((written.ir_version(), written.producer_name()), (9, "millstream"));
}

#[test]
fn a_mean_of_weights_of_linear_models_is_the_mean_of_their_answers() {
    if !onnx_runtime::available() {
        return;
    }
    let x = numbers(8, 7);
    let run_of = |file: &[u8]| run(&mut session(file), vec![("x".into(), floats(&[2, 4], &x))]).remove(0);
    let scaled = |by: f32| {
        let mut file = linear("a", 17, "batch");
        for tensor in &mut file.graph.as_mut().unwrap().initializer {
            tensor.float_data.iter_mut().for_each(|value| *value *= by);
        }
        file
    };
    let files = [scaled(1.0), scaled(-0.5), scaled(4.0)];
    let models: Vec<Model> = files.iter().map(read).collect();
    let members: Vec<Member<'_>> = models.iter().map(|model| Member { model, name: None, output: None }).collect();
    let found = average_weights(&members, &[], &OperatorCatalog::standard()).unwrap();
    let scores: Vec<Vec<f32>> = files.iter().map(|file| run_of(&file.encode_to_vec())).collect();
    let wanted = Combination::Scores { weights: equal(3) };
    let wanted = wanted.apply(Numbers, CLASSES, &scores.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    assert_near(&run_of(&found.file.to_vec()), &wanted, "weights");
}

/// The networks of the corpus: two files of one network by two exporters, and two unlike ones.
#[test]
fn real_models_are_fused() {
    let Some(corpus) = std::env::var_os("MILLSTREAM_CORPUS").map(PathBuf::from) else {
        println!("left out, MILLSTREAM_CORPUS is not set");
        return;
    };
    if !onnx_runtime::available() {
        return;
    }
    let corpus =
        if corpus.is_absolute() { corpus } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(corpus) };
    let read = |name: &str| Model::read(&corpus.join("models").join(name).join("model.onnx")).unwrap();
    for (names, side, classes) in [
        (["resnet20_cifar10", "resnet20_cifar10_opset20"], 32, 10),
        (["resnet20_cifar10", "resnet20_cifar10"], 32, 10),
        (["mobilenet_v1_0.25_128", "mobilenet_v1_0.25_128"], 128, 1001),
    ] {
        let models = names.map(read);
        let files = names.map(|name| std::fs::read(corpus.join("models").join(name).join("model.onnx")).unwrap());
        let pixels = numbers(2 * 3 * side * side, 9);
        let run_of = |file: &[u8]| {
            run(&mut session(file), vec![("image".into(), floats(&[2, 3, side, side], &pixels))]).remove(0)
        };
        let scores = files.each_ref().map(|file| run_of(file));
        let combination = Combination::Probabilities { weights: vec![0.25, 0.75] };
        let wanted = combination.apply(ClassScores, classes, &[&scores[0], &scores[1]]).unwrap();
        let members = models.each_ref().map(|model| Member { model, name: None, output: None });
        let found = fuse(&members, &options(ClassScores, combination), &OperatorCatalog::standard()).unwrap();
        let off = run_of(&found.file.to_vec())
            .iter()
            .zip(&wanted)
            .map(|(a, b)| (a - b).abs() / b.abs().max(1.0))
            .fold(0.0, f32::max);
        println!("{names:?}: {:?} nodes apart, {} together, off by {off:e}", found.member_nodes, found.nodes);
        assert!(off < 5e-6, "{names:?}: {off:e}");
        if names[0] == names[1] {
            assert!(found.nodes < found.member_nodes[0] + 12, "{} of {:?}", found.nodes, found.member_nodes);
        }
    }
}
