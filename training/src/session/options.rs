use std::collections::BTreeMap;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use super::placement::{self, HostNode};
use crate::TrainingError;
use millstream_compiler::{Provider, unsound_fusions};
use millstream_runtime::{Device, DeviceKind, cuda_provider};

/// Of ONNX Runtime: optimizers that a session does without, by their names.
const WITHOUT_OPTIMIZERS: &str = "optimization.disable_specified_optimizers";

/// A session, and what should be known of how it runs.
pub(super) struct Opened {
    pub(super) session: Session,
    /// Nodes that run on the CPU although the session is one of another device.
    pub(super) host_nodes: Vec<HostNode>,
    /// Inputs that are wanted on the host although the session is one of another device: to be bound anew when they change.
    pub(super) host_inputs: Vec<String>,
}

impl Opened {
    /// That nodes which compute with floats run on the CPU; those that compute lengths do so on purpose.
    pub(super) fn warning(&self, what: &str, device: &Device, has_floats: impl Fn(&str) -> bool) -> Option<String> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for node in self.host_nodes.iter().filter(|node| has_floats(&node.name)) {
            *counts.entry(&node.operator).or_default() += 1;
        }
        let operators: Vec<String> = counts.iter().map(|(operator, count)| format!("{operator} ({count})")).collect();
        let operators = operators.join(", ");
        (!counts.is_empty()).then(|| {
            let device = device.kind;
            format!(
                "nodes of the {what} graph have no kernel for {device} and run on the CPU, to which values are copied in each \
                 run: {operators}"
            )
        })
    }
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
    let on_cpu = device.kind == DeviceKind::Cpu;
    let open = || -> ort::Result<Opened> {
        let builder = Session::builder(device.runtime().environment())?
            .with_optimization_level(level)?
            .with_memory_pattern(false)?
            .with_deterministic_compute(true)?
            .with_log_id(what)?;
        let unsound = unsound_fusions(model);
        let builder = match unsound.is_empty() {
            true => builder,
            false => builder.with_config_entry(WITHOUT_OPTIMIZERS, unsound.join(";"))?,
        };
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
            DeviceKind::Cuda(number) => builder
                .with_config_entry(placement::RECORDED, "1")?
                .with_execution_providers([cuda_provider(number, device.uses_tf32())])?,
        };
        let session = builder.commit_from_memory(model)?;
        let (host_nodes, host_inputs) = match on_cpu {
            true => (Vec::new(), Vec::new()),
            false => (placement::nodes_on_host(&session)?, placement::inputs_on_host(&session)?),
        };
        Ok(Opened { session, host_nodes, host_inputs })
    };
    open().map_err(TrainingError::session(format!("opening the {what} graph on {}", device.kind)))
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

/// What runs the graphs of a device.
pub(super) fn provider(device: &Device) -> Provider {
    match device.kind {
        DeviceKind::Cpu => Provider::Cpu,
        DeviceKind::Cuda(_) => Provider::Cuda,
    }
}
