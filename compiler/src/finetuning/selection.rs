use std::collections::{BTreeMap, HashMap, HashSet};

use millstream_schemas::nearest;
use millstream_schemas::recipe::{LearningRateMultiplier, TrainSelection};

use super::constant_kind::is_token;
use super::constant_rules::is_arithmetic;
use super::module_path::{of_node, of_weight, without_numbers};
use super::parameters::may_be_merged;
use super::{Head, Layer, ParameterFinder, Selected, TrainedLayer, layers, pattern_matches, select_parts};
use crate::CompilerError;
use crate::graph::{Constant, Graph, ValueId};
use crate::operators::OperatorCatalog;
use millstream_schemas::shown;

/// The layers that a value depends on, by index. A branch that leads elsewhere, an auxiliary head for example, learns
/// nothing from a loss behind that value.
pub(crate) fn layers_before(graph: &Graph, layers: &[Layer], value: ValueId) -> Vec<usize> {
    let mut needed: HashSet<ValueId> = HashSet::from([value]);
    let mut nodes = HashSet::new();
    for (index, node) in graph.nodes().iter().enumerate().rev() {
        if node.outputs.iter().flatten().any(|output| needed.contains(output)) {
            needed.extend(node.inputs.iter().flatten());
            nodes.insert(index);
        }
    }
    let leads_there = |index: &usize| layers[*index].weights.iter().any(|weight| nodes.contains(&weight.node));
    (0..layers.len()).filter(leads_there).collect()
}

/// What of the model's own layers is trained.
///
/// # Errors
/// The selection fits nothing of the model.
pub(crate) fn select(finder: &ParameterFinder<'_>, train: &TrainSelection) -> Result<Selected, CompilerError> {
    let ParameterFinder { layers, trainable, head, .. } = finder;
    if trainable.is_empty() && *train != TrainSelection::Nothing {
        return Err(CompilerError::Selection("the model has no layer with float32 weights to train".into()));
    }
    let parts = train.parts();
    if !parts.is_empty() {
        return select_parts(finder, &parts);
    }
    let whole = select_layers(layers, trainable, *head, train)?;
    let whole = whole.into_iter().map(|index| TrainedLayer::whole(layers, index)).collect();
    Ok(Selected { layers: whole, ..Selected::default() })
}

/// Which layers are trained whole, by index; `trainable` are those that lead to the scores.
fn select_layers(
    layers: &[Layer],
    trainable: &[usize],
    head: Option<&Head>,
    train: &TrainSelection,
) -> Result<Vec<usize>, CompilerError> {
    let is_head = |index: &usize| head.is_some_and(|head| layers[*index].weights.iter().any(|own| head.has(own.value)));
    let chosen = |wanted: &dyn Fn(usize, &usize) -> bool| {
        let places = trainable.iter().enumerate();
        places.filter(|(place, index)| wanted(*place, index) || is_head(index)).map(|(_, index)| *index).collect()
    };
    match train {
        TrainSelection::Nothing => Ok(Vec::new()),
        TrainSelection::All => Ok(trainable.to_vec()),
        TrainSelection::Head if head.is_none() => {
            Err(CompilerError::setting("model.train", "`train: head` needs a linear head, and the model has none"))
        }
        TrainSelection::Head => Ok(chosen(&|_, _| false)),
        TrainSelection::Last(count) if *count == 0 || *count > trainable.len() => Err(CompilerError::setting(
            "model.train.last",
            format!(
                "model.train.last: {} layers with weights lead to the scores, so 1 to {} can be trained, got {count}",
                trainable.len(),
                trainable.len()
            ),
        )),
        TrainSelection::Last(count) => Ok(chosen(&|place, _| place >= trainable.len() - count)),
        TrainSelection::Match(patterns) if patterns.is_empty() => Err(CompilerError::setting(
            "model.train.match",
            "model.train.match: no pattern; name layers, or use `train: head`",
        )),
        // their parts are within layers
        TrainSelection::Match(_)
        | TrainSelection::Biases
        | TrainSelection::Embeddings
        | TrainSelection::Norms
        | TrainSelection::AnyOf(_) => Ok(Vec::new()),
    }
}

/// Refuses factors on the learning rate that do nothing, or leave nothing to train. `factor` is that of a layer.
pub(crate) fn check_factors(
    layers: &[Layer],
    selected: &[usize],
    multipliers: &[LearningRateMultiplier],
    factor: impl Fn(usize) -> f32,
) -> Result<(), CompilerError> {
    let refuse = |place: &str, message: String| Err(CompilerError::setting(place, message));
    if selected.is_empty() {
        return refuse("model.train", "nothing would be trained: model.train selects no layer".into());
    }
    for (place, entry) in multipliers.iter().enumerate() {
        let key = format!("training.learning_rate_multipliers[{place}].match");
        let at = format!("training.learning_rate_multipliers[{place}]: `{}`", shown(&entry.r#match));
        let matches = |index: &usize| pattern_matches(&entry.r#match, &layers[*index].name);
        let Some(first) = (0..layers.len()).find(matches) else {
            let hint = nearest(&entry.r#match, layers.iter().map(|layer| layer.name.as_str()))
                .map_or_else(String::new, |name| format!("; did you mean `{}`?", shown(name)));
            return refuse(&key, format!("{at} matches no layer{hint}; `millstream inspect MODEL` lists the layers"));
        };
        let mut trained = selected.iter().filter(|index| matches(index)).peekable();
        if trained.peek().is_none() {
            let name = shown(&layers[first].name);
            return refuse(
                &key,
                format!("{at} matches only layers that stay frozen (`{name}`); train them with model.train"),
            );
        }
        let earlier = |index: &usize| {
            multipliers[..place].iter().any(|earlier| pattern_matches(&earlier.r#match, &layers[*index].name))
        };
        if trained.all(earlier) {
            return refuse(
                &key,
                format!("{at} does nothing: the first pattern that matches a layer wins, and others before it do"),
            );
        }
    }
    if selected.iter().all(|index| factor(*index) == 0.0) {
        return refuse(
            "training.learning_rate_multipliers",
            "everything has multiplier 0: nothing would be trained; see training.learning_rate_multipliers".into(),
        );
    }
    let named = |index: usize| multipliers.iter().any(|entry| pattern_matches(&entry.r#match, &layers[index].name));
    match selected.iter().find(|index| !named(**index) && factor(**index) < f32::MIN_POSITIVE) {
        None => Ok(()),
        Some(index) => refuse(
            "training.layer_decay",
            format!(
                "training.layer_decay leaves layer `{}` a factor of {:e} on its learning rate, so it would not be trained; \
             take a value nearer to 1, or train fewer layers with model.train",
                shown(&layers[*index].name),
                factor(*index)
            ),
        ),
    }
}

/// Gives each node its own copy of a weight that an exporter stored once for several.
///
/// Exporters store equal tensors once (all fresh LayerNorm weights, all zero biases, a scale and a variance of ones, the
/// copies of a layer before training), and training would then tie them. A reader that does not train it keeps the original.
/// Other weights stay tied: an embedding used twice is meant to be, as is what one module reads each time that it is called.
///
/// Returns the name of each such tensor, and the constants that stand for it now.
pub(crate) fn untie(graph: &mut Graph, catalog: &OperatorCatalog) -> Vec<(String, Vec<ValueId>)> {
    let mut untied = Vec::new();
    let mut slots: BTreeMap<ValueId, Vec<(usize, usize)>> = BTreeMap::new();
    for weight in layers(graph, catalog).into_iter().flat_map(|layer| layer.weights) {
        // behind a view the stored form is read; its copies would be views too
        // and what a recipe names stays what it names
        if graph.nodes()[weight.node].input(weight.input) == Some(weight.value) && !graph.is_asked_for(weight.value) {
            slots.entry(weight.value).or_default().push((weight.node, weight.input));
        }
    }
    // what asks for its lengths alone reads no number of it
    let read = graph.nodes().iter().filter(|node| !node.is("Shape") && !node.is("Size"));
    let read = read.flat_map(|node| node.inputs.iter().flatten()).chain(graph.outputs());
    let mut readers: HashMap<ValueId, usize> = HashMap::new();
    for value in read {
        *readers.entry(*value).or_insert(0) += 1;
    }
    let mut slots: Vec<(ValueId, Vec<(usize, usize)>)> = slots.into_iter().collect();
    slots.sort_by(|(a, _), (b, _)| graph.name(*a).cmp(graph.name(*b)));
    for (value, slots) in slots.into_iter().filter(|(value, _)| readers[value] > 1) {
        let original = graph.constant_of(value).expect("layers() lists constants only").clone();
        let places = with_divisions(graph, value, by_place(graph, slots));
        if places.is_empty() {
            continue;
        }
        let all_train = readers[&value] == places.iter().map(Vec::len).sum::<usize>();
        let firsts: Vec<(usize, usize)> = places.iter().map(|slots| slots[0]).collect();
        let is_merged = if may_be_merged(&original) && !are_joined_tokens(graph, &original, &firsts) {
            !is_of_one_module(graph, &firsts)
        } else {
            firsts.len() > 1 && are_copies(graph, &firsts)
        };
        if !is_merged || firsts.len() == 1 && all_train {
            continue;
        }
        let kept = usize::from(all_train); // the first may keep it if all readers train it
        let mut own_ones = vec![value; kept];
        for slots in places.into_iter().skip(kept) {
            let own = own_name(graph, value, slots[0].0);
            let own = graph.constant(&own, original.clone());
            graph.set_origin(own, graph.origin(value));
            slots.into_iter().for_each(|(node, input)| graph.set_input(node, input, own));
            own_ones.push(own);
        }
        untied.push((graph.name(value).to_owned(), own_ones));
    }
    untied
}

/// Slots by the place in the file that they come from: the turns of a loop, and the calls of a function, are one.
fn by_place(graph: &Graph, slots: Vec<(usize, usize)>) -> Vec<Vec<(usize, usize)>> {
    let mut places: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut of_turns: HashMap<(&str, usize), usize> = HashMap::new();
    for (node, input) in slots {
        let turns = graph.nodes()[node].of_all_turns();
        let known = turns.and_then(|place| of_turns.get(&(place, input)).copied());
        match known {
            Some(place) => places[place].push((node, input)),
            None => {
                of_turns.extend(turns.map(|place| ((place, input), places.len())));
                places.push(vec![(node, input)]);
            }
        }
    }
    places
}

/// Lets a division by a parameter, or what takes it away, be of the place where the same module multiplies with it or adds it, as of
/// x + sin²(a·x) / a. What no such place reads keeps what the file has, unless it has the name of a parameter.
fn with_divisions(graph: &Graph, value: ValueId, places: Vec<Vec<(usize, usize)>>) -> Vec<Vec<(usize, usize)>> {
    let divides = |slots: &Vec<(usize, usize)>| {
        let node = &graph.nodes()[slots[0].0];
        node.is("Div") || node.is("Sub")
    };
    let is_of_formula = |node: usize, module: &Option<String>| {
        let node = &graph.nodes()[node];
        is_arithmetic(node) && of_node(graph, node) == *module
    };
    let (divisions, mut own): (Vec<_>, Vec<_>) = places.into_iter().partition(divides);
    for slots in divisions {
        let module = of_node(graph, &graph.nodes()[slots[0].0]);
        match own.iter_mut().find(|place| is_of_formula(place[0].0, &module)) {
            Some(place) => place.extend(slots),
            None if of_weight(graph.name(value)).is_some() => own.push(slots),
            None => {}
        }
    }
    own
}

/// A free name for the copy that a node reads: its module's path and the weight's part in it, where they are known.
fn own_name(graph: &Graph, value: ValueId, node: usize) -> String {
    let (name, node) = (graph.name(value), &graph.nodes()[node]);
    let part = of_weight(name).map(|path| &name[path.len() + 1..]);
    let wanted = match (of_node(graph, node), part) {
        (Some(path), Some(part)) => format!("{path}.{part}"),
        _ => {
            let made = node.outputs.iter().flatten().next();
            format!("{name}.{}", made.map_or("", |made| graph.name(*made)))
        }
    };
    graph.free_name(&wanted)
}

/// Whether one module reads a weight each time that it is called: TorchScript names the second time `query_1`. Scale and bias
/// of one node are two parameters all the same.
fn is_of_one_module(graph: &Graph, slots: &[(usize, usize)]) -> bool {
    let nodes: HashSet<usize> = slots.iter().map(|(node, _)| *node).collect();
    let modules: Option<Vec<String>> = nodes.iter().map(|node| of_node(graph, &graph.nodes()[*node])).collect();
    let Some(modules) = modules.filter(|_| nodes.len() == slots.len()) else { return false };
    let Some(first) = modules.iter().min_by_key(|path| path.len()) else { return false };
    let again = |path: &str| path.strip_prefix('_').is_some_and(|number| number.parse::<u64>().is_ok());
    modules.iter().all(|path| path.strip_prefix(first.as_str()).is_some_and(|rest| rest.is_empty() || again(rest)))
}

/// Whether all that read a constant join it to others as tokens: it holds numbers that nothing else begins with.
fn are_joined_tokens(graph: &Graph, constant: &Constant, slots: &[(usize, usize)]) -> bool {
    is_token(constant) && slots.iter().all(|(node, _)| graph.nodes()[*node].is("Concat"))
}

/// Whether the readers are the same part of modules that differ by their numbers alone: `layers.0.linear`, `layers.1.linear`.
fn are_copies(graph: &Graph, slots: &[(usize, usize)]) -> bool {
    let reader = |(node, input): &(usize, usize)| {
        let node = &graph.nodes()[*node];
        of_node(graph, node).map(|path| (without_numbers(&path), node.operator.clone(), *input))
    };
    let kinds: HashSet<Option<(String, String, usize)>> = slots.iter().map(reader).collect();
    let paths: HashSet<Option<String>> = slots.iter().map(|(node, _)| of_node(graph, &graph.nodes()[*node])).collect();
    kinds.len() == 1 && !kinds.contains(&None) && paths.len() == slots.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, model, node, read, reads, value, weight};
    use crate::model_file::onnx::{NodeProto, TensorProto};
    use crate::{FineTuning, compile};

    #[test]
    fn a_bias_or_scale_with_other_readers_is_trained_for_one_of_them_only() {
        let norm = |inputs: &[&str], output: &str| node("BatchNormalization", inputs, &[output]);
        let layer = |x: &str, scale: &str, output: &str| node("LayerNormalization", &[x, scale], &[output]);
        // nodes, and what each reads afterwards
        let rows: Vec<(Vec<NodeProto>, Vec<&str>)> = vec![
            (vec![norm(&["x", "one", "zero", "mean", "var"], "y")], vec!["x one zero mean var"]),
            (vec![norm(&["x", "one", "zero", "zero", "one"], "y")], vec!["x one.y zero.y zero one"]),
            (vec![norm(&["x", "one", "one", "one", "var"], "y")], vec!["x one.y one.y_2 one var"]),
            (vec![norm(&["x", "one", "one", "mean", "var"], "y")], vec!["x one one.y mean var"]),
            (vec![layer("x", "one", "a"), layer("a", "one", "y")], vec!["x one", "a one.y"]),
            (vec![layer("x", "one", "one.y"), layer("one.y", "one", "y")], vec!["x one", "one.y one.y_2"]),
            (vec![layer("x", "one", "a"), node("Sub", &["a", "one"], &["y"])], vec!["x one.a", "a one"]),
            (
                vec![node("MatMul", &["x", "wide"], &["y"]), node("Shape", &["wide"], &["lengths"])],
                vec!["x wide", "wide"],
            ),
            (
                vec![node("MatMul", &["x", "wide"], &["a"]), node("Sub", &["a", "wide"], &["y"])],
                vec!["x wide", "a wide"],
            ),
            (
                vec![node("MatMul", &["x", "wide"], &["a"]), node("MatMul", &["a", "wide"], &["y"])],
                vec!["x wide", "a wide"],
            ),
        ];
        for (nodes, wanted) in rows {
            let vectors = ["one", "zero", "mean", "var"].map(|name| weight(name, &[2]));
            let weights = vectors.into_iter().chain([weight("wide", &[2, 2])]).collect();
            let mut graph = read(graph(nodes, weights, vec![value("x", &[2])], vec![value("y", &[2])]));
            untie(&mut graph, &OperatorCatalog::standard());
            assert_eq!(reads(&graph), wanted);
        }
    }

    #[test]
    fn a_folded_class_token_that_two_joins_read_stays_one() {
        // the numbers of a token, and what the second join reads afterwards
        for (numbers, wanted) in [([0.3, -0.2, 0.1, -0.4], "token h"), ([0.0; 4], "token.y h")] {
            let join = |output: &str| crate::handmade::with(node("Concat", &["token", "h"], &[output]), "axis", &[1]);
            let nodes = vec![node("MatMul", &["x", "first.weight"], &["h"]), join("a"), join("y")];
            let token = TensorProto { float_data: numbers.to_vec(), ..weight("token", &[1, 1, 4]) };
            let weights = vec![weight("first.weight", &[4, 4]), token];
            let mut graph = read(graph(nodes, weights, vec![value("x", &[4, 4])], vec![value("y", &[5, 4])]));
            untie(&mut graph, &OperatorCatalog::standard());
            assert_eq!(reads(&graph)[2], wanted, "{numbers:?}");
        }
    }

    #[test]
    fn a_learning_rate_multiplier_that_does_nothing_is_told() {
        let nodes = vec![
            node("Gemm", &["x", "body.weight"], &["hidden"]),
            node("Gemm", &["hidden", "middle.weight"], &["more"]),
            node("Gemm", &["more", "head.weight"], &["scores"]),
        ];
        let weights = ["body.weight", "middle.weight", "head.weight"].map(|name| weight(name, &[3, 3])).to_vec();
        let model = model(graph(nodes, weights, vec![value("x", &[3])], vec![value("scores", &[3])]));
        let last = TrainSelection::Last(2);
        // multipliers, decay, what is trained; what is said
        type Row<'a> = (&'a [(&'a str, f32)], f32, TrainSelection, Result<(), &'a str>);
        let rows: Vec<Row<'_>> = vec![
            (&[("middle", 0.5)], 1.0, last.clone(), Ok(())),
            (&[("middle", 0.0)], 1.0, last.clone(), Ok(())),
            (&[("midle", 0.5)], 1.0, last.clone(), Err("[0]: `midle` matches no layer; did you mean `middle`?")),
            (&[("middle", 2.0), ("conv*", 0.5)], 1.0, last.clone(), Err("[1]: `conv*` matches no layer")),
            (&[("b*", 0.5)], 1.0, last.clone(), Err("`b*` matches only layers that stay frozen (`body`)")),
            (&[("*", 0.5), ("head", 1.0)], 1.0, last.clone(), Err("[1]: `head` does nothing")),
            (&[("*", 0.0)], 1.0, last.clone(), Err("everything has multiplier 0")),
            (&[("head", 0.0)], 1.0, TrainSelection::Head, Err("everything has multiplier 0")),
            (&[], 1e-30, TrainSelection::All, Err("training.layer_decay leaves layer `body` a factor of")),
            (&[], 0.5, TrainSelection::All, Ok(())),
            (&[], 1.0, TrainSelection::Match(vec![]), Err("model.train.match: no pattern")),
        ];
        for (multipliers, layer_decay, train, wanted) in rows {
            let entry = |(pattern, multiplier): &(&str, f32)| LearningRateMultiplier {
                r#match: (*pattern).to_owned(),
                multiplier: *multiplier,
            };
            let learning_rate_multipliers = multipliers.iter().map(entry).collect();
            let wanted_tuning = FineTuning { train, layer_decay, learning_rate_multipliers, ..FineTuning::head(2, 5) };
            match (compile(&model, &wanted_tuning, &OperatorCatalog::standard()), wanted) {
                (Ok(_), Ok(())) => {}
                (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
                (found, wanted) => panic!("wanted {wanted:?}, found {:?}", found.map(|_| ())),
            }
        }
    }

    #[test]
    fn a_layer_that_keras_has_named_is_trained_with_its_matrix_and_its_bias_and_counts_once() {
        use crate::finetuning::{Method, methods};
        let [w, b] = ["Cast", "BiasAdd"].map(|part| format!("functional_1/dense_1/{part}/ReadVariableOp:0"));
        let nodes = vec![
            node("MatMul", &["x", &w], &["product"]),
            node("Add", &["product", &b], &["sum"]),
            node("Relu", &["sum"], &["hidden"]),
            node("Gemm", &["hidden", "head.weight"], &["scores"]),
        ];
        let weights = vec![weight(&w, &[3, 4]), weight(&b, &[4]), weight("head.weight", &[4, 5])];
        let model = model(graph(nodes, weights, vec![value("x", &[3])], vec![value("scores", &[5])]));
        let compiled = |train: TrainSelection, methods: Vec<Method>| {
            let head = crate::HeadChoice::keep();
            let fine_tuning = FineTuning { train, methods, head, layer_decay: 0.5, ..FineTuning::head(2, 5) };
            let program = compile(&model, &fine_tuning, &OperatorCatalog::standard()).unwrap();
            let entries = program.manifest.parameters.into_iter();
            entries.map(|own| (own.layer, own.shape.len(), own.learning_rate_multiplier)).collect::<Vec<_>>()
        };
        let dense = || "functional_1/dense_1".to_owned();
        let wanted = [(dense(), 2, 0.5), (dense(), 1, 0.5), ("head".to_owned(), 2, 1.0)];
        for train in [TrainSelection::Match(vec!["*dense_1".into()]), TrainSelection::Last(2), TrainSelection::All] {
            assert_eq!(compiled(train.clone(), Vec::new()), wanted, "{train:?}");
        }
        let options =
            serde_json::json!({"rank": 1, "alpha": 1, "bias": "lora_only", "layers": {"match": ["*dense_1"]}});
        let lora = millstream_schemas::Choice::new("lora", options);
        let lora = Method::choose(methods::standard(), &lora, "model.methods[0]").unwrap();
        let found = compiled(TrainSelection::Nothing, vec![lora]);
        assert_eq!(found.len(), 3, "A, B and the bias: {found:?}");
        assert!(found.iter().any(|(layer, ..)| *layer == format!("{}.bias", dense())), "{found:?}");
    }

    #[test]
    fn a_fixed_fourier_matrix_is_trained_only_where_a_pattern_is_its_whole_name() {
        let wave = |at: usize| (2.0 * std::f32::consts::PI * ((at / 3) * (at % 3)) as f32 / 8.0).cos();
        let values = (0..24).map(wave).collect();
        let table = TensorProto { float_data: values, ..weight("spec.cos_table", &[8, 3]) };
        let nodes = vec![
            node("MatMul", &["x", "body.weight"], &["a"]),
            node("MatMul", &["a", "spec.cos_table"], &["b"]),
            node("MatMul", &["b", "head.weight"], &["y"]),
        ];
        let weights = vec![weight("body.weight", &[4, 8]), table, weight("head.weight", &[3, 5])];
        let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[5])]));
        let matching = |pattern: &str| TrainSelection::Match(vec![pattern.to_owned()]);
        for (train, wanted) in [
            (TrainSelection::All, ["body.weight", "head.weight"]),
            (matching("*"), ["body.weight", "head.weight"]),
            (matching("spec.cos_table"), ["spec.cos_table", "head.weight"]),
        ] {
            let head = crate::HeadChoice::keep();
            let fine_tuning = FineTuning { train: train.clone(), head, ..FineTuning::head(2, 5) };
            let program = compile(&model, &fine_tuning, &OperatorCatalog::standard()).unwrap();
            let names: Vec<&str> = program.manifest.parameters.iter().map(|entry| entry.name.as_str()).collect();
            assert_eq!(names, wanted, "{train:?}");
            let report = crate::describe(&model, Some(&fine_tuning), &OperatorCatalog::standard()).unwrap();
            let frozen: Vec<&str> = report.frozen.iter().map(|constant| constant.name.as_str()).collect();
            let is_frozen = !wanted.contains(&"spec.cos_table");
            assert_eq!(frozen.contains(&"spec.cos_table"), is_frozen, "{train:?}");
        }
    }

    #[test]
    fn a_parameter_that_a_formula_multiplies_with_and_divides_by_is_one() {
        let alone = vec![
            node("MatMul", &["x", "body.weight"], &["h"]),
            node("Mul", &["snake", "h"], &["a"]),
            node("Sin", &["a"], &["b"]),
            node("Div", &["b", "snake"], &["c"]),
            node("MatMul", &["c", "head.weight"], &["y"]),
        ];
        let weights = vec![weight("body.weight", &[4, 6]), weight("snake", &[6]), weight("head.weight", &[6, 5])];
        let model = model(graph(alone, weights, vec![value("x", &[4])], vec![value("y", &[5])]));
        let head = crate::HeadChoice::keep();
        let wanted = FineTuning { train: TrainSelection::All, head, ..FineTuning::head(2, 5) };
        let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
        assert_eq!(program.trained, 24 + 6 + 30);
        let mut graph = model.graph(&BTreeMap::new(), &OperatorCatalog::standard()).unwrap();
        assert!(untie(&mut graph, &OperatorCatalog::standard()).is_empty());
        assert_eq!(reads(&graph)[1], "snake h");
        assert_eq!(reads(&graph)[3], "b snake");
        let found = layers(&graph, &OperatorCatalog::standard());
        let readers: Vec<usize> = found
            .iter()
            .flat_map(|layer| &layer.weights)
            .filter(|own| graph.name(own.value) == "snake")
            .map(|own| own.node)
            .collect();
        assert_eq!(readers, [1, 3]);
    }

    #[test]
    fn an_auxiliary_head_is_not_trained_and_does_not_stop_training() {
        let nodes = vec![
            node("Gemm", &["x", "body.weight"], &["hidden"]),
            node("Gemm", &["hidden", "head.weight"], &["scores"]),
            node("Gemm", &["hidden", "aux.weight"], &["other"]),
        ];
        let weights = ["body.weight", "head.weight", "aux.weight"].map(|name| weight(name, &[3, 3])).to_vec();
        let outputs = vec![value("scores", &[3]), value("other", &[3])];
        let model = model(graph(nodes, weights, vec![value("x", &[3])], outputs));
        let matching = |pattern: &str| TrainSelection::Match(vec![pattern.to_owned()]);
        let rows = [
            (TrainSelection::All, Ok(vec!["body", "head"])),
            (TrainSelection::Head, Ok(vec!["head"])),
            (TrainSelection::Last(1), Ok(vec!["head"])),
            (TrainSelection::Last(2), Ok(vec!["body", "head"])),
            (TrainSelection::Last(3), Err("1 to 2 can be trained, got 3")),
            (matching("*"), Ok(vec!["body", "head"])),
            (matching("bod?"), Ok(vec!["body", "head"])),
            (matching("aux"), Err("`aux` matches only what does not lead to the scores (`aux`)")),
            (matching("bodi"), Err("`bodi` matches no layer and no parameter; did you mean `body`?")),
        ];
        for (train, wanted) in rows {
            let fine_tuning =
                FineTuning { output: Some("scores".into()), train, layer_decay: 0.5, ..FineTuning::head(2, 5) };
            match (compile(&model, &fine_tuning, &OperatorCatalog::standard()), wanted) {
                (Ok(program), Ok(wanted)) => {
                    let entries = program.manifest.parameters.iter();
                    assert_eq!(entries.map(|entry| entry.layer.as_str()).collect::<Vec<_>>(), wanted);
                    let head = program.manifest.parameters.last().unwrap();
                    assert_eq!(head.learning_rate_multiplier, 1.0, "the head is the last layer before the scores");
                }
                (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
                (found, wanted) => panic!("wanted {wanted:?}, found {:?}", found.map(|_| ())),
            }
        }
    }
}
