use std::collections::{BTreeMap, HashMap};

use millstream_compiler::{CompilerError, Model, OperatorCatalog, Provider, TrainingProgram};
use millstream_schemas::{BatchSpec, TensorSpec};
use serde::Serialize;

use crate::Opened;
use crate::frozen_prefix::PrefixPlan;
use crate::model_inputs::{longest, shapes};
use crate::step_settings::{loop_settings, step_settings};

/// The process itself with ONNX Runtime loaded, as measured on Linux.
const PROCESS: u64 = 68 << 20;
/// Batches that are filled, wait, or are at work.
const BATCHES: u64 = 5;
/// What the runtime makes of weights inside a graph: tensors, and packed or reordered copies for its kernels.
const SESSION_COPIES: u64 = 2;
/// And while it opens the graph: the file in memory, as protobuf, as tensors.
const OPENING_COPIES: u64 = 3;
/// The same beside what is made of constants meanwhile; fitted to BiT, NFNet and NF-RegNet, whose kernels are standardized.
const FOLDING_COPIES: u64 = 2;
/// And of one kernel of a convolution at a time, as it is laid out anew.
const KERNEL_COPIES: u64 = 3;
/// A node of the model, in the graphs that it is compiled by; fitted to what runs held.
const MODEL_NODE: u64 = 12 << 10;
/// A node of a graph that is run, in it and in the runtime's session; fitted likewise.
const RUN_NODE: u64 = 8 << 10;

/// Bytes that a run holds on the CPU at its fullest, as far as they can be told before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryEstimate {
    /// Weights of the model, trained and frozen, with the copies of the runtime.
    pub weights: u64,
    /// Gradients and what the optimizer remembers.
    pub training_state: u64,
    /// Copies of both while a checkpoint is written.
    pub saving: u64,
    /// Computed values at the fullest moment of a step, and of an evaluation.
    pub activations: u64,
    /// Rows and batches of the data; of much data, the ceiling `data.memory`.
    pub stream: u64,
    /// What is kept in memory of what a frozen part gives; runs that share resources have it once where it is the same.
    pub kept: u64,
    /// What is kept so by several runs of which each keeps something else, at most: what the recipe of one allows for all.
    #[serde(skip)]
    pub kept_together: u64,
    /// Nodes of the graphs, without values and weights.
    pub graphs: u64,
    /// The process itself with ONNX Runtime.
    pub process: u64,
    /// All of them, or what opening the graphs takes where that is more.
    pub total: u64,
    /// What each of several runs has to itself at its fullest: all but the process and what is kept, or what opening the graphs takes
    /// where that is more.
    pub own: u64,
}

impl MemoryEstimate {
    /// `prefix` is how what the frozen part gives is kept, where it is.
    pub(crate) fn of(
        opened: &Opened,
        program: &TrainingProgram,
        prefix: Option<&PrefixPlan>,
    ) -> Result<Self, CompilerError> {
        let [step, evaluation] = program.run_graphs(Provider::Cpu)?.map(|graph| graph.file().length() as u64);
        let evaluation = if opened.evaluate.is_some() { evaluation } else { 0 };
        let statistics = program.statistics_run_graph(Provider::Cpu)?.map_or(0, |graph| graph.file().length() as u64);
        let trained = 4 * program.trained as u64;
        let remembered = step_settings(&opened.recipe, &opened.optimizer, opened.run_length())
            .bytes_remembered(&program.manifest.parameters) as u64;
        let held = program.constant_bytes();
        // first values, those at work, the best so far, those that are averaged, and what is exported with statistics of its own
        let averaged = loop_settings(&opened.recipe).average.map_or(0, |average| average.count() as u64);
        let copies = 2 + u64::from(opened.evaluate.is_some()) + averaged + u64::from(program.reestimates());
        let folded = program.folded_bytes();
        // what a session holds of its file: of constants that are computed with, what comes out
        let [held_of_step, held_of_evaluation] = [(step, folded[0]), (evaluation, folded[1])]
            .map(|(file, folded)| file.saturating_sub(folded.read).saturating_add(folded.kept));
        let of_sessions = held_of_step + if evaluation > 0 { held_of_evaluation } else { 0 } + statistics;
        let weights = held + copies * trained + SESSION_COPIES * of_sessions;
        // gradients of several batches are added up beside those of one
        let gathered = if opened.recipe.training.accumulate > 1 { trained } else { 0 };
        // and weights are kept while their gradients are computed elsewhere
        let uphill = if opened.recipe.training.sharpness_aware.is_some() { trained } else { 0 };
        let training_state = trained + remembered + gathered + uphill;
        // the file's bytes, and of one tensor at a time its own
        let tensors = program.manifest.parameters.iter().map(|entry| 4 * entry.shape.iter().product::<usize>() as u64);
        let saving = trained + remembered + remembered.max(trained) + tensors.max().unwrap_or(0);
        let lengths = longest(&opened.spec, &program.manifest.targets);
        let [of_step, of_evaluation] = program.activation_bytes(&lengths)?;
        let of_evaluation = if opened.evaluate.is_some() { of_evaluation } else { 0 };
        // a file of a few nodes can make any number of bytes
        let activations = of_step.saturating_add(program.statistics_bytes(&lengths)?).saturating_add(of_evaluation);
        // a session of its own computes what is kept
        let of_prefix = prefix.map_or(Ok(0), |plan| plan.prefix.activation_bytes(&lengths))?;
        let activations = activations.saturating_add(of_prefix);
        let kept = prefix.map_or(0, PrefixPlan::in_memory);
        let stream = stream(opened);
        let [of_model, of_step, of_evaluation] = program.node_counts().map(|count| count as u64);
        let run = of_step + if opened.evaluate.is_some() { of_evaluation } else { 0 };
        let graphs = MODEL_NODE * of_model + RUN_NODE * run;
        let running = [activations, stream].into_iter().fold(weights + training_state + saving, u64::saturating_add);
        let kernel = KERNEL_COPIES * program.largest_kernel_bytes();
        let [of_folding_step, of_folding_evaluation] = folded.map(|folded| folded.made.saturating_add(folded.kept));
        let opened_step = (OPENING_COPIES * step + kernel).max((FOLDING_COPIES * step).saturating_add(of_folding_step));
        let opened_evaluation = match opened.evaluate {
            Some(_) => SESSION_COPIES * held_of_step + FOLDING_COPIES * evaluation + of_folding_evaluation,
            None => 0,
        };
        let opening = (held + copies * trained).saturating_add(opened_step.max(opened_evaluation));
        Ok(Self {
            weights,
            training_state,
            saving,
            activations,
            stream,
            kept,
            kept_together: prefix.map_or(0, |plan| plan.memory),
            graphs,
            process: PROCESS,
            total: (PROCESS + graphs).saturating_add(running.saturating_add(kept).max(opening)),
            own: graphs.saturating_add(running.max(opening)),
        })
    }
}

impl MemoryEstimate {
    /// Of steps alone, whose named axes have these lengths: without data, evaluations and copies while a checkpoint is written, and with
    /// two numbers that the optimizer remembers for each parameter.
    ///
    /// # Errors
    /// A named axis has no length there.
    pub(crate) fn of_step(program: &TrainingProgram, lengths: &BTreeMap<String, usize>) -> Result<Self, CompilerError> {
        let [activations, _] = program.activation_bytes(lengths)?;
        let [file, _] = program.run_graphs(Provider::Cpu)?.map(|graph| graph.file().length() as u64);
        let [folded, _] = program.folded_bytes();
        let held = file.saturating_sub(folded.read).saturating_add(folded.kept);
        let trained = 4 * program.trained as u64;
        // first values, and those at work
        let weights = program.constant_bytes() + 2 * trained + SESSION_COPIES * held;
        // gradients, and what is remembered
        let training_state = 3 * trained;
        let [of_model, of_step, _] = program.node_counts().map(|count| count as u64);
        let graphs = MODEL_NODE * of_model + RUN_NODE * of_step;
        let total = [weights, training_state, activations, graphs].into_iter().fold(PROCESS, u64::saturating_add);
        let own = total - PROCESS;
        Ok(Self { weights, training_state, activations, graphs, process: PROCESS, total, own, ..Self::default() })
    }

    /// Of a model that answers batches of these rows, and is not trained; nothing where its shapes do not follow from theirs.
    pub(crate) fn of_inference(
        model: &Model,
        spec: &BatchSpec,
        rows: usize,
        catalog: &OperatorCatalog,
    ) -> Option<Self> {
        let lengths = longest(spec, &[]);
        let held = model.inference_memory(&shapes(spec, &rows.into()), &lengths, catalog)?;
        // the model as it was read, and what the session makes of it
        let weights = held.weights.saturating_mul(1 + SESSION_COPIES);
        let graphs = (MODEL_NODE + RUN_NODE) * held.nodes as u64;
        let stream = row_bytes(spec).saturating_mul(rows as u64).saturating_mul(BATCHES);
        let total = [weights, held.activations, stream, graphs].into_iter().fold(PROCESS, u64::saturating_add);
        Some(Self {
            weights,
            activations: held.activations,
            stream,
            graphs,
            process: PROCESS,
            total,
            own: total - PROCESS,
            ..Self::default()
        })
    }
}

fn row_bytes(spec: &BatchSpec) -> u64 {
    let of = |tensor: &TensorSpec| tensor.most_elements.saturating_mul(tensor.element_type.bytes()) as u64;
    spec.tensors.iter().map(of).fold(0, u64::saturating_add)
}

/// What rows and batches take: no more than the ceiling.
fn stream(opened: &Opened) -> u64 {
    let row = row_bytes(&opened.spec);
    let batches = row.saturating_mul(opened.spec.capacity as u64).saturating_mul(BATCHES);
    let sources = std::iter::once(&opened.train).chain(opened.evaluation_sources());
    let mut files = HashMap::new();
    for file in sources.flat_map(|source| source.dataset.files()) {
        files.insert(&file.path, file.row_groups.iter().map(|group| group.uncompressed).sum::<u64>());
    }
    let rows = files.into_values().fold(0, u64::saturating_add);
    batches.saturating_add(rows).min(opened.recipe.data.memory.0)
}
