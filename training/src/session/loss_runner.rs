use millstream_compiler::graph::TensorType;
use millstream_compiler::losses::LossProgram;
use millstream_compiler::{Loss, OperatorCatalog, RowPlaces};
use millstream_schemas::{Batch, TensorEntry};
use ort::memory::Allocator;
use ort::session::{IoBinding, Session};

use super::bound::OwnedTensor;
use super::options;
use super::row_lengths::{as_tensor, row_lengths};
use super::row_weights::RowWeights;
use super::scored::{Prediction, Scored};
use super::thread::SessionThread;
use crate::TrainingError;
use millstream_runtime::{Device, DeviceKind};

/// Computes the loss of what any model predicts, on the host.
pub struct LossRunner {
    loss: Loss,
    operators: OperatorCatalog,
    device: Device,
    places: RowPlaces,
    /// For predictions of the shape that came last.
    opened: Option<(Vec<usize>, SessionThread<Opened>)>,
}

/// What an input of the program is.
#[derive(Clone, Copy)]
enum Given {
    Prediction,
    Targets,
    Weights,
    Lengths,
}

/// Inputs and outputs are bound once. Bindings are dropped before the session.
struct Opened {
    binding: IoBinding,
    inputs: Vec<(Given, TensorEntry, OwnedTensor)>,
    /// The loss, and the weight where the program gives one.
    outputs: Vec<OwnedTensor>,
    session: Session,
}

impl LossRunner {
    /// For a loss, whose nodes follow these operators.
    pub fn new(loss: &Loss, operators: &OperatorCatalog, device: &Device) -> Self {
        let device = Device::cpu(device.runtime());
        let (loss, operators) = (loss.clone(), operators.clone());
        Self { loss, operators, device, places: RowPlaces::default(), opened: None }
    }

    /// With what says how many places of a predicted sequence are a row's: [`Scoring::places`](millstream_compiler::Scoring::places)
    /// of the model. A loss that asks for it needs this where rows have lengths of their own.
    #[must_use]
    pub fn with_places(self, places: RowPlaces) -> Self {
        Self { places, ..self }
    }

    /// Computes the loss of a prediction for a batch, and hands the batch back.
    ///
    /// # Errors
    /// The loss takes no such prediction, the targets of the batch do not fit it, or ONNX Runtime fails.
    pub fn score(&mut self, batch: Batch, prediction: Prediction) -> Result<(Batch, Scored), TrainingError> {
        let weights = RowWeights::of(&batch, self.loss.takes_weights());
        let lengths = match (self.loss.takes_lengths(), prediction.shape.get(1)) {
            (true, Some(all)) => Some(row_lengths(&batch, &self.places, *all)?),
            _ => None,
        };
        let (_, thread) = match self.opened.take().filter(|(shape, _)| *shape == prediction.shape) {
            Some(opened) => self.opened.insert(opened),
            None => {
                let opened = (prediction.shape.clone(), self.open(&prediction.shape)?);
                self.opened.insert(opened)
            }
        };
        thread.call("compute a loss", move |opened| {
            let (loss, weight) = opened.run(&prediction, &batch, &weights, lengths.as_deref())?;
            let weight = weight.unwrap_or_else(|| weights.sum());
            Ok((batch, Scored { prediction, loss, weight, weights, lengths }))
        })
    }

    fn open(&self, shape: &[usize]) -> Result<SessionThread<Opened>, TrainingError> {
        let program = self
            .loss
            .compile(&TensorType::f32(shape), &self.operators)
            .map_err(|source| TrainingError::Compile { graph: "loss", source })?;
        // a few numbers for each row, which are on the host
        let device = match self.device.kind {
            DeviceKind::Cpu => self.device.clone(),
            DeviceKind::Cuda(_) => Device::cpu(self.device.runtime()),
        };
        let session = options::open(&program.model, &device, 1, "loss")?.session;
        SessionThread::start("loss session", move || Opened::bind(program, session))
    }
}

impl Opened {
    fn bind(program: LossProgram, session: Session) -> Result<Self, TrainingError> {
        let LossProgram { prediction, targets, weights, lengths, loss, weight, .. } = program;
        let host = Allocator::default();
        let mut binding = session.create_binding().map_err(TrainingError::session("binding the loss graph"))?;
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        let (weights, lengths) =
            (weights.map(|entry| (Given::Weights, entry)), lengths.map(|entry| (Given::Lengths, entry)));
        let given = [(Given::Prediction, prediction), (Given::Targets, targets)];
        for (given, entry) in given.into_iter().chain(weights).chain(lengths) {
            let tensor = OwnedTensor::of_entry(&host, &entry)?;
            tensor.bind_input(&mut binding, &entry.name)?;
            inputs.push((given, entry, tensor));
        }
        for entry in std::iter::once(loss).chain(weight) {
            let mut tensor = OwnedTensor::of_entry(&host, &entry)?;
            tensor.bind_output(&mut binding, &entry.name)?;
            outputs.push(tensor);
        }
        Ok(Self { binding, inputs, outputs, session })
    }

    /// The loss, and what it is a mean over where the program says it.
    fn run(
        &mut self,
        prediction: &Prediction,
        batch: &Batch,
        weights: &RowWeights,
        lengths: Option<&[usize]>,
    ) -> Result<(f32, Option<f64>), TrainingError> {
        for (given, entry, tensor) in &mut self.inputs {
            match given {
                Given::Prediction => tensor.values_mut().copy_from_slice(&prediction.values),
                Given::Targets => {
                    let targets = batch.targets().ok_or_else(|| TrainingError::no_targets(batch))?;
                    if tensor.take_shape(entry, &targets.shape)? {
                        tensor.bind_input(&mut self.binding, &entry.name)?;
                    }
                    tensor.fill(entry, targets)?;
                }
                Given::Weights => tensor.fill(entry, &weights.as_tensor())?,
                Given::Lengths => tensor.fill(entry, &as_tensor(lengths.unwrap_or_default()))?,
            }
        }
        self.session.run_binding(&self.binding).map_err(TrainingError::session("running the loss graph"))?;
        let weight = self.outputs.get(1).map(|weight| f64::from(weight.values()[0]));
        Ok((self.outputs[0].values()[0], weight))
    }
}
