use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use millstream_compiler::{CompilerError, TrainingProgram};
use millstream_training::checkpoint::CheckpointManifest;

use crate::check::{Findings, findings};
use crate::frozen_prefix::{PrefixPlan, planned};
use crate::{MemoryEstimate, Opened, RecipeError};

/// An opened recipe with its training step. Clones share it; no run changes it.
#[derive(Clone, Debug)]
pub struct Compiled(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    opened: Opened,
    findings: Findings,
    program: TrainingProgram,
    prefix: Option<Arc<PrefixPlan>>,
    prefix_note: Option<String>,
    took: Duration,
    /// Told when it is first asked for: that lays out the graphs.
    memory: OnceLock<MemoryEstimate>,
}

impl Opened {
    /// Compiles the training step.
    ///
    /// # Errors
    /// The data cannot be trained on, as [`Opened::check`] says too; the model, what is trained of it, or the loss do not fit
    /// each other or the data.
    pub fn compile(&self) -> Result<Compiled, RecipeError> {
        Compiled::new(self, findings(self)?)
    }
}

impl Compiled {
    pub(crate) fn new(opened: &Opened, findings: Findings) -> Result<Self, RecipeError> {
        Self::of(opened, findings, |opened| opened.program())
    }

    /// Of a program that `program` makes, or knows.
    pub(crate) fn of(
        opened: &Opened,
        findings: Findings,
        program: impl FnOnce(&Opened) -> Result<TrainingProgram, RecipeError>,
    ) -> Result<Self, RecipeError> {
        let began = Instant::now();
        refuse_problems(&findings)?;
        let program = program(opened)?;
        let (prefix, prefix_note) = planned(opened, &program)?;
        let (prefix, took) = (prefix.map(Arc::new), opened.took + began.elapsed());
        let (opened, memory) = (opened.clone(), OnceLock::new());
        Ok(Self(Arc::new(Parts { opened, findings, program, prefix, prefix_note, took, memory })))
    }

    /// The recipe, the data and the model.
    pub fn opened(&self) -> &Opened {
        &self.0.opened
    }

    /// The training step.
    pub fn program(&self) -> &TrainingProgram {
        &self.0.program
    }

    /// What of it steps and evaluations of a run are: all, or what follows the frozen prefix where what that gives is kept.
    pub(crate) fn run_program(&self, is_kept: bool) -> &TrainingProgram {
        let prefix = self.0.prefix.as_ref().filter(|_| is_kept);
        prefix.map_or(&self.0.program, |plan| plan.prefix.program())
    }

    /// Whether a run that wrote this checkpoint kept what the frozen prefix gives: by its steps, which are of what follows that, or of all.
    /// Nothing where they are of neither, or nothing can be kept.
    ///
    /// # Errors
    /// A step graph cannot be laid out.
    pub(crate) fn began_kept(&self, checkpoint: &CheckpointManifest) -> Result<Option<bool>, RecipeError> {
        let Some(plan) = &self.0.prefix else { return Ok(None) };
        if checkpoint.is_of(plan.prefix.program())? {
            return Ok(Some(true));
        }
        Ok(checkpoint.is_of(&self.0.program)?.then_some(false))
    }

    pub(crate) fn prefix(&self) -> Option<&Arc<PrefixPlan>> {
        self.0.prefix.as_ref()
    }

    /// What is to be told of the frozen prefix.
    pub(crate) fn prefix_note(&self) -> Option<&String> {
        self.0.prefix_note.as_ref()
    }

    /// What a run of it holds on the CPU.
    pub(crate) fn memory(&self) -> Result<&MemoryEstimate, CompilerError> {
        if let Some(memory) = self.0.memory.get() {
            return Ok(memory);
        }
        let memory = MemoryEstimate::of(&self.0.opened, &self.0.program, self.0.prefix.as_deref())?;
        Ok(self.0.memory.get_or_init(|| memory))
    }

    pub(crate) fn findings(&self) -> &Findings {
        &self.0.findings
    }

    /// How long opening and compiling took.
    pub fn took(&self) -> Duration {
        self.0.took
    }
}

/// Stops a run before anything is compiled, as `check` says it would be stopped.
pub(crate) fn refuse_problems(found: &Findings) -> Result<(), RecipeError> {
    let Some(((place, message), more)) = found.problems.split_first() else { return Ok(()) };
    let more: String = more.iter().map(|(place, message)| format!("\n{place}: {message}")).collect();
    Err(RecipeError::mismatch(*place, format!("{message}{more}")))
}
