//! Files whose exporter left arithmetic with constants as it was traced.

use crate::onnx_file::onnx::NodeProto;
use crate::onnx_file::{Value, floats, integers, node, weight};
use crate::{holds, network, onnx_runtime};

fn number(name: &str, value: f32) -> NodeProto {
    node("Constant", "", name).with("value", Value::Tensor(floats("", &[], &[value])))
}

#[test]
fn a_factor_of_resizing_that_was_not_folded_is_known() {
    if !onnx_runtime::available() {
        return;
    }
    let pair = |name: &str, value: f32| {
        node("Constant", "", name).with("value", Value::Tensor(floats("", &[2], &[value, value])))
    };
    let nodes = vec![
        pair("/up/Constant_output_0", 1.0),
        pair("/up/Constant_1_output_0", 2.0),
        node("Concat", "/up/Constant_output_0 /up/Constant_1_output_0", "/up/Concat_output_0")
            .with("axis", Value::Int(0)),
        node("Resize", "x _ /up/Concat_output_0", "u")
            .with("coordinate_transformation_mode", Value::Text("asymmetric"))
            .with("nearest_mode", Value::Text("floor")),
        node("Conv", "u conv.weight", "c"),
        node("GlobalAveragePool", "c", "mean"),
        node("Flatten", "mean", "z"),
    ];
    let weights = vec![weight("conv.weight", &[8, 3, 3, 3])];
    holds("factors", &network(13, &[3, 4, 5], nodes, weights), &[], 8 * 27 + 45);
}

#[test]
fn padding_that_is_computed_from_constants_is_known() {
    if !onnx_runtime::available() {
        return;
    }
    let long = |input: &str, output: &str| node("Cast", input, output).with("to", Value::Int(7));
    let nodes = vec![
        number("length", 4.5),
        number("one", 1.0),
        number("stride", 2.0),
        number("kernel", 3.0),
        number("least", 0.0),
        // (⌈4.5⌉ − 1) · 2 + 3 − 9 = 2, half of it on each side, as padding by rule is computed
        node("Ceil", "length", "windows"),
        node("Sub", "windows one", "steps"),
        node("Mul", "steps stride", "reach"),
        node("Add", "reach kernel", "covered"),
        number("own", 9.0),
        node("Sub", "covered own", "missing"),
        node("Clip", "missing least", "margins"),
        node("Div", "margins stride", "half"),
        long("half", "whole"),
        node("Cast", "whole", "before").with("to", Value::Int(1)),
        node("Sub", "margins before", "after"),
        node("Unsqueeze", "before first", "before_list"),
        node("Unsqueeze", "after first", "after_list"),
        node("Concat", "before_list after_list", "both").with("axis", Value::Int(0)),
        long("both", "both_whole"),
        node("Concat", "none both_whole", "shuffled").with("axis", Value::Int(0)),
        node("Gather", "shuffled order", "pads"),
        node("Pad", "x pads", "p"),
        node("Conv", "p conv.weight", "c"),
        node("GlobalAveragePool", "c", "mean"),
        node("Flatten", "mean", "z"),
    ];
    let weights = vec![
        weight("conv.weight", &[8, 3, 3, 3]),
        integers("first", &[1], &[0]),
        integers("none", &[2], &[0, 0]),
        // rows and channels none, then before and after
        integers("order", &[8], &[0, 1, 2, 2, 0, 1, 3, 3]),
    ];
    holds("padding", &network(13, &[3, 9, 9], nodes, weights), &[], 8 * 27 + 45);
}
