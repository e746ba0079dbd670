//! Losses with their gradients, opened by ONNX Runtime.

use millstream_compiler::backward::gradients;
use millstream_compiler::graph::{ElementType, Graph, Length, TensorType};
use millstream_compiler::losses::{LossNodes, standard};
use millstream_compiler::{Loss, OperatorCatalog};
use millstream_schemas::{Choice, ChoiceError};
use ort::value::{DynValue, Tensor};
use serde_json::Value;

use crate::onnx_runtime::{floats, run, session};

pub(crate) fn choose(name: &str, options: Value) -> Result<Loss, ChoiceError> {
    Loss::choose(standard(), &Choice::new(name, options), "training.loss")
}

pub(crate) fn loss(name: &str, options: Value) -> Loss {
    choose(name, options).unwrap()
}

/// What a loss is computed from.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) shape: Vec<usize>,
    pub(crate) prediction: Vec<f32>,
    /// Integers are written as floats too.
    pub(crate) targets: Vec<f32>,
    pub(crate) weights: Vec<f32>,
}

/// Loss, weight where it gives one, and gradient of the prediction.
#[derive(Debug)]
pub(crate) struct Computed {
    pub(crate) loss: f64,
    pub(crate) weight: Option<f64>,
    pub(crate) gradient: Vec<f32>,
}

/// A loss with its gradient, opened.
pub(crate) struct Opened {
    session: ort::session::Session,
    targets: TensorType,
    takes_weights: bool,
    takes_lengths: bool,
}

impl Opened {
    pub(crate) fn new(loss: &Loss, shape: &[usize]) -> Self {
        Self::in_opset(loss, shape, loss.least_opset())
    }

    pub(crate) fn in_opset(loss: &Loss, shape: &[usize], opset: i64) -> Self {
        let mut graph = Graph::new(opset, OperatorCatalog::standard());
        let prediction = graph.input("prediction", TensorType::f32(shape));
        let inputs = loss.inputs(&mut graph, prediction).unwrap();
        let LossNodes { loss: value, weight } = loss.nodes(&mut graph, &inputs).unwrap();
        let gradient = match loss.gradient(&mut graph, &inputs).unwrap() {
            Some(gradient) => gradient,
            None => gradients(&mut graph, value, &[prediction], &OperatorCatalog::standard()).unwrap()[0],
        };
        let outputs: Vec<_> = [value, gradient].into_iter().chain(weight).collect();
        graph.set_outputs(&outputs);
        let targets = graph.tensor_type(inputs.targets).unwrap().clone();
        let (takes_weights, takes_lengths) = (loss.takes_weights(), loss.takes_lengths());
        Self { session: session(&graph.to_onnx("loss")), targets, takes_weights, takes_lengths }
    }

    /// With all of a sequence being each row's.
    pub(crate) fn compute(&mut self, batch: &Batch) -> Computed {
        let all = batch.shape.get(1).copied().unwrap_or(1);
        self.compute_of(batch, &vec![all as i64; batch.shape[0]])
    }

    /// With so many places of a sequence being each row's.
    pub(crate) fn compute_of(&mut self, batch: &Batch, lengths: &[i64]) -> Computed {
        // a loss may leave open how many targets a row has
        let known: usize = self.targets.shape.iter().skip(1).filter_map(Length::fixed).product();
        let open = batch.targets.len() / batch.shape[0] / known.max(1);
        let axes = self.targets.shape.iter().map(|length| length.fixed().unwrap_or(open));
        let shape: Vec<usize> = axes.collect();
        let targets: DynValue = match self.targets.dtype {
            ElementType::I64 => {
                let values: Vec<i64> = batch.targets.iter().map(|value| *value as i64).collect();
                Tensor::from_array((shape, values)).unwrap().into_dyn()
            }
            _ => floats(&shape, &batch.targets),
        };
        let mut inputs =
            vec![("prediction".to_owned(), floats(&batch.shape, &batch.prediction)), ("targets".to_owned(), targets)];
        if self.takes_weights {
            inputs.push(("weights".to_owned(), floats(&batch.shape[..1], &batch.weights)));
        }
        if self.takes_lengths {
            let lengths = Tensor::from_array((batch.shape[..1].to_vec(), lengths.to_vec())).unwrap();
            inputs.push(("lengths".to_owned(), lengths.into_dyn()));
        }
        let mut outputs = run(&mut self.session, inputs);
        let weight = (outputs.len() > 2).then(|| f64::from(outputs[2][0]));
        let gradient = outputs.swap_remove(1);
        Computed { loss: f64::from(outputs[0][0]), weight, gradient }
    }
}
