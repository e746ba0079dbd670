//! What patterns of names leave out because the file does not say what it is called.

use std::collections::HashSet;

use millstream_schemas::recipe::{ParameterSelection, TrainPart};
use millstream_schemas::{count, shown};

use super::module_path::is_generated;
use super::{Layer, ParameterFinder, Weight, pattern_matches};
use crate::graph::{Graph, ValueId};

/// Says of each pattern of a part of `model.train` where it leaves out more numbers than it trains: those of frozen layers whose names an
/// exporter has made up. They lie between the first and the last layer that it fits, beside one in whose module it would fit any name.
/// `taken`: what is trained. A part that asks for more than names leaves out what it is told to.
pub(super) fn notes(
    finder: &ParameterFinder<'_>,
    place: &str,
    part: &TrainPart,
    taken: &HashSet<ValueId>,
) -> Vec<String> {
    let TrainPart::Parameters(selection) = part else { return Vec::new() };
    let names_alone = ParameterSelection { r#match: selection.r#match.clone(), ..ParameterSelection::default() };
    if *selection != names_alone {
        return Vec::new();
    }
    selection.r#match.iter().filter_map(|pattern| note(finder, place, pattern, taken)).collect()
}

fn note(finder: &ParameterFinder<'_>, place: &str, pattern: &str, taken: &HashSet<ValueId>) -> Option<String> {
    let layers: Vec<&Layer> = finder.trainable.iter().map(|index| &finder.layers[*index]).collect();
    let fits = |layer: &Layer, weight: &Weight| {
        pattern_matches(pattern, &layer.name) || pattern_matches(pattern, finder.graph.name(weight.value))
    };
    let is_matched = |layer: &Layer| layer.weights.iter().any(|weight| fits(layer, weight));
    let matched: Vec<usize> = (0..layers.len()).filter(|at| is_matched(layers[*at])).collect();
    // a name that no other has
    let fits_beside = |at: usize| {
        let module = layers[at].name.rsplit_once('.').map(|(module, _)| module);
        module.is_some_and(|module| pattern_matches(pattern, &format!("{module}.\u{0}")))
    };
    let between = matched.windows(2).filter(|pair| fits_beside(pair[0]) || fits_beside(pair[1]));
    let between = between.flat_map(|pair| pair[0] + 1..pair[1]).map(|at| layers[at]);
    let left: Vec<&Layer> = between
        .filter(|layer| has_made_up_name(finder.graph, layer))
        .filter(|layer| layer.weights.iter().all(|weight| !taken.contains(&weight.value)))
        .collect();
    let first = left.first()?;
    let mut of_pattern: Vec<&Weight> = Vec::new();
    for layer in matched.iter().map(|at| layers[*at]) {
        of_pattern.extend(layer.weights.iter().filter(|weight| fits(layer, weight)));
    }
    let trained = numbers(of_pattern.into_iter());
    let frozen = numbers(left.iter().flat_map(|layer| &layer.weights));
    (frozen > trained).then(|| {
        format!(
            "`{}` ({place}) trains {}, and leaves out {} in {} between the layers that it fits: the file does not say what module these \
             are of (`{}` first). If they are meant, name them too; `millstream inspect MODEL` lists the layers",
            shown(pattern),
            count(trained, "number"),
            count(frozen, "number"),
            count(left.len(), "layer"),
            shown(&first.name)
        )
    })
}

/// Whether an exporter has made up what a layer and its weights are called; a further one of a name has `#2` behind it.
fn has_made_up_name(graph: &Graph, layer: &Layer) -> bool {
    is_generated(layer.name.split('#').next().unwrap_or_default())
        && layer.weights.iter().all(|weight| is_generated(graph.name(weight.value)))
}

/// How many numbers weights hold, each counted once.
fn numbers<'a>(weights: impl Iterator<Item = &'a Weight>) -> usize {
    let mut seen = HashSet::new();
    weights.filter(|weight| seen.insert(weight.value)).map(|weight| weight.shape.iter().product::<usize>()).sum()
}

#[cfg(test)]
mod tests {
    use millstream_schemas::recipe::TrainSelection;
    use serde_json::{Value, json};

    use crate::handmade::{graph, model, node, value, weight};
    use crate::model_file::onnx::NodeProto;
    use crate::{FineTuning, HeadChoice, OperatorCatalog, compile};

    /// What is trained, and what is said, of two blocks of a normalization, two matrices and a normalization; `made`: what the last product
    /// of the second block is called.
    fn tried(train: &Value, made: &str) -> (Vec<String>, Vec<String>) {
        let product = |from: &str, matrix: &str, to: &str| NodeProto {
            name: Some(String::new()),
            ..node("MatMul", &[from, matrix], &[to])
        };
        let norm = |from: &str, scale: &str, to: &str| node("LayerNormalization", &[from, scale], &[to]);
        let nodes = vec![
            norm("x", "blocks.0.norm1.weight", "a"),
            product("a", "onnx::MatMul_1", "b"),
            product("b", "onnx::MatMul_2", "c"),
            norm("c", "blocks.0.norm2.weight", "d"),
            norm("d", "blocks.1.norm1.weight", "e"),
            product("e", "onnx::MatMul_3", "f"),
            product("f", "onnx::MatMul_4", made),
            norm(made, "blocks.1.norm2.weight", "h"),
            node("Gemm", &["h", "head.weight"], &["y"]),
        ];
        let norms = ["0.norm1", "0.norm2", "1.norm1", "1.norm2"];
        let norms = norms.map(|layer| weight(&format!("blocks.{layer}.weight"), &[4]));
        let matrices = ["1", "2", "3", "4"].map(|number| weight(&format!("onnx::MatMul_{number}"), &[4, 4]));
        let head = weight("head.weight", &[4, 3]);
        let weights = norms.into_iter().chain(matrices).chain([head]).collect();
        let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[3])]));
        let train: TrainSelection = serde_json::from_value(train.clone()).unwrap();
        let wanted = FineTuning { train, head: HeadChoice::keep(), ..FineTuning::head(2, 3) };
        let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
        let entries = program.manifest.parameters.into_iter().filter(|entry| entry.layer != "head");
        let notes = program.notes.into_iter().filter(|note| note.contains("leaves out")).collect();
        (entries.map(|entry| entry.name).collect(), notes)
    }

    #[test]
    fn a_pattern_that_leaves_out_more_than_it_trains_is_told() {
        let norms = ["blocks.1.norm1.weight", "blocks.1.norm2.weight"];
        for train in [json!({"match": ["blocks.1.*"]}), json!([{"match": "blocks.1.*"}])] {
            let (trained, notes) = tried(&train, "123");
            assert_eq!(trained, norms, "{train}");
            let [note] = notes.as_slice() else { panic!("{train}: {notes:?}") };
            let told = "trains 8 numbers, and leaves out 32 numbers in 2 layers between the layers that it fits";
            assert!(note.contains(told) && note.contains("`onnx::MatMul_3` first"), "{train}: {note}");
        }
        // what is named, is no more left out; and who asks for normalizations means no matrices
        for train in [
            json!({"match": ["blocks.1.*", "onnx::MatMul_?"]}),
            json!([{"match": "blocks.1.*"}, {"match": "onnx::*"}]),
            json!({"match": ["*norm?"]}),
            json!({"match": ["blocks.1.norm2"]}),
            json!({"match": ["*.weight"]}),
            json!([{"match": "blocks.1.*", "kind": "norms"}]),
            json!("norms"),
        ] {
            assert!(tried(&train, "123").1.is_empty(), "{train}");
        }
    }

    #[test]
    fn a_product_without_a_name_is_of_the_module_that_its_result_is_named_after() {
        let wanted = ["blocks.1.norm1.weight", "onnx::MatMul_4", "blocks.1.norm2.weight"];
        for train in [json!({"match": ["blocks.1.*"]}), json!([{"match": "blocks.1.*"}])] {
            let (trained, notes) = tried(&train, "/blocks.1/fc2/MatMul_output_0");
            assert_eq!(trained, wanted, "{train}");
            assert!(notes.is_empty(), "16 numbers are left out, and 24 trained: {notes:?}");
        }
    }
}
