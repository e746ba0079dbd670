use std::borrow::Cow;

use millstream_compiler::{FrozenWeight, RunGraph};
use millstream_schemas::shown;
use millstream_schemas::{Batch, TensorData};
use ort::session::{Session, SessionInputValue};
use ort::value::{TensorElementType, TensorRef, ValueType};

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

/// Runs any ONNX model that takes named float or integer tensors and gives floats, a row for each row of the batch.
pub struct Predictor {
    thread: SessionThread<Opened>,
    inputs: Vec<(String, Vec<i64>)>,
    output: String,
    classes: Option<usize>,
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
        let shape = |kind: &ValueType| kind.tensor_shape().map_or_else(Vec::new, |shape| shape.to_vec());
        let of_rows = inputs.iter().filter(|(name, _)| beside.iter().all(|weight| weight.name != *name));
        let inputs = of_rows.map(|(name, kind)| (name.clone(), shape(kind))).collect();
        Ok(Self { thread, inputs, output: output.clone(), classes, warning })
    }

    /// Names and shapes of the inputs; −1 for an axis of any length.
    pub fn inputs(&self) -> &[(String, Vec<i64>)] {
        &self.inputs
    }

    /// Scores of a place, where the model states it.
    pub fn classes(&self) -> Option<usize> {
        self.classes
    }

    /// What should be known of how the model runs: that nodes without a kernel for the device run on the CPU.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Computes what the model gives for a batch and hands the batch back.
    ///
    /// # Errors
    /// The batch lacks an input, its shape does not fit, or ONNX Runtime fails.
    pub fn predict(&mut self, batch: Batch) -> Result<(Batch, Prediction), TrainingError> {
        for (name, shape) in &self.inputs {
            check_input(name, shape, &batch)?;
        }
        let names: Vec<String> = self.inputs.iter().map(|(name, _)| name.clone()).collect();
        let output = self.output.clone();
        self.thread.call("predict a batch", move |Opened { session, weights }| {
            let fail = || TrainingError::session("running the model");
            let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::new();
            for name in &names {
                let tensor = &batch.tensors[name];
                let shape = tensor.shape.as_slice();
                let value = match &tensor.data {
                    TensorData::F32(values) => TensorRef::from_array_view((shape, &**values)).map(Into::into),
                    TensorData::I64(values) => TensorRef::from_array_view((shape, &**values)).map(Into::into),
                    TensorData::U8(values) => TensorRef::from_array_view((shape, &**values)).map(Into::into),
                    _ => unreachable!("the batch was checked before it was sent here"),
                };
                inputs.push((name.into(), value.map_err(fail())?));
            }
            inputs.extend(weights.inputs().map(|(name, value)| (name.into(), value)));
            let outputs = session.run(inputs).map_err(fail())?;
            let value = outputs.get(&output).expect("the output was taken from the session's own list");
            let (shape, values) = value.try_extract_tensor::<f32>().map_err(fail())?;
            let shape = shape.iter().map(|length| usize::try_from(*length).unwrap_or(0)).collect();
            let prediction = Prediction { shape, values: values.to_vec() };
            drop(outputs);
            Ok((batch, prediction))
        })
    }
}

fn check_input(name: &str, shape: &[i64], batch: &Batch) -> Result<(), TrainingError> {
    let wrong = |got: String| TrainingError::Input {
        name: name.to_owned(),
        wanted: format!("shape {shape:?}, −1 for any length"),
        got,
    };
    let Some(tensor) = batch.tensors.get(name) else {
        return Err(wrong(format!("no tensor of this name, only {:?}", batch.tensors.keys().collect::<Vec<_>>())));
    };
    let fits = tensor.shape.len() == shape.len()
        && tensor.shape.iter().zip(shape).all(|(have, want)| *want < 0 || i64::try_from(*have) == Ok(*want));
    let numbers = matches!(tensor.data, TensorData::F32(_) | TensorData::I64(_) | TensorData::U8(_));
    if fits && numbers { Ok(()) } else { Err(wrong(format!("{} {:?}", tensor.element_type().name(), tensor.shape))) }
}
