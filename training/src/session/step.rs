use std::sync::Arc;

use millstream_compiler::{OnnxFile, TrainingProgram};
use millstream_schemas::{Batch, Fingerprint, FingerprintWriter, TrainingManifest};

use super::optimizer_state::OptimizerState;
use super::options;
use super::scored::Scored;
use super::step_outcome::StepOutcome;
use super::step_settings::StepSettings;
use super::step_thread::{BatchStatistics, Open, Step};
use super::thread::SessionThread;
use crate::TrainingError;
use crate::freezing::FreezePlan;
use crate::optimizers::{Averaging, StateTensor, UpdateRule, state_of};
use millstream_runtime::{Device, DeviceKind};

/// Runs the steps of a compiled training program; parameters and optimizer state stay where the graph runs.
pub struct StepRunner {
    thread: SessionThread<Step>,
    manifest: Arc<TrainingManifest>,
    fingerprint: Fingerprint,
    state_tensors: Vec<Vec<StateTensor>>,
    rule: Arc<dyn UpdateRule>,
    /// The average that is around the rule.
    averaging: Option<Averaging>,
    /// Ends of epochs that are in the average.
    averaged: u64,
    plan: FreezePlan,
    frozen: Vec<bool>,
    warning: Option<String>,
}

impl StepRunner {
    /// Opens the program's graphs on a device, with the program's first parameters.
    ///
    /// # Errors
    /// A setting makes no sense, or ONNX Runtime refuses a graph.
    pub fn open(program: &TrainingProgram, device: &Device, settings: &StepSettings) -> Result<Self, TrainingError> {
        let on_host = device.kind == DeviceKind::Cpu;
        Self::open_with_store(program, device, settings, on_host)
    }

    /// As [`StepRunner::open`], with the update in Rust or as graph nodes whichever the device.
    pub(crate) fn open_with_store(
        program: &TrainingProgram,
        device: &Device,
        settings: &StepSettings,
        update_on_host: bool,
    ) -> Result<Self, TrainingError> {
        let rule = settings.rule();
        settings.check(program)?;
        let manifest = Arc::new(program.manifest.clone());
        check_parameters(&manifest, &program.parameters)?;
        let parameters = &manifest.parameters;
        let state_tensors = parameters.iter().map(|entry| state_of(rule.as_ref(), entry)).collect();
        let compile = |source| TrainingError::Compile { graph: "training step", source };
        let [step, evaluation] = program.run_graphs(options::provider(device)).map_err(compile)?;
        let of_statistics = |source| TrainingError::Compile { graph: "batch statistics", source };
        let statistics = program.statistics_run_graph(options::provider(device)).map_err(of_statistics)?;
        let opened = options::open(&step.file().to_vec(), device, settings.threads, "training step")?;
        let warning = opened.warning("training step", device, |name| step.makes_floats(name));
        let open = Open {
            step: opened.session,
            step_host_inputs: opened.host_inputs,
            weights: step.weights().to_vec(),
            evaluation,
            statistics,
            manifest: Arc::clone(&manifest),
            prediction_shape: program.prediction_shape().to_vec(),
            places: program.places.clone(),
            device: device.clone(),
            threads: settings.threads,
            seed: settings.seed,
            clip_norm: settings.gradient_clip_norm,
            cohorts: (settings.freezing.of().to_vec(), settings.freezing.cohorts().len()),
            watch_gradients: settings.watch_gradients,
            sharpness: settings.sharpness_aware,
            noise: settings.gradient_noise,
            rule: Arc::clone(&rule),
            update_on_host,
        };
        let thread = SessionThread::start("training session", move || open.open())?;
        let fingerprint = Self::fingerprint_of(program)?;
        let (plan, frozen) = (settings.freezing.clone(), vec![false; settings.freezing.cohorts().len()]);
        let (averaging, averaged) = (settings.averaging, 0);
        let mut this =
            Self { thread, manifest, fingerprint, state_tensors, rule, averaging, averaged, plan, frozen, warning };
        this.freeze_at(0, 0)?;
        this.set_parameters(program.parameters.clone())?;
        Ok(this)
    }

    /// Inputs, outputs and parameters of the program.
    pub fn manifest(&self) -> &TrainingManifest {
        &self.manifest
    }

    /// Of the step graph, frozen weights included.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// What [`StepRunner::fingerprint`] is of a program, without a session.
    ///
    /// # Errors
    /// The step graph cannot be laid out.
    pub(crate) fn fingerprint_of(program: &TrainingProgram) -> Result<Fingerprint, TrainingError> {
        let compile = |source| TrainingError::Compile { graph: "training step", source };
        Ok(fingerprint(&program.step().map_err(compile)?))
    }

    /// What should be known of how the graph runs: that nodes without a kernel for the device run on the CPU.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// What the optimizer remembers of each parameter, in manifest order.
    pub fn state_tensors(&self) -> &[Vec<StateTensor>] {
        &self.state_tensors
    }

    /// Freezes what the [plan](FreezePlan) freezes in the step `step` of the run, which is one of the epoch `epoch`, both from 0:
    /// for this step and those behind it. A runner begins with what is frozen in the first.
    ///
    /// # Errors
    /// The session's thread has ended.
    pub fn freeze_at(&mut self, epoch: u64, step: u64) -> Result<(), TrainingError> {
        let frozen = self.plan.frozen_at(epoch, step);
        if frozen == self.frozen {
            return Ok(());
        }
        self.frozen.clone_from(&frozen);
        self.thread.call("freeze parameters", move |step| {
            step.cohorts.freeze(frozen);
            Ok(())
        })
    }

    /// Computes loss and gradients of a batch and updates the parameters; hands the batch back. Nothing is updated where no row
    /// has weight in the loss.
    ///
    /// # Errors
    /// The learning rate is not a number of 0 or more, the batch does not fit the graph, or ONNX Runtime fails. A loss or
    /// gradient that is not finite is no error here: nothing is updated, and the outcome says so.
    pub fn step(&mut self, batch: Batch, learning_rate: f32) -> Result<(Batch, StepOutcome), TrainingError> {
        TrainingError::check("learning_rate", learning_rate, learning_rate >= 0.0, "a number of 0 or more")?;
        self.thread.call("make a step", move |step| {
            let outcome = step.step(&batch, learning_rate)?;
            Ok((batch, outcome))
        })
    }

    /// Computes the model's output and the loss of a batch, and hands the batch back.
    ///
    /// # Errors
    /// The batch does not fit the graph, or ONNX Runtime fails.
    pub fn evaluate(&mut self, batch: Batch) -> Result<(Batch, Scored), TrainingError> {
        self.thread.call("evaluate a batch", move |step| {
            let scored = step.evaluate(&batch)?;
            Ok((batch, scored))
        })
    }

    /// Computes mean and variance of a batch for each running statistic by the parameters as they are, nothing dropped out, and
    /// hands the batch back; nothing of it where no row has weight.
    ///
    /// # Errors
    /// The program was not compiled for it, the batch does not fit the graph, or ONNX Runtime fails.
    pub(crate) fn batch_statistics(&mut self, batch: Batch) -> Result<(Batch, Option<BatchStatistics>), TrainingError> {
        self.thread.call("compute statistics of a batch", move |step| {
            let statistics = step.batch_statistics(&batch)?;
            Ok((batch, statistics))
        })
    }

    /// Copies of the parameters, in manifest order.
    ///
    /// # Errors
    /// The device fails.
    pub fn parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        self.thread.call("read the parameters", |step| step.store.parameters())
    }

    /// Whether an average of the weights is evaluated and exported, and not the parameters.
    pub fn has_average(&self) -> bool {
        self.rule.has_average()
    }

    /// Ends of epochs whose weights are in the average, where it is one of these.
    pub(crate) fn averaged(&self) -> u64 {
        self.averaged
    }

    /// Copies of what is evaluated and exported: the average of the weights where one is kept and has begun, or the parameters.
    ///
    /// # Errors
    /// The device fails.
    pub fn averaged_parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        let parameters = self.parameters()?;
        if !self.has_average() {
            return Ok(parameters);
        }
        let rule = (self.rule.as_ref(), self.averaging);
        Ok(self.state()?.evaluated(rule, &self.plan, &self.manifest.parameters, parameters))
    }

    /// Does something with the average of the weights in the place of the parameters, which come back afterwards.
    ///
    /// # Errors
    /// Those of what is done, or the device fails.
    pub(crate) fn with_average<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, TrainingError>,
    ) -> Result<T, TrainingError> {
        if !self.has_average() {
            return work(self);
        }
        self.with_parameters(self.averaged_parameters()?, work)
    }

    /// Does something with other parameters in the place of those that are trained, which come back afterwards.
    ///
    /// # Errors
    /// Those of what is done, or the device fails.
    pub(crate) fn with_parameters<T>(
        &mut self,
        values: Vec<Vec<f32>>,
        work: impl FnOnce(&mut Self) -> Result<T, TrainingError>,
    ) -> Result<T, TrainingError> {
        let own = self.parameters()?;
        self.set_parameters(values)?;
        let done = work(self);
        self.set_parameters(own)?;
        done
    }

    /// Computes the gradients of a batch and adds them to those of other batches, for [`StepRunner::update`]; hands the batch
    /// back. The outcome is that of the batch, without an update.
    ///
    /// # Errors
    /// As [`StepRunner::step`].
    pub fn gather(&mut self, batch: Batch) -> Result<(Batch, StepOutcome), TrainingError> {
        self.thread.call("gather gradients", move |step| {
            let outcome = step.gather(&batch)?;
            Ok((batch, outcome))
        })
    }

    /// Forgets what was gathered since the last update, the running statistics that have followed it included.
    ///
    /// # Errors
    /// The device fails.
    pub fn forget_gathered(&mut self) -> Result<(), TrainingError> {
        self.thread.call("forget gradients", Step::forget_gathered)
    }

    /// Takes the weights as they are at the end of the epoch `epoch`, which counts from 0, into the average, where it is one of
    /// ends of epochs and this is one of them; says whether. To be called once at the end of each epoch.
    ///
    /// # Errors
    /// The device fails.
    pub fn take_into_average(&mut self, epoch: u64) -> Result<bool, TrainingError> {
        if !self.averaging.is_some_and(|averaging| averaging.takes_end_of(epoch)) {
            return Ok(false);
        }
        let (parameters, mut state) = (self.parameters()?, self.state()?);
        state.averaged += 1;
        let all = self.manifest.parameters.iter().zip(&parameters).zip(&mut state.tensors);
        for ((_, values), tensors) in all.filter(|((entry, _), _)| !entry.is_statistic) {
            Averaging::take(state.averaged, values, tensors);
        }
        self.set_state(state)?;
        Ok(true)
    }

    /// Updates the parameters by the mean of the gathered gradients, each batch by the weight that its loss is a mean over.
    /// The loss of the outcome is that mean too. Nothing is updated where no batch had weight.
    ///
    /// # Errors
    /// As [`StepRunner::step`].
    pub fn update(&mut self, learning_rate: f32) -> Result<StepOutcome, TrainingError> {
        TrainingError::check("learning_rate", learning_rate, learning_rate >= 0.0, "a number of 0 or more")?;
        self.thread.call("make a step", move |step| step.update(learning_rate))
    }

    /// Replaces the parameters.
    ///
    /// # Errors
    /// They are not as many or as long as the manifest says.
    pub fn set_parameters(&mut self, values: Vec<Vec<f32>>) -> Result<(), TrainingError> {
        check_parameters(&self.manifest, &values)?;
        self.thread.call("write the parameters", move |step| step.store.set_parameters(&values))
    }

    /// A copy of what the optimizer remembers.
    ///
    /// # Errors
    /// The device fails.
    pub fn state(&self) -> Result<OptimizerState, TrainingError> {
        let averaged = self.averaged;
        self.thread.call("read the optimizer's state", move |step| {
            let (updates, cohorts) = (step.updates, step.cohorts.updates.clone());
            Ok(OptimizerState {
                updates,
                cohorts,
                averaged,
                tensors: step.store.state()?,
                loss_scale: step.loss_scale(),
            })
        })
    }

    /// Replaces what the optimizer remembers.
    ///
    /// # Errors
    /// It is not as much as this optimizer remembers of these parameters.
    pub fn set_state(&mut self, state: OptimizerState) -> Result<(), TrainingError> {
        if state.tensors.len() != self.manifest.parameters.len() {
            return Err(TrainingError::wrong_count(
                "optimizer state",
                self.manifest.parameters.len(),
                state.tensors.len(),
            ));
        }
        if state.cohorts.len() != self.plan.cohorts().len() {
            return Err(TrainingError::wrong_count(
                "updates of what is frozen at times",
                self.plan.cohorts().len(),
                state.cohorts.len(),
            ));
        }
        let wanted = self.manifest.parameters.iter().zip(&self.state_tensors);
        for ((entry, wanted), got) in wanted.zip(&state.tensors) {
            let wanted: Vec<_> = wanted.iter().map(|tensor| (tensor.elements(), tensor.start.dtype())).collect();
            let got: Vec<_> = got.iter().map(|values| (values.len(), values.dtype())).collect();
            if wanted != got {
                return Err(TrainingError::Parameter {
                    name: entry.name.clone(),
                    wanted: format!("state tensors of {wanted:?} values"),
                    got: format!("{got:?}"),
                });
            }
        }
        self.averaged = state.averaged;
        self.thread.call("write the optimizer's state", move |step| {
            step.updates = state.updates;
            step.set_loss_scale(state.loss_scale);
            step.cohorts.updates = state.cohorts;
            step.store.set_state(&state.tensors)
        })
    }
}

/// Of a file, written piece by piece.
fn fingerprint(file: &OnnxFile) -> Fingerprint {
    let mut written = FingerprintWriter::default();
    file.write_to(&mut written).expect("it takes all bytes");
    written.finish()
}

fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}

fn check_parameters(manifest: &TrainingManifest, values: &[Vec<f32>]) -> Result<(), TrainingError> {
    if values.len() != manifest.parameters.len() {
        return Err(TrainingError::wrong_count("all", manifest.parameters.len(), values.len()));
    }
    for (entry, values) in manifest.parameters.iter().zip(values) {
        if values.len() != elements(&entry.shape) {
            return Err(TrainingError::Parameter {
                name: entry.name.clone(),
                wanted: format!("{} values, shape {:?}", elements(&entry.shape), entry.shape),
                got: format!("{} values", values.len()),
            });
        }
    }
    Ok(())
}
