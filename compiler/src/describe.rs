use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::backward::TrainedPath;
use crate::binding::bind;
use crate::finetuning::attention::Role;
use crate::finetuning::{
    self, FineTuning, FrozenConstant, Layer, LayerFacts, MethodReport, SelectedPart, TrainedLayer, find_attentions,
    frozen_constants, normalize, table_copies, tie_copies, untie,
};
use crate::graph::{Graph, Length, ValueId};
use crate::model_file::Model;
use crate::operators::{Gradient, OperatorCatalog};
use crate::prepared::{Prepared, prepare, unique_numbers, unique_parameters};
use crate::{CompilerError, batch_axis, suffix};

/// What a model consists of, and what a fine-tuning would train.
#[derive(Clone, Debug, Serialize)]
pub struct ModelReport {
    /// Version of the standard operators.
    pub opset: i64,
    /// Who wrote the file, as it says itself.
    pub producer: String,
    /// Inputs that come from data; `None` for a symbolic axis.
    pub inputs: Vec<(String, Vec<Option<usize>>)>,
    /// Outputs; `None` for an axis that neither the file nor, without a fine-tuning, the graph gives a length.
    pub outputs: Vec<(String, Vec<Option<usize>>)>,
    /// What the elements of inputs and outputs are in the file, by their names.
    pub element_types: BTreeMap<String, &'static str>,
    /// Layers with weights, from the input to the output.
    pub layers: Vec<LayerReport>,
    /// Operators by name.
    pub operators: Vec<OperatorCoverage>,
    /// Numbers in all layers, tied weights counted once.
    pub parameters: usize,
    /// Numbers that would be trained.
    pub trained: usize,
    /// What each part of `model.train` trains that no part before it does; nothing where it means whole layers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<SelectedPart>,
    /// Name and shape of each weight of a new head; nothing where the model keeps its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_head: Vec<(String, Vec<usize>)>,
    /// What each of `model.methods` is added to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adapted: Vec<MethodReport>,
    /// Numbers in float tensors that belong to no layer, for example a position table. The statistics of a
    /// normalization and single numbers are not counted.
    pub other_weights: usize,
    /// How many of the last layers, of those that lead to the prediction, can be trained as far as gradients of operators go;
    /// `None` where it is not known which output is the prediction.
    pub trainable: Option<(usize, usize)>,
    /// Parameters that several layers read: what trains one of them trains all.
    pub shared: Vec<SharedWeight>,
    /// Tensors that the file stores once for several layers, which are parameters of their own in each.
    pub stored_once: Vec<SharedWeight>,
    /// Tensors of floats of more than one number that no layer is trained by, and why.
    pub frozen: Vec<FrozenConstant>,
    /// What a fine-tuning does otherwise than the file says, in words.
    pub notes: Vec<String>,
}

/// A tensor that several layers read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedWeight {
    /// Its name in the file.
    pub name: String,
    /// The layers.
    pub layers: Vec<String>,
}

/// One layer of a [`ModelReport`].
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Name, as patterns match it.
    pub name: String,
    /// Operator of its first node.
    pub operator: String,
    /// Name of the model's own layer that a method has added it beside; nothing of a layer of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// What it does in an attention or in the feed-forward part behind one, as `roles` of a method name it; nothing for another layer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// Numbers in it.
    pub parameters: usize,
    /// Name and shape of each weight.
    pub weights: Vec<(String, Vec<usize>)>,
    /// Whether it would be trained, or some of it.
    pub trained: bool,
    /// Numbers of it that would be trained.
    pub trained_parameters: usize,
    /// Factor on the learning rate.
    pub learning_rate_multiplier: f32,
}

/// How one operator of the model is covered.
#[derive(Clone, Debug, Serialize)]
pub struct OperatorCoverage {
    /// Name, with its domain unless it is a standard operator.
    pub operator: String,
    /// Nodes.
    pub nodes: usize,
    /// Whether the operator table has a gradient for it, in this opset.
    pub gradient: bool,
    /// Nodes between the trained layers and the loss: those whose gradient is needed.
    pub on_trained_path: usize,
    /// Why there is no gradient.
    pub reason: Option<String>,
    /// Why the gradient is zero: what stands in front of it learns nothing through it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero: Option<&'static str>,
}

/// Describes a model, by the rules of a catalog. Without `wanted` all layers are taken as trained; with it, the layers and the path are those of
/// that fine-tuning.
///
/// # Errors
/// The selection does not fit the model. A missing gradient is no error here: it is reported.
pub fn describe(
    model: &Model,
    wanted: Option<&FineTuning>,
    catalog: &OperatorCatalog,
) -> Result<ModelReport, CompilerError> {
    let (mut outputs, mut on_path) = (model.outputs(), BTreeMap::new());
    let mut report = match wanted {
        Some(wanted) => {
            let prepared = prepare(model, wanted, catalog)?;
            let report = described_layers(&prepared, Some(wanted), catalog);
            on_path = nodes_on_path(&prepared, wanted, catalog)?;
            report
        }
        None => {
            let mut graph = model.graph(&BTreeMap::new(), catalog)?;
            outputs = inferred(outputs, &graph);
            batch_axis::repeat_equal_rows(&mut graph, catalog)?;
            let tied = finetuning::note_of_ties(&normalize(&mut graph));
            finetuning::write_einsum_layers(&mut graph)?;
            let untied = untie(&mut graph, catalog);
            let mut layers = finetuning::layers(&graph, catalog);
            let copies = table_copies(&graph, &layers);
            let of_tables = tie_copies(&mut graph, &copies, &mut layers, &mut None)?;
            let all: Vec<usize> = (0..layers.len()).collect();
            let selected = all.iter().map(|index| TrainedLayer::whole(&layers, *index)).collect();
            let prediction = finetuning::chosen_output(&graph, None).ok();
            let trainable = match prediction {
                Some(prediction) => finetuning::layers_before(&graph, &layers, prediction),
                None => all,
            };
            let (head, mut notes) = (None, model.notes(&graph));
            notes.extend(tied.into_iter().chain(of_tables));
            let (merged, merges, dropped) = (graph.clone(), Vec::new(), Vec::new());
            let (own, facts) = (layers.len(), LayerFacts::find(&graph, &layers, &[]));
            let prepared = Prepared {
                own,
                facts,
                graph,
                merged,
                merges,
                folded: Vec::new(),
                head,
                head_reads: None,
                prediction,
                output: prediction,
                layers,
                trainable,
                selected,
                parts: Vec::new(),
                untied,
                dropped,
                branches: Vec::new(),
                files: Vec::new(),
                adapted: Vec::new(),
                whole: Vec::new(),
                held: Vec::new(),
                wrapper: None,
                attentions: None,
                notes,
            };
            described_layers(&prepared, None, catalog)
        }
    };
    report.opset = model.opset();
    report.producer = model.producer();
    report.inputs = model.inputs();
    report.outputs = outputs;
    report.element_types = model.element_types();
    report.operators = coverage(model, &on_path, catalog)?;
    Ok(report)
}

/// Outputs with the lengths that follow from the graph where the file leaves them open.
fn inferred(mut outputs: Vec<(String, Vec<Option<usize>>)>, graph: &Graph) -> Vec<(String, Vec<Option<usize>>)> {
    for (name, shape) in &mut outputs {
        let value = graph.outputs().iter().find(|value| graph.name(**value) == name);
        let Some(stated) = value.and_then(|value| graph.tensor_type(*value)) else { continue };
        let lengths = || stated.shape.iter().map(Length::fixed);
        if shape.is_empty() {
            shape.extend(lengths());
        } else if shape.len() == stated.shape.len() {
            shape.iter_mut().zip(lengths()).for_each(|(own, length)| *own = own.or(length));
        }
    }
    outputs
}

fn new_head(prepared: &Prepared, wanted: Option<&FineTuning>) -> Vec<(String, Vec<usize>)> {
    let is_new = wanted.is_some_and(|wanted| !wanted.head.keeps());
    let Some(head) = prepared.head.as_ref().filter(|_| is_new) else { return Vec::new() };
    let mut found: Vec<(String, Vec<usize>)> = Vec::new();
    for weight in prepared.layers.iter().flat_map(|layer| &layer.weights).filter(|weight| head.has(weight.value)) {
        let name = prepared.graph.name(weight.value);
        if found.iter().all(|(known, _)| known != name) {
            found.push((name.to_owned(), weight.shape.clone()));
        }
    }
    found
}

fn described_layers(prepared: &Prepared, wanted: Option<&FineTuning>, catalog: &OperatorCatalog) -> ModelReport {
    let selected: HashMap<usize, &TrainedLayer> =
        prepared.selected.iter().rev().map(|layer| (layer.index, layer)).collect();
    let trained = |index: usize| selected.get(&index).copied();
    let multipliers = wanted.map(|wanted| prepared.multipliers(wanted));
    let numbers = |layer: &TrainedLayer| unique_numbers(layer.weights.iter());
    let found = prepared.attentions.clone().unwrap_or_else(|| find_attentions(&prepared.graph));
    let mut of_weights: BTreeMap<ValueId, Vec<Role>> = BTreeMap::new();
    for role in Role::ALL {
        found.weights(role).into_iter().for_each(|weight| of_weights.entry(weight).or_default().push(role));
    }
    let roles = |layer: &Layer| {
        // what is added beside a layer has no role of its own
        let own = layer.weights.iter().filter(|_| layer.beside.is_none());
        own.filter_map(|weight| of_weights.get(&weight.value)).flatten().copied().collect()
    };
    let layers: Vec<LayerReport> = prepared
        .layers
        .iter()
        .enumerate()
        .map(|(index, layer)| LayerReport {
            name: layer.name.clone(),
            operator: layer.operator.clone(),
            beside: layer.beside.clone(),
            roles: roles(layer),
            parameters: layer.parameters(),
            weights: layer
                .distinct_weights()
                .map(|weight| (prepared.graph.name(weight.value).to_owned(), weight.shape.clone()))
                .collect(),
            trained: trained(index).is_some(),
            trained_parameters: trained(index).map_or(0, numbers),
            learning_rate_multiplier: multipliers.as_ref().map_or(1.0, |of| of[index]),
        })
        .collect();
    ModelReport {
        opset: 0,
        producer: String::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        element_types: BTreeMap::new(),
        operators: Vec::new(),
        parameters: unique_parameters(&prepared.layers),
        trained: unique_numbers(prepared.selected.iter().flat_map(|layer| &layer.weights)),
        selection: prepared.parts.clone(),
        new_head: new_head(prepared, wanted),
        adapted: prepared.adapted.clone(),
        other_weights: prepared.other_weights(),
        trainable: prepared
            .prediction
            .map(|prediction| (trainable(prepared, prediction, catalog), prepared.trainable.len())),
        shared: shared(prepared),
        stored_once: stored_once(prepared),
        frozen: frozen_constants(&prepared.graph, &prepared.layers, catalog),
        notes: prepared.notes.clone(),
        layers,
    }
}

/// How many of the last layers that lead to the prediction can be trained as far as operators without gradient let them.
fn trainable(prepared: &Prepared, prediction: ValueId, catalog: &OperatorCatalog) -> usize {
    let graph = &prepared.graph;
    suffix::largest(prepared.trainable.len(), |count| {
        let last = &prepared.trainable[prepared.trainable.len() - count..];
        let weights: Vec<ValueId> =
            last.iter().flat_map(|index| &prepared.layers[*index].weights).map(|weight| weight.value).collect();
        TrainedPath::find(graph, prediction, &weights, catalog).require_gradients(graph, catalog).is_ok()
    })
}

/// Parameters of several layers.
fn shared(prepared: &Prepared) -> Vec<SharedWeight> {
    let mut readers: BTreeMap<ValueId, Vec<String>> = BTreeMap::new();
    for layer in &prepared.layers {
        for weight in &layer.weights {
            let layers = readers.entry(weight.value).or_default();
            if layers.last() != Some(&layer.name) {
                layers.push(layer.name.clone());
            }
        }
    }
    let name = |value: ValueId| prepared.graph.name(value).to_owned();
    let several = readers.into_iter().filter(|(_, layers)| layers.len() > 1);
    several.map(|(value, layers)| SharedWeight { name: name(value), layers }).collect()
}

fn stored_once(prepared: &Prepared) -> Vec<SharedWeight> {
    let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
    for (index, layer) in prepared.layers.iter().enumerate() {
        layer.weights.iter().for_each(|weight| readers.entry(weight.value).or_default().push(index));
    }
    let of_layers = |values: &Vec<ValueId>| {
        let indices: BTreeSet<usize> =
            values.iter().filter_map(|value| readers.get(value)).flatten().copied().collect();
        indices.into_iter().map(|index| prepared.layers[index].name.clone()).collect()
    };
    let all = prepared.untied.iter();
    all.map(|(name, values)| SharedWeight { name: name.clone(), layers: of_layers(values) }).collect()
}

fn coverage(
    model: &Model,
    on_path: &BTreeMap<String, usize>,
    catalog: &OperatorCatalog,
) -> Result<Vec<OperatorCoverage>, CompilerError> {
    let mut rows: BTreeMap<String, OperatorCoverage> = BTreeMap::new();
    let graph = model.graph(&BTreeMap::new(), catalog)?;
    for node in graph.nodes() {
        let name = node.qualified_operator();
        let row = rows.entry(name.clone()).or_insert_with(|| {
            let gradient = catalog.gradient_of(&node.domain, &node.operator, graph.opset_of(&node.domain));
            let zero = match &gradient {
                Ok(Gradient::Zero(reason)) => Some(*reason),
                _ => None,
            };
            let reason = gradient.err();
            OperatorCoverage {
                nodes: 0,
                gradient: reason.is_none(),
                zero,
                on_trained_path: on_path.get(&name).copied().unwrap_or(0),
                operator: name,
                reason,
            }
        });
        row.nodes += 1;
    }
    Ok(rows.into_values().collect())
}

/// How many nodes of each operator lie between the trained layers and the output.
fn nodes_on_path(
    prepared: &Prepared,
    wanted: &FineTuning,
    catalog: &OperatorCatalog,
) -> Result<BTreeMap<String, usize>, CompilerError> {
    let graph = bind(&prepared.graph, &prepared.bindings(wanted), catalog)?;
    let path = TrainedPath::find(&graph, prepared.prediction_in(&graph), &prepared.weights(&graph), catalog);
    let mut counts = BTreeMap::new();
    for index in &path.nodes {
        *counts.entry(graph.nodes()[*index].qualified_operator()).or_insert(0) += 1;
    }
    Ok(counts)
}
