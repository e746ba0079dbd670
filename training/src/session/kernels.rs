use millstream_compiler::{OnnxFile, TrainingProgram};
use millstream_runtime::{Device, DeviceKind};
use ort::session::builder::GraphOptimizationLevel;

use super::options;
use crate::TrainingError;

/// Opens a program's graphs on a device and lets go of them, to learn before a run whether ONNX Runtime has a kernel for each of
/// their nodes. Returns what should be known of how they would run, as [`StepRunner::warning`](crate::StepRunner::warning) does.
///
/// # Errors
/// ONNX Runtime refuses a graph; the error says which node it has no kernel for.
pub fn check_kernels(program: &TrainingProgram, device: &Device) -> Result<Option<String>, TrainingError> {
    // which kernels there are does not depend on what would be fused
    let level = GraphOptimizationLevel::Disable;
    if device.kind == DeviceKind::Cpu {
        let opens = |file: Option<OnnxFile>, what: &'static str| {
            file.is_some_and(|file| options::open_at(level, &file.to_vec(), device, 1, what).is_ok())
        };
        let [step, evaluation] = program.kinds_of_nodes();
        // one of each kind is opened in a fraction of the time; what is wrong is said of the whole
        if opens(step, "training step") && opens(evaluation, "evaluation") {
            return Ok(None);
        }
    }
    let mut warning = None;
    let graphs = program
        .run_graphs(options::provider(device))
        .map_err(|source| TrainingError::Compile { graph: "training step", source })?;
    for (graph, what) in graphs.iter().zip(["training step", "evaluation"]) {
        let opened = options::open_at(level, &graph.file().to_vec(), device, 1, what)?;
        warning = warning.or_else(|| opened.warning(what, device, |name| graph.makes_floats(name)));
    }
    Ok(warning)
}
