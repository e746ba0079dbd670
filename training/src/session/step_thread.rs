use std::sync::Arc;
use std::time::Instant;

use millstream_compiler::graph::Length;
use millstream_compiler::{FrozenWeight, RowPlaces, RunGraph};
use millstream_schemas::{Batch, TensorEntry, TrainingManifest};
use ort::memory::Allocator;
use ort::session::{IoBinding, Session};

use super::bound::OwnedTensor;
use super::bound_graph::{BatchTensors, BoundGraph, beside, places};
use super::cohorts::Cohorts;
use super::device_ascent::DeviceAscent;
use super::device_store::DeviceStore;
use super::frozen_weights::FrozenWeights;
use super::gathered::Gathered;
use super::gradient_noise::{GradientNoise, Noise};
use super::host_store::HostStore;
use super::loss_scale::LossScale;
use super::masks::Masks;
use super::options;
use super::row_lengths::{as_tensor, row_lengths};
use super::row_weights::RowWeights;
use super::scored::{Prediction, Scored};
use super::step_outcome::StepOutcome;
use super::store::{ParameterStore, Update};
use crate::TrainingError;
use crate::optimizers::{AscentGraph, SharpnessAware, UpdateGraph, UpdateRule};
use millstream_runtime::{Device, DeviceKind};

/// What the session's thread needs to make its tensors and to open the other sessions.
pub(super) struct Open {
    pub(super) step: Session,
    pub(super) step_host_inputs: Vec<String>,
    /// Beside the training step.
    pub(super) weights: Vec<FrozenWeight>,
    pub(super) evaluation: RunGraph,
    pub(super) statistics: Option<RunGraph>,
    pub(super) manifest: Arc<TrainingManifest>,
    /// Of the prediction, in the manifest's names.
    pub(super) prediction_shape: Vec<Length>,
    /// How many places of it are a row's.
    pub(super) places: RowPlaces,
    pub(super) device: Device,
    pub(super) threads: usize,
    pub(super) seed: u64,
    pub(super) clip_norm: Option<f32>,
    /// Of each parameter, and how many there are.
    pub(super) cohorts: (Vec<usize>, usize),
    pub(super) watch_gradients: bool,
    pub(super) sharpness: Option<SharpnessAware>,
    pub(super) noise: Option<GradientNoise>,
    pub(super) rule: Arc<dyn UpdateRule>,
    pub(super) update_on_host: bool,
}

impl Open {
    pub(super) fn open(self) -> Result<Step, TrainingError> {
        let Self { step: session, weights, evaluation, statistics, manifest, device, threads, .. } = self;
        let Self {
            step_host_inputs,
            prediction_shape,
            places: row_places,
            seed,
            clip_norm,
            watch_gradients,
            sharpness,
            noise,
            cohorts: (cohorts, count),
            rule,
            update_on_host,
            ..
        } = self;
        let host = Allocator::default();
        let allocator = options::device_allocator(&session, &device)?;
        let mut frozen = FrozenWeights::default();
        frozen.add(&weights, allocator.as_ref())?;
        let on_device = allocator.unwrap_or_default();
        let entries = &manifest.parameters;
        let store: Box<dyn ParameterStore> = if update_on_host {
            Box::new(HostStore::new(entries, rule.as_ref())?)
        } else {
            let watches = watch_gradients || manifest.loss_scale.is_some();
            let compile = |graph| move |source| TrainingError::Compile { graph, source };
            let graph = UpdateGraph::new(rule.as_ref(), entries, &cohorts, clip_norm, watches);
            let ascent = sharpness.map(|sharpness| {
                let graph = AscentGraph::new(sharpness, entries, &cohorts).map_err(compile("ascent"))?;
                DeviceAscent::new(graph, &device, threads)
            });
            let (graph, ascent) = (graph.map_err(compile("update"))?, ascent.transpose()?);
            Box::new(DeviceStore::new(entries, graph, ascent, &on_device, &device, threads)?)
        };
        let all = |entries: &[TensorEntry]| -> Result<Vec<OwnedTensor>, TrainingError> {
            entries.iter().map(|entry| OwnedTensor::of_entry(&host, entry)).collect()
        };
        let mut step = Step {
            data: BatchTensors {
                inputs: all(&manifest.inputs)?,
                targets: all(&manifest.targets)?,
                beside: beside(&manifest).map(|entry| OwnedTensor::of_entry(&host, entry)).collect::<Result<_, _>>()?,
                changes: 0,
            },
            masks: Masks::new(&manifest.masks, seed)?,
            loss: OwnedTensor::of_entry(&host, &manifest.loss)?,
            prediction: OwnedTensor::of_entry(&host, &manifest.prediction)?,
            weight: manifest.weight.as_ref().map(|entry| OwnedTensor::of_entry(&host, entry)).transpose()?,
            gradients: entries
                .iter()
                .map(|entry| OwnedTensor::f32(&on_device, &entry.shape))
                .collect::<Result<_, _>>()?,
            store,
            step: BoundGraph {
                bindings: Vec::new(),
                session,
                bound: Vec::new(),
                copied_parameters: places(&step_host_inputs, entries),
            },
            evaluation: None,
            statistics: None,
            frozen,
            evaluation_graph: evaluation,
            statistics_graph: statistics,
            gathered: Gathered::default(),
            scale: manifest.loss_scale.as_ref().map(|_| Scale::new(&host)).transpose()?,
            sharpness,
            noise: noise.map(|noise| Noise::new(noise, seed, entries)),
            updates: 0,
            cohorts: Cohorts::new(&cohorts, count),
            copies_when_bound: device.kind != DeviceKind::Cpu,
            manifest,
            prediction_shape,
            row_places,
            device,
            threads,
            clip_norm,
            rule,
        };
        let names: Vec<String> = weights.into_iter().map(|weight| weight.name).collect();
        step.bind_step(&names)?;
        Ok(step)
    }
}

/// What the graph is called that gives the statistics of a batch.
const STATISTICS: &str = "batch statistics";

/// Mean and variance of a batch.
pub(crate) struct BatchStatistics {
    /// Rows that have weight.
    pub(crate) rows: u64,
    /// For each running statistic, in manifest order.
    pub(crate) values: Vec<Vec<f32>>,
}

/// The scale of the loss, and the tensor that the training step reads it from.
struct Scale {
    state: LossScale,
    tensor: OwnedTensor,
}

impl Scale {
    fn new(host: &Allocator) -> Result<Self, TrainingError> {
        Ok(Self { state: LossScale::default(), tensor: OwnedTensor::f32(host, &[])? })
    }
}

/// Everything the session's thread owns.
pub(super) struct Step {
    data: BatchTensors,
    masks: Masks,
    loss: OwnedTensor,
    prediction: OwnedTensor,
    weight: Option<OwnedTensor>,
    gradients: Vec<OwnedTensor>,
    pub(super) store: Box<dyn ParameterStore>,
    step: BoundGraph,
    evaluation: Option<BoundGraph>,
    statistics: Option<BoundGraph>,
    /// Behind the graphs that read them.
    frozen: FrozenWeights,
    evaluation_graph: RunGraph,
    statistics_graph: Option<RunGraph>,
    gathered: Gathered,
    scale: Option<Scale>,
    sharpness: Option<SharpnessAware>,
    noise: Option<Noise>,
    pub(super) updates: u64,
    pub(super) cohorts: Cohorts,
    copies_when_bound: bool,
    manifest: Arc<TrainingManifest>,
    prediction_shape: Vec<Length>,
    row_places: RowPlaces,
    device: Device,
    threads: usize,
    clip_norm: Option<f32>,
    rule: Arc<dyn UpdateRule>,
}

impl Step {
    pub(super) fn step(&mut self, batch: &Batch, learning_rate: f32) -> Result<StepOutcome, TrainingError> {
        let outcome = self.run_step(batch)?;
        if outcome.rows == 0 || !outcome.loss.is_finite() {
            return Ok(outcome);
        }
        self.update_by_gradients(learning_rate, outcome)
    }

    /// Loss and gradients of a batch; nothing where no row has weight in the loss.
    fn run_step(&mut self, batch: &Batch) -> Result<StepOutcome, TrainingError> {
        let started = Instant::now();
        let weights = self.row_weights(batch);
        let rows = weights.rows();
        if rows == 0 {
            return Ok(StepOutcome::default());
        }
        self.feed(batch, &weights)?;
        let Self { data, masks, manifest, .. } = self;
        let place = (self.updates, self.gathered.batches);
        data.changes += u64::from(masks.draw(place, &|name| data.length_of(manifest, name))?);
        self.run_graph(self.store.current())?;
        let (loss, weight) = (self.loss.values()[0], self.weight_of(&weights));
        // a mean over nothing: masks without a class, rows without a pair
        if weight == 0.0 {
            let seconds_in_graph = started.elapsed().as_secs_f64();
            return Ok(StepOutcome { seconds_in_graph, ..StepOutcome::default() });
        }
        if let Some(sharpness) = self.sharpness.filter(|_| loss.is_finite()) {
            self.run_uphill(sharpness)?;
        }
        let seconds_in_graph = started.elapsed().as_secs_f64();
        Ok(StepOutcome { loss, rows, weight, seconds_in_graph, ..StepOutcome::default() })
    }

    /// Runs the training step on what was fed and drawn, with one of the sets of parameters.
    fn run_graph(&mut self, side: usize) -> Result<(), TrainingError> {
        let Self { data, masks, prediction, manifest, store, .. } = self;
        if self.step.bind(side, data, prediction, manifest, store.as_ref(), self.copies_when_bound)? {
            masks.bind(&mut self.step.bindings[side])?;
        }
        if let Some(scale) = &mut self.scale {
            scale.tensor.values_mut()[0] = scale.state.scale;
        }
        if self.copies_when_bound {
            self.bind_scale(side)?;
        }
        self.step.run(side, "training step")
    }

    /// Puts the gradients of the same rows with the same masks, at the weights uphill, in the place of those that were just
    /// computed. Running statistics stay those of the first run.
    fn run_uphill(&mut self, sharpness: SharpnessAware) -> Result<(), TrainingError> {
        let entries = self.manifest.parameters.iter().enumerate().filter(|(_, entry)| entry.is_statistic);
        let next = entries.map(|(index, _)| Ok((index, self.gradients[index].download()?)));
        let next = next.collect::<Result<Vec<_>, TrainingError>>()?;
        let Some(side) = self.store.ascend(sharpness, &self.cohorts, &self.gradients)? else { return Ok(()) };
        let ran = self.run_graph(side);
        self.store.descend()?;
        ran?;
        next.iter().try_for_each(|(index, values)| self.gradients[*index].upload(values))
    }

    /// Updates by the gradients that led to an outcome, and says what came of it.
    fn update_by_gradients(&mut self, learning_rate: f32, outcome: StepOutcome) -> Result<StepOutcome, TrainingError> {
        let started = Instant::now();
        if let Some(noise) = &self.noise {
            noise.add(self.updates, &self.manifest.parameters, &self.cohorts, &mut self.gradients)?;
        }
        let (step, clip_norm, rule) = (self.updates, self.clip_norm, self.rule.as_ref());
        let update = Update { step, cohorts: &self.cohorts, learning_rate, clip_norm, rule };
        let gradient_norm = self.store.update(&update, &mut self.gradients)?;
        let updated = gradient_norm.is_none_or(f64::is_finite);
        if updated {
            self.updates += 1;
            self.cohorts.count();
        }
        let mut skipped = false;
        match &mut self.scale {
            Some(scale) if updated => scale.state.updated(),
            Some(scale) => skipped = scale.state.overflowed(),
            None => {}
        }
        let (seconds_in_update, loss_scale) = (started.elapsed().as_secs_f64(), self.loss_scale());
        Ok(StepOutcome { updated, skipped, gradient_norm, loss_scale, seconds_in_update, ..outcome })
    }

    /// The scale of the loss, where there is one.
    pub(super) fn loss_scale(&self) -> Option<LossScale> {
        self.scale.as_ref().map(|scale| scale.state)
    }

    /// Goes on with another scale of the loss; from a state without one with the first.
    pub(super) fn set_loss_scale(&mut self, state: Option<LossScale>) {
        if let Some(scale) = &mut self.scale {
            scale.state = state.unwrap_or_default();
        }
    }

    fn bind_scale(&mut self, side: usize) -> Result<(), TrainingError> {
        let bound = self.scale.as_ref().zip(self.manifest.loss_scale.as_ref());
        bound.map_or(Ok(()), |(scale, entry)| scale.tensor.bind_input(&mut self.step.bindings[side], &entry.name))
    }

    pub(super) fn gather(&mut self, batch: &Batch) -> Result<StepOutcome, TrainingError> {
        let started = Instant::now();
        let outcome = self.run_step(batch)?;
        if outcome.rows == 0 {
            return Ok(outcome);
        }
        if self.gathered.batches == 0 {
            self.gathered.statistics = self.statistics()?;
        }
        self.gathered.add(&outcome, &self.gradients, &self.manifest.parameters)?;
        // statistics follow each batch, and the next one follows them
        for (index, entry) in self.manifest.parameters.iter().enumerate() {
            if entry.is_statistic {
                self.store.set_parameter(index, &self.gradients[index].download()?)?;
            }
        }
        Ok(StepOutcome { seconds_in_graph: started.elapsed().as_secs_f64(), ..outcome })
    }

    /// Running statistics, with their places among the parameters.
    fn statistics(&self) -> Result<Vec<(usize, Vec<f32>)>, TrainingError> {
        let entries = self.manifest.parameters.iter().enumerate().filter(|(_, entry)| entry.is_statistic);
        let side = self.store.current();
        entries.map(|(index, _)| Ok((index, self.store.parameter(side, index).download()?))).collect()
    }

    /// As if what was gathered since the last update had not been.
    pub(super) fn forget_gathered(&mut self) -> Result<(), TrainingError> {
        for (index, values) in std::mem::take(&mut self.gathered.statistics) {
            self.store.set_parameter(index, &values)?;
        }
        self.gathered.forget();
        Ok(())
    }

    pub(super) fn update(&mut self, learning_rate: f32) -> Result<StepOutcome, TrainingError> {
        let started = Instant::now();
        let statistics = std::mem::take(&mut self.gathered.statistics);
        let entries = &self.manifest.parameters;
        let Some(mut outcome) = self.gathered.mean_into(&mut self.gradients, entries)? else {
            return Ok(StepOutcome::default());
        };
        if outcome.loss.is_finite() {
            outcome = self.update_by_gradients(learning_rate, outcome)?;
        }
        if !outcome.updated {
            // they followed batches that are to leave no trace
            for (index, values) in statistics {
                self.store.set_parameter(index, &values)?;
            }
        }
        Ok(StepOutcome { seconds_in_update: started.elapsed().as_secs_f64(), ..outcome })
    }

    pub(super) fn evaluate(&mut self, batch: &Batch) -> Result<Scored, TrainingError> {
        let side = self.store.current();
        let weights = self.row_weights(batch);
        let lengths = self.feed(batch, &weights)?;
        if self.evaluation.is_none() {
            let graph = self.evaluation_graph.clone();
            self.evaluation = Some(self.open_beside(&graph, "evaluation", Step::bind_outputs)?);
        }
        let graph = self.evaluation.as_mut().expect("it was opened above");
        let Self { data, prediction, manifest, store, .. } = self;
        graph.bind(side, data, prediction, manifest, store.as_ref(), self.copies_when_bound)?;
        graph.run(side, "evaluation")?;
        let shape = self.prediction.shape().to_vec();
        let prediction = Prediction { shape, values: self.prediction.values().to_vec() };
        let (loss, weight) = (self.loss.values()[0], self.weight_of(&weights));
        Ok(Scored { prediction, loss, weight, weights, lengths, row_losses: None })
    }

    /// Mean and variance of a batch for each running statistic, in manifest order, and the rows that they are of; nothing where
    /// no row has weight.
    pub(super) fn batch_statistics(&mut self, batch: &Batch) -> Result<Option<BatchStatistics>, TrainingError> {
        let weights = self.row_weights(batch);
        let rows = weights.rows();
        if rows == 0 {
            return Ok(None);
        }
        let side = self.store.current();
        self.feed(batch, &weights)?;
        if self.statistics.is_none() {
            let graph = self.statistics_graph.clone().ok_or_else(TrainingError::no_batch_statistics)?;
            self.statistics = Some(self.open_beside(&graph, STATISTICS, Step::bind_statistics)?);
        }
        let graph = self.statistics.as_mut().expect("it was opened above");
        graph.bind_inputs(side, &self.data, &self.manifest, self.store.as_ref(), self.copies_when_bound)?;
        graph.run(side, STATISTICS)?;
        let entries = self.manifest.parameters.iter().zip(&self.gradients).filter(|(entry, _)| entry.is_statistic);
        let values = entries.map(|(_, of_batch)| of_batch.download()).collect::<Result<_, _>>()?;
        Ok(Some(BatchStatistics { rows, values }))
    }

    fn row_weights(&self, batch: &Batch) -> RowWeights {
        RowWeights::of(batch, self.manifest.weights.is_some())
    }

    /// What the loss of the last run is a mean over.
    fn weight_of(&self, weights: &RowWeights) -> f64 {
        self.weight.as_ref().map_or_else(|| weights.sum(), |weight| f64::from(weight.values()[0]))
    }

    /// Copies a batch into the inputs; how many places of a sequence are each row's, where the loss takes that.
    fn feed(&mut self, batch: &Batch, weights: &RowWeights) -> Result<Option<Vec<usize>>, TrainingError> {
        let BatchTensors { inputs, targets, changes, .. } = &mut self.data;
        let inputs = self.manifest.inputs.iter().zip(inputs);
        for (entry, tensor) in inputs.chain(self.manifest.targets.iter().zip(targets)) {
            let Some(from) = batch.tensors.get(&entry.name) else {
                return Err(TrainingError::Input {
                    name: entry.name.clone(),
                    wanted: format!("{} {:?}", entry.dtype, entry.shape),
                    got: format!("no tensor of this name, only {:?}", batch.tensors.keys().collect::<Vec<_>>()),
                });
            };
            *changes += u64::from(tensor.take_shape(entry, &from.shape)?);
            tensor.fill(entry, from)?;
        }
        self.shape_prediction()?;
        let lengths = match (&self.manifest.lengths, self.prediction.shape().get(1)) {
            (Some(_), Some(all)) => Some(row_lengths(batch, &self.row_places, *all)?),
            _ => None,
        };
        let BatchTensors { beside: tensors, changes, .. } = &mut self.data;
        let of_weights = self.manifest.weights.is_some().then(|| weights.as_tensor());
        let given = of_weights.into_iter().chain(lengths.as_deref().map(as_tensor));
        for ((entry, tensor), from) in beside(&self.manifest).zip(tensors).zip(given) {
            *changes += u64::from(tensor.take_shape(entry, &from.shape)?);
            tensor.fill(entry, &from)?;
        }
        Ok(lengths)
    }

    /// Makes room for the model's output where its shape follows from that of the batch.
    fn shape_prediction(&mut self) -> Result<(), TrainingError> {
        let entry = &self.manifest.prediction;
        let named = |name: &str| self.data.length_of(&self.manifest, name).map(Length::from);
        let fixed = |length: &Length| {
            length
                .with(&named)
                .fixed()
                .ok_or_else(|| TrainingError::OutputAxis { output: entry.name.clone(), axis: length.to_string() })
        };
        let shape = self.prediction_shape.iter().map(fixed).collect::<Result<Vec<usize>, _>>()?;
        self.data.changes += u64::from(self.prediction.take_shape(entry, &shape)?);
        Ok(())
    }

    fn bind_step(&mut self, weights: &[String]) -> Result<(), TrainingError> {
        for side in 0..self.store.sides() {
            let mut binding = new_binding(&self.step.session)?;
            self.frozen.bind(weights, &mut binding)?;
            self.bind_inputs(side, &mut binding)?;
            self.bind_outputs(&mut binding)?;
            self.masks.bind(&mut binding)?;
            for (entry, gradient) in self.manifest.parameters.iter().zip(&mut self.gradients) {
                gradient.bind_output(&mut binding, &entry.gradient)?;
            }
            self.step.bindings.push(binding);
            self.step.bound.push(self.data.changes);
            self.bind_scale(side)?;
        }
        Ok(())
    }

    /// Opens a graph that is not the training step when it is first needed: what lies inside of it is held once more. `bind`
    /// binds its outputs.
    fn open_beside(
        &mut self,
        graph: &RunGraph,
        what: &'static str,
        bind: fn(&mut Self, &mut IoBinding) -> Result<(), TrainingError>,
    ) -> Result<BoundGraph, TrainingError> {
        let opened = options::open(&graph.file().to_vec(), &self.device, self.threads, what)?;
        let copied_parameters = places(&opened.host_inputs, &self.manifest.parameters);
        let session = opened.session;
        let allocator = options::device_allocator(&session, &self.device)?;
        self.frozen.add(graph.weights(), allocator.as_ref())?;
        let weights: Vec<String> = graph.weights().iter().map(|weight| weight.name.clone()).collect();
        let mut bindings = Vec::new();
        for side in 0..self.store.sides() {
            let mut binding = new_binding(&session)?;
            self.frozen.bind(&weights, &mut binding)?;
            self.bind_inputs(side, &mut binding)?;
            bind(self, &mut binding)?;
            bindings.push(binding);
        }
        let bound = vec![self.data.changes; bindings.len()];
        Ok(BoundGraph { bindings, session, bound, copied_parameters })
    }

    /// Data and parameters.
    fn bind_inputs(&self, side: usize, binding: &mut IoBinding) -> Result<(), TrainingError> {
        self.data.bind(&self.manifest, binding)?;
        let mut parameters = self.manifest.parameters.iter().enumerate();
        parameters.try_for_each(|(index, entry)| self.store.parameter(side, index).bind_input(binding, &entry.name))
    }

    /// What an evaluation gives, and the training step beside its gradients.
    fn bind_outputs(&mut self, binding: &mut IoBinding) -> Result<(), TrainingError> {
        self.loss.bind_output(binding, &self.manifest.loss.name)?;
        self.prediction.bind_output(binding, &self.manifest.prediction.name)?;
        let weight = self.weight.as_mut().zip(self.manifest.weight.as_ref());
        weight.map_or(Ok(()), |(tensor, entry)| tensor.bind_output(binding, &entry.name))
    }

    /// Statistics of a batch take the places of the next running ones.
    fn bind_statistics(&mut self, binding: &mut IoBinding) -> Result<(), TrainingError> {
        let entries = self.manifest.parameters.iter().zip(&mut self.gradients);
        entries
            .filter(|(entry, _)| entry.is_statistic)
            .try_for_each(|(entry, of_batch)| of_batch.bind_output(binding, &format!("{}.of_batch", entry.name)))
    }
}

fn new_binding(session: &Session) -> Result<IoBinding, TrainingError> {
    session.create_binding().map_err(TrainingError::session("binding a graph"))
}
