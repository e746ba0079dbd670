//! Models that are damaged or mean harm: each must give an error that names the place.

use std::path::PathBuf;

use prost::Message;

use super::Model;
use super::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataLocation,
};
use crate::CompilerError;

fn relu(input: &str, output: &str) -> NodeProto {
    NodeProto {
        op_type: Some("Relu".into()),
        name: Some(format!("make_{output}")),
        input: vec![input.into()],
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

fn named(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() }
}

fn whole() -> ModelProto {
    let graph = GraphProto {
        node: vec![relu("x", "y")],
        input: vec![named("x")],
        output: vec![named("y")],
        initializer: vec![TensorProto {
            name: Some("w".into()),
            dims: vec![2],
            data_type: Some(1),
            raw_data: Some(vec![0; 8].into()),
            ..TensorProto::default()
        }],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: None, version: Some(17) };
    ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() }
}

type Damage = fn(&mut GraphProto, &mut Vec<OperatorSetIdProto>);

#[test]
fn damaged_models_are_refused_with_the_place() {
    assert!(Model::from_bytes(whole().encode_to_vec()).is_ok());
    let rows: Vec<(Damage, &str)> = vec![
        (|g, _| g.initializer[0].dims = vec![3], "tensor `w` of shape [3] needs 12 bytes and has 8"),
        (|g, _| g.initializer[0].dims = vec![-2], "tensor `w` has an axis of length -2"),
        (|g, _| g.initializer[0].dims = vec![i64::MAX, i64::MAX], "larger than memory"),
        (|g, _| g.initializer[0].data_type = Some(99), "element type 99"),
        (|g, _| g.initializer.push(g.initializer[0].clone()), "two initializers are named `w`"),
        (|g, _| g.node[0].input[0] = "nothing".into(), "node `make_y` reads `nothing` before anything makes it"),
        (|g, _| g.node.push(relu("x", "y")), "node `make_y` makes `y` a second time"),
        (|g, _| g.output[0].name = Some("z".into()), "nothing makes its output `z`"),
        (|g, _| g.node.clear(), "no nodes"),
        (|_, o| o.clear(), "no version of the standard operators"),
        (|_, o| o[0].version = Some(9), "opset 9 is not supported"),
        (
            |g, _| {
                let nested = Some(GraphProto::default());
                let kind = Some(AttributeType::Graph as i32);
                g.node[0].attribute = vec![AttributeProto { r#type: kind, g: nested, ..AttributeProto::default() }];
            },
            "node `make_y` (Relu) with a nested graph",
        ),
    ];
    for (damage, wanted) in rows {
        let mut model = whole();
        let mut graph = model.graph.take().unwrap();
        damage(&mut graph, &mut model.opset_import);
        model.graph = Some(graph);
        let error = Model::from_bytes(model.encode_to_vec()).unwrap_err().to_string();
        assert!(error.contains(wanted), "wanted `{wanted}` in `{error}`");
    }
}

#[test]
fn every_truncation_is_an_error_or_a_whole_model() {
    let bytes = whole().encode_to_vec();
    for length in 0..bytes.len() {
        // a cut between two fields can leave a smaller valid message; it must never panic
        let _ = Model::from_bytes(bytes[..length].to_vec());
    }
    assert!(Model::from_bytes(bytes[..bytes.len() / 2].to_vec()).is_err());
    assert!(Model::from_bytes(Vec::new()).is_err());
}

#[test]
fn external_data_stays_inside_the_model_folder() {
    let folder = std::env::temp_dir().join(format!("millstream-external-{}", std::process::id()));
    let inside = folder.join("model");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(inside.join("w.bin"), [0, 0, 0, 0, 0, 0, 128, 63]).unwrap();
    std::fs::write(folder.join("secret.bin"), [1; 8]).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.join("secret.bin"), inside.join("link.bin")).unwrap();
    let read = |location: &str, length: &str| {
        let mut model = whole();
        let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
        tensor.raw_data = None;
        tensor.data_location = Some(DataLocation::External as i32);
        let entry =
            |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
        tensor.external_data = vec![entry("location", location), entry("length", length)];
        let path: PathBuf = inside.join("model.onnx");
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        Model::read(&path)
    };
    let scoring = read("w.bin", "8").unwrap().scoring(None).unwrap();
    let inside_now = ModelProto::decode(scoring.model.as_slice()).unwrap().graph.unwrap().initializer;
    assert!(inside_now[0].external_data.is_empty() && inside_now[0].raw_data().len() == 8);
    let absolute = folder.join("secret.bin");
    let refused = ["../secret.bin", absolute.to_str().unwrap(), "link.bin", "", "sub/../../secret.bin"];
    for location in refused.iter().filter(|location| cfg!(unix) || **location != "link.bin") {
        let error = read(location, "8").unwrap_err();
        assert!(matches!(error, CompilerError::ExternalData { .. }), "{location}: {error}");
        assert!(error.to_string().contains("tensor `w`"), "{error}");
    }
    assert!(read("w.bin", "9").unwrap_err().to_string().contains("too short"));
    assert!(read("missing.bin", "8").unwrap_err().to_string().contains("cannot read"));
    std::fs::remove_dir_all(folder).unwrap();
}
