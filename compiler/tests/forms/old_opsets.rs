//! Files of old opsets.

use crate::onnx_file::onnx::{ModelProto, TensorProto};
use crate::onnx_file::{Value, floats, integers, node, weight};
use crate::{ROWS, answer, compiled, holds, holds_within, ints, network, onnx_runtime, slopes};
use prost::Message;

/// A network of operators that have changed since, as this version writes them.
fn old_network(opset: i64) -> ModelProto {
    let mut weights = vec![
        weight("conv.weight", &[4, 3, 3, 3]),
        weight("conv.bias", &[4]),
        floats("norm.weight", &[4], &[0.5, 1.0, 1.5, 2.0]),
        weight("norm.bias", &[4]),
        weight("norm.running_mean", &[4]),
        floats("norm.running_var", &[4], &[0.5, 1.0, 1.5, 2.0]),
        weight("mix.weight", &[48, 8]),
    ];
    let mut input = |tensor: TensorProto| {
        let name = tensor.name().to_owned();
        weights.push(tensor);
        name
    };
    let clip = if opset < 11 {
        node("Clip", "n", "r").with("min", Value::Float(-0.3)).with("max", Value::Float(2.0))
    } else {
        let bounds = [("low", -0.3), ("high", 2.0)].map(|(name, bound)| input(floats(name, &[], &[bound])));
        node("Clip", &format!("n {}", bounds.join(" ")), "r")
    };
    let pads = [0, 0, 1, 1, 0, 0, 1, 1];
    let pad = if opset < 11 {
        node("Pad", "r", "p").with("pads", ints(&pads)).with("value", Value::Float(0.5))
    } else {
        let filled = [input(integers("pads", &[8], &pads)), input(floats("filling", &[], &[0.5]))];
        node("Pad", &format!("r {}", filled.join(" ")), "p")
    };
    let bounds = [("starts", [1, 0]), ("ends", [9, 8]), ("axes", [2, 3])];
    let slice = if opset < 10 {
        bounds.iter().fold(node("Slice", "p", "s"), |node, (name, values)| node.with(name, ints(values)))
    } else {
        let inputs = bounds.map(|(name, values)| input(integers(name, &[2], &values)));
        node("Slice", &format!("p {}", inputs.join(" ")), "s")
    };
    let scales = [1.0, 1.0, 2.0, 1.5];
    let mut scales_input = || input(floats("scales", &[4], &scales));
    let resize = match opset {
        7 | 8 => node("Upsample", "s", "u").with("scales", Value::Floats(scales.to_vec())),
        9 => node("Upsample", &format!("s {}", scales_input()), "u"),
        10 => node("Resize", &format!("s {}", scales_input()), "u"),
        _ => {
            let empty = input(floats("region", &[0], &[]));
            node("Resize", &format!("s {empty} {}", input(floats("scales", &[4], &scales))), "u")
                .with("coordinate_transformation_mode", Value::Text("asymmetric"))
                .with("nearest_mode", Value::Text("floor"))
        }
    };
    let dropout = if opset < 12 {
        node("Dropout", "soft", "kept").with("ratio", Value::Float(0.3))
    } else {
        node("Dropout", &format!("soft {}", input(floats("ratio", &[], &[0.3]))), "kept")
    };
    let nodes = vec![
        node("Conv", "x conv.weight conv.bias", "c").with("pads", ints(&[1, 1, 1, 1])),
        node("BatchNormalization", "c norm.weight norm.bias norm.running_mean norm.running_var", "n"),
        clip,
        pad,
        slice,
        resize,
        node("ReduceSum", "u", "sum").with("axes", ints(&[2])).with("keepdims", Value::Int(0)),
        node("Unsqueeze", "sum", "wide").with("axes", ints(&[2])),
        node("Split", "wide", "first others").with("axis", Value::Int(1)).with("split", ints(&[1, 3])),
        node("Concat", "others first", "joined").with("axis", Value::Int(1)),
        node("Squeeze", "joined", "flat").with("axes", ints(&[2])),
        node("Softmax", "flat", "soft"),
        dropout,
        node("Flatten", "kept", "features"),
        node("MatMul", "features mix.weight", "z"),
    ];
    network(opset, &[3, 8, 8], nodes, weights)
}

#[test]
fn an_old_normalization_by_the_batch_with_further_outputs_is_trained() {
    if !onnx_runtime::available() {
        return;
    }
    let names = ["weight", "bias", "running_mean"].map(|name| weight(&format!("norm.{name}"), &[8]));
    let variance = floats("norm.running_var", &[8], &[1.0; 8]);
    let weights = [vec![weight("mix.weight", &[6, 8])], names.to_vec(), vec![variance]].concat();
    let normalization = "BatchNormalization";
    let inputs = "h norm.weight norm.bias norm.running_mean norm.running_var";
    let nodes =
        vec![node("MatMul", "x mix.weight", "h"), node(normalization, inputs, "z mean var saved_mean saved_var")];
    let file = network(11, &[6], nodes, weights).encode_to_vec();
    let program = compiled(&file);
    let (square, slope) = slopes(&program, &[ROWS, 6]);
    assert!((slope - square).abs() <= 2e-2 * square, "slope {slope}, squared gradient {square}");
    assert!(program.parameters.iter().any(|values| values.len() == 48), "what is below it is trained");
}

#[test]
fn files_of_old_opsets_answer_as_before() {
    if !onnx_runtime::available() {
        return;
    }
    for opset in 7..=12 {
        let note = format!("the file is of opset {opset}; it is read, and exported again, in opset 17");
        holds(&note, &old_network(opset), &[&note], 4 * 27 + 4 + 8 + 48 * 8 + 45);
    }
    let scaled = |mode: &'static str, scales: [f32; 4]| {
        let nodes = vec![
            node("Resize", "x scales", "u").with("mode", Value::Text(mode)),
            node("GlobalAveragePool", "u", "mean"),
            node("Flatten", "mean", "flat"),
            node("MatMul", "flat mix.weight", "z"),
        ];
        network(10, &[3, 9, 10], nodes, vec![floats("scales", &[4], &scales), weight("mix.weight", &[3, 8])])
    };
    for (mode, scales) in
        [("nearest", [1.0, 1.0, 0.5, 0.7]), ("nearest", [1.0, 1.0, 1.6, 1.0]), ("linear", [1.0, 1.0, 0.5, 1.3])]
    {
        holds(&format!("Resize {mode} {scales:?}"), &scaled(mode, scales), &[], 24 + 45);
    }
    let nodes = vec![
        node("MatMul", "x mix.weight", "h"),
        node("Softmax", "h", "soft").with("axis", Value::Int(-2)),
        node("Hardmax", "h", "hard").with("axis", Value::Int(2)),
        node("Add", "soft hard", "both"),
        node("TopK", "both count", "best places").with("axis", Value::Int(1)),
        node("Flatten", "best", "flat"),
        node("LogSoftmax", "flat", "z").with("axis", Value::Int(1)),
    ];
    let weights = vec![weight("mix.weight", &[6, 4]), integers("count", &[1], &[2])];
    holds("Softmax of several axes", &network(11, &[4, 6], nodes, weights), &[], 24 + 45);
    let nodes = vec![node("MatMul", "x mix.weight", "h"), node("TopK", "h", "z places").with("k", Value::Int(8))];
    holds("TopK", &network(9, &[6], nodes, vec![weight("mix.weight", &[6, 9])]), &[], 54 + 45);
}

/// As torch.onnx writes the relative positions of DeBERTa-v2; ONNX Runtime opens no such file.
#[test]
fn integers_that_an_exporter_of_opset_11_forgot_to_cast_are_bounded_by_floats() {
    if !onnx_runtime::available() {
        return;
    }
    let file = |operator: &str, bounds: &str, given: &str| {
        let nodes = vec![
            node("Sign", "x", "sides"),
            node("Cast", "sides", "steps").with("to", Value::Int(7)),
            node("Cast", "steps", "floats").with("to", Value::Int(1)),
            node(operator, &format!("{given} {bounds}"), "bounded"),
            node("Cast", "bounded", "places").with("to", Value::Int(7)),
            node("Gather", "table places", "found"),
            node("Flatten", "found", "flat"),
            node("MatMul", "flat mix.weight", "z"),
        ];
        let bounds = bounds.split(' ').map(|name| floats(name, &[], &[if name == "low" { 0.0 } else { 0.5 }]));
        let weights = vec![weight("table", &[3, 3]), weight("mix.weight", &[18, 8])];
        network(11, &[6], nodes, weights.into_iter().chain(bounds).collect()).encode_to_vec()
    };
    for (operator, bounds) in [("Clip", "low high"), ("Clip", "low"), ("Max", "low"), ("Min", "high")] {
        let [forgotten, whole] = ["steps", "floats"].map(|given| file(operator, bounds, given));
        let [program, as_meant] = [&forgotten, &whole].map(|bytes| compiled(bytes));
        assert_eq!(program.trained, as_meant.trained, "{operator} {bounds}");
        let tuned = program.export(&program.parameters, &[]).unwrap().to_vec();
        assert_eq!(answer(&tuned, &[ROWS, 6]), answer(&whole, &[ROWS, 6]), "{operator} {bounds}");
        let (square, slope) = slopes(&program, &[ROWS, 6]);
        assert!((slope - square).abs() <= 2e-2 * square, "{operator} {bounds}: {slope}, squared gradient {square}");
    }
}

/// ONNX Runtime writes `Swish` of opset 24 out by itself, and has nothing for it in a file of opset 25.
#[test]
fn swish_of_new_opsets_is_read_as_what_it_stands_for() {
    if !onnx_runtime::available() {
        return;
    }
    let swish = |opset: i64, alpha: Option<f32>| {
        let bent = node("Swish", "h", "z");
        let bent = match alpha {
            Some(alpha) => bent.with("alpha", Value::Float(alpha)),
            None => bent,
        };
        let nodes = vec![node("MatMul", "x mix.weight", "h"), bent];
        network(opset, &[6], nodes, vec![weight("mix.weight", &[6, 8])])
    };
    for alpha in [None, Some(1.7)] {
        holds_within(1e-5, &format!("Swish {alpha:?}"), &swish(24, alpha), &[], 48 + 45);
        let newest = compiled(&swish(25, alpha).encode_to_vec());
        let (square, slope) = slopes(&newest, &[ROWS, 6]);
        assert!((slope - square).abs() <= 2e-2 * square, "slope {slope}, squared gradient {square}");
    }
}
