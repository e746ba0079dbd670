//! Which parameters a selection means: by name, role, kind and place, methods' own among them.

use millstream_compiler::finetuning::methods;
use millstream_compiler::{FineTuning, HeadChoice, Method, OperatorCatalog, compile};
use millstream_schemas::Choice;
use millstream_schemas::recipe::{ParameterSelection, TrainSelection};
use serde_json::{Value, json};

use crate::{CLASSES, ROWS, transformer};

/// The names of the parameters that a selection means, where the methods train their own and all layers are trained.
fn meant(selections: &[Value], methods: &[Choice]) -> Vec<Vec<String>> {
    let read = |value: &Value| serde_json::from_value::<ParameterSelection>(value.clone()).unwrap();
    let chosen = methods.iter().map(|choice| Method::choose(methods::standard(), choice, "model.methods[0]").unwrap());
    let wanted = FineTuning {
        head: HeadChoice::keep(),
        train: TrainSelection::All,
        methods: chosen.collect(),
        selections: selections.iter().map(read).collect(),
        ..FineTuning::head(ROWS, CLASSES)
    };
    let program = compile(&transformer().unwrap(), &wanted, &OperatorCatalog::standard()).unwrap();
    let name = |index: &usize| program.manifest.parameters[*index].name.clone();
    program.selected.iter().map(|places| places.iter().map(name).collect()).collect()
}

#[test]
fn selections_mean_what_they_say() {
    let rows = [
        (
            json!({"match": "encoder.0.norm?"}),
            vec!["encoder.0.norm1.weight", "encoder.0.norm1.bias", "encoder.0.norm2.weight", "encoder.0.norm2.bias"],
        ),
        (json!({"match": ["*.key.weight", "head.bias"]}), vec!["encoder.1.key.weight", "head.bias"]),
        // one layer makes queries, keys and values, another queries alone
        (json!({"roles": "query", "kind": "weights"}), vec!["encoder.0.qkv.weight", "encoder.1.query.weight"]),
        (json!({"roles": ["feed_forward_out"], "kind": "biases"}), vec!["encoder.0.down.bias", "encoder.1.down.bias"]),
        (
            json!({"kind": "norms", "match": "encoder.1.*"}),
            vec!["encoder.1.norm1.weight", "encoder.1.norm1.bias", "encoder.1.norm2.weight", "encoder.1.norm2.bias"],
        ),
        (json!({"kind": "head"}), vec!["head.weight", "head.bias"]),
        (json!({"first": 1}), vec!["encoder.patches.weight"]),
        (
            json!({"last": 2, "kind": ["weights", "norms"]}),
            vec!["encoder.1.norm2.weight", "encoder.1.norm2.bias", "head.weight"],
        ),
        (json!({"kind": "added"}), vec![]),
        (json!({"first": 1, "last": 1}), vec![]),
    ];
    let selections: Vec<Value> = rows.iter().map(|(selection, _)| selection.clone()).collect();
    for ((selection, wanted), found) in rows.iter().zip(meant(&selections, &[])) {
        assert_eq!(&found, wanted, "{selection}");
    }
    // every parameter is of one of these, and of one alone
    let kinds = ["norms", "biases", "weights"].map(|kind| json!({ "kind": kind }));
    let counts: usize = meant(&kinds, &[]).iter().map(Vec::len).sum();
    assert_eq!(counts, meant(&[json!({})], &[])[0].len());
}

/// Nodes that methods put in front of a layer once let its parameters pass for those of another operator.
#[test]
fn kinds_of_the_models_own_parameters_are_the_same_beside_what_methods_add() {
    let selections = ["norms", "biases", "weights"].map(|kind| json!({ "kind": kind }));
    let lora = Choice::new("lora", json!({"rank": 2, "layers": "linear"}));
    let own = |found: Vec<Vec<String>>| {
        let is_own = |name: &String| !name.contains(".lora_");
        found.into_iter().map(|names| names.into_iter().filter(is_own).collect()).collect::<Vec<Vec<String>>>()
    };
    assert_eq!(own(meant(&selections, &[lora])), meant(&selections, &[]));
}

#[test]
fn what_methods_add_is_found_by_kind_and_by_the_layer_it_was_added_beside() {
    let lora = Choice::new("lora", json!({"rank": 2, "layers": {"roles": ["query", "value"]}}));
    let selections =
        [json!({"kind": "added"}), json!({"kind": "added", "roles": "value"}), json!({"kind": "added", "last": 1})];
    let found = meant(&selections, &[lora]);
    // two layers of the first block are one
    assert_eq!(found[0].len(), 6, "{found:?}");
    assert_eq!(found[1].len(), 4, "{found:?}");
    assert!(found[0].iter().all(|name| name.starts_with("encoder.")), "{found:?}");
    assert!(found[2].is_empty(), "{found:?}");
}
