use std::collections::BTreeMap;

use serde::Serialize;

use crate::backward::TrainedPath;
use crate::finetuning::{self, FineTuning, normalize, pattern_matches, untie};
use crate::model_file::{Bindings, Model, import};
use crate::program::{Prepared, multiplier, prepare, unique_parameters};
use crate::{CompilerError, operators};

/// What a model consists of, and what a fine-tuning would train.
#[derive(Clone, Debug, Serialize)]
pub struct ModelReport {
    /// Version of the standard operators.
    pub opset: i64,
    /// Who wrote the file, as it says itself.
    pub producer: String,
    /// Inputs that come from data; `None` for a symbolic axis.
    pub inputs: Vec<(String, Vec<Option<usize>>)>,
    /// Outputs; `None` for a symbolic axis.
    pub outputs: Vec<(String, Vec<Option<usize>>)>,
    /// Layers with weights, from the input to the output.
    pub layers: Vec<LayerReport>,
    /// Operators by name.
    pub operators: Vec<OperatorCoverage>,
    /// Numbers in all layers, tied weights counted once.
    pub parameters: usize,
    /// Numbers that would be trained.
    pub trained: usize,
}

/// One layer of a [`ModelReport`].
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Name, as patterns match it.
    pub name: String,
    /// Operator of its first node.
    pub operator: String,
    /// Numbers in it.
    pub parameters: usize,
    /// Name and shape of each weight.
    pub weights: Vec<(String, Vec<usize>)>,
    /// Whether it would be trained.
    pub trained: bool,
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
}

/// Describes a model. Without `wanted` all layers are taken as trained; with it, the layers and the path are those of
/// that fine-tuning.
///
/// # Errors
/// The selection does not fit the model. A missing gradient is no error here: it is reported.
pub fn describe(model: &Model, wanted: Option<&FineTuning>) -> Result<ModelReport, CompilerError> {
    let mut report = match wanted {
        Some(wanted) => described_layers(&prepare(model, wanted)?, Some(wanted)),
        None => {
            let mut proto = model.proto.clone();
            let graph = proto.graph.as_mut().expect("the gate refuses a model without a graph");
            normalize(graph);
            untie(graph);
            let layers = finetuning::layers(graph);
            let selected = (0..layers.len()).collect();
            described_layers(&Prepared { model: proto, head: None, logits: String::new(), layers, selected }, None)
        }
    };
    report.opset = model.opset();
    report.producer = model.producer();
    report.inputs = model.inputs();
    report.outputs = model.outputs();
    report.operators = coverage(model, wanted)?;
    Ok(report)
}

/// The names of a model's layers that a pattern matches.
pub fn matching_layers(report: &ModelReport, pattern: &str) -> Vec<String> {
    report.layers.iter().filter(|layer| pattern_matches(pattern, &layer.name)).map(|layer| layer.name.clone()).collect()
}

fn described_layers(prepared: &Prepared, wanted: Option<&FineTuning>) -> ModelReport {
    let layers: Vec<LayerReport> = prepared
        .layers
        .iter()
        .enumerate()
        .map(|(index, layer)| LayerReport {
            name: layer.name.clone(),
            operator: layer.operator.clone(),
            parameters: layer.parameters(),
            weights: layer.weights.iter().map(|weight| (weight.initializer.clone(), weight.shape.clone())).collect(),
            trained: prepared.selected.contains(&index),
            learning_rate_multiplier: wanted.map_or(1.0, |wanted| multiplier(&prepared.layers, index, wanted)),
        })
        .collect();
    let selected: Vec<_> = prepared.selected.iter().map(|index| prepared.layers[*index].clone()).collect();
    ModelReport {
        opset: 0,
        producer: String::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        operators: Vec::new(),
        parameters: unique_parameters(&prepared.layers),
        trained: unique_parameters(&selected),
        layers,
    }
}

fn coverage(model: &Model, wanted: Option<&FineTuning>) -> Result<Vec<OperatorCoverage>, CompilerError> {
    let opset = model.opset();
    let on_path = match wanted {
        Some(wanted) => nodes_on_path(&prepare(model, wanted)?, wanted)?,
        None => BTreeMap::new(),
    };
    let mut rows: BTreeMap<String, OperatorCoverage> = BTreeMap::new();
    for node in &model.graph().node {
        let standard = matches!(node.domain(), "" | "ai.onnx");
        let name = if standard { node.op_type().to_owned() } else { format!("{}.{}", node.domain(), node.op_type()) };
        let row = rows.entry(name.clone()).or_insert_with(|| {
            let reason = match operators::find(node.op_type(), node.domain()) {
                None => Some("not in the operator table".to_owned()),
                Some(row) if !row.opsets.contains(&opset) => {
                    Some(format!("the rule covers opsets {} to {}", row.opsets.start(), row.opsets.end()))
                }
                Some(row) => matches!(row.gradient, operators::Gradient::Missing)
                    .then(|| "its gradient is not written".to_owned()),
            };
            OperatorCoverage {
                nodes: 0,
                gradient: reason.is_none(),
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
fn nodes_on_path(prepared: &Prepared, wanted: &FineTuning) -> Result<BTreeMap<String, usize>, CompilerError> {
    let graph = import(&prepared.model, &Bindings { batch: wanted.batch, shapes: wanted.inputs.clone() })?;
    let trained: Vec<_> = prepared
        .selected
        .iter()
        .flat_map(|index| &prepared.layers[*index].weights)
        .filter_map(|weight| graph.find(&weight.initializer))
        .collect();
    let logits = graph.find(&prepared.logits).expect("the head's output is a value of the graph");
    let path = TrainedPath::find(&graph, logits, &trained);
    let mut counts = BTreeMap::new();
    for index in &path.nodes {
        let node = &graph.nodes()[*index];
        let name =
            if node.domain.is_empty() { node.operator.clone() } else { format!("{}.{}", node.domain, node.operator) };
        *counts.entry(name).or_insert(0) += 1;
    }
    Ok(counts)
}
