use millstream_compiler::TrainingProgram;
use millstream_runtime::Device;
use ort::session::builder::GraphOptimizationLevel;

use super::options;
use crate::TrainingError;

/// Opens a program's graphs on a device and lets go of them, to learn before a run whether ONNX Runtime has a kernel for each of
/// their nodes. Returns what should be known of how they would run, as [`StepRunner::warning`](crate::StepRunner::warning) does.
///
/// # Errors
/// ONNX Runtime refuses a graph; the error says which node it has no kernel for.
pub fn check_kernels(program: &TrainingProgram, device: &Device) -> Result<Option<String>, TrainingError> {
    let mut warning = None;
    let graphs = program
        .run_graphs(options::provider(device))
        .map_err(|source| TrainingError::Compile { graph: "training step", source })?;
    for (graph, what) in graphs.iter().zip(["training step", "evaluation"]) {
        // which kernels there are does not depend on what would be fused
        let level = GraphOptimizationLevel::Disable;
        let opened = options::open_at(level, &graph.file().to_vec(), device, 1, what)?;
        warning = warning.or_else(|| opened.warning(what, device, |name| graph.makes_floats(name)));
    }
    Ok(warning)
}
