//! Graphs of a step with what is bound to them.

use millstream_schemas::{AxisLength, ParameterEntry, TensorEntry, TrainingManifest};
use ort::session::{IoBinding, Session};

use super::bound::OwnedTensor;
use super::store::ParameterStore;
use crate::TrainingError;

/// A session with a binding for each set of parameters. Bindings are dropped before the session.
pub(super) struct BoundGraph {
    pub(super) bindings: Vec<IoBinding>,
    pub(super) session: Session,
    /// Of each binding how often what it binds had changed when it was bound.
    pub(super) bound: Vec<u64>,
    /// Parameters that are copied when they are bound, since nodes on the CPU read them; to be bound at each run.
    pub(super) copied_parameters: Vec<usize>,
}

/// Where parameters of these names stand.
pub(super) fn places(names: &[String], entries: &[ParameterEntry]) -> Vec<usize> {
    let named = entries.iter().enumerate().filter(|(_, entry)| names.contains(&entry.name));
    named.map(|(index, _)| index).collect()
}

impl BoundGraph {
    /// Binds what changed since the last time, or all that a batch is copied into where binding copies; says whether it did.
    pub(super) fn bind(
        &mut self,
        side: usize,
        data: &BatchTensors,
        prediction: &mut OwnedTensor,
        manifest: &TrainingManifest,
        store: &dyn ParameterStore,
        copies_when_bound: bool,
    ) -> Result<bool, TrainingError> {
        if self.bound[side] != data.changes {
            prediction.bind_output(&mut self.bindings[side], &manifest.prediction.name)?;
        }
        self.bind_inputs(side, data, manifest, store, copies_when_bound)
    }

    /// As [`BoundGraph::bind`], of a graph whose outputs are not those of a batch's rows.
    pub(super) fn bind_inputs(
        &mut self,
        side: usize,
        data: &BatchTensors,
        manifest: &TrainingManifest,
        store: &dyn ParameterStore,
        copies_when_bound: bool,
    ) -> Result<bool, TrainingError> {
        let changed = self.bound[side] != data.changes;
        let binding = &mut self.bindings[side];
        if changed || copies_when_bound {
            data.bind(manifest, binding)?;
        }
        for index in &self.copied_parameters {
            store.parameter(side, *index).bind_input(binding, &manifest.parameters[*index].name)?;
        }
        self.bound[side] = data.changes;
        Ok(changed || copies_when_bound)
    }

    pub(super) fn run(&mut self, side: usize, what: &'static str) -> Result<(), TrainingError> {
        let binding = &self.bindings[side];
        let fail = || TrainingError::session(format!("running the {what} graph"));
        binding.synchronize_inputs().map_err(fail())?;
        self.session.run_binding(binding).map_err(fail())?;
        binding.synchronize_outputs().map_err(fail())
    }
}

/// What the loss takes of rows beside their targets: weights, then lengths.
pub(super) fn beside(manifest: &TrainingManifest) -> impl Iterator<Item = &TensorEntry> {
    manifest.weights.iter().chain(&manifest.lengths)
}

/// What a batch is copied into.
pub(super) struct BatchTensors {
    pub(super) inputs: Vec<OwnedTensor>,
    pub(super) targets: Vec<OwnedTensor>,
    /// Weights and lengths of rows, where the graph takes them.
    pub(super) beside: Vec<OwnedTensor>,
    /// How often one of these tensors, or of those that are read back, became another one.
    pub(super) changes: u64,
}

impl BatchTensors {
    /// The lengths that the tensors of now give to the axes that the manifest names.
    pub(super) fn length_of(&self, manifest: &TrainingManifest, name: &str) -> Option<usize> {
        let entries = manifest.inputs.iter().chain(&manifest.targets).chain(beside(manifest));
        let tensors = self.inputs.iter().chain(&self.targets).chain(&self.beside);
        entries.zip(tensors).find_map(|(entry, tensor)| {
            let named = |length: &AxisLength| matches!(length, AxisLength::Named(other) if other == name);
            entry.shape.iter().position(named).map(|axis| tensor.shape()[axis])
        })
    }

    pub(super) fn bind(&self, manifest: &TrainingManifest, binding: &mut IoBinding) -> Result<(), TrainingError> {
        let entries = manifest.inputs.iter().chain(&manifest.targets).chain(beside(manifest));
        let mut tensors = entries.zip(self.inputs.iter().chain(&self.targets).chain(&self.beside));
        tensors.try_for_each(|(entry, tensor)| tensor.bind_input(binding, &entry.name))
    }
}
