use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use crate::TrainingError;
use millstream_runtime::{Device, DeviceKind, cuda_provider};

/// A session, and what should be known of how it runs.
pub(super) struct Opened {
    pub(super) session: Session,
    pub(super) warning: Option<String>,
}

/// Makes a session from the bytes of a model.
///
/// Threads do not spin while they wait, since the data pipeline needs the cores. Memory patterns are off: they hold almost
/// twice the memory of a training graph at no gain in speed. The number of threads is always stated, since ONNX Runtime
/// would otherwise pin its threads to cores. Where the device shares threads, `threads` does not count.
pub(super) fn open(model: &[u8], device: &Device, threads: usize, what: &'static str) -> Result<Opened, TrainingError> {
    open_at(GraphOptimizationLevel::All, model, device, threads, what)
}

/// As [`open`], with as much optimization as is said.
pub(super) fn open_at(
    level: GraphOptimizationLevel,
    model: &[u8],
    device: &Device,
    threads: usize,
    what: &'static str,
) -> Result<Opened, TrainingError> {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { available } else { threads };
    let build = |cpu_may_help: bool| -> ort::Result<Session> {
        let builder = Session::builder(device.runtime().environment())?
            .with_optimization_level(level)?
            .with_memory_pattern(false)?
            .with_deterministic_compute(true)?
            .with_log_id(what)?;
        let builder = match device.shares_threads() {
            true => builder,
            false => builder
                .with_independent_thread_pool()?
                .with_intra_threads(threads)?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?
                .with_inter_op_spinning(false)?,
        };
        let mut builder = match device.kind {
            DeviceKind::Cpu => builder,
            DeviceKind::Cuda(number) => {
                let builder = if cpu_may_help { builder } else { builder.with_disable_cpu_fallback()? };
                builder.with_execution_providers([cuda_provider(number, device.uses_tf32())])?
            }
        };
        builder.commit_from_memory(model)
    };
    let fail = TrainingError::session(format!("opening the {what} graph on {}", device.kind));
    if device.kind == DeviceKind::Cpu {
        return Ok(Opened { session: build(true).map_err(fail)?, warning: None });
    }
    // ONNX Runtime says where nodes went only by refusing, so it is asked to refuse first.
    match build(false) {
        Ok(session) => Ok(Opened { session, warning: None }),
        Err(_) => {
            let (session, device) = (build(true).map_err(fail)?, device.kind);
            let warning = format!("some nodes of the {what} graph have no kernel for {device} and run on the CPU");
            Ok(Opened { session, warning: Some(warning) })
        }
    }
}

/// What allocates on the device of a session; nothing where that is the host.
pub(super) fn device_allocator(session: &Session, device: &Device) -> Result<Option<Allocator>, TrainingError> {
    let DeviceKind::Cuda(number) = device.kind else { return Ok(None) };
    let number = i32::try_from(number).unwrap_or(i32::MAX);
    MemoryInfo::new(AllocationDevice::CUDA, number, AllocatorType::Device, MemoryType::Default)
        .and_then(|memory| Allocator::new(session, memory))
        .map(Some)
        .map_err(TrainingError::session("allocating on the device"))
}
