use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use millstream_compiler::{CompilerError, TrainingProgram};
use millstream_training::checkpoint::CheckpointManifest;

use crate::check::{Findings, findings};
use crate::frozen_prefix::{PrefixPlan, begun, planned};
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

/// What a run keeps of what the frozen prefix gives.
#[derive(Debug)]
pub(crate) struct RunPlan {
    pub(crate) plan: Option<Arc<PrefixPlan>>,
    /// Of one that goes on, whether it began so, by its steps: these are of what follows the frozen prefix, or of all. Nothing where they are
    /// of neither, or where there is nothing to choose.
    pub(crate) was_kept: Option<bool>,
    /// What is to be told of it.
    pub(crate) note: Option<String>,
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

    /// What a run keeps of what the frozen prefix gives; one that goes on from a checkpoint has the steps that it began with, where the
    /// recipe leaves it open.
    ///
    /// # Errors
    /// It began with what is kept, and by the recipe there is no room any more for what its steps need, or a step graph cannot be laid out.
    pub(crate) fn run_plan(&self, checkpoint: Option<&CheckpointManifest>) -> Result<RunPlan, RecipeError> {
        let Parts { opened, program, prefix, prefix_note, .. } = &*self.0;
        let of_recipe = |was_kept| RunPlan { plan: prefix.clone(), was_kept, note: prefix_note.clone() };
        Ok(match (checkpoint, prefix) {
            (None, _) => of_recipe(None),
            (Some(checkpoint), None) => match begun(opened, program, checkpoint)? {
                Some((plan, note)) => RunPlan { plan: Some(Arc::new(plan)), was_kept: Some(true), note: Some(note) },
                None => of_recipe(None),
            },
            // where it is kept in any case there is nothing to choose
            (Some(_), Some(plan)) if plan.is_needed => of_recipe(None),
            (Some(checkpoint), Some(plan)) if checkpoint.is_of(plan.prefix.program())? => of_recipe(Some(true)),
            (Some(checkpoint), Some(_)) => of_recipe(checkpoint.is_of(program)?.then_some(false)),
        })
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
