//! Blocks of channels that are undone, on graphs made by hand.

use prost::Message;

use super::*;
use crate::handmade::{graph, node, proto, value, weight, with};
use crate::model_file::onnx::OperatorSetIdProto;

/// A node of the domain: `node` takes domains without a point.
fn blocked(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto { domain: Some(ONE_PROCESSOR.into()), ..node(operator, inputs, &[output]) }
}

fn activated(mut node: NodeProto, activation: &str, parameters: &[f32]) -> NodeProto {
    node.attribute.push(word("activation", activation));
    node.attribute.push(floats("activation_params", parameters));
    node
}

/// A number of a kernel `[O, I, H, W]` that no other place has; 0 where the channels only fill a block.
fn number_at([output, input, place]: [usize; 3], kept: [usize; 2]) -> f32 {
    if output < kept[0] && input < kept[1] { (1 + place + 10 * input + 1000 * output) as f32 } else { 0.0 }
}

/// A kernel as MLAS reorders it: `OIHWBiBo`, or `OIHWBo` where `inner` is 1.
fn reordered(name: &str, shape: [usize; 4], kept: [usize; 2], inner: usize, block: usize) -> TensorProto {
    let mut values = Vec::new();
    for output in (0..shape[0]).step_by(block) {
        for input in (0..shape[1]).step_by(inner) {
            for place in 0..shape[2] * shape[3] {
                for input in input..input + inner {
                    values.extend((output..output + block).map(|output| number_at([output, input, place], kept)));
                }
            }
        }
    }
    tensor_of(name, &Constant::f32(shape, &values))
}

fn bias(name: &str, length: usize, kept: usize) -> TensorProto {
    let values: Vec<f32> = (0..length).map(|at| if at < kept { at as f32 + 0.5 } else { 0.0 }).collect();
    tensor_of(name, &Constant::f32([length], &values))
}

fn file(nodes: Vec<NodeProto>, tensors: Vec<TensorProto>) -> ModelProto {
    let mut model = proto(graph(nodes, tensors, vec![value("x", &[3, 8, 8])], vec![crate::handmade::untyped("y")]));
    model.opset_import.push(OperatorSetIdProto { domain: Some(ONE_PROCESSOR.into()), version: Some(1) });
    gate::check(&model).unwrap_or_else(|_| panic!("the gate refuses the test's model"));
    model
}

/// Two convolutions, of `middle` channels between them and `last` at the end.
fn two(block: usize, middle: usize, last: usize) -> ModelProto {
    let [padded, end] = [middle, last].map(|channels| channels.next_multiple_of(block));
    let first = blocked("Conv", &["x", "reorder", "a.bias"], "reorder_token_0");
    let nodes = vec![
        activated(first, "Clip", &[0.0, 6.0]),
        with(blocked("MaxPool", &["reorder_token_0"], "reorder_token_1"), "kernel_shape", &[1, 1]),
        blocked("Conv", &["reorder_token_1", "reorder_token_2", "b.bias"], "reorder_token_3"),
        with(blocked("ReorderOutput", &["reorder_token_3"], "y"), "channels", &[last as i64]),
    ];
    let tensors = vec![
        reordered("reorder", [padded, 3, 3, 3], [middle, 3], 1, block),
        bias("a.bias", padded, middle),
        reordered("reorder_token_2", [end, padded, 1, 1], [last, middle], block, block),
        bias("b.bias", end, last),
    ];
    file(nodes, tensors)
}

fn tensor(model: &ModelProto, name: &str) -> Constant {
    let tensors = &model.graph.as_ref().unwrap().initializer;
    let found = tensors.iter().find(|tensor| tensor.name() == name);
    super::super::constant_of(found.unwrap_or_else(|| panic!("no tensor is named {name}"))).unwrap()
}

fn operators(model: &ModelProto) -> Vec<(&str, &str)> {
    let nodes = &model.graph.as_ref().unwrap().node;
    assert!(nodes.iter().all(|node| node.domain().is_empty()));
    nodes.iter().map(|node| (node.op_type(), node.name())).collect()
}

fn plain(shape: [usize; 4]) -> Constant {
    let mut values = Vec::new();
    for output in 0..shape[0] {
        for input in 0..shape[1] {
            values
                .extend((0..shape[2] * shape[3]).map(|place| number_at([output, input, place], [shape[0], shape[1]])));
        }
    }
    Constant::f32(shape, &values)
}

#[test]
fn a_file_optimized_for_one_processor_has_its_convolutions_back() {
    for (block, middle, last, of_processor, is_stated) in [
        (8, 12, 20, None, true),
        (8, 12, 20, Some(16), true),
        (16, 20, 28, Some(8), true),
        // shapes allow both, and what fills the last block does not
        (8, 16, 12, Some(16), true),
        (16, 16, 12, Some(8), true),
        (8, 32, 16, Some(8), false),
        (16, 32, 16, Some(16), false),
    ] {
        let mut model = two(block, middle, last);
        let found = undo(&mut model, of_processor).unwrap();
        assert_eq!(found, Some(ChannelBlocks { length: block, is_stated }), "{block} {middle} {last}");
        assert_eq!(tensor(&model, "a.weight"), plain([middle, 3, 3, 3]), "{block} {middle} {last}");
        assert_eq!(tensor(&model, "b.weight"), plain([last, middle, 1, 1]), "{block} {middle} {last}");
        assert_eq!([tensor(&model, "a.bias").shape, tensor(&model, "b.bias").shape], [[middle], [last]]);
        let wanted = [
            ("Conv", "/a/Conv"),
            ("Clip", "reorder_token_0"),
            ("MaxPool", "reorder_token_1"),
            ("Conv", "/b/Conv"),
            ("Identity", "y"),
        ];
        assert_eq!(operators(&model), wanted);
        assert!(gate::check(&model).is_ok());
        assert!(model.opset_import.iter().all(|import| import.domain() != ONE_PROCESSOR));
    }
}

#[test]
fn layers_of_a_file_optimized_for_one_processor_are_named_and_a_better_export_is_advised() {
    let model = crate::Model::from_bytes(two(8, 12, 20).encode_to_vec()).unwrap();
    let catalog = crate::OperatorCatalog::standard();
    let report = crate::describe(&model, None, &catalog).unwrap();
    let layers: Vec<(&str, usize)> =
        report.layers.iter().map(|layer| (layer.name.as_str(), layer.parameters)).collect();
    assert_eq!(layers, [("a", 12 * 27 + 12), ("b", 20 * 12 + 20)]);
    let said = format!("for one kind of processor ({ONE_PROCESSOR}), in blocks; it is read");
    assert!(report.notes.iter().any(|note| note.contains(&said)), "{:?}", report.notes);
    let advice = crate::export_advice(&model, &report, &catalog).unwrap();
    assert!(advice.iter().any(|one| one.change.contains("`ORT_ENABLE_EXTENDED` at most")), "{advice:?}");
}

#[test]
fn a_convolution_without_a_name_is_called_after_the_block_that_it_lies_in() {
    let mut model = two(8, 12, 20);
    let graph = model.graph.as_mut().unwrap();
    for (at, name) in [(0, "/features/features.0/features.0.2/Clip_output_0_nchwc"), (2, "/head/Conv_output_0_nchwc")] {
        graph.node[at].name = Some(name.into());
        graph.node[at].input[2] = format!("onnx::Conv_{at}");
    }
    graph.initializer[1].name = Some("onnx::Conv_0".into());
    graph.initializer[3].name = Some("onnx::Conv_2".into());
    undo(&mut model, Some(8)).unwrap();
    let names = operators(&model);
    assert_eq!([names[0].1, names[3].1], ["/features/features.0/features.0.2/Conv", "/head/Conv"]);
    assert_eq!(tensor(&model, "onnx::reorder").shape, [12, 3, 3, 3]);
}

#[test]
fn blocks_of_a_length_that_nothing_says_are_refused_where_the_processor_has_none() {
    let error = undo(&mut two(8, 32, 16), None).unwrap_err().to_string();
    assert!(error.contains("may be of 8 or of 16 channels is not supported"), "{error}");
    // numbers where nothing is computed of them
    let mut model = two(8, 12, 20);
    model.graph.as_mut().unwrap().initializer[3] = bias("b.bias", 24, 24);
    let error = undo(&mut model, Some(8)).unwrap_err().to_string();
    assert!(error.contains("fit no block of 8 or of 16 channels is not supported"), "{error}");
}

#[test]
fn sums_depthwise_kernels_and_images_with_channels_last_are_read_back() {
    let depthwise = with(blocked("Conv", &["in", "w0", "b0"], "a"), "group", &[16]);
    let nodes = vec![
        with(blocked("ReorderInput", &["x"], "in"), "channels_last", &[1]),
        depthwise,
        activated(blocked("Conv", &["a", "w1", "", "in"], "b"), "Relu", &[]),
        node("Sigmoid", &["b"], &["c"]),
        node("Mul", &["b", "c"], &["d"]),
        with(with(blocked("ReorderOutput", &["d"], "y"), "channels_last", &[1]), "channels", &[12]),
    ];
    let tensors = vec![
        reordered("w0", [16, 1, 3, 3], [12, 1], 1, 8),
        bias("b0", 16, 12),
        reordered("w1", [16, 16, 1, 1], [12, 12], 8, 8),
    ];
    let mut model = file(nodes, tensors);
    assert_eq!(undo(&mut model, None).unwrap(), Some(ChannelBlocks { length: 8, is_stated: true }));
    assert_eq!(tensor(&model, "w0"), plain([12, 1, 3, 3]));
    assert_eq!(tensor(&model, "w1"), plain([12, 12, 1, 1]));
    let nodes = &model.graph.as_ref().unwrap().node;
    let groups = nodes[1].attribute.iter().find(|attribute| attribute.name() == "group").and_then(|group| group.i);
    assert_eq!(groups, Some(12));
    let wanted = ["Transpose", "Conv", "Conv", "Add", "Relu", "Sigmoid", "Mul", "Transpose"];
    assert_eq!(nodes.iter().map(NodeProto::op_type).collect::<Vec<_>>(), wanted);
    assert_eq!(nodes[3].input, ["b_conv", "in"]);
    assert_eq!((nodes[4].input[0].as_str(), nodes[4].output[0].as_str()), ("b_sum", "b"));
}

#[test]
fn a_bias_of_two_convolutions_that_keep_different_channels_fits_both() {
    let nodes = vec![
        blocked("Conv", &["x", "w0", "b"], "a"),
        blocked("Conv", &["a", "w1", "b"], "c"),
        with(blocked("ReorderOutput", &["c"], "y"), "channels", &[12]),
    ];
    let tensors = vec![
        reordered("w0", [16, 3, 1, 1], [16, 3], 1, 8),
        reordered("w1", [16, 16, 1, 1], [12, 16], 8, 8),
        bias("b", 16, 0),
    ];
    let mut model = file(nodes, tensors);
    assert_eq!(undo(&mut model, None).unwrap(), Some(ChannelBlocks { length: 8, is_stated: true }));
    for (at, read, length) in [(0, "b", 16), (1, "b_12", 12)] {
        let node = &model.graph.as_ref().unwrap().node[at];
        assert_eq!((node.op_type(), node.input[2].as_str()), ("Conv", read));
        assert_eq!(tensor(&model, &node.input[1]).shape[0], length);
        assert_eq!(tensor(&model, read).shape, [length]);
    }
}

#[test]
fn what_the_optimizer_does_not_write_is_refused_by_name() {
    let kernel = || reordered("w", [8, 3, 1, 1], [8, 3], 1, 8);
    let made = || blocked("Conv", &["x", "w"], "a");
    let left = || with(blocked("ReorderOutput", &["a"], "y"), "channels", &[8]);
    for (nodes, wanted) in [
        (vec![blocked("Pad", &["x"], "y")], "node `y` (Pad), which is not known,"),
        (vec![made(), node("Softmax", &["a"], &["y"])], "node `y` (Softmax), which reads blocks of channels,"),
        (vec![blocked("MaxPool", &["x"], "y")], "node `y` (MaxPool), which reads no blocks of channels,"),
        (vec![blocked("Conv", &["x", "x"], "y")], "which has no kernel of floats with four axes in the file,"),
        (vec![activated(made(), "Round", &[]), left()], "which has the activation Round, which is not known,"),
        (
            vec![made(), blocked("ReorderOutput", &["a"], "y")],
            "node `y` (ReorderOutput), which does not say how many channels it makes,",
        ),
        (
            vec![made(), left(), node("Relu", &["w"], &["z"])],
            "node `z` (Relu), which reads `w`, which lies in blocks of channels,",
        ),
        (vec![made(), node("Relu", &["a"], &["y"])], "output `y`, which lies in blocks of channels,"),
    ] {
        let error = undo(&mut file(nodes, vec![kernel()]), Some(8)).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let mut untouched = proto(graph(
        vec![node("Relu", &["x"], &["y"])],
        vec![weight("w", &[2])],
        vec![value("x", &[2])],
        vec![value("y", &[2])],
    ));
    assert_eq!(undo(&mut untouched, None).unwrap(), None);
}
