use std::collections::{HashMap, HashSet};

use super::added_vectors::added_vectors;
use super::constant_kind::FrozenReason;
use super::module_path::{self, may_be_of_one_module};
use super::parameters::Parameters;
use super::weight::Weight;
use crate::graph::{Graph, Node, ValueId};
use crate::operators::OperatorCatalog;

/// Nodes with weights that belong together, for example a convolution and its bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Name: what the names of its weights share, or its node's name where those are generated.
    pub name: String,
    /// Operator of its first node.
    pub operator: String,
    /// Its weights.
    pub weights: Vec<Weight>,
    /// Factor on its learning rate that whatever added it asks for; 1 for a layer of the model's own.
    pub learning_rate_multiplier: f32,
    /// Name of the model's own layer that it was added beside.
    pub beside: Option<String>,
}

impl Layer {
    /// Number of trainable numbers; a weight that several nodes of it read is one.
    pub fn parameters(&self) -> usize {
        self.distinct_weights().map(|weight| weight.shape.iter().product::<usize>()).sum()
    }

    /// Its weights, each once.
    pub fn distinct_weights(&self) -> impl Iterator<Item = &Weight> {
        let weights = self.weights.iter().enumerate();
        let is_first =
            |(at, weight): &(usize, &Weight)| self.weights[..*at].iter().all(|other| other.value != weight.value);
        weights.filter(is_first).map(|(_, weight)| weight)
    }
}

/// The layers of a graph by the rows of a catalog, from the input to the output.
///
/// What is added to a product alone is of the product's layer, whatever the two are called, unless the paths of their modules differ. Else
/// nodes are of one layer where what they read has the name of one.
pub fn layers(graph: &Graph, catalog: &OperatorCatalog) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    let (mut taken, mut numbers) = (HashSet::new(), HashMap::new());
    let mut parameters = Parameters::new(graph, catalog);
    let mut read: Vec<Vec<Weight>> = (0..graph.nodes().len()).map(|at| parameters.of(at)).collect();
    for shared in shared_uses(graph, &read, parameters) {
        read[shared.node].push(shared);
    }
    let called = |weight: &Weight| graph.name(weight.value);
    let mut products = added_vectors(graph, &read);
    products.retain(|sum, product| {
        let (own, added) = (&read[*product][0], &read[*sum][0]);
        may_be_of_one_module(called(own), called(added)) && !graph.is_asked_for(added.value)
    });
    let sums: HashMap<usize, usize> = products.iter().map(|(sum, product)| (*product, *sum)).collect();
    // of products that vectors are added to
    let mut places: HashMap<usize, usize> = HashMap::new();
    for (at, node) in graph.nodes().iter().enumerate().filter(|(at, _)| !read[*at].is_empty()) {
        let found = read[at].clone();
        if let Some(place) = products.get(&at).and_then(|product| places.get(product)) {
            layers[*place].weights.extend(found);
            continue;
        }
        let added = sums.get(&at).map(|sum| called(&read[*sum][0]));
        let name = layer_name(graph, node, &found, added);
        let near = layers.len().saturating_sub(4);
        let known = layers[near..].iter().rposition(|layer| layer.name == name).map(|place| near + place);
        let place = match known {
            Some(place) => {
                layers[place].weights.extend(found);
                place
            }
            None => {
                let name = unique(&mut taken, &mut numbers, name);
                let operator = node.operator.clone();
                layers.push(Layer { name, operator, weights: found, learning_rate_multiplier: 1.0, beside: None });
                layers.len() - 1
            }
        };
        places.insert(at, place);
    }
    layers
}

/// Where parameters of some nodes are read by others that divide by them or take them away, or in front of all layers: a parameter learns
/// from all that reads it.
fn shared_uses(graph: &Graph, read: &[Vec<Weight>], parameters: Parameters<'_>) -> Vec<Weight> {
    let trained: HashSet<ValueId> = read.iter().flatten().map(|weight| weight.value).collect();
    let mut found = Vec::new();
    for (value, at, reason) in parameters.frozen() {
        let node = &graph.nodes()[at];
        let is_role = matches!(reason, FrozenReason::Setting | FrozenReason::InFront)
            && ["Add", "Div", "Mul", "Sub"].iter().any(|operator| node.is(operator));
        let Some(constant) = graph.constant_of(value).filter(|_| is_role && trained.contains(&value)) else { continue };
        for input in (0..node.inputs.len()).filter(|input| node.input(*input) == Some(value)) {
            let known = |weight: &Weight| weight.node == at && weight.input == input;
            if !found.iter().any(known) && !read[at].iter().any(known) {
                found.push(Weight { value, shape: constant.shape.clone(), node: at, input });
            }
        }
    }
    found
}

/// Numbers in the float tensors of a graph that belong to no layer: position tables, input normalization and the like.
/// Single numbers are settings, and the statistics of a normalization are no weights.
pub(crate) fn other_weights(graph: &Graph, layers: &[Layer]) -> usize {
    let normalizations = graph.nodes().iter().filter(|node| node.operator == "BatchNormalization");
    let statistics = normalizations.flat_map(|node| node.inputs.iter().skip(3).flatten().copied());
    let mut counted = weights_of(layers);
    counted.extend(statistics);
    let others = graph.constants().into_iter().filter(|value| !counted.contains(value));
    let floats = others.filter_map(|value| graph.constant_of(value)).filter(|constant| constant.dtype.is_float());
    floats.map(|constant| constant.shape.iter().product()).filter(|count: &usize| *count > 1).sum()
}

/// The weights of layers.
pub(super) fn weights_of(layers: &[Layer]) -> HashSet<ValueId> {
    layers.iter().flat_map(|layer| &layer.weights).map(|weight| weight.value).collect()
}

/// What the layer of a node is called: the path of its module as the names of its weights have it, or else as the node has it; or else the
/// name of a weight. `added`: what is added to the node's product.
fn layer_name(graph: &Graph, node: &Node, weights: &[Weight], added: Option<&str>) -> String {
    // a recipe finds it by the name that it has said
    if let Some(asked) = weights.iter().find(|weight| graph.is_asked_for(weight.value)) {
        return graph.name(asked.value).to_owned();
    }
    let names: Vec<&str> = weights.iter().map(|weight| graph.name(weight.value)).collect();
    let own = names.iter().find(|name| !module_path::is_generated(name)).or(names.first()).copied().unwrap_or_default();
    let paths = || names.iter().copied().chain(added).filter_map(module_path::of_weight);
    if let Some(path) = module_path::of_weight(own) {
        // an operation that is not known stays in the name of a variable that TensorFlow reads by it
        let is_outer = |outer: &&str| path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
        return paths().find(is_outer).unwrap_or(path).to_owned();
    }
    if module_path::is_generated(own)
        && let Some(path) = added.and_then(module_path::of_weight)
    {
        return path.to_owned();
    }
    let has_no_path = module_path::is_generated(own) || module_path::may_be_result(own);
    let path = if has_no_path { module_path::of_node(graph, node) } else { None };
    let named = || Some(node.name.as_str()).filter(|name| module_path::is_generated(own) && !name.is_empty());
    path.or_else(|| named().map(str::to_owned)).unwrap_or_else(|| module_path::label(own).to_owned())
}

/// The name, or with a number behind it where another layer has it. `numbers`: of each name the last that was given.
fn unique(taken: &mut HashSet<String>, numbers: &mut HashMap<String, usize>, name: String) -> String {
    if taken.insert(name.clone()) {
        return name;
    }
    let number = numbers.entry(name.clone()).or_insert(1);
    loop {
        *number += 1;
        let free = format!("{name}#{number}");
        if taken.insert(free.clone()) {
            return free;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, read, value, weight};

    #[test]
    fn a_weight_that_a_layer_reads_several_times_is_counted_once() {
        let named = |name: &str, from: &str, to: &str| crate::model_file::onnx::NodeProto {
            name: Some(name.into()),
            ..node("MatMul", &[from, "linear.weight"], &[to])
        };
        let nodes = vec![named("/linear/MatMul", "x", "h"), named("/linear/MatMul_1", "h", "y")];
        let weights = vec![weight("linear.weight", &[4, 4])];
        let graph = read(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[4])]));
        let found = layers(&graph, &OperatorCatalog::standard());
        assert_eq!(found.iter().map(Layer::parameters).collect::<Vec<usize>>(), [16]);
        assert_eq!(found[0].distinct_weights().count(), 1);
    }

    #[test]
    fn a_table_that_is_named_after_its_lookup_has_the_path_of_its_module() {
        use crate::model_file::onnx::{NodeProto, StringStringEntryProto};
        let scopes = StringStringEntryProto {
            key: Some("pkg.torch.onnx.name_scopes".into()),
            value: Some("['', 'model', 'model.embeddings', 'add']".into()),
        };
        let sum = NodeProto { metadata_props: vec![scopes], ..node("Add", &["a", "embedding"], &["y"]) };
        let nodes = vec![node("MatMul", &["x", "model.patches.weight"], &["a"]), sum];
        let weights = vec![weight("model.patches.weight", &[4, 6]), weight("embedding", &[5, 6])];
        let graph = read(graph(nodes, weights, vec![value("x", &[5, 4])], vec![value("y", &[5, 6])]));
        let found = layers(&graph, &OperatorCatalog::standard());
        let names: Vec<&str> = found.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["model.patches", "model.embeddings"]);
    }

    #[test]
    fn a_weight_of_one_number_is_counted_and_input_normalization_is_no_layer() {
        let nodes = vec![
            node("Mul", &["x", "spread"], &["a"]),
            node("Add", &["shift", "a"], &["b"]),
            node("Gemm", &["b", "fc.weight", "fc.bias"], &["c"]),
            node("PRelu", &["c", "slope"], &["d"]),
            node("Mul", &["gamma", "d"], &["e"]),
            node("Add", &["e", "half"], &["f"]),
            node("BatchNormalization", &["f", "bn.scale", "bn.bias", "bn.mean", "bn.variance"], &["y"]),
        ];
        let shapes: [(&str, &[usize]); 11] = [
            ("spread", &[3]),
            ("shift", &[3]),
            ("fc.weight", &[3, 4]),
            ("fc.bias", &[4]),
            ("slope", &[1]),
            ("gamma", &[4]),
            ("half", &[1]),
            ("bn.scale", &[4]),
            ("bn.bias", &[4]),
            ("bn.mean", &[4]),
            ("bn.variance", &[4]),
        ];
        let weights = shapes.iter().map(|(name, shape)| weight(name, shape)).collect();
        let graph = read(graph(nodes, weights, vec![value("x", &[3])], vec![value("y", &[4])]));
        let found = layers(&graph, &OperatorCatalog::standard());
        let counts: Vec<(&str, usize)> = found.iter().map(|layer| (layer.name.as_str(), layer.parameters())).collect();
        assert_eq!(counts, [("fc", 16), ("slope", 1), ("gamma", 4), ("bn", 8)]);
        assert_eq!(other_weights(&graph, &found), 3 + 3);
    }
}
