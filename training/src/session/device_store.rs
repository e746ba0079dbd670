use std::collections::HashSet;

use millstream_schemas::ParameterEntry;
use ort::memory::Allocator;
use ort::session::{IoBinding, Session};

use super::bound::OwnedTensor;
use super::cohorts::Cohorts;
use super::device_ascent::DeviceAscent;
use super::options;
use super::store::{ParameterStore, Update};
use crate::TrainingError;
use crate::optimizers::{SharpnessAware, StateTensor, StateValues, UpdateGraph, UpdatePart};
use millstream_runtime::Device;

/// Parameters and state in the device's memory, updated there by a second graph.
///
/// Every tensor is there twice. An update reads one set and writes the other, then the sets change places: a buffer that is
/// input and output of one run is silently corrupted, because the runtime does not keep the order of the file.
///
/// Gradients are looked at where the graph says so: the sets do not change places then. Elsewhere parameters that are no
/// numbers show at the next step's loss, at the end of the epoch, and before a checkpoint is written.
pub(super) struct DeviceStore {
    sides: [Side; 2],
    current: usize,
    /// With whether each cohort is updated, where some may be frozen.
    coefficients: Vec<OwnedTensor>,
    /// The norm of the gradients and what is 0 if all of them are numbers, where the graph has them.
    watched: Option<[OwnedTensor; 2]>,
    bindings: Option<[IoBinding; 2]>,
    ascent: Option<DeviceAscent>,
    graph: UpdateGraph,
    session: Session,
    /// Inputs that are copied to the host when they are bound; to be bound at each update.
    copied: HashSet<String>,
}

struct Side {
    parameters: Vec<OwnedTensor>,
    /// Of each part of the update graph.
    state: Vec<Vec<OwnedTensor>>,
}

impl DeviceStore {
    /// `allocator` is the device's; the learning rate and its like come from the host. `ascent` is there where steps go uphill.
    pub(super) fn new(
        entries: &[ParameterEntry],
        graph: UpdateGraph,
        ascent: Option<DeviceAscent>,
        allocator: &Allocator,
        device: &Device,
        threads: usize,
    ) -> Result<Self, TrainingError> {
        let opened = options::open(&graph.model, device, threads, "update")?;
        let (session, copied) = (opened.session, opened.host_inputs.into_iter().collect());
        // Memory of a device is not zero when it is handed out.
        let begun = |state: &StateTensor| -> Result<OwnedTensor, TrainingError> {
            let mut tensor = OwnedTensor::of_state(allocator, state)?;
            tensor.upload_state(&state.start_values())?;
            Ok(tensor)
        };
        let side = || -> Result<Side, TrainingError> {
            let tensor = |entry: &ParameterEntry| OwnedTensor::f32(allocator, &entry.shape);
            let state = |part: &UpdatePart| part.tensors.iter().map(begun).collect::<Result<Vec<_>, _>>();
            Ok(Side {
                parameters: entries.iter().map(tensor).collect::<Result<_, _>>()?,
                state: graph.parts.iter().map(state).collect::<Result<_, _>>()?,
            })
        };
        let host = Allocator::default();
        let coefficients = graph.coefficients.iter().flatten().chain(&graph.live).map(|_| OwnedTensor::f32(&host, &[]));
        let watched = || Ok([OwnedTensor::f32(&host, &[])?, OwnedTensor::f32(&host, &[])?]);
        let watched = graph.watched.as_ref().map(|_| watched()).transpose()?;
        Ok(Self {
            sides: [side()?, side()?],
            current: 0,
            coefficients: coefficients.collect::<Result<_, _>>()?,
            watched,
            bindings: None,
            ascent,
            graph,
            session,
            copied,
        })
    }

    /// A binding for each direction; made at the first update, when the gradients' tensors are known.
    fn bind(&mut self, gradients: &[OwnedTensor]) -> Result<[IoBinding; 2], TrainingError> {
        let mut make = |from: usize| -> Result<IoBinding, TrainingError> {
            let doing = "binding the update graph";
            let mut binding = self.session.create_binding().map_err(TrainingError::session(doing))?;
            for (name, tensor) in self.graph.watched.iter().flatten().zip(self.watched.iter_mut().flatten()) {
                tensor.bind_output(&mut binding, name)?;
            }
            for (index, names) in self.graph.parameters.iter().enumerate() {
                gradients[index].bind_input(&mut binding, &names.gradient)?;
                self.sides[from].parameters[index].bind_input(&mut binding, &names.parameter)?;
                self.sides[1 - from].parameters[index].bind_output(&mut binding, &names.new_parameter)?;
            }
            for (index, part) in self.graph.parts.iter().enumerate() {
                for (slot, (name, new_name)) in part.state.iter().zip(&part.new_state).enumerate() {
                    self.sides[from].state[index][slot].bind_input(&mut binding, name)?;
                    self.sides[1 - from].state[index][slot].bind_output(&mut binding, new_name)?;
                }
            }
            Ok(binding)
        };
        Ok([make(0)?, make(1)?])
    }
}

impl DeviceStore {
    /// Binds what the update reads on the host, as it is now.
    fn bind_copied(&self, binding: &mut IoBinding, gradients: &[OwnedTensor]) -> Result<(), TrainingError> {
        let side = &self.sides[self.current];
        for (index, names) in self.graph.parameters.iter().enumerate() {
            let given = [(&names.gradient, &gradients[index]), (&names.parameter, &side.parameters[index])];
            for (name, tensor) in given.into_iter().filter(|(name, _)| self.copied.contains(*name)) {
                tensor.bind_input(binding, name)?;
            }
        }
        let state = self.graph.parts.iter().zip(&side.state).flat_map(|(part, state)| part.state.iter().zip(state));
        state
            .filter(|(name, _)| self.copied.contains(*name))
            .try_for_each(|(name, tensor)| tensor.bind_input(binding, name))
    }
}

impl ParameterStore for DeviceStore {
    fn sides(&self) -> usize {
        2
    }

    fn current(&self) -> usize {
        self.current
    }

    fn parameter(&self, side: usize, index: usize) -> &OwnedTensor {
        &self.sides[side].parameters[index]
    }

    fn update(&mut self, update: &Update<'_>, gradients: &mut [OwnedTensor]) -> Result<Option<f64>, TrainingError> {
        let mut bindings = match self.bindings.take() {
            Some(bindings) => bindings,
            None => self.bind(gradients)?,
        };
        let binding = &mut bindings[self.current];
        let cohorts = update.cohorts.next(update.step);
        let coefficients = cohorts.iter().flat_map(|(step, _)| update.rule.coefficients(*step, update.learning_rate));
        let live = cohorts.iter().map(|(_, is_frozen)| if *is_frozen { 0.0 } else { 1.0 });
        // where nothing is ever frozen, nothing asks
        let names = self.graph.coefficients.iter().flatten().chain(&self.graph.live);
        for ((tensor, value), name) in self.coefficients.iter_mut().zip(coefficients.chain(live)).zip(names) {
            tensor.values_mut()[0] = value;
            // Copied to the device when bound, so bound anew at each step.
            tensor.bind_input(binding, name)?;
        }
        if !self.copied.is_empty() {
            self.bind_copied(binding, gradients)?;
        }
        let doing = "running the update graph";
        binding.synchronize_inputs().map_err(TrainingError::session(doing))?;
        self.session.run_binding(binding).map_err(TrainingError::session(doing))?;
        binding.synchronize_outputs().map_err(TrainingError::session(doing))?;
        self.bindings = Some(bindings);
        let mut norm = None;
        if let Some([squares, zeros]) = &self.watched {
            // what was made of gradients that are no numbers stays aside, and is written over by the next update
            if zeros.values()[0] != 0.0 {
                return Ok(Some(f64::NAN));
            }
            // Squares of floats may overflow where the floats themselves do not.
            norm = Some(f64::from(squares.values()[0]).sqrt()).filter(|norm| norm.is_finite());
        }
        self.current = 1 - self.current;
        Ok(norm)
    }

    fn ascend(
        &mut self,
        _: SharpnessAware,
        cohorts: &Cohorts,
        gradients: &[OwnedTensor],
    ) -> Result<Option<usize>, TrainingError> {
        let Some(ascent) = &mut self.ascent else { return Ok(None) };
        let [first, second] = &mut self.sides;
        let (from, uphill) = if self.current == 0 { (first, second) } else { (second, first) };
        ascent.run((self.current, &from.parameters), &mut uphill.parameters, gradients, cohorts)?;
        Ok(Some(1 - self.current))
    }

    /// The set uphill is written over by the next update.
    fn descend(&mut self) -> Result<(), TrainingError> {
        Ok(())
    }

    fn parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        self.sides[self.current].parameters.iter().map(OwnedTensor::download).collect()
    }

    fn set_parameters(&mut self, values: &[Vec<f32>]) -> Result<(), TrainingError> {
        let tensors = self.sides[self.current].parameters.iter_mut();
        tensors.zip(values).try_for_each(|(tensor, values)| tensor.upload(values))
    }

    fn set_parameter(&mut self, index: usize, values: &[f32]) -> Result<(), TrainingError> {
        self.sides[self.current].parameters[index].upload(values)
    }

    fn state(&self) -> Result<Vec<Vec<StateValues>>, TrainingError> {
        let side = &self.sides[self.current];
        let mut found: Vec<Vec<StateValues>> = vec![Vec::new(); side.parameters.len()];
        for (part, state) in self.graph.parts.iter().zip(&side.state) {
            for tensor in state {
                let values = tensor.download_state()?;
                match part.parameters[..] {
                    [only] => found[only].push(values),
                    _ => {
                        let mut rest = values.floats();
                        for index in &part.parameters {
                            let (own, behind) = rest.split_at(elements(&side.parameters[*index]));
                            found[*index].push(StateValues::F32(own.to_vec()));
                            rest = behind;
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    fn set_state(&mut self, values: &[Vec<StateValues>]) -> Result<(), TrainingError> {
        let side = &mut self.sides[self.current];
        for (part, state) in self.graph.parts.iter().zip(&mut side.state) {
            for (slot, tensor) in state.iter_mut().enumerate() {
                match part.parameters[..] {
                    [only] => tensor.upload_state(&values[only][slot])?,
                    _ => {
                        let of_all = part.parameters.iter().flat_map(|index| values[*index][slot].floats());
                        tensor.upload_state(&StateValues::F32(of_all.copied().collect()))?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn elements(tensor: &OwnedTensor) -> usize {
    tensor.shape().iter().product()
}
