use millstream_compiler::graph::TensorType;
use millstream_compiler::losses::LossProgram;
use millstream_compiler::{Loss, OperatorCatalog, RowPlaces};
use millstream_schemas::{Batch, Tensor, TensorData, TensorEntry};
use ort::memory::Allocator;
use ort::session::{IoBinding, Session};

use super::bound::OwnedTensor;
use super::options;
use super::row_lengths::{as_tensor, row_lengths};
use super::row_weights::RowWeights;
use super::scored::{Prediction, Scored};
use super::thread::SessionThread;
use crate::{RowLoss, TrainingError};
use millstream_runtime::{Device, DeviceKind};

/// Computes the loss of what any model predicts, on the host.
pub struct LossRunner {
    loss: Loss,
    operators: OperatorCatalog,
    device: Device,
    places: RowPlaces,
    /// For predictions of the shape that came last.
    opened: Option<(Vec<usize>, SessionThread<Opened>)>,
    /// Whether that gives the losses of rows, where the loss states them.
    with_rows: bool,
    /// The same for one row, where the loss does not state them.
    of_row: Option<(Vec<usize>, SessionThread<Opened>)>,
    /// Whether a batch was seen whose loss is not the mean of those of its rows.
    lacks_row_losses: bool,
}

/// A row of a batch for itself.
struct OneRow {
    prediction: Prediction,
    targets: Tensor,
    weights: RowWeights,
    lengths: Option<Vec<usize>>,
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
    loss: OwnedTensor,
    /// What the loss is a mean over, where the program says it.
    weight: Option<OwnedTensor>,
    /// The loss of each row, where the program gives it.
    row_losses: Option<OwnedTensor>,
    /// What counts of each row, where the program says it.
    row_weights: Option<OwnedTensor>,
    session: Session,
}

impl LossRunner {
    /// For a loss, whose nodes follow these operators.
    pub fn new(loss: &Loss, operators: &OperatorCatalog, device: &Device) -> Self {
        let device = Device::cpu(device.runtime());
        let (loss, operators) = (loss.clone(), operators.clone());
        let places = RowPlaces::default();
        Self { loss, operators, device, places, opened: None, with_rows: false, of_row: None, lacks_row_losses: false }
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
        let (batch, scored) = self.scored(batch, prediction, false)?;
        Ok((batch, Scored { row_losses: None, ..scored }))
    }

    /// As [`LossRunner::score`], with the losses of rows where that is asked for and the loss states them.
    fn scored(
        &mut self,
        batch: Batch,
        prediction: Prediction,
        with_rows: bool,
    ) -> Result<(Batch, Scored), TrainingError> {
        let weights = RowWeights::of(&batch, self.loss.takes_weights());
        let lengths = match (self.loss.takes_lengths(), prediction.shape.get(1)) {
            (true, Some(all)) => Some(row_lengths(&batch, &self.places, *all)?),
            _ => None,
        };
        let gives_enough = self.with_rows || !with_rows;
        let (_, thread) = match self.opened.take().filter(|(shape, _)| gives_enough && *shape == prediction.shape) {
            Some(opened) => self.opened.insert(opened),
            None => {
                let opened = (prediction.shape.clone(), self.open(&prediction.shape, with_rows)?);
                self.with_rows = with_rows;
                self.opened.insert(opened)
            }
        };
        thread.call("compute a loss", move |opened| {
            let targets = batch.targets().ok_or_else(|| TrainingError::no_targets(&batch))?;
            let (loss, weight) = opened.run(&prediction, targets, &weights, lengths.as_deref())?;
            let weight = weight.unwrap_or_else(|| weights.sum());
            let row_losses = opened.rows(&weights);
            Ok((batch, Scored { prediction, loss, weight, weights, lengths, row_losses }))
        })
    }

    /// As [`LossRunner::score`], with the loss of each row that has weight by itself: the same loss, of a batch of that row alone. It
    /// comes of the same run where the loss states it ([`LossFunction::row_nodes`](millstream_compiler::losses::LossFunction::row_nodes)),
    /// and of one run a row where not. There is none from the first batch on whose loss is not the mean of these, as where a loss
    /// compares rows with each other.
    ///
    /// # Errors
    /// As [`LossRunner::score`].
    pub fn score_with_rows(&mut self, batch: Batch, prediction: Prediction) -> Result<(Batch, Scored), TrainingError> {
        if self.lacks_row_losses {
            return self.score(batch, prediction);
        }
        let (batch, mut scored) = self.scored(batch, prediction, true)?;
        let found = match scored.row_losses.take() {
            Some(stated) => Some(stated),
            None => self.one_by_one(&batch, &scored)?,
        };
        let row_losses = found.filter(|rows| make_up(rows, &scored));
        self.lacks_row_losses = row_losses.is_none();
        Ok((batch, Scored { row_losses, ..scored }))
    }

    /// The losses of rows, each of a run of its own.
    fn one_by_one(&mut self, batch: &Batch, scored: &Scored) -> Result<Option<Vec<RowLoss>>, TrainingError> {
        let targets = batch.targets().ok_or_else(|| TrainingError::no_targets(batch))?;
        let Some(rows) = OneRow::all(targets, scored) else { return Ok(None) };
        let Some(shape) = rows.first().map(|row| row.prediction.shape.clone()) else { return Ok(Some(Vec::new())) };
        let (_, thread) = match self.of_row.take().filter(|(known, _)| *known == shape) {
            Some(opened) => self.of_row.insert(opened),
            None => match self.open(&shape, false) {
                Ok(opened) => self.of_row.insert((shape, opened)),
                // one that makes no sense of a single row
                Err(TrainingError::Compile { .. }) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let found = thread.call("compute the losses of rows", move |opened| {
            rows.iter().map(|row| row.loss(opened)).collect::<Result<Vec<RowLoss>, TrainingError>>()
        })?;
        Ok(Some(found))
    }

    fn open(&self, shape: &[usize], with_rows: bool) -> Result<SessionThread<Opened>, TrainingError> {
        let prediction = TensorType::f32(shape);
        let program = match with_rows {
            true => self.loss.compile_with_rows(&prediction, &self.operators),
            false => self.loss.compile(&prediction, &self.operators),
        };
        let program = program.map_err(|source| TrainingError::Compile { graph: "loss", source })?;
        // a few numbers for each row, which are on the host
        let device = match self.device.kind {
            DeviceKind::Cpu => self.device.clone(),
            DeviceKind::Cuda(_) => Device::cpu(self.device.runtime()),
        };
        let session = options::open(&program.model, &device, 1, "loss")?.session;
        SessionThread::start("loss session", move || Opened::bind(program, session))
    }
}

impl OneRow {
    /// Those of a batch that have weight; none where its targets are not told apart by rows.
    fn all(targets: &Tensor, scored: &Scored) -> Option<Vec<Self>> {
        let Scored { prediction, weights, lengths, .. } = scored;
        let rows = weights.values().len();
        if targets.shape.first() != Some(&rows) || prediction.shape.first() != Some(&rows) {
            return None;
        }
        let numbers = prediction.values.len() / rows.max(1);
        let counted = weights.values().iter().enumerate().filter(|(_, weight)| **weight != 0.0);
        counted
            .map(|(row, _)| {
                Some(Self {
                    prediction: Prediction {
                        shape: shape_of_row(&prediction.shape),
                        values: prediction.values[row * numbers..(row + 1) * numbers].to_vec(),
                    },
                    targets: row_of(targets, row)?,
                    weights: weights.of_row(row),
                    lengths: lengths.as_ref().map(|lengths| vec![lengths[row]]),
                })
            })
            .collect()
    }

    fn loss(&self, opened: &mut Opened) -> Result<RowLoss, TrainingError> {
        let Self { prediction, targets, weights, lengths } = self;
        let (loss, weight) = opened.run(prediction, targets, weights, lengths.as_deref())?;
        Ok(RowLoss { loss: f64::from(loss), weight: weight.unwrap_or_else(|| weights.sum()) })
    }
}

fn shape_of_row(shape: &[usize]) -> Vec<usize> {
    std::iter::once(1).chain(shape.iter().skip(1).copied()).collect()
}

/// A row of targets for itself; none of elements that no loss takes.
fn row_of(targets: &Tensor, row: usize) -> Option<Tensor> {
    let shape = shape_of_row(&targets.shape);
    let elements: usize = shape.iter().product();
    let range = row * elements..(row + 1) * elements;
    match &targets.data {
        TensorData::F32(values) => Some(Tensor::f32(shape, values[range].to_vec())),
        TensorData::I64(values) => Some(Tensor::i64(shape, values[range].to_vec())),
        _ => None,
    }
}

/// Whether the loss of a batch is the mean of what its rows have by themselves, but for what 32-bit floats round.
fn make_up(rows: &[RowLoss], scored: &Scored) -> bool {
    let (mean, weight) = RowLoss::mean(rows.iter().copied());
    let is_near = |a: f64, b: f64| (a - b).abs() <= 1e-4 * b.abs() + 1e-6;
    is_near(weight, scored.weight) && (weight == 0.0 || is_near(mean, f64::from(scored.loss)))
}

impl Opened {
    fn bind(program: LossProgram, session: Session) -> Result<Self, TrainingError> {
        let LossProgram { prediction, targets, weights, lengths, loss, weight, row_losses, row_weights, .. } = program;
        let host = Allocator::default();
        let mut binding = session.create_binding().map_err(TrainingError::session("binding the loss graph"))?;
        let mut inputs = Vec::new();
        let (weights, lengths) =
            (weights.map(|entry| (Given::Weights, entry)), lengths.map(|entry| (Given::Lengths, entry)));
        let given = [(Given::Prediction, prediction), (Given::Targets, targets)];
        for (given, entry) in given.into_iter().chain(weights).chain(lengths) {
            let tensor = OwnedTensor::of_entry(&host, &entry)?;
            tensor.bind_input(&mut binding, &entry.name)?;
            inputs.push((given, entry, tensor));
        }
        let mut output = |entry: TensorEntry| {
            let mut tensor = OwnedTensor::of_entry(&host, &entry)?;
            tensor.bind_output(&mut binding, &entry.name)?;
            Ok::<_, TrainingError>(tensor)
        };
        let (loss, weight) = (output(loss)?, weight.map(&mut output).transpose()?);
        let (row_losses, row_weights) =
            (row_losses.map(&mut output).transpose()?, row_weights.map(&mut output).transpose()?);
        Ok(Self { binding, inputs, loss, weight, row_losses, row_weights, session })
    }

    /// Of the run that came last the loss of each row that has weight, where the program gives it and there is one for each of these
    /// weights.
    fn rows(&self, weights: &RowWeights) -> Option<Vec<RowLoss>> {
        let losses = self.row_losses.as_ref()?.values();
        let counts = self.row_weights.as_ref().map(OwnedTensor::values);
        let weights = weights.values();
        if losses.len() != weights.len() || counts.is_some_and(|counts| counts.len() != weights.len()) {
            return None;
        }
        let of_row = |row: usize| RowLoss {
            loss: f64::from(losses[row]),
            weight: counts.map_or(weights[row], |counts| f64::from(counts[row])),
        };
        Some((0..weights.len()).filter(|row| weights[*row] != 0.0).map(of_row).collect())
    }

    /// The loss, and what it is a mean over where the program says it.
    fn run(
        &mut self,
        prediction: &Prediction,
        targets: &Tensor,
        weights: &RowWeights,
        lengths: Option<&[usize]>,
    ) -> Result<(f32, Option<f64>), TrainingError> {
        for (given, entry, tensor) in &mut self.inputs {
            match given {
                Given::Prediction => tensor.values_mut().copy_from_slice(&prediction.values),
                Given::Targets => {
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
        let weight = self.weight.as_ref().map(|weight| f64::from(weight.values()[0]));
        Ok((self.loss.values()[0], weight))
    }
}
