use std::borrow::Cow;

use millstream_compiler::FrozenPrefix;
use millstream_schemas::{Batch, TensorData, TensorEntry};
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use super::frozen_weights::FrozenWeights;
use super::options;
use super::thread::SessionThread;
use crate::TrainingError;
use millstream_runtime::Device;

/// The session, and behind it the weights that it reads.
struct Opened {
    session: Session,
    weights: FrozenWeights,
}

/// Runs the frozen part of a model.
pub struct PrefixRunner {
    thread: SessionThread<Opened>,
    inputs: Vec<TensorEntry>,
    border: Vec<TensorEntry>,
    warning: Option<String>,
}

impl PrefixRunner {
    /// Opens the graph on a device, in `threads` threads (0: one for each core) unless the device shares some.
    ///
    /// # Errors
    /// ONNX Runtime refuses the graph.
    pub fn open(prefix: &FrozenPrefix, device: &Device, threads: usize) -> Result<Self, TrainingError> {
        const WHAT: &str = "frozen part";
        let compile = |source| TrainingError::Compile { graph: WHAT, source };
        let graph = prefix.run_graph(options::provider(device)).map_err(compile)?;
        let opened = options::open(&graph.file().to_vec(), device, threads, WHAT)?;
        let warning = opened.warning(WHAT, device, |name| graph.makes_floats(name));
        let mut weights = FrozenWeights::default();
        weights.add(graph.weights(), options::device_allocator(&opened.session, device)?.as_ref())?;
        let session = Opened { session: opened.session, weights };
        let thread = SessionThread::start("frozen session", move || Ok(session))?;
        Ok(Self { thread, inputs: prefix.inputs().to_vec(), border: prefix.border().to_vec(), warning })
    }

    /// What should be known of how it runs: that nodes without a kernel for the device run on the CPU.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Computes the tensors at the border of a batch, in the order of [`FrozenPrefix::border`], and hands the batch back.
    ///
    /// # Errors
    /// The batch lacks an input, its shape does not fit, or ONNX Runtime fails.
    pub fn run(&mut self, batch: Batch) -> Result<(Batch, Vec<Vec<f32>>), TrainingError> {
        for entry in &self.inputs {
            check_input(entry, &batch)?;
        }
        let (inputs, border) = (self.inputs.clone(), self.border.clone());
        self.thread.call("compute the frozen part", move |Opened { session, weights }| {
            let fail = || TrainingError::session("running the frozen part");
            let mut given: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::new();
            for TensorEntry { name, .. } in &inputs {
                let tensor = &batch.tensors[name];
                let shape = tensor.shape.as_slice();
                let value = match &tensor.data {
                    TensorData::F32(values) => TensorRef::from_array_view((shape, &**values)).map(Into::into),
                    TensorData::I64(values) => TensorRef::from_array_view((shape, &**values)).map(Into::into),
                    TensorData::U8(values) => TensorRef::from_array_view((shape, &**values)).map(Into::into),
                    _ => unreachable!("the batch was checked before it was sent here"),
                };
                given.push((name.into(), value.map_err(fail())?));
            }
            given.extend(weights.inputs().map(|(name, value)| (name.into(), value)));
            let outputs = session.run(given).map_err(fail())?;
            let mut found = Vec::with_capacity(border.len());
            for TensorEntry { name, .. } in &border {
                // an input of the model that lies at the border itself
                let own = batch.tensors.get(name).and_then(|tensor| tensor.as_f32());
                found.push(match (own, outputs.get(name)) {
                    (Some(values), _) => values.to_vec(),
                    (None, Some(made)) => made.try_extract_tensor::<f32>().map_err(fail())?.1.to_vec(),
                    (None, None) => unreachable!("the border is made of inputs and outputs of the graph"),
                });
            }
            drop(outputs);
            Ok((batch, found))
        })
    }
}

fn check_input(entry: &TensorEntry, batch: &Batch) -> Result<(), TrainingError> {
    let wrong =
        |got: String| TrainingError::Input { name: entry.name.clone(), wanted: format!("{:?}", entry.shape), got };
    let Some(tensor) = batch.tensors.get(&entry.name) else {
        return Err(wrong(format!("no tensor of this name, only {:?}", batch.tensors.keys().collect::<Vec<_>>())));
    };
    let is_long =
        |(wanted, got): (&millstream_schemas::AxisLength, &usize)| wanted.fixed().is_none_or(|wanted| wanted == *got);
    let fits = tensor.shape.len() == entry.shape.len() && entry.shape.iter().zip(&tensor.shape).all(is_long);
    let is_type = tensor.element_type().name() == entry.dtype;
    if fits && is_type { Ok(()) } else { Err(wrong(format!("{} {:?}", tensor.element_type().name(), tensor.shape))) }
}
