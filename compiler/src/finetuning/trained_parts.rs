//! Parameters within layers: what is trained where `model.train` names kinds of parameters, or is a list.

use std::collections::HashSet;

use millstream_schemas::recipe::{ParameterKind, ParameterSelection, TrainPart, TrainWord};
use millstream_schemas::{count, nearest, shown};
use serde::Serialize;

use super::{Layer, ParameterFinder, Weight, left_out, pattern_matches};
use crate::CompilerError;
use crate::graph::ValueId;

/// What of a layer is trained.
#[derive(Clone, Debug)]
pub(crate) struct TrainedLayer {
    /// Its place among the layers.
    pub(crate) index: usize,
    /// Those of its weights that are trained.
    pub(crate) weights: Vec<Weight>,
}

impl TrainedLayer {
    /// All of a layer.
    pub(crate) fn whole(layers: &[Layer], index: usize) -> Self {
        Self { index, weights: layers[index].weights.clone() }
    }

    /// Whether nothing of the layer stays frozen.
    pub(crate) fn is_whole(&self, layers: &[Layer]) -> bool {
        self.weights.len() == layers[self.index].weights.len()
    }
}

/// What a part of `model.train` trains that no part before it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SelectedPart {
    /// As the recipe says it; `head` last for what is trained of the head without being named.
    pub part: String,
    /// Layers that it trains something of.
    pub layers: usize,
    /// Parameters.
    pub parameters: usize,
    /// Numbers in them.
    pub numbers: usize,
}

/// What is trained of the model's own layers.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    pub(crate) layers: Vec<TrainedLayer>,
    /// By the parts of the recipe; nothing where it means whole layers.
    pub(crate) parts: Vec<SelectedPart>,
    /// What of it deserves a look, in words.
    pub(crate) notes: Vec<String>,
}

/// What the parts mean, each with its place in the recipe, and the head.
///
/// # Errors
/// A part fits nothing that leads to the scores.
pub(crate) fn select_parts(
    finder: &ParameterFinder<'_>,
    parts: &[(String, TrainPart)],
) -> Result<Selected, CompilerError> {
    let (mut taken, mut selected) = (HashSet::new(), Selected::default());
    let of_head: HashSet<ValueId> = weights(finder, finder.trainable, &|index, _| is_of_head(finder, index)).collect();
    let everywhere: Vec<usize> = (0..finder.own).collect();
    for (place, part) in parts {
        require_sense(finder, place, part)?;
        let named: HashSet<ValueId> =
            weights(finder, &everywhere, &|index, weight| fits(finder, part, index, weight)).collect();
        let fitting: HashSet<ValueId> =
            weights(finder, finder.trainable, &|_, weight| named.contains(&weight.value)).collect();
        if fitting.is_empty() {
            let message = format!("{place}: {}", nothing(finder, part, &named));
            return Err(CompilerError::setting(place, message));
        }
        let shown_part = in_words(part);
        if fitting.len() < named.len() {
            let other = finder.layers.iter().find(|layer| {
                layer.weights.iter().any(|weight| named.contains(&weight.value) && !fitting.contains(&weight.value))
            });
            selected.notes.push(format!(
                "`{shown_part}` ({place}) means {}, of which {} lead to the scores and are trained; the others stay as they are, \
                 `{}` first",
                count(named.len() as u64, "parameter"),
                fitting.len(),
                other.map_or_else(String::new, |layer| shown(&layer.name))
            ));
        }
        let own: HashSet<ValueId> = fitting.difference(&taken).copied().collect();
        let is_named_head = matches!(part, TrainPart::Word(TrainWord::Head));
        if own.is_empty() || !is_named_head && own.is_subset(&of_head) {
            let all =
                if own.is_empty() { "parts before it have all that it means" } else { "the head is trained anyway" };
            selected.notes.push(format!("`{shown_part}` ({place}) adds nothing: {all}"));
        }
        selected.parts.push(counted(finder, shown_part, &own));
        taken.extend(own);
    }
    let rest: HashSet<ValueId> = of_head.difference(&taken).copied().collect();
    if !rest.is_empty() {
        selected.parts.push(counted(finder, TrainWord::Head.name().to_owned(), &rest));
        taken.extend(rest);
    }
    selected.notes.extend(parts.iter().flat_map(|(place, part)| left_out::notes(finder, place, part, &taken)));
    let trained = |index: &usize| {
        let own = finder.layers[*index].weights.iter().filter(|weight| taken.contains(&weight.value));
        TrainedLayer { index: *index, weights: own.cloned().collect() }
    };
    selected.layers = finder.trainable.iter().map(trained).filter(|layer| !layer.weights.is_empty()).collect();
    Ok(selected)
}

/// The weights of some layers of which something holds.
fn weights<'a>(
    finder: &'a ParameterFinder<'_>,
    layers: &'a [usize],
    holds: &'a dyn Fn(usize, &Weight) -> bool,
) -> impl Iterator<Item = ValueId> + 'a {
    let of_layer = move |index: &'a usize| {
        let own = finder.layers[*index].weights.iter();
        own.filter(move |weight| holds(*index, weight)).map(|weight| weight.value)
    };
    layers.iter().flat_map(of_layer)
}

fn fits(finder: &ParameterFinder<'_>, part: &TrainPart, index: usize, weight: &Weight) -> bool {
    match part {
        TrainPart::Parameters(selection) => finder.has(selection, index, weight),
        TrainPart::Word(TrainWord::All) => finder.trainable.binary_search(&index).is_ok(),
        TrainPart::Word(TrainWord::Head) => is_of_head(finder, index),
        TrainPart::Word(TrainWord::Embeddings) => finder.is(ParameterKind::Embeddings, index, weight),
        TrainPart::Word(TrainWord::Norms) => finder.is(ParameterKind::Norms, index, weight),
        TrainPart::Word(TrainWord::Biases) => {
            finder.is(ParameterKind::Biases, index, weight) || finder.is_shift(index, weight)
        }
    }
}

/// Whether a layer is one of the head.
fn is_of_head(finder: &ParameterFinder<'_>, index: usize) -> bool {
    finder.head.is_some_and(|head| finder.layers[index].weights.iter().any(|own| head.has(own.value)))
}

/// How much these weights are.
fn counted(finder: &ParameterFinder<'_>, part: String, own: &HashSet<ValueId>) -> SelectedPart {
    let of_layer = |layer: &&Layer| layer.weights.iter().any(|weight| own.contains(&weight.value));
    let mut seen = HashSet::new();
    let all = finder.layers.iter().flat_map(|layer| &layer.weights);
    let all = all.filter(|weight| own.contains(&weight.value) && seen.insert(weight.value));
    let numbers = all.map(|weight| weight.shape.iter().product::<usize>()).sum();
    SelectedPart { part, layers: finder.layers.iter().filter(of_layer).count(), parameters: own.len(), numbers }
}

fn in_words(part: &TrainPart) -> String {
    match part {
        TrainPart::Word(word) => word.name().to_owned(),
        TrainPart::Parameters(selection) => shown(selection.to_string()),
    }
}

/// Refuses what cannot mean anything in this model, whatever else is stated beside it.
fn require_sense(finder: &ParameterFinder<'_>, place: &str, part: &TrainPart) -> Result<(), CompilerError> {
    let selection = match part {
        TrainPart::Word(TrainWord::Head) if finder.head.is_none() => {
            let message = format!("{place}: `head` needs a linear head, and the model has none");
            return Err(CompilerError::setting(place, message));
        }
        TrainPart::Word(_) => return Ok(()),
        TrainPart::Parameters(selection) => selection,
    };
    let ParameterSelection { r#match, first, last, .. } = selection;
    let layers = finder.trainable.len();
    for (name, wanted) in [("first", first), ("last", last)] {
        if let Some(wanted) = wanted.filter(|wanted| *wanted == 0 || *wanted > layers) {
            let at = format!("{place}.{name}");
            let message = format!(
                "{at}: {layers} layers with weights lead to the scores, so 1 to {layers} can be named, got {wanted}"
            );
            return Err(CompilerError::setting(at, message));
        }
    }
    let names = |index: &usize| {
        let layer = &finder.layers[*index];
        let of_weights = layer.weights.iter().map(|weight| finder.graph.name(weight.value));
        std::iter::once(layer.name.as_str()).chain(of_weights).collect::<Vec<_>>()
    };
    let leading: Vec<&str> = finder.trainable.iter().flat_map(names).collect();
    for (at, pattern) in r#match.iter().enumerate() {
        if leading.iter().any(|name| pattern_matches(pattern, name)) {
            continue;
        }
        let others: Vec<usize> =
            (0..finder.own).filter(|index| finder.trainable.binary_search(index).is_err()).collect();
        let elsewhere = others.iter().flat_map(names).find(|name| pattern_matches(pattern, name));
        let why = match elsewhere {
            Some(name) => format!("matches only what does not lead to the scores (`{}`)", shown(name)),
            None => {
                let near = nearest(pattern, leading.iter().copied());
                let hint = near.map_or_else(String::new, |name| format!("; did you mean `{}`?", shown(name)));
                format!("matches no layer and no parameter{hint}; `millstream inspect MODEL` lists the layers")
            }
        };
        let place = format!("{place}.match[{at}]");
        return Err(CompilerError::setting(&place, format!("{place}: `{}` {why}", shown(pattern))));
    }
    Ok(())
}

/// Why a part fits nothing; `named`: what it means that does not lead to the scores.
fn nothing(finder: &ParameterFinder<'_>, part: &TrainPart, named: &HashSet<ValueId>) -> String {
    let is_named = |layer: &&Layer| layer.weights.iter().any(|weight| named.contains(&weight.value));
    if let Some(layer) = finder.layers.iter().find(is_named) {
        let (part, layer) = (in_words(part), shown(&layer.name));
        return format!("what `{part}` means does not lead to the scores (`{layer}` first)");
    }
    let why = match part {
        TrainPart::Word(TrainWord::Norms) => {
            "the model has no normalization with a scale or shift of 32-bit floats; exporters fold those of batches into \
             convolutions"
        }
        TrainPart::Word(TrainWord::Biases) => "no layer of the model has a bias",
        TrainPart::Word(TrainWord::Embeddings) => {
            "the model has no table of 32-bit floats that rows are taken from by number"
        }
        TrainPart::Word(TrainWord::All | TrainWord::Head) => "the model has no layer to train",
        TrainPart::Parameters(selection) => {
            let selection = shown(selection.to_string());
            return format!("no parameter fits it ({selection}); `millstream inspect MODEL` lists the layers");
        }
    };
    format!("nothing fits `{}`: {why}", in_words(part))
}

#[cfg(test)]
mod tests {
    use millstream_schemas::recipe::TrainSelection;
    use serde_json::{Value, json};

    use crate::handmade::{graph, model, node, value, weight};
    use crate::model_file::onnx::{NodeProto, TensorProto};
    use crate::{CompilerError, FineTuning, Model, ModelReport, OperatorCatalog, TrainingProgram, compile, describe};

    /// An embedding, a layer with a broadcast bias, a normalization as one node and one written out, a layer beside that leads
    /// elsewhere, the head.
    fn network() -> Model {
        let nodes = vec![
            node("Gather", &["table", "x"], &["a"]),
            node("MatMul", &["a", "body.weight"], &["b"]),
            node("Add", &["b", "body.bias"], &["c"]),
            node("LayerNormalization", &["c", "norm.weight", "norm.bias"], &["d"]),
            node("Mul", &["d", "scale.weight"], &["e"]),
            node("Add", &["e", "scale.bias"], &["f"]),
            node("Gemm", &["f", "head.weight", "head.bias"], &["scores"]),
            node("Gemm", &["f", "aux.weight", "aux.bias"], &["other"]),
        ];
        let shapes: [(&str, &[usize]); 11] = [
            ("table", &[7, 3]),
            ("body.weight", &[3, 4]),
            ("body.bias", &[1, 4]),
            ("norm.weight", &[4]),
            ("norm.bias", &[4]),
            ("scale.weight", &[4]),
            ("scale.bias", &[4]),
            ("head.weight", &[4, 5]),
            ("head.bias", &[5]),
            ("aux.weight", &[4, 2]),
            ("aux.bias", &[2]),
        ];
        let weights: Vec<TensorProto> = shapes.iter().map(|(name, shape)| weight(name, shape)).collect();
        let ids = crate::handmade::integers("x", &[]);
        model(graph(nodes, weights, vec![ids], vec![value("scores", &[5]), value("other", &[2])]))
    }

    fn tried(train: &Value) -> (Result<TrainingProgram, CompilerError>, Result<ModelReport, CompilerError>) {
        let train: TrainSelection = serde_json::from_value(train.clone()).unwrap();
        let (head, output) = (crate::HeadChoice::keep(), Some("scores".to_owned()));
        let wanted = FineTuning { train, head, output, ..FineTuning::head(2, 5) };
        let catalog = OperatorCatalog::standard();
        (compile(&network(), &wanted, &catalog), describe(&network(), Some(&wanted), &catalog))
    }

    #[test]
    fn words_and_lists_train_the_parameters_that_they_mean_and_the_head() {
        let norm = ["norm.weight", "norm.bias", "scale.weight", "scale.bias"].as_slice();
        let rows: [(Value, Vec<&str>); 8] = [
            (json!("norms"), norm.to_vec()),
            (json!("biases"), vec!["body.bias", "norm.bias", "scale.bias"]),
            (json!("embeddings"), vec!["table"]),
            (json!(["norms", "embeddings"]), [&["table"], norm].concat()),
            (json!([{"kind": "norms", "match": "norm*"}, {"first": 1}]), vec!["table", "norm.weight", "norm.bias"]),
            (json!([{"match": "*.bias"}]), vec!["body.bias", "norm.bias", "scale.bias"]),
            (json!(["head"]), vec![]),
            (json!(["all", "norms"]), [&["table", "body.weight", "body.bias"], norm].concat()),
        ];
        for (train, own) in rows {
            let (program, report) = tried(&train);
            let program = program.unwrap();
            let names: Vec<&str> = program.manifest.parameters.iter().map(|entry| entry.name.as_str()).collect();
            assert_eq!(names, [own.as_slice(), &["head.weight", "head.bias"]].concat(), "{train}");
            // what is counted is what is trained, and each number once
            let report = report.unwrap();
            let numbers: usize = report.selection.iter().map(|part| part.numbers).sum();
            assert_eq!(
                (numbers, report.trained),
                (program.trained, program.trained),
                "{train}: {:?}",
                report.selection
            );
            let of_layers: usize = report.layers.iter().map(|layer| layer.trained_parameters).sum();
            assert_eq!(of_layers, program.trained, "{train}");
            let all: usize = report.parameters + report.other_weights;
            assert_eq!(program.trained + program.frozen, all, "{train}");
        }
    }

    /// What is trained beside the head of a block whose own scales have numbers in their names, as those of BEiT.
    fn trained_of_block(train: &Value) -> Vec<String> {
        let scaled = |scale: &str, from: &str, to: &str, name: &str| NodeProto {
            name: Some(name.into()),
            ..node("Mul", &[scale, from], &[to])
        };
        let nodes = vec![
            node("LayerNormalization", &["x", "blocks.0.norm1.weight"], &["a"]),
            node("MatMul", &["a", "blocks.0.attn.proj.weight"], &["b"]),
            scaled("blocks.0.gamma_1", "b", "c", "/blocks.0/Mul"),
            node("Add", &["x", "c"], &["d"]),
            node("MatMul", &["d", "blocks.0.mlp.fc2.weight"], &["e"]),
            scaled("blocks.0.gamma_2", "e", "f", "/blocks.0/Mul_1"),
            node("Add", &["d", "f"], &["g"]),
            scaled("blocks.1.gamma", "g", "h", "/blocks.1/Mul"),
            node("Gemm", &["h", "head.weight"], &["scores"]),
        ];
        let shapes: [(&str, &[usize]); 7] = [
            ("blocks.0.norm1.weight", &[4]),
            ("blocks.0.attn.proj.weight", &[4, 4]),
            ("blocks.0.gamma_1", &[4]),
            ("blocks.0.mlp.fc2.weight", &[4, 4]),
            ("blocks.0.gamma_2", &[4]),
            ("blocks.1.gamma", &[4]),
            ("head.weight", &[4, 5]),
        ];
        let weights = shapes.iter().map(|(name, shape)| weight(name, shape)).collect();
        let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![value("scores", &[5])]));
        let train: TrainSelection = serde_json::from_value(train.clone()).unwrap();
        let wanted = FineTuning { train, head: crate::HeadChoice::keep(), ..FineTuning::head(2, 5) };
        let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
        let names = program.manifest.parameters.into_iter().map(|entry| entry.name);
        names.filter(|name| name != "head.weight").collect()
    }

    #[test]
    fn the_parameters_that_a_block_has_itself_are_trained_by_a_pattern_of_either_form() {
        let block = ["norm1.weight", "attn.proj.weight", "gamma_1", "mlp.fc2.weight", "gamma_2"];
        for (pattern, wanted) in [
            ("blocks.0.*", block.map(|part| format!("blocks.0.{part}")).to_vec()),
            ("blocks.0.gamma_2", vec!["blocks.0.gamma_2".to_owned()]),
            ("blocks.1.gamma", vec!["blocks.1.gamma".to_owned()]),
        ] {
            for train in [json!({"match": [pattern]}), json!([{"match": [pattern]}])] {
                let mut found = trained_of_block(&train);
                let mut wanted = wanted.clone();
                found.sort();
                wanted.sort();
                assert_eq!(found, wanted, "{train}");
            }
        }
    }

    #[test]
    fn what_is_trained_of_each_part_is_counted_and_what_does_nothing_is_told() {
        let (program, report) = tried(&json!(["norms", {"last": 2}, "biases", {"kind": "norms"}]));
        let parts: Vec<(String, usize, usize, usize)> = report
            .unwrap()
            .selection
            .into_iter()
            .map(|own| (own.part, own.layers, own.parameters, own.numbers))
            .collect();
        let row = |part: &str, layers, parameters, numbers| (part.to_owned(), layers, parameters, numbers);
        assert_eq!(
            parts,
            [row("norms", 2, 4, 16), row("last: 2", 1, 2, 25), row("biases", 1, 1, 4), row("kind: norms", 0, 0, 0)]
        );
        let notes = program.unwrap().notes;
        assert!(
            notes.contains(
                &"`kind: norms` (model.train[3]) adds nothing: parts before it have all that it means".into()
            ),
            "{notes:?}"
        );
        let left_out = "`biases` (model.train[2]) means 5 parameters, of which 4 lead to the scores and are trained; the others \
                        stay as they are, `aux` first";
        assert!(notes.contains(&left_out.to_owned()), "{notes:?}");
        let (program, _) = tried(&json!([{"match": "head*", "kind": "biases"}]));
        let told = "`match: head*, kind: biases` (model.train[0]) adds nothing: the head is trained anyway";
        assert!(program.unwrap().notes.contains(&told.to_owned()));
    }

    #[test]
    fn a_part_that_fits_nothing_is_refused_at_its_place() {
        for (train, place, wanted) in [
            (json!(["norms", {"roles": "query"}]), "model.train[1]", "no parameter fits it (roles: query)"),
            (json!([{"last": 9}]), "model.train[0].last", "5 layers with weights lead to the scores, so 1 to 5"),
            (
                json!([{"match": "bodi"}]),
                "model.train[0].match[0]",
                "matches no layer and no parameter; did you mean `body`?",
            ),
            (
                json!([{"match": "aux*"}]),
                "model.train[0].match[0]",
                "matches only what does not lead to the scores (`aux`)",
            ),
            (json!([{"kind": "biases", "match": "table"}]), "model.train[0]", "no parameter fits it"),
        ] {
            for error in [tried(&train).0.unwrap_err(), tried(&train).1.unwrap_err()] {
                let told = error.to_string();
                let CompilerError::Setting { place: at, .. } = error else { panic!("{told}") };
                assert_eq!(at, place, "{told}");
                assert!(told.starts_with(place) && told.contains(wanted), "{told}");
            }
        }
        // a model of one layer has none of these
        let nodes = vec![node("MatMul", &["x", "head.weight"], &["scores"])];
        let small = model(graph(
            nodes,
            vec![weight("head.weight", &[3, 5])],
            vec![value("x", &[3])],
            vec![value("scores", &[5])],
        ));
        for (train, wanted) in [
            (TrainSelection::Norms, "model.train: nothing fits `norms`: the model has no normalization"),
            (TrainSelection::Biases, "model.train: nothing fits `biases`: no layer of the model has a bias"),
            (TrainSelection::Embeddings, "model.train: nothing fits `embeddings`: the model has no table"),
        ] {
            let wanted_tuning = FineTuning { train, head: crate::HeadChoice::keep(), ..FineTuning::head(2, 5) };
            let error = compile(&small, &wanted_tuning, &OperatorCatalog::standard()).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
