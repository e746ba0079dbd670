use std::sync::Arc;
use std::time::Instant;

use millstream_compiler::{FrozenWeight, RunGraph};
use millstream_schemas::{AxisLength, Batch, TensorEntry, TrainingManifest};
use ort::memory::Allocator;
use ort::session::{IoBinding, Session};

use super::bound::OwnedTensor;
use super::device_store::DeviceStore;
use super::frozen_weights::FrozenWeights;
use super::gathered::Gathered;
use super::host_store::HostStore;
use super::masks::Masks;
use super::options;
use super::row_weights::RowWeights;
use super::scored::{Prediction, Scored};
use super::step_outcome::StepOutcome;
use super::store::{ParameterStore, Update};
use crate::TrainingError;
use crate::optimizers::{UpdateGraph, UpdateRule};
use millstream_runtime::{Device, DeviceKind};

/// What the session's thread needs to make its tensors and to open the other sessions.
pub(super) struct Open {
    pub(super) step: Session,
    /// Beside the training step.
    pub(super) weights: Vec<FrozenWeight>,
    pub(super) evaluation: RunGraph,
    pub(super) manifest: Arc<TrainingManifest>,
    pub(super) device: Device,
    pub(super) threads: usize,
    pub(super) seed: u64,
    pub(super) clip_norm: Option<f32>,
    pub(super) watch_gradients: bool,
    pub(super) rule: Arc<dyn UpdateRule>,
    pub(super) update_on_host: bool,
}

impl Open {
    pub(super) fn open(self) -> Result<Step, TrainingError> {
        let Self { step: session, weights, evaluation, manifest, device, threads, .. } = self;
        let Self { seed, clip_norm, watch_gradients, rule, update_on_host, .. } = self;
        let host = Allocator::default();
        let allocator = options::device_allocator(&session, &device)?;
        let mut frozen = FrozenWeights::default();
        frozen.add(&weights, allocator.as_ref())?;
        let on_device = allocator.unwrap_or_default();
        let entries = &manifest.parameters;
        let store: Box<dyn ParameterStore> = if update_on_host {
            Box::new(HostStore::new(entries, rule.as_ref())?)
        } else {
            let graph = UpdateGraph::new(rule.as_ref(), entries, clip_norm, watch_gradients)
                .map_err(|source| TrainingError::Compile { graph: "update", source })?;
            Box::new(DeviceStore::new(entries, rule.as_ref(), graph, &on_device, &device, threads)?)
        };
        let all = |entries: &[TensorEntry]| -> Result<Vec<OwnedTensor>, TrainingError> {
            entries.iter().map(|entry| OwnedTensor::of_entry(&host, entry)).collect()
        };
        let mut step = Step {
            data: Data {
                inputs: all(&manifest.inputs)?,
                targets: all(&manifest.targets)?,
                weights: all(manifest.weights.as_slice())?,
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
            step: Graph { bindings: Vec::new(), session, bound: Vec::new() },
            evaluation: None,
            frozen,
            evaluation_graph: evaluation,
            gathered: Gathered::default(),
            updates: 0,
            copies_when_bound: device.kind != DeviceKind::Cpu,
            manifest,
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

/// A session with a binding for each set of parameters. Bindings are dropped before the session.
struct Graph {
    bindings: Vec<IoBinding>,
    session: Session,
    /// Of each binding how often what it binds had changed when it was bound.
    bound: Vec<u64>,
}

impl Graph {
    /// Binds what changed since the last time, or all that a batch is copied into where binding copies; says whether it did.
    fn bind(
        &mut self,
        side: usize,
        data: &Data,
        prediction: &mut OwnedTensor,
        manifest: &TrainingManifest,
        copies_when_bound: bool,
    ) -> Result<bool, TrainingError> {
        let changed = self.bound[side] != data.changes;
        let binding = &mut self.bindings[side];
        if changed || copies_when_bound {
            data.bind(manifest, binding)?;
        }
        if changed {
            prediction.bind_output(binding, &manifest.prediction.name)?;
        }
        self.bound[side] = data.changes;
        Ok(changed || copies_when_bound)
    }

    fn run(&mut self, side: usize, what: &'static str) -> Result<(), TrainingError> {
        let binding = &self.bindings[side];
        let fail = || TrainingError::session(format!("running the {what} graph"));
        binding.synchronize_inputs().map_err(fail())?;
        self.session.run_binding(binding).map_err(fail())?;
        binding.synchronize_outputs().map_err(fail())
    }
}

/// What a batch is copied into.
struct Data {
    inputs: Vec<OwnedTensor>,
    targets: Vec<OwnedTensor>,
    /// One, or none where the graph takes no weights.
    weights: Vec<OwnedTensor>,
    /// How often one of these tensors, or of those that are read back, became another one.
    changes: u64,
}

impl Data {
    /// The lengths that the tensors of now give to the axes that the manifest names.
    fn length_of(&self, manifest: &TrainingManifest, name: &str) -> Option<usize> {
        let entries = manifest.inputs.iter().chain(&manifest.targets).chain(&manifest.weights);
        let tensors = self.inputs.iter().chain(&self.targets).chain(&self.weights);
        entries.zip(tensors).find_map(|(entry, tensor)| {
            let named = |length: &AxisLength| matches!(length, AxisLength::Named(other) if other == name);
            entry.shape.iter().position(named).map(|axis| tensor.shape()[axis])
        })
    }

    fn bind(&self, manifest: &TrainingManifest, binding: &mut IoBinding) -> Result<(), TrainingError> {
        let entries = manifest.inputs.iter().chain(&manifest.targets).chain(&manifest.weights);
        let mut tensors = entries.zip(self.inputs.iter().chain(&self.targets).chain(&self.weights));
        tensors.try_for_each(|(entry, tensor)| tensor.bind_input(binding, &entry.name))
    }
}

/// Everything the session's thread owns.
pub(super) struct Step {
    data: Data,
    masks: Masks,
    loss: OwnedTensor,
    prediction: OwnedTensor,
    weight: Option<OwnedTensor>,
    gradients: Vec<OwnedTensor>,
    pub(super) store: Box<dyn ParameterStore>,
    step: Graph,
    evaluation: Option<Graph>,
    /// Behind the graphs that read them.
    frozen: FrozenWeights,
    evaluation_graph: RunGraph,
    gathered: Gathered,
    pub(super) updates: u64,
    copies_when_bound: bool,
    manifest: Arc<TrainingManifest>,
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
        let started = Instant::now();
        let gradient_norm = self.update_by_gradients(learning_rate)?;
        let updated = gradient_norm.is_none_or(f64::is_finite);
        let seconds_in_update = started.elapsed().as_secs_f64();
        Ok(StepOutcome { updated, gradient_norm, seconds_in_update, ..outcome })
    }

    /// Loss and gradients of a batch; nothing where no row has weight.
    fn run_step(&mut self, batch: &Batch) -> Result<StepOutcome, TrainingError> {
        let started = Instant::now();
        let weights = self.row_weights(batch);
        let rows = weights.rows();
        if rows == 0 {
            return Ok(StepOutcome::default());
        }
        let side = self.store.current();
        self.feed(batch, &weights)?;
        let Self { data, masks, prediction, manifest, .. } = self;
        let place = (self.updates, self.gathered.batches);
        data.changes += u64::from(masks.draw(place, &|name| data.length_of(manifest, name))?);
        if self.step.bind(side, data, prediction, manifest, self.copies_when_bound)? {
            masks.bind(&mut self.step.bindings[side])?;
        }
        self.step.run(side, "training step")?;
        let (loss, weight) = (self.loss.values()[0], self.weight_of(&weights));
        let seconds_in_graph = started.elapsed().as_secs_f64();
        Ok(StepOutcome { loss, rows, weight, seconds_in_graph, ..StepOutcome::default() })
    }

    /// Returns the norm of the gradients, where it is known.
    fn update_by_gradients(&mut self, learning_rate: f32) -> Result<Option<f64>, TrainingError> {
        let update = Update { step: self.updates, learning_rate, clip_norm: self.clip_norm, rule: self.rule.as_ref() };
        let gradient_norm = self.store.update(&update, &self.gradients)?;
        self.updates += u64::from(gradient_norm.is_none_or(f64::is_finite));
        Ok(gradient_norm)
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
        let Some(outcome) = self.gathered.mean_into(&mut self.gradients, entries)? else {
            return Ok(StepOutcome::default());
        };
        let (mut updated, mut gradient_norm) = (false, None);
        if outcome.loss.is_finite() {
            gradient_norm = self.update_by_gradients(learning_rate)?;
            updated = gradient_norm.is_none_or(f64::is_finite);
        }
        if !updated {
            // they followed batches that are to leave no trace
            for (index, values) in statistics {
                self.store.set_parameter(index, &values)?;
            }
        }
        let seconds_in_update = started.elapsed().as_secs_f64();
        Ok(StepOutcome { updated, gradient_norm, seconds_in_update, ..outcome })
    }

    pub(super) fn evaluate(&mut self, batch: &Batch) -> Result<Scored, TrainingError> {
        let side = self.store.current();
        let weights = self.row_weights(batch);
        self.feed(batch, &weights)?;
        if self.evaluation.is_none() {
            self.evaluation = Some(self.open_evaluation()?);
        }
        let graph = self.evaluation.as_mut().expect("it was opened above");
        graph.bind(side, &self.data, &mut self.prediction, &self.manifest, self.copies_when_bound)?;
        graph.run(side, "evaluation")?;
        let shape = self.prediction.shape().to_vec();
        let prediction = Prediction { shape, values: self.prediction.values().to_vec() };
        Ok(Scored { prediction, loss: self.loss.values()[0], weight: self.weight_of(&weights), weights })
    }

    fn row_weights(&self, batch: &Batch) -> RowWeights {
        RowWeights::of(batch, self.manifest.weights.is_some())
    }

    /// What the loss of the last run is a mean over.
    fn weight_of(&self, weights: &RowWeights) -> f64 {
        self.weight.as_ref().map_or_else(|| weights.sum(), |weight| f64::from(weight.values()[0]))
    }

    fn feed(&mut self, batch: &Batch, weights: &RowWeights) -> Result<(), TrainingError> {
        let Data { inputs, targets, weights: given, changes } = &mut self.data;
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
        for (entry, tensor) in self.manifest.weights.iter().zip(given) {
            let from = weights.as_tensor();
            *changes += u64::from(tensor.take_shape(entry, &from.shape)?);
            tensor.fill(entry, &from)?;
        }
        self.shape_prediction()
    }

    /// Makes room for the model's output where its shape follows from that of the batch.
    fn shape_prediction(&mut self) -> Result<(), TrainingError> {
        let entry = &self.manifest.prediction;
        let length = |length: &AxisLength| match length {
            AxisLength::Fixed(length) => Ok(*length),
            AxisLength::Named(name) => self
                .data
                .length_of(&self.manifest, name)
                .ok_or_else(|| TrainingError::OutputAxis { output: entry.name.clone(), axis: name.clone() }),
        };
        let shape = entry.shape.iter().map(length).collect::<Result<Vec<usize>, _>>()?;
        self.data.changes += u64::from(self.prediction.take_shape(entry, &shape)?);
        Ok(())
    }

    fn bind_step(&mut self, weights: &[String]) -> Result<(), TrainingError> {
        for side in 0..self.store.sides() {
            let mut binding = new_binding(&self.step.session)?;
            self.frozen.bind(weights, &mut binding)?;
            self.bind_all_but_gradients(side, &mut binding)?;
            self.masks.bind(&mut binding)?;
            for (entry, gradient) in self.manifest.parameters.iter().zip(&mut self.gradients) {
                gradient.bind_output(&mut binding, &entry.gradient)?;
            }
            self.step.bindings.push(binding);
            self.step.bound.push(self.data.changes);
        }
        Ok(())
    }

    /// Opened when it is first needed: what lies inside of it is held a second time.
    fn open_evaluation(&mut self) -> Result<Graph, TrainingError> {
        let graph = self.evaluation_graph.clone();
        let session = options::open(&graph.file().to_vec(), &self.device, self.threads, "evaluation")?.session;
        let allocator = options::device_allocator(&session, &self.device)?;
        self.frozen.add(graph.weights(), allocator.as_ref())?;
        let weights: Vec<String> = graph.weights().iter().map(|weight| weight.name.clone()).collect();
        let mut bindings = Vec::new();
        for side in 0..self.store.sides() {
            let mut binding = new_binding(&session)?;
            self.frozen.bind(&weights, &mut binding)?;
            self.bind_all_but_gradients(side, &mut binding)?;
            bindings.push(binding);
        }
        let bound = vec![self.data.changes; bindings.len()];
        Ok(Graph { bindings, session, bound })
    }

    fn bind_all_but_gradients(&mut self, side: usize, binding: &mut IoBinding) -> Result<(), TrainingError> {
        self.data.bind(&self.manifest, binding)?;
        for (index, entry) in self.manifest.parameters.iter().enumerate() {
            self.store.parameter(side, index).bind_input(binding, &entry.name)?;
        }
        self.loss.bind_output(binding, &self.manifest.loss.name)?;
        self.prediction.bind_output(binding, &self.manifest.prediction.name)?;
        let weight = self.weight.as_mut().zip(self.manifest.weight.as_ref());
        weight.map_or(Ok(()), |(tensor, entry)| tensor.bind_output(binding, &entry.name))
    }
}

fn new_binding(session: &Session) -> Result<IoBinding, TrainingError> {
    session.create_binding().map_err(TrainingError::session("binding a graph"))
}
