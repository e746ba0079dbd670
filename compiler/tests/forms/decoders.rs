//! Decoders as ONNX Runtime's model builder writes them.

use millstream_compiler::{Model, OperatorCatalog, compile};
use prost::Message;

use crate::onnx_file::onnx::{ModelProto, OperatorSetIdProto};
use crate::onnx_file::{Value, integers, node, weight};
use crate::{everything, holds, ints, network, onnx_runtime};

/// One layer of attention, two heads over one of keys; how many keys a row has is computed of the data's shape.
fn decoder(packed: bool) -> ModelProto {
    let linear = |name: &str| node("MatMul", &format!("x {name}.weight"), name);
    let attention = |queries: &str| {
        let inputs = format!("{queries} _ _ lasts total cos_cache sin_cache");
        node("com.microsoft.GroupQueryAttention", &inputs, "attended present.key present.value")
            .with("num_heads", Value::Int(2))
            .with("kv_num_heads", Value::Int(1))
            .with("do_rotary", Value::Int(1))
    };
    let to_int = |from: &str, to: &str| node("Cast", from, to).with("to", Value::Int(6));
    let lengths = vec![
        node("Shape", "x", "shape"),
        node("Gather", "shape one", "count"),
        to_int("count", "total"),
        node("Gather", "shape zero", "rows"),
        node("Sub", "count one", "last"),
        node("Expand", "last rows", "each"),
        to_int("each", "lasts"),
    ];
    let attended = match packed {
        true => vec![linear("qkv"), attention("qkv _ _")],
        false => vec![linear("q"), linear("k"), linear("v"), attention("q k v")],
    };
    let behind = vec![
        node("MatMul", "attended o.weight", "o"),
        node("Add", "o x", "sum"),
        node("ReduceMean", "sum", "z").with("axes", ints(&[1])).with("keepdims", Value::Int(0)),
    ];
    let mut weights = vec![
        integers("one", &[], &[1]),
        integers("zero", &[1], &[0]),
        weight("cos_cache", &[7, 8]),
        weight("sin_cache", &[7, 8]),
        weight("o.weight", &[32, 8]),
    ];
    weights.extend(match packed {
        true => vec![weight("qkv.weight", &[8, 64])],
        false => vec![weight("q.weight", &[8, 32]), weight("k.weight", &[8, 16]), weight("v.weight", &[8, 16])],
    });
    let mut file = network(17, &[4, 8], [lengths, attended, behind].concat(), weights);
    file.opset_import.push(OperatorSetIdProto { domain: Some("com.microsoft".into()), version: Some(1) });
    file
}

#[test]
fn grouped_attention_is_trained_whole_and_its_caches_stay() {
    if !onnx_runtime::available() {
        return;
    }
    for packed in [false, true] {
        holds(&format!("packed: {packed}"), &decoder(packed), &[], 8 * 64 + 32 * 8 + 45);
    }
}

#[test]
fn a_form_of_it_that_has_no_gradient_is_refused_by_name() {
    let mut file = decoder(false);
    let nodes = &mut file.graph.as_mut().unwrap().node;
    let attention = nodes.iter_mut().find(|node| node.op_type() == "GroupQueryAttention").unwrap();
    attention.input.resize(12, String::new());
    attention.input.extend(["size".to_owned(), "size".to_owned()]);
    file.graph.as_mut().unwrap().initializer.push(weight("size", &[16]));
    let model = Model::from_bytes(file.encode_to_vec()).unwrap();
    let error = compile(&model, &everything(), &OperatorCatalog::standard()).unwrap_err().to_string();
    for part in
        ["node `attended`: it rounds keys and values to a cache of integers", "The last 2 of 5 layers can be trained"]
    {
        assert!(error.contains(part), "{error}");
    }
}
