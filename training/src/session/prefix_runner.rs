use millstream_compiler::FrozenPrefix;
use millstream_schemas::{Batch, Tensor, TensorData, TensorEntry};
use ort::session::Session;

use super::batch_input::{BatchInput, session_inputs};
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
    inputs: Vec<BatchInput>,
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
        let inputs = prefix.inputs().iter().map(BatchInput::from).collect();
        Ok(Self { thread, inputs, border: prefix.border().to_vec(), warning })
    }

    /// What should be known of how it runs: that nodes without a kernel for the device run on the CPU.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Computes the tensors at the border of a batch, in the order of [`FrozenPrefix::border`], and hands the batch back.
    ///
    /// # Errors
    /// The batch lacks an input, its type or shape does not fit, or ONNX Runtime fails.
    pub fn run(&mut self, batch: Batch) -> Result<(Batch, Vec<Vec<f32>>), TrainingError> {
        let (batch, border) = self.tensors(batch)?;
        let values = border.into_iter().map(|tensor| match tensor.data {
            TensorData::F32(values) => values.to_vec(),
            _ => unreachable!("the border is of 32-bit floats"),
        });
        Ok((batch, values.collect()))
    }

    /// The same with their shapes, which follow from that of the batch where its rows have lengths of their own.
    ///
    /// # Errors
    /// As [`PrefixRunner::run`].
    pub fn tensors(&mut self, batch: Batch) -> Result<(Batch, Vec<Tensor>), TrainingError> {
        let (inputs, border) = (self.inputs.clone(), self.border.clone());
        self.thread.call("compute the frozen part", move |Opened { session, weights }| {
            let fail = || TrainingError::session("running the frozen part");
            let given = session_inputs(&inputs, &batch, weights)?;
            let outputs = session.run(given).map_err(fail())?;
            let mut found = Vec::with_capacity(border.len());
            for TensorEntry { name, .. } in &border {
                // an input of the model that lies at the border itself
                let own = batch.tensors.get(name).filter(|tensor| tensor.as_f32().is_some());
                found.push(match (own, outputs.get(name)) {
                    (Some(tensor), _) => tensor.clone(),
                    (None, Some(made)) => {
                        let (shape, values) = made.try_extract_tensor::<f32>().map_err(fail())?;
                        let shape: Vec<usize> =
                            shape.iter().map(|length| usize::try_from(*length).unwrap_or(0)).collect();
                        Tensor::f32(shape, values.to_vec())
                    }
                    (None, None) => unreachable!("the border is made of inputs and outputs of the graph"),
                });
            }
            drop(outputs);
            Ok((batch, found))
        })
    }
}
