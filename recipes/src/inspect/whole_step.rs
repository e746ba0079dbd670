//! What a step takes that trains all of a model, as far as the model alone tells it.

use std::collections::BTreeMap;
use std::path::Path;

use millstream_compiler::losses::standard;
use millstream_compiler::{FineTuning, HeadChoice, Loss, Model, ModelReport, OperatorCatalog, compile, describe};
use millstream_runtime::{Device, DeviceRequest};
use millstream_schemas::Choice;
use millstream_schemas::recipe::TrainSelection;
use millstream_training::check_kernels;
use serde::Serialize;

use crate::error::with_causes;
use crate::{MemoryEstimate, RecipeError};

/// The axis of rows of the compiled step.
const BATCH: &str = "batch";

/// A step on the CPU that trains all layers, of one row.
#[derive(Clone, Debug, Serialize)]
pub struct WholeStep {
    /// What is held in memory, with two numbers of the optimizer for each parameter as AdamW has them; without data, evaluations and what
    /// is copied while a checkpoint is written. `None` where it cannot be told.
    pub memory: Option<MemoryEstimate>,
    /// What the device has no kernel for, or why that was not found out.
    pub kernels: Option<String>,
    /// Why there is no such step, or why its memory is not known.
    pub obstacle: Option<String>,
    /// What BatchNormalization and Dropout do in it, and what else is done otherwise than the file says.
    pub notes: Vec<String>,
}

impl WholeStep {
    /// `report` is that of the model; `library` names an ONNX Runtime library, as a flag does.
    pub(super) fn of(model: &Model, report: &ModelReport, operators: &OperatorCatalog, library: Option<&Path>) -> Self {
        let mut step = Self { memory: None, kernels: None, obstacle: None, notes: Vec::new() };
        step.obstacle = step.fill(model, report, operators, library).err().map(|error| with_causes(&error));
        step
    }

    fn fill(
        &mut self,
        model: &Model,
        report: &ModelReport,
        operators: &OperatorCatalog,
        library: Option<&Path>,
    ) -> Result<(), RecipeError> {
        let last = report.outputs.first().and_then(|(_, shape)| shape.last().copied().flatten());
        let wanted = FineTuning {
            head: HeadChoice::keep(),
            train: TrainSelection::All,
            // it can be computed from whatever a model makes
            loss: Loss::choose(standard(), &Choice::named("mse"), "training.loss")?,
            ..FineTuning::head(BATCH, last.unwrap_or(1))
        };
        let described = describe(model, Some(&wanted), operators)?;
        self.notes = described.notes.into_iter().filter(|note| !report.notes.contains(note)).collect();
        let program = compile(model, &wanted, operators)?;
        let ready = millstream_runtime::ready(library);
        let on_cpu = ready.and_then(|runtime| Device::resolve(DeviceRequest::Cpu, runtime));
        self.kernels = match on_cpu {
            Ok(device) => check_kernels(&program, &device).unwrap_or_else(|error| Some(with_causes(&error))),
            Err(error) => Some(format!("not looked for: {}", with_causes(&error))),
        };
        let lengths = BTreeMap::from([(BATCH.to_owned(), 1)]);
        self.memory = Some(MemoryEstimate::of_step(&program, &lengths)?);
        Ok(())
    }
}
