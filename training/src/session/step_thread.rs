use std::sync::Arc;
use std::time::Instant;

use millstream_schemas::{Batch, TrainingManifest};
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};

use super::bound::OwnedTensor;
use super::device_store::DeviceStore;
use super::host_store::HostStore;
use super::options;
use super::step_outcome::StepOutcome;
use super::store::{ParameterStore, Update};
use super::weight::Weight;
use crate::TrainingError;
use crate::device::{Device, DeviceKind};
use crate::optimizers::UpdateRule;

/// What the session's thread needs to make its tensors and to open the other sessions.
pub(super) struct Open {
    pub(super) step: Session,
    pub(super) evaluation: Vec<u8>,
    pub(super) manifest: Arc<TrainingManifest>,
    pub(super) device: Device,
    pub(super) threads: usize,
    pub(super) clip_norm: Option<f32>,
    pub(super) rule: Arc<dyn UpdateRule>,
    pub(super) update_on_host: bool,
}

impl Open {
    pub(super) fn open(self) -> Result<Step, TrainingError> {
        let Self { step: session, evaluation, manifest, device, threads, clip_norm, rule, update_on_host } = self;
        let host = Allocator::default();
        let doing = "allocating on the device";
        let on_device = match device.kind {
            DeviceKind::Cpu => Allocator::default(),
            DeviceKind::Cuda(number) => {
                let number = i32::try_from(number).unwrap_or(i32::MAX);
                MemoryInfo::new(AllocationDevice::CUDA, number, AllocatorType::Device, MemoryType::Default)
                    .and_then(|memory| Allocator::new(&session, memory))
                    .map_err(TrainingError::runtime(doing))?
            }
        };
        let entries = &manifest.parameters;
        let store: Box<dyn ParameterStore> = if update_on_host {
            Box::new(HostStore::new(entries, rule.state_names().len())?)
        } else {
            Box::new(DeviceStore::new(entries, rule.as_ref(), clip_norm, &on_device, &device, threads)?)
        };
        let mut step = Step {
            inputs: manifest
                .inputs
                .iter()
                .map(|entry| OwnedTensor::of_entry(&host, entry))
                .collect::<Result<_, _>>()?,
            targets: OwnedTensor::of_entry(&host, &manifest.targets)?,
            loss: OwnedTensor::of_entry(&host, &manifest.loss)?,
            logits: OwnedTensor::of_entry(&host, &manifest.logits)?,
            gradients: entries
                .iter()
                .map(|entry| OwnedTensor::f32(&on_device, &entry.shape))
                .collect::<Result<_, _>>()?,
            store,
            step: Graph { bindings: Vec::new(), session },
            evaluation: None,
            evaluation_model: evaluation,
            updates: 0,
            copies_when_bound: device.kind != DeviceKind::Cpu,
            manifest,
            device,
            threads,
            clip_norm,
            rule,
        };
        step.bind_step()?;
        Ok(step)
    }
}

/// A session with a binding for each set of parameters. Bindings are dropped before the session.
struct Graph {
    bindings: Vec<IoBinding>,
    session: Session,
}

impl Graph {
    fn run(&mut self, side: usize, what: &'static str) -> Result<(), TrainingError> {
        let binding = &self.bindings[side];
        let fail = || TrainingError::runtime(format!("running the {what} graph"));
        binding.synchronize_inputs().map_err(fail())?;
        self.session.run_binding(binding).map_err(fail())?;
        binding.synchronize_outputs().map_err(fail())
    }
}

/// Everything the session's thread owns.
pub(super) struct Step {
    inputs: Vec<OwnedTensor>,
    targets: OwnedTensor,
    loss: OwnedTensor,
    logits: OwnedTensor,
    gradients: Vec<OwnedTensor>,
    pub(super) store: Box<dyn ParameterStore>,
    step: Graph,
    evaluation: Option<Graph>,
    evaluation_model: Vec<u8>,
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
        let started = Instant::now();
        if Weight::of(batch).rows == 0 {
            return Ok(StepOutcome::default());
        }
        let side = self.store.current();
        self.feed(batch)?;
        if self.copies_when_bound {
            bind_data(&self.manifest, &self.inputs, &self.targets, &mut self.step.bindings[side])?;
        }
        self.step.run(side, "training step")?;
        let loss = self.loss.values()[0];
        let seconds_in_graph = started.elapsed().as_secs_f64();
        if !loss.is_finite() {
            return Ok(StepOutcome { loss, seconds_in_graph, ..StepOutcome::default() });
        }
        let update = Update { step: self.updates, learning_rate, clip_norm: self.clip_norm, rule: self.rule.as_ref() };
        let gradient_norm = self.store.update(&update, &self.gradients)?;
        let updated = gradient_norm.is_none_or(f64::is_finite);
        self.updates += u64::from(updated);
        let seconds_in_update = started.elapsed().as_secs_f64() - seconds_in_graph;
        Ok(StepOutcome { loss, updated, gradient_norm, seconds_in_graph, seconds_in_update })
    }

    pub(super) fn evaluate(&mut self, batch: &Batch) -> Result<Vec<f32>, TrainingError> {
        let side = self.store.current();
        self.feed(batch)?;
        if self.evaluation.is_none() {
            self.evaluation = Some(self.open_evaluation()?);
        }
        let graph = self.evaluation.as_mut().expect("it was opened above");
        if self.copies_when_bound {
            bind_data(&self.manifest, &self.inputs, &self.targets, &mut graph.bindings[side])?;
        }
        graph.run(side, "evaluation")?;
        Ok(self.logits.values().to_vec())
    }

    fn feed(&mut self, batch: &Batch) -> Result<(), TrainingError> {
        let targets = std::iter::once((&self.manifest.targets, &mut self.targets));
        for (entry, tensor) in self.manifest.inputs.iter().zip(&mut self.inputs).chain(targets) {
            let Some(from) = batch.tensors.get(&entry.name) else {
                return Err(TrainingError::Input {
                    name: entry.name.clone(),
                    wanted: format!("{} {:?}", entry.dtype, entry.shape),
                    got: format!("no tensor of this name, only {:?}", batch.tensors.keys().collect::<Vec<_>>()),
                });
            };
            tensor.fill(&entry.name, from)?;
        }
        Ok(())
    }

    fn bind_step(&mut self) -> Result<(), TrainingError> {
        for side in 0..self.store.sides() {
            let mut binding = new_binding(&self.step.session)?;
            self.bind_all_but_gradients(side, &mut binding)?;
            for (entry, gradient) in self.manifest.parameters.iter().zip(&mut self.gradients) {
                gradient.bind_output(&mut binding, &entry.gradient)?;
            }
            self.step.bindings.push(binding);
        }
        Ok(())
    }

    /// Opened when it is first needed: it holds the frozen weights a second time.
    fn open_evaluation(&mut self) -> Result<Graph, TrainingError> {
        let session = options::open(&self.evaluation_model, &self.device, self.threads, "evaluation")?.session;
        let mut bindings = Vec::new();
        for side in 0..self.store.sides() {
            let mut binding = new_binding(&session)?;
            self.bind_all_but_gradients(side, &mut binding)?;
            bindings.push(binding);
        }
        self.evaluation_model = Vec::new();
        Ok(Graph { bindings, session })
    }

    fn bind_all_but_gradients(&mut self, side: usize, binding: &mut IoBinding) -> Result<(), TrainingError> {
        bind_data(&self.manifest, &self.inputs, &self.targets, binding)?;
        for (index, entry) in self.manifest.parameters.iter().enumerate() {
            self.store.parameter(side, index).bind_input(binding, &entry.name)?;
        }
        self.loss.bind_output(binding, &self.manifest.loss.name)?;
        self.logits.bind_output(binding, &self.manifest.logits.name)
    }
}

fn new_binding(session: &Session) -> Result<IoBinding, TrainingError> {
    session.create_binding().map_err(TrainingError::runtime("binding a graph"))
}

fn bind_data(
    manifest: &TrainingManifest,
    inputs: &[OwnedTensor],
    targets: &OwnedTensor,
    binding: &mut IoBinding,
) -> Result<(), TrainingError> {
    for (entry, tensor) in manifest.inputs.iter().zip(inputs) {
        tensor.bind_input(binding, &entry.name)?;
    }
    targets.bind_input(binding, &manifest.targets.name)
}
