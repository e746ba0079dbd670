use std::sync::Arc;

use millstream_compiler::{FrozenWeight, RunGraph};
use millstream_schemas::{Batch, shown};
use ort::session::Session;
use ort::value::{TensorElementType, ValueType};

use super::batch_input::{BatchInput, session_inputs};
use super::frozen_weights::FrozenWeights;
use super::options;
use super::scored::Prediction;
use super::thread::SessionThread;
use crate::TrainingError;
use millstream_runtime::Device;

/// A model's session, and behind it the weights that it reads.
struct Opened {
    session: Session,
    weights: FrozenWeights,
}

/// Runs any ONNX model that takes named float or integer tensors and gives floats, a row for each row of the batch. Its clones
/// run the same session, one batch after the other.
#[derive(Clone)]
pub struct Predictor {
    thread: Arc<SessionThread<Opened>>,
    inputs: Vec<(String, Vec<i64>)>,
    of_batch: Vec<BatchInput>,
    output: String,
    others: Vec<(String, Vec<i64>)>,
    classes: Option<usize>,
    axes: Option<usize>,
    warning: Option<String>,
}

impl Predictor {
    /// Opens a model from its bytes, which hold all weights. `output` is needed unless one alone could be scores, `[batch, classes]`.
    ///
    /// # Errors
    /// ONNX Runtime refuses the model, or it has no output of that kind.
    pub fn open(model: &[u8], device: &Device, threads: usize, output: Option<&str>) -> Result<Self, TrainingError> {
        Self::with_weights(model, &[], |_| true, device, threads, output)
    }

    /// As [`Predictor::open`], of a graph with weights beside it, whose memory is read where it is.
    ///
    /// # Errors
    /// As [`Predictor::open`].
    pub fn open_graph(
        graph: &RunGraph,
        device: &Device,
        threads: usize,
        output: Option<&str>,
    ) -> Result<Self, TrainingError> {
        let (file, has_floats) = (graph.file().to_vec(), |name: &str| graph.makes_floats(name));
        Self::with_weights(&file, graph.weights(), has_floats, device, threads, output)
    }

    fn with_weights(
        model: &[u8],
        beside: &[FrozenWeight],
        has_floats: impl Fn(&str) -> bool,
        device: &Device,
        threads: usize,
        output: Option<&str>,
    ) -> Result<Self, TrainingError> {
        let opened = options::open(model, device, threads, "model")?;
        let mut weights = FrozenWeights::default();
        weights.add(beside, options::device_allocator(&opened.session, device)?.as_ref())?;
        let warning = opened.warning("model", device, has_floats);
        let session = Opened { session: opened.session, weights };
        let thread = SessionThread::start("prediction session", move || Ok(session))?;
        let (inputs, outputs) = thread.call("list inputs and outputs", |Opened { session, .. }| {
            let named = |outlets: &[ort::value::Outlet]| -> Vec<(String, ValueType)> {
                outlets.iter().map(|outlet| (outlet.name().to_owned(), outlet.dtype().clone())).collect()
            };
            Ok((named(session.inputs()), named(session.outputs())))
        })?;
        let scores = |kind: &ValueType| match kind {
            ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => shape.len() == 2 || shape.is_empty(),
            _ => false,
        };
        let chosen: Vec<&(String, ValueType)> = match output {
            Some(name) => outputs.iter().filter(|(have, _)| have == name).collect(),
            None => outputs.iter().filter(|(_, kind)| scores(kind)).collect(),
        };
        let [(output, kind)] = chosen[..] else {
            let names: Vec<String> = outputs.iter().map(|(name, kind)| format!("`{}` ({kind})", shown(name))).collect();
            return Err(TrainingError::WhichOutput { outputs: names });
        };
        let classes = kind.tensor_shape().and_then(|shape| usize::try_from(*shape.get(1)?).ok());
        // a shape without axes is one that is not known
        let axes = kind.tensor_shape().map(|shape| shape.len()).filter(|axes| *axes > 0);
        let shape = |kind: &ValueType| kind.tensor_shape().map_or_else(Vec::new, |shape| shape.to_vec());
        let is_other = |(name, kind): &&(String, ValueType)| {
            name != output && matches!(kind, ValueType::Tensor { ty: TensorElementType::Float32, .. })
        };
        let others = outputs.iter().filter(is_other).map(|(name, kind)| (name.clone(), shape(kind))).collect();
        let is_of_rows = |(name, _): &&(String, ValueType)| beside.iter().all(|weight| weight.name != *name);
        let of_rows: Vec<&(String, ValueType)> = inputs.iter().filter(is_of_rows).collect();
        let of_batch = of_rows.iter().map(|(name, kind)| BatchInput::of_session(name, kind)).collect();
        let inputs = of_rows.iter().map(|(name, kind)| (name.clone(), shape(kind))).collect();
        let (thread, output) = (Arc::new(thread), output.clone());
        Ok(Self { thread, inputs, of_batch, output, others, classes, axes, warning })
    }

    /// Names and shapes of the inputs; −1 for an axis of any length.
    pub fn inputs(&self) -> &[(String, Vec<i64>)] {
        &self.inputs
    }

    /// Names and shapes of the outputs of floats beside the one that is predicted; −1 for an axis of any length.
    pub fn others(&self) -> &[(String, Vec<i64>)] {
        &self.others
    }

    /// Scores of a place, where the model states it.
    pub fn classes(&self) -> Option<usize> {
        self.classes
    }

    /// Axes of what is predicted, the batch among them, where the model states them.
    pub fn axes(&self) -> Option<usize> {
        self.axes
    }

    /// What should be known of how the model runs: that nodes without a kernel for the device run on the CPU.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Computes what the model gives for a batch and hands the batch back.
    ///
    /// # Errors
    /// The batch lacks an input, its type or shape does not fit, or ONNX Runtime fails.
    pub fn predict(&mut self, batch: Batch) -> Result<(Batch, Prediction), TrainingError> {
        self.predict_with(batch, None).map(|(batch, prediction, _)| (batch, prediction))
    }

    /// As [`Predictor::predict`], with what one of [`Predictor::others`] holds for the batch, where one is asked for.
    ///
    /// # Errors
    /// As [`Predictor::predict`]; or there is no such output.
    pub fn predict_with(
        &mut self,
        batch: Batch,
        other: Option<&str>,
    ) -> Result<(Batch, Prediction, Option<Prediction>), TrainingError> {
        if other.is_some_and(|wanted| self.others.iter().all(|(name, _)| name != wanted)) {
            let outputs = self.others.iter().map(|(name, _)| format!("`{}`", shown(name))).collect();
            return Err(TrainingError::WhichOutput { outputs });
        }
        let (wanted, output, other) = (self.of_batch.clone(), self.output.clone(), other.map(str::to_owned));
        self.thread.call("predict a batch", move |Opened { session, weights }| {
            let fail = || TrainingError::session("running the model");
            let inputs = session_inputs(&wanted, &batch, weights)?;
            let outputs = session.run(inputs).map_err(fail())?;
            let read = |name: &str| -> Result<Prediction, TrainingError> {
                let value = outputs.get(name).expect("the output was taken from the session's own list");
                let (shape, values) = value.try_extract_tensor::<f32>().map_err(fail())?;
                let shape = shape.iter().map(|length| usize::try_from(*length).unwrap_or(0)).collect();
                Ok(Prediction { shape, values: values.to_vec() })
            };
            let (prediction, other) = (read(&output)?, other.as_deref().map(read).transpose()?);
            drop(outputs);
            Ok((batch, prediction, other))
        })
    }
}
