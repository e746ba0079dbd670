//! A loss from a file.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::OnceLock;

use millstream_schemas::choice::Options;
use millstream_schemas::{shown, shown_path};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind};
use super::loss_kind::{Build, LossKind};
use super::row_mean::mean_by_weight;
use crate::graph::{AXES_INPUT_SINCE, Attribute, Constant, ElementType, Graph, Length, Node, TensorType, ValueId};
use crate::operators::OperatorCatalog;
use crate::{CompilerError, Model, simplify};

pub(super) const LOSS: LossKind = LossKind {
    name: "onnx",
    summary: "A loss of your own, from a small ONNX file.",
    documentation: "The file's graph takes the prediction, float32 with the batch first, and the targets, in this order, \
        and where it likes the weights of the rows, float32 `[batch]`, as a third; axes of the targets that depend on the \
        data have the names of the prediction's. It gives one float32 tensor: a loss for each row, `[batch]`, of which \
        the mean is taken by the rows' weights, or a single number, which must then use the weights itself, since empty \
        slots of a batch have weight 0. Its operators need gradients, and its opset is at most the model's. The file is \
        checked as a model is. `reads` says what the prediction is, and so which metrics go with it.",
    samples: &[r#"{"file": "my_loss.onnx"}"#, r#"{"file": "my_loss.onnx", "reads": "class_scores"}"#],
    build: Build::of::<OnnxLoss>(),
};

/// Opset of losses that say nothing else.
const USUAL_OPSET: i64 = 17;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OnnxLoss {
    /// The ONNX file.
    #[schemars(extend("format" = "path"))]
    file: PathBuf,
    /// What it reads the model's output as.
    #[serde(default)]
    reads: Reads,
    /// Read when it is first needed.
    #[serde(skip)]
    model: OnceLock<Model>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Reads {
    /// Numbers, as the model gives them.
    #[default]
    Numbers,
    /// Scores of classes before any softmax, `[batch, classes, …]`.
    ClassScores,
    /// Scores of labels before any sigmoid, `[batch, labels, …]`.
    LabelScores,
    /// Scores at each place of a sequence before any softmax, `[batch, sequence, symbols]`.
    SequenceScores,
    /// Vectors that are compared with each other.
    Embeddings,
}

impl Options for OnnxLoss {
    fn validate(&self) -> Result<(), String> {
        match self.file.as_os_str().is_empty() {
            true => Err("file is the path of an ONNX file, got an empty one".into()),
            false => Ok(()),
        }
    }
}

impl LossFunction for OnnxLoss {
    fn reads(&self) -> PredictionKind {
        match self.reads {
            Reads::Numbers => PredictionKind::Numbers,
            Reads::ClassScores => PredictionKind::ClassScores,
            Reads::LabelScores => PredictionKind::LabelScores,
            Reads::SequenceScores => PredictionKind::SequenceScores,
            Reads::Embeddings => PredictionKind::Embeddings,
        }
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        let own = self.graph()?;
        let [declared, targets, ..] = own.inputs() else {
            return Err(self.wrong("it takes the prediction and the targets, and maybe weights"));
        };
        let (declared, targets) = (own.known_type(*declared)?, own.known_type(*targets)?);
        let names = self.names(declared, prediction)?;
        let shape = targets.shape.iter().map(|length| length.with(&|name| names.get(name).cloned()));
        let shape: Vec<Length> = shape.collect();
        match targets.shape.iter().flat_map(Length::names).find(|name| !names.contains_key(*name)) {
            None => Ok(TensorType { dtype: targets.dtype, shape }),
            Some(open) => Err(self.wrong(&format!(
                "an axis of its targets is `{}`, which is no axis of its prediction: give both the same names",
                shown(open)
            ))),
        }
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn least_opset(&self) -> i64 {
        self.model().map_or(USUAL_OPSET, |model| model.opset().max(USUAL_OPSET))
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let own = self.graph()?;
        let given = [inputs.prediction, inputs.targets, inputs.weights()?];
        if own.inputs().len() > given.len() || own.outputs().len() != 1 {
            let (takes, gives) = (own.inputs().len(), own.outputs().len());
            let message = format!("it takes {takes} inputs and gives {gives} outputs, wanted 2 or 3 and 1");
            return Err(self.wrong(&message));
        }
        let takes_weights = own.inputs().len() == given.len();
        let made = self.copy_into(graph, &own, &given)?;
        let (rows, known) = (graph.shape(given[2])?[0].clone(), graph.known_type(made)?.clone());
        match known.shape.as_slice() {
            _ if known.dtype != ElementType::F32 => {}
            [of_rows] if of_rows.agrees_with(&rows) => {
                let (loss, _) = mean_by_weight(graph, made, given[2])?;
                return Ok(LossNodes { loss, weight: None });
            }
            _ if known.elements() == 1 && takes_weights => {
                return Ok(LossNodes { loss: graph.reshape::<Length>(made, &[])?, weight: None });
            }
            _ if known.elements() == 1 => {
                let message = "it gives a single number and takes no weights, so that the empty slots of a batch would count: \
                               let it give a loss for each row, [batch], or take the weights as a third input";
                return Err(self.wrong(message));
            }
            _ => {}
        }
        Err(self.wrong(&format!("it gives {known}, wanted float32 [batch], a loss for each row, or float32 []")))
    }
}

impl OnnxLoss {
    fn wrong(&self, message: &str) -> CompilerError {
        CompilerError::setting("training.loss.onnx.file", format!("the loss {}: {message}", shown_path(&self.file)))
    }

    fn model(&self) -> Result<&Model, CompilerError> {
        if let Some(model) = self.model.get() {
            return Ok(model);
        }
        let model = Model::read(&self.file)?;
        Ok(self.model.get_or_init(|| model))
    }

    fn graph(&self) -> Result<Graph, CompilerError> {
        let mut graph = self.model()?.graph(&BTreeMap::new(), &OperatorCatalog::standard())?;
        graph.take_batches(false);
        Ok(graph)
    }

    /// What the names of the declared prediction's axes are.
    fn names(&self, declared: &TensorType, prediction: &TensorType) -> Result<HashMap<String, Length>, CompilerError> {
        let mut names: HashMap<String, Length> = HashMap::new();
        let mut fits = declared.dtype == prediction.dtype && declared.shape.len() == prediction.shape.len();
        for (own, given) in declared.shape.iter().zip(&prediction.shape) {
            fits &= match own.name() {
                Some(name) => names.entry(name.to_owned()).or_insert_with(|| given.clone()).agrees_with(given),
                None => own.agrees_with(given),
            };
        }
        match fits {
            true => Ok(names),
            false => Err(self.wrong(&format!("its prediction is {declared}, and the model's {prediction}"))),
        }
    }

    /// Adds its nodes, and returns what they make of these inputs.
    fn copy_into(&self, graph: &mut Graph, own: &Graph, inputs: &[ValueId]) -> Result<ValueId, CompilerError> {
        if own.opset > graph.opset {
            return Err(self.wrong(&format!(
                "it is of opset {}, and the model of opset {}: export the loss with opset {} or an older one",
                own.opset, graph.opset, graph.opset
            )));
        }
        let mut values: HashMap<ValueId, ValueId> = own.inputs().iter().copied().zip(inputs.iter().copied()).collect();
        for (declared, given) in own.inputs().iter().zip(inputs) {
            self.names(own.known_type(*declared)?, graph.known_type(*given)?)?;
        }
        for value in own.constants() {
            let constant = own.constant_of(value).cloned().unwrap_or_else(|| Constant::f32([0], &[]));
            values.insert(value, graph.named_constant(&format!("loss/{}", own.name(value)), constant));
        }
        let catalog = OperatorCatalog::standard();
        let mut budget = simplify::FOLDED_BYTES;
        for node in own.nodes() {
            let mut copy = node.clone();
            copy.metadata = Vec::new();
            copy.name = graph.free_name(&format!("loss/{}", own.label(node)));
            copy.inputs = node.inputs.iter().map(|input| input.map(|input| values[&input])).collect();
            raised(graph, &mut copy, own.opset);
            copy.outputs = Vec::new();
            let free = |value: &ValueId| graph.free_name(&format!("loss/{}", own.name(*value)));
            let names: Vec<String> =
                node.outputs.iter().map(|output| output.as_ref().map_or_else(String::new, free)).collect();
            graph.add_named(copy, &names, &|_| None)?;
            let at = graph.nodes().len() - 1;
            simplify::fold(graph, at, &catalog, &mut budget)?;
            let made = graph.nodes()[at].outputs.clone();
            values.extend(node.outputs.iter().zip(made).filter_map(|(own, made)| Some(((*own)?, made?))));
        }
        let output = own.outputs()[0];
        values.get(&output).copied().ok_or_else(|| self.wrong("its output is made by no node"))
    }
}

/// Writes a node of an older opset as newer ones do.
fn raised(graph: &mut Graph, node: &mut Node, from: i64) {
    let crosses = from < AXES_INPUT_SINCE && graph.opset >= AXES_INPUT_SINCE && node.domain.is_empty();
    if !crosses {
        return;
    }
    let parts = node.outputs.len() as i64;
    match node.operator.as_str() {
        // `ReduceSum` has its axes as an input since opset 13.
        operator if operator.starts_with("Reduce") && operator != "ReduceSum" => {
            if let Some(Attribute::Ints(axes)) = node.attributes.remove("axes") {
                let axes = graph.integers(&axes);
                node.inputs.push(Some(axes));
            }
        }
        "Split" if node.input(1).is_none() => {
            node.attributes.insert("num_outputs".to_owned(), Attribute::Int(parts));
        }
        _ => {}
    }
}
