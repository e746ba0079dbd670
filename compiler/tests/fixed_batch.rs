//! Models whose exporter fixed the number of rows: freed where rows stay apart, refused with the node where not.
#![expect(clippy::print_stdout, reason = "a test that is left out says so")]

mod onnx_runtime;

use millstream_compiler::graph::{Attribute, Constant, Graph, Length, TensorType, ValueId};
use millstream_compiler::{CompilerError, FineTuning, HeadChoice, Model, OperatorCatalog, compile, describe};
use millstream_schemas::AxisLength;
use millstream_schemas::recipe::TrainSelection;

use onnx_runtime::{floats, run, session};

const CLASSES: usize = 5;
const ROW: usize = 3 * 8 * 8;

type Middle = fn(&mut Graph, ValueId, usize) -> Result<ValueId, CompilerError>;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn weight(graph: &mut Graph, shape: &[usize]) -> ValueId {
    let values = numbers(shape.iter().product(), shape.len() + 3);
    graph.constant("weight", Constant::f32(shape, &values))
}

fn integers(graph: &mut Graph, values: &[i64]) -> ValueId {
    graph.constant("integers", Constant::i64([values.len()], values))
}

fn ints(name: &'static str, values: &[i64]) -> (&'static str, Attribute) {
    (name, values.to_vec().into())
}

fn reshape(graph: &mut Graph, x: ValueId, shape: &[i64]) -> Result<ValueId, CompilerError> {
    let shape = integers(graph, shape);
    graph.add("Reshape", &[x, shape], &[])
}

/// `x` [fixed, 3, 8, 8] → convolution [fixed, 6, 4, 4] → what is tested → dense layer → `scores` [fixed, 5].
fn network(middle: Middle, fixed: usize) -> Result<Vec<u8>, CompilerError> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([fixed, 3, 8, 8]));
    let kernel = weight(&mut graph, &[6, 3, 2, 2]);
    let mixed = graph.add("Conv", &[x, kernel], &[ints("strides", &[2, 2])])?;
    let features = middle(&mut graph, mixed, fixed)?;
    // a shape that is only known when the graph is read is that of all numbers in a row
    let width = graph.shape(features).ok().and_then(|shape| shape.last()?.fixed()).unwrap_or(96);
    let head = weight(&mut graph, &[width, CLASSES]);
    let scores = graph.append("Gemm", &[features, head], &[], "scores")?;
    graph.output(scores);
    Ok(graph.to_onnx("fixed"))
}

fn pooled(graph: &mut Graph, x: ValueId) -> Result<ValueId, CompilerError> {
    graph.add("GlobalAveragePool", &[x], &[])
}

/// Two heads of attention over the 16 places, as exporters write it.
fn attention(graph: &mut Graph, x: ValueId, fixed: usize) -> Result<ValueId, CompilerError> {
    let n = fixed as i64;
    let places = reshape(graph, x, &[n, 6, 16])?;
    let places = graph.add("Transpose", &[places], &[ints("perm", &[2, 0, 1])])?; // [16, n, 6]
    let heads = reshape(graph, places, &[16, n * 2, 3])?;
    let queries = graph.add("Transpose", &[heads], &[ints("perm", &[1, 0, 2])])?; // [n · 2, 16, 3]
    let keys = graph.add("Transpose", &[heads], &[ints("perm", &[1, 2, 0])])?;
    let alike = graph.add("MatMul", &[queries, keys], &[])?;
    let shares = graph.add("Softmax", &[alike], &[])?;
    let mixed = graph.add("MatMul", &[shares, queries], &[])?;
    let back = graph.add("Transpose", &[mixed], &[ints("perm", &[1, 0, 2])])?;
    let joined = reshape(graph, back, &[16 * n, 6])?;
    let dense = weight(graph, &[6, 6]);
    let dense = graph.add("MatMul", &[joined, dense], &[])?;
    let apart = reshape(graph, dense, &[16, n, 6])?;
    graph.add("ReduceMean", &[apart], &[ints("axes", &[0]), ("keepdims", 0.into())])
}

fn with_class_token(graph: &mut Graph, x: ValueId, fixed: usize) -> Result<ValueId, CompilerError> {
    let places = reshape(graph, x, &[fixed as i64, 6, 16])?;
    let places = graph.add("Transpose", &[places], &[ints("perm", &[0, 2, 1])])?;
    let token = weight(graph, &[1, 1, 6]);
    let tokens = graph.add("Concat", &[token, places], &[("axis", 1.into())])?;
    let position = weight(graph, &[1, 17, 6]);
    let tokens = graph.add("Add", &[tokens, position], &[])?;
    let (scale, shift) = (weight(graph, &[6]), weight(graph, &[6]));
    let tokens = graph.add("LayerNormalization", &[tokens, scale, shift], &[])?;
    let first = graph.constant("first", Constant::i64([], &[0]));
    graph.add("Gather", &[tokens, first], &[("axis", 1.into())])
}

/// As [`with_class_token`], of which an exporter has stored the repeated token: for each row, under a name of its own or the
/// parameter's.
fn with_stored_tokens(graph: &mut Graph, x: ValueId, fixed: usize) -> Result<ValueId, CompilerError> {
    stored_tokens(graph, x, fixed, "/vit/embeddings/Expand_output_0")
}

fn with_named_tokens(graph: &mut Graph, x: ValueId, fixed: usize) -> Result<ValueId, CompilerError> {
    stored_tokens(graph, x, fixed, "vit.embeddings.cls_token")
}

fn stored_tokens(graph: &mut Graph, x: ValueId, fixed: usize, name: &str) -> Result<ValueId, CompilerError> {
    let places = reshape(graph, x, &[fixed as i64, 6, 16])?;
    let places = graph.add("Transpose", &[places], &[ints("perm", &[0, 2, 1])])?;
    let token = graph.constant(name, Constant::f32([fixed, 1, 6], &[0.3, -0.2, 0.1, -0.4, 0.2, 0.05].repeat(fixed)));
    let tokens = graph.append("Concat", &[token, places], &[("axis", 1.into())], "/vit/embeddings/Concat_output_0")?;
    let first = graph.constant("first", Constant::i64([], &[0]));
    let (place, mean) = (graph.add("Gather", &[tokens, first], &[("axis", 1.into())])?, ints("axes", &[1]));
    let mean = graph.append("ReduceMean", &[tokens], &[mean, ("keepdims", 0.into())], "mean")?;
    graph.append("Mul", &[place, mean], &[], "both")
}

/// Two branches that both read the same stored tokens, two of them, and a table of positions that was stored for each row too.
fn with_shared_tokens(graph: &mut Graph, x: ValueId, fixed: usize) -> Result<ValueId, CompilerError> {
    let places = reshape(graph, x, &[fixed as i64, 6, 16])?;
    let places = graph.add("Transpose", &[places], &[ints("perm", &[0, 2, 1])])?;
    let tokens: [[f32; 6]; 2] = [[0.3, -0.2, 0.1, -0.4, 0.2, 0.05], [-0.1, 0.5, 0.2, -0.3, 0.4, -0.6]];
    let [first, second] =
        tokens.map(|token| graph.constant("token", Constant::f32([fixed, 1, 6], &token.repeat(fixed))));
    let table = graph.constant("table", Constant::f32([fixed, 18, 6], &numbers(18 * 6, 3).repeat(fixed)));
    let mut branches = Vec::new();
    for (operator, taken) in [("Identity", 0), ("Neg", 1)] {
        let places = graph.append(operator, &[places], &[], "places")?;
        let joined = graph.append("Concat", &[first, second, places], &[("axis", 1.into())], "joined")?;
        let placed = graph.append("Add", &[joined, table], &[], "placed")?;
        let taken = graph.constant("taken", Constant::i64([], &[taken]));
        let place = graph.append("Gather", &[placed, taken], &[("axis", 1.into())], "place")?;
        let mean = [ints("axes", &[1]), ("keepdims", 0.into())];
        let mean = graph.append("ReduceMean", &[placed], &mean, "mean")?;
        branches.push(graph.append("Mul", &[place, mean], &[], "branch")?);
    }
    graph.append("Add", &branches, &[], "branches")
}

/// Two recurrent layers over the 16 places, with first states for the fixed rows; the last one's end is what is read.
fn recurrent(graph: &mut Graph, x: ValueId, fixed: usize) -> Result<ValueId, CompilerError> {
    const HIDDEN: usize = 4;
    let places = reshape(graph, x, &[fixed as i64, 6, 16])?;
    let mut sequence = graph.add("Transpose", &[places], &[ints("perm", &[2, 0, 1])])?; // [16, n, 6]
    let hidden = || [("hidden_size", Attribute::Int(HIDDEN as i64))];
    let first = numbers(HIDDEN, 5).repeat(fixed);
    let state = graph.constant("state", Constant::f32([1, fixed, HIDDEN], &first));
    let (w, r) = (weight(graph, &[1, 4 * HIDDEN, 6]), weight(graph, &[1, 4 * HIDDEN, HIDDEN]));
    let inputs = [Some(sequence), Some(w), Some(r), None, None, Some(state), Some(state)];
    let all = graph.add_with("LSTM", &inputs, &hidden(), 1)?[0]; // [16, 1, n, 4]
    let direction = integers(graph, &[1]);
    sequence = graph.add("Squeeze", &[all, direction], &[])?;
    let (w, r) = (weight(graph, &[1, 3 * HIDDEN, HIDDEN]), weight(graph, &[1, 3 * HIDDEN, HIDDEN]));
    let inputs = [Some(sequence), Some(w), Some(r), None, None, Some(state)];
    let end = graph.add_with("GRU", &inputs, &hidden(), 2)?[1]; // [1, n, 4]
    let direction = integers(graph, &[0]);
    graph.add("Squeeze", &[end, direction], &[])
}

/// Each row's numbers picked from a list of all rows' numbers, by places that follow from the number of rows in the run.
fn listed(graph: &mut Graph, x: ValueId, _: usize) -> Result<ValueId, CompilerError> {
    let shape = graph.add("Shape", &[x], &[])?;
    let mut number = |value: i64| graph.constant("number", Constant::i64([], &[value]));
    let (none, one, each) = (number(0), number(1), number(96));
    let count = graph.add("Gather", &[shape, none], &[])?;
    let rows = graph.append("Range", &[none, count, one], &[], "rows")?;
    let behind = integers(graph, &[1]);
    let rows = graph.append("Unsqueeze", &[rows, behind], &[], "column")?;
    let first = graph.append("Mul", &[rows, each], &[], "first")?;
    let within = integers(graph, &(0..96).rev().collect::<Vec<i64>>());
    let places = graph.append("Add", &[first, within], &[], "places")?;
    let list = reshape(graph, x, &[-1])?;
    graph.append("Gather", &[list, places], &[], "picked")
}

/// The places of each row times a table that is repeated for all rows, as often as a computed list says.
fn repeated(graph: &mut Graph, x: ValueId, fixed: usize) -> Result<ValueId, CompilerError> {
    let table = weight(graph, &[2, 3, 3]);
    let shape = graph.add("Shape", &[x], &[])?;
    let (first, ones) = (integers(graph, &[0]), integers(graph, &[1, 1]));
    let count = graph.add("Gather", &[shape, first], &[])?;
    let repeats = graph.append("Concat", &[count, ones], &[("axis", 0.into())], "repeats")?;
    let axes = graph.append("Shape", &[repeats], &[], "axes")?;
    let one = [("value", Attribute::Tensor(Constant::i64([1], &[1])))];
    let spread = graph.append("ConstantOfShape", &[axes], &one, "spread")?;
    let expanded = graph.append("Expand", &[table, spread], &[], "expanded")?;
    // more tables for all rows, by a list in which −1 would be an axis that stays
    let more = weight(graph, &[3, 3]);
    let (two, three, whole) = (integers(graph, &[2]), integers(graph, &[3, 3]), integers(graph, &[-1]));
    let halves = graph.append("Mul", &[count, two], &[], "halves")?;
    let wanted = graph.append("Concat", &[halves, three], &[("axis", 0.into())], "wanted")?;
    let wanted = graph.append("Reshape", &[wanted, whole], &[], "wanted_list")?;
    let stay = graph.append("Mul", &[spread, whole], &[], "stay")?;
    let stays = graph.append("Equal", &[wanted, stay], &[], "stays")?;
    let wanted = graph.append("Where", &[stays, spread, wanted], &[], "wanted_or_one")?;
    let more = graph.append("Expand", &[more, wanted], &[], "more")?;
    let tables = graph.append("Tile", &[expanded, repeats], &[], "tables")?;
    let places = reshape(graph, x, &[fixed as i64 * 2, 3, 16])?;
    let places = graph.add("Transpose", &[places], &[ints("perm", &[0, 2, 1])])?;
    let tables = graph.append("Add", &[tables, more], &[], "both")?;
    let mixed = graph.append("MatMul", &[places, tables], &[], "mixed")?;
    let row = integers(graph, &[fixed as i64, 96]);
    graph.append("Reshape", &[mixed, row], &[], "rows_of_numbers")
}

/// Multiplied by a mask that is laid out by the height and width that `Shape` tells.
fn masked(graph: &mut Graph, x: ValueId, _: usize) -> Result<ValueId, CompilerError> {
    let shape = graph.add("Shape", &[x], &[])?;
    let height = integers(graph, &[2]);
    let height = graph.add("Gather", &[shape, height], &[])?;
    let bounds = [3, i64::MAX, 0].map(|bound| integers(graph, &[bound]));
    let width = graph.add("Slice", &[shape, bounds[0], bounds[1], bounds[2]], &[])?;
    let ones = integers(graph, &[1, 1]);
    let size = graph.add("Concat", &[ones, height, width], &[("axis", 0.into())])?;
    let values = graph.constant("mask", Constant::f32([2, 8], &numbers(16, 9)));
    let mask = graph.append("Reshape", &[values, size], &[], "laid_out")?;
    let x = graph.append("Mul", &[x, mask], &[], "masked")?;
    graph.append("Flatten", &[x], &[], "flat")
}

/// Some of a row's numbers in lists of seven, by a shape that is joined of lengths.
fn in_sevens(graph: &mut Graph, x: ValueId, fixed: usize) -> Result<ValueId, CompilerError> {
    let shape = graph.add("Shape", &[x], &[])?;
    let channels = integers(graph, &[1]);
    let channels = graph.add("Gather", &[shape, channels], &[])?;
    let (rows, sevens) = (integers(graph, &[fixed as i64]), integers(graph, &[2, 7]));
    let lists = graph.add("Concat", &[rows, channels, sevens], &[("axis", 0.into())])?;
    let x = graph.add("Flatten", &[x], &[])?;
    let bounds = [0, 84, 1].map(|bound| integers(graph, &[bound]));
    let x = graph.add("Slice", &[x, bounds[0], bounds[1], bounds[2]], &[])?;
    let x = graph.append("Reshape", &[x, lists], &[], "sevens")?;
    let behind = integers(graph, &[0, 0, 0, 0, 0, 0, 0, 1]);
    let x = graph.append("Pad", &[x, behind], &[], "eights")?;
    graph.append("Flatten", &[x], &[], "flat")
}

/// Twice as high and wide, by the sizes of all axes or by scales; the mean of each channel's rows.
fn resized(graph: &mut Graph, x: ValueId, fixed: Option<usize>) -> Result<ValueId, CompilerError> {
    let (scales, sizes) = match fixed {
        Some(n) => (None, Some(integers(graph, &[n as i64, 6, 8, 8]))),
        None => (Some(graph.constant("scales", Constant::f32([4], &[1.0, 1.0, 2.0, 2.0]))), None),
    };
    let linear = [("mode", "linear".into())];
    let x = graph.add_with("Resize", &[Some(x), None, scales, sizes], &linear, 1)?[0];
    let x = graph.add("ReduceMean", &[x], &[ints("axes", &[3]), ("keepdims", 0.into())])?;
    graph.add("Flatten", &[x], &[])
}

#[test]
fn a_model_with_a_fixed_batch_gives_each_row_the_same_scores_when_its_axis_is_freed() {
    if !onnx_runtime::available() {
        return;
    }
    let rows: Vec<(&str, Middle, &[usize])> = vec![
        ("a literal length", |g, x, n| reshape(g, x, &[n as i64, 96]), &[1, 8]),
        ("what is left", |g, x, n| reshape(g, x, &[n as i64, -1]), &[1, 8]),
        ("copied", |g, x, _| reshape(g, x, &[0, -1]), &[1, 8]),
        ("rows are what is left", |g, x, _| reshape(g, x, &[-1, 96]), &[1, 8]),
        ("recurrent layers", recurrent, &[1]),
        ("flatten", |g, x, _| g.add("Flatten", &[x], &[]), &[1, 8]),
        ("flatten of all", |g, x, _| g.add("Flatten", &[x], &[("axis", 0.into())]), &[1]),
        (
            "pool and squeeze of two axes",
            |g, x, _| {
                let (x, axes) = (pooled(g, x)?, integers(g, &[2, 3]));
                g.add("Squeeze", &[x, axes], &[])
            },
            &[1, 8],
        ),
        (
            "pool and reshape",
            |g, x, n| {
                let x = pooled(g, x)?;
                reshape(g, x, &[n as i64, 6])
            },
            &[1, 8],
        ),
        ("mean", |g, x, _| g.add("ReduceMean", &[x], &[ints("axes", &[2, 3]), ("keepdims", 0.into())]), &[1, 8]),
        (
            "several literal shapes, slices and padding",
            |g, x, n| {
                let n = n as i64;
                let x = reshape(g, x, &[n, 2, 3, 16])?;
                let x = g.add("Transpose", &[x], &[ints("perm", &[0, 2, 1, 3])])?;
                let bounds = [&[0, 1][..], &[n, 3], &[0, 1]].map(|values| integers(g, values));
                let x = g.add("Slice", &[x, bounds[0], bounds[1], bounds[2]], &[])?;
                reshape(g, x, &[n, 64])
            },
            &[1],
        ),
        ("attention", attention, &[1]),
        ("places of all rows in one list, counted in the run", listed, &[1]),
        ("a mask of the picture's own size", masked, &[1]),
        ("windows of seven by a computed shape, where no length is open", in_sevens, &[1, 8]),
        ("a table repeated for each row, as `repeat` is written", repeated, &[1]),
        ("sizes of all axes", |g, x, n| resized(g, x, Some(n)), &[1, 8]),
        ("scales", |g, x, _| resized(g, x, None), &[1, 8]),
        (
            "a sum of products by letters",
            |g, x, n| {
                let x = g.add("Einsum", &[x, x], &[("equation", "nchw,nkhw->ckn".into())])?;
                let x = g.add("Transpose", &[x], &[ints("perm", &[2, 0, 1])])?;
                reshape(g, x, &[n as i64, 36])
            },
            &[1, 8],
        ),
        (
            "places picked of each row, which the file states for one",
            |g, x, _| {
                let places: Vec<i64> = (0..96).map(|at| at * 7 % 4).collect();
                let places = g.constant("places", Constant::i64([1, 6, 4, 4], &places));
                let x = g.add("GatherElements", &[x, places], &[("axis", 3.into())])?;
                g.add("Flatten", &[x], &[])
            },
            &[1],
        ),
        (
            "repeated, added up and cut",
            |g, x, _| {
                let (times, along) = (integers(g, &[1, 1, 2, 1]), g.constant("along", Constant::i64([], &[3])));
                let x = g.add("Tile", &[x, times], &[])?;
                let x = g.add("CumSum", &[x, along], &[])?;
                let x = g.add("Trilu", &[x], &[])?;
                g.add("Flatten", &[x], &[])
            },
            &[1, 8],
        ),
        ("a class token", with_class_token, &[1]),
        ("class tokens that were folded", with_stored_tokens, &[1, 7]),
        ("class tokens that were folded, by name", with_named_tokens, &[1, 7]),
        ("tokens and positions that were folded and are read twice", with_shared_tokens, &[7]),
    ];
    for (name, middle, batches) in rows {
        for fixed in batches {
            let bytes = network(middle, *fixed).unwrap_or_else(|error| panic!("{name}, {fixed}: {error}"));
            let wanted = FineTuning { head: HeadChoice::keep(), ..FineTuning::head(3, CLASSES) };
            let program = compile(&Model::from_bytes(bytes.clone()).unwrap(), &wanted, &OperatorCatalog::standard());
            let program = program.unwrap_or_else(|error| panic!("{name}, {fixed}: {error}"));
            assert_eq!(program.notes.len(), 1, "{name}: it is said");
            let freed = program.export(&program.parameters, &[]).unwrap().to_vec();
            let count = 3 * fixed;
            let images = numbers(count * ROW, 1);
            let one = |session: &mut ort::session::Session, from: usize, rows: usize| {
                let part = images[from * ROW..][..rows * ROW].to_vec();
                run(session, vec![("x".to_owned(), floats(&[rows, 3, 8, 8], &part))]).remove(0)
            };
            let mut as_it_came = session(&bytes);
            let wanted: Vec<f32> = (0..3).flat_map(|at| one(&mut as_it_came, at * fixed, *fixed)).collect();
            let got = one(&mut session(&freed), 0, count);
            assert_eq!(got.len(), wanted.len(), "{name}, {fixed}");
            let far = got.iter().zip(&wanted).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
            assert!(far <= 1e-6, "{name}, {fixed}: off by {far}");
            // and the freed model is a model like others
            compile(&Model::from_bytes(freed).unwrap(), &FineTuning::head(7, 2), &OperatorCatalog::standard()).unwrap();
        }
    }
}

#[test]
fn a_class_token_that_is_stored_for_each_row_is_one_parameter() {
    let middles: [Middle; 2] = [with_stored_tokens, with_named_tokens];
    for (middle, fixed) in middles.into_iter().flat_map(|middle| [(middle, 1), (middle, 7)]) {
        let model = Model::from_bytes(network(middle, fixed).unwrap()).unwrap();
        let all = FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(3, CLASSES) };
        let program = compile(&model, &all, &OperatorCatalog::standard()).unwrap();
        let tokens = program.manifest.parameters.iter().filter(|parameter| parameter.shape == [1, 1, 6]).count();
        assert_eq!(tokens, 1, "{fixed}: {:?}", program.manifest.parameters);
        let report = describe(&model, None, &OperatorCatalog::standard()).unwrap();
        assert_eq!(report.parameters, 72 + 6 + 30, "{fixed}: the kernel, the token and the head");
    }
}

#[test]
fn tokens_and_positions_that_several_nodes_read_are_one_parameter_each() {
    let model = Model::from_bytes(network(with_shared_tokens, 7).unwrap()).unwrap();
    let all = FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(3, CLASSES) };
    let program = compile(&model, &all, &OperatorCatalog::standard()).unwrap();
    let shapes = program.manifest.parameters.iter().map(|parameter| parameter.shape.clone());
    let mut shapes: Vec<Vec<usize>> = shapes.collect();
    shapes.sort();
    assert_eq!(shapes, [vec![1, 1, 6], vec![1, 1, 6], vec![1, 18, 6], vec![6, 3, 2, 2], vec![6, 5]]);
}

#[test]
fn a_model_that_mixes_rows_is_refused_with_the_node_and_the_batch_that_it_takes() {
    let rows: Vec<(Middle, usize, &str)> = vec![
        (
            |g, x, _| {
                let x = g.add("Softmax", &[x], &[("axis", 0.into())])?;
                g.add("Flatten", &[x], &[])
            },
            1,
            "(Softmax) stands in the way: it works along the axis of rows",
        ),
        (
            |g, x, _| {
                let mean = g.add("ReduceMean", &[x], &[ints("axes", &[0, 2, 3])])?;
                let x = g.add("Sub", &[x, mean], &[])?;
                g.add("Flatten", &[x], &[])
            },
            1,
            "(ReduceMean) stands in the way: it reduces over the rows",
        ),
        (
            |g, x, _| {
                let x = g.add("Flatten", &[x], &[])?;
                let own = weight(g, &[8, 96]);
                g.add("Add", &[x, own], &[])
            },
            8,
            "(Add) stands in the way: one of its operands holds values for 8 places",
        ),
        (
            |g, x, _| {
                let x = g.add("Flatten", &[x], &[])?;
                let turned = g.add("Transpose", &[x], &[])?;
                let alike = g.add("MatMul", &[x, turned], &[])?;
                g.add("MatMul", &[alike, x], &[])
            },
            1,
            "(MatMul) stands in the way: it multiplies over the rows",
        ),
    ];
    for (middle, fixed, wanted) in rows {
        let model = Model::from_bytes(network(middle, fixed).unwrap()).unwrap();
        let error = compile(&model, &FineTuning::head(3, 2), &OperatorCatalog::standard()).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains(&format!("`data.batch: {fixed}`")), "{error}");
        let program = compile(&model, &FineTuning::head(fixed, 2), &OperatorCatalog::standard()).unwrap();
        assert!(program.notes[0].contains("so will the exported model"), "{:?}", program.notes);
    }
}

/// `x` [1, tokens, 6] → laid out anew by a shape that is computed from the number of tokens → `scores` [1, 5].
#[test]
fn a_length_that_follows_from_an_open_one_is_not_written_into_the_model_with_the_number_that_was_tried() {
    let one_less: Middle = |g, x, _| {
        let bounds = [1, i64::MAX, 1].map(|bound| integers(g, &[bound]));
        g.append("Slice", &[x, bounds[0], bounds[1], bounds[2]], &[], "part")
    };
    let all: Middle = |_, x, _| Ok(x);
    let rows: [(Middle, &str, i64, i64, &str); 2] = [
        (one_less, "Add", -1, 6, "(Reshape) stands in the way: it says lengths that are open"),
        (all, "Mul", 2, 3, "(Reshape) stands in the way: its shape is computed from lengths that are open"),
    ];
    for (part, operator, by, width, wanted) in rows {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let tokens = || Length::named("tokens");
        let x = graph.input("x", TensorType::f32([Length::from(1), tokens(), Length::from(6)]));
        let shape = graph.append("Shape", &[x], &[], "shape").unwrap();
        let (second, by) = (integers(&mut graph, &[1]), integers(&mut graph, &[by]));
        let count = graph.append("Gather", &[shape, second], &[], "count").unwrap();
        let count = graph.append(operator, &[count, by], &[], "computed").unwrap();
        let (one, width) = (integers(&mut graph, &[1]), integers(&mut graph, &[width]));
        let lengths = graph.append("Concat", &[one, count, width], &[("axis", 0.into())], "lengths").unwrap();
        let part = part(&mut graph, x, 1).unwrap();
        let laid_out = graph.append("Reshape", &[part, lengths], &[], "laid_out").unwrap();
        let back = integers(&mut graph, &[0, -1, 6]);
        let back = graph.append("Reshape", &[laid_out, back], &[], "back").unwrap();
        let mean = [ints("axes", &[1]), ("keepdims", 0.into())];
        let mean = graph.append("ReduceMean", &[back], &mean, "mean").unwrap();
        let head = weight(&mut graph, &[6, CLASSES]);
        let scores = graph.append("Gemm", &[mean, head], &[], "scores").unwrap();
        graph.output(scores);
        let inputs =
            [("x".to_owned(), vec![AxisLength::Fixed(3), AxisLength::Named("tokens".into()), AxisLength::Fixed(6)])]
                .into();
        let wanted_of = FineTuning { inputs, head: HeadChoice::keep(), ..FineTuning::head(3, CLASSES) };
        let model = Model::from_bytes(graph.to_onnx("open")).unwrap();
        let error = compile(&model, &wanted_of, &OperatorCatalog::standard()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{operator}: {error}");
    }
}

/// `x` [batch, 2, 3, 4] → rotated by angles [1, 3, 2], which ONNX Runtime does not broadcast → `scores` [batch, 5].
#[test]
fn angles_that_a_file_holds_for_one_row_rotate_each_of_several() {
    if !onnx_runtime::available() {
        return;
    }
    let mut graph = Graph::new(23, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), 2.into(), 3.into(), 4.into()]));
    let angles: Vec<f32> = (0..6).map(|at| at as f32 * 0.7).collect();
    let cosines: Vec<f32> = angles.iter().map(|angle| angle.cos()).collect();
    let sines: Vec<f32> = angles.iter().map(|angle| angle.sin()).collect();
    let cosines = graph.constant("cosines", Constant::f32([1, 3, 2], &cosines));
    let sines = graph.constant("sines", Constant::f32([1, 3, 2], &sines));
    let rotated = graph.add("RotaryEmbedding", &[x, cosines, sines], &[]).unwrap();
    let features = graph.add("Flatten", &[rotated], &[]).unwrap();
    let head = weight(&mut graph, &[24, CLASSES]);
    let scores = graph.add("Gemm", &[features, head], &[]).unwrap();
    graph.output(scores);
    let bytes = graph.to_onnx("rotated");
    let wanted = FineTuning { head: HeadChoice::keep(), ..FineTuning::head(3, CLASSES) };
    let program = compile(&Model::from_bytes(bytes.clone()).unwrap(), &wanted, &OperatorCatalog::standard()).unwrap();
    let exported = program.export(&program.parameters, &[]).unwrap().to_vec();
    let rows = numbers(3 * 24, 1);
    let given = |rows: &[f32]| vec![("x".to_owned(), floats(&[rows.len() / 24, 2, 3, 4], rows))];
    let mut as_it_came = session(&bytes);
    let wanted: Vec<f32> = rows.chunks(24).flat_map(|row| run(&mut as_it_came, given(row)).remove(0)).collect();
    let got = run(&mut session(&exported), given(&rows)).remove(0);
    assert_eq!(got.len(), wanted.len());
    assert!(got.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?} instead of {wanted:?}");
}
