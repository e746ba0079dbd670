use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use crate::TrainingError;
use crate::device::{Device, DeviceKind, cuda_provider};

/// Makes a session from the bytes of a model.
///
/// Threads do not spin while they wait, since the data pipeline needs the cores. Memory patterns are off: they hold almost
/// twice the memory of a training graph at no gain in speed. The number of threads is always stated, since ONNX Runtime
/// would otherwise pin its threads to cores.
pub(super) fn open(
    model: &[u8],
    device: &Device,
    threads: usize,
    what: &'static str,
) -> Result<Session, TrainingError> {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { available } else { threads };
    let build = || -> ort::Result<Session> {
        let builder = Session::builder(&device.runtime.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_memory_pattern(false)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_deterministic_compute(true)?
            .with_log_id(what)?;
        let mut builder = match device.kind {
            DeviceKind::Cpu => builder,
            DeviceKind::Cuda(number) => builder.with_execution_providers([cuda_provider(number)])?,
        };
        builder.commit_from_memory(model)
    };
    build().map_err(TrainingError::runtime(format!("opening the {what} graph on {}", device.kind)))
}
