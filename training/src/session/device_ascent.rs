use std::collections::HashSet;

use ort::memory::Allocator;
use ort::session::{IoBinding, Session};

use super::bound::OwnedTensor;
use super::cohorts::Cohorts;
use super::options;
use crate::TrainingError;
use crate::optimizers::AscentGraph;
use millstream_runtime::Device;

/// Makes the weights uphill on a device: from one set of parameters into the other, which is free until the update.
pub(super) struct DeviceAscent {
    live: Vec<OwnedTensor>,
    /// One for each set that is read.
    bindings: [Option<IoBinding>; 2],
    graph: AscentGraph,
    session: Session,
    /// Inputs that are copied to the host when they are bound; to be bound at each run.
    copied: HashSet<String>,
}

impl DeviceAscent {
    pub(super) fn new(graph: AscentGraph, device: &Device, threads: usize) -> Result<Self, TrainingError> {
        let opened = options::open(&graph.model, device, threads, "ascent")?;
        let (session, copied) = (opened.session, opened.host_inputs.into_iter().collect());
        let host = Allocator::default();
        let live = graph.live.iter().map(|_| OwnedTensor::f32(&host, &[])).collect::<Result<_, _>>()?;
        Ok(Self { live, bindings: [None, None], graph, session, copied })
    }

    /// Reads the parameters of the set `from`, and writes the other set.
    pub(super) fn run(
        &mut self,
        (from, parameters): (usize, &[OwnedTensor]),
        uphill: &mut [OwnedTensor],
        gradients: &[OwnedTensor],
        cohorts: &Cohorts,
    ) -> Result<(), TrainingError> {
        let mut binding = match self.bindings[from].take() {
            Some(binding) => binding,
            None => {
                let doing = "binding the ascent graph";
                let mut binding = self.session.create_binding().map_err(TrainingError::session(doing))?;
                for (index, names) in self.graph.parameters.iter().enumerate() {
                    gradients[index].bind_input(&mut binding, &names.gradient)?;
                    parameters[index].bind_input(&mut binding, &names.parameter)?;
                    uphill[index].bind_output(&mut binding, &names.uphill)?;
                }
                binding
            }
        };
        let live = cohorts.next(0).into_iter().map(|(_, is_frozen)| if is_frozen { 0.0 } else { 1.0 });
        // where nothing is ever frozen, nothing asks
        for ((tensor, value), name) in self.live.iter_mut().zip(live).zip(&self.graph.live) {
            tensor.values_mut()[0] = value;
            // Copied to the device when bound, so bound anew at each step.
            tensor.bind_input(&mut binding, name)?;
        }
        for (index, names) in self.graph.parameters.iter().enumerate().filter(|_| !self.copied.is_empty()) {
            let given = [(&names.gradient, &gradients[index]), (&names.parameter, &parameters[index])];
            for (name, tensor) in given.into_iter().filter(|(name, _)| self.copied.contains(*name)) {
                tensor.bind_input(&mut binding, name)?;
            }
        }
        let doing = "running the ascent graph";
        binding.synchronize_inputs().map_err(TrainingError::session(doing))?;
        self.session.run_binding(&binding).map_err(TrainingError::session(doing))?;
        binding.synchronize_outputs().map_err(TrainingError::session(doing))?;
        self.bindings[from] = Some(binding);
        Ok(())
    }
}
