//! Whether a run on the CPU has room on this machine.

use millstream_compiler::TrainingProgram;
use millstream_runtime::{Device, DeviceKind};
use millstream_schemas::recipe::{ByteSize, MemoryCheck};

use crate::machine_memory::machine_memory;
use crate::{Event, Events, MemoryEstimate, Opened, RecipeError};

/// What is told before is off by some tens of percent either way, and what lies untouched may be swapped out: only what is beyond the
/// machine by more than that, as a numerator and a denominator, is certain not to go well.
const BEYOND: [u128; 2] = [3, 2];

/// What is to be said of a run's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemoryFinding {
    /// It may end for want of memory, or it will and is begun all the same.
    Warning(String),
    /// It would end so.
    Problem(String),
}

/// What is to be said of a run that holds so much on a machine that lends it so many bytes; nothing where it has room, or where the
/// system does not tell.
pub(crate) fn memory_finding(
    estimate: &MemoryEstimate,
    machine: Option<u64>,
    policy: MemoryCheck,
) -> Option<MemoryFinding> {
    let machine = machine?;
    if estimate.total <= machine {
        return None;
    }
    let (most, bytes, advice) = largest(estimate);
    let said = format!(
        "a run would hold about {} on the CPU, most of it {most} ({}), and there are {}; {advice}",
        ByteSize(estimate.total),
        ByteSize(bytes),
        ByteSize(machine)
    );
    let [numerator, denominator] = BEYOND;
    let is_beyond = u128::from(estimate.total) * denominator > u128::from(machine) * numerator;
    Some(match (is_beyond, policy) {
        (true, MemoryCheck::Refuse) => {
            MemoryFinding::Problem(format!("{said}. `training.memory_check: warn` goes on all the same"))
        }
        (true, MemoryCheck::Warn) | (false, _) => MemoryFinding::Warning(said),
    })
}

/// The largest part with its name, its bytes, and what makes it smaller.
fn largest(estimate: &MemoryEstimate) -> (&'static str, u64, &'static str) {
    let fewer = "train fewer layers (`model.train`) or by LoRA (`model.methods`), or take the optimizer `adamw_8bit`";
    let parts = [
        (
            "computed values",
            estimate.activations,
            "take a smaller `data.batch` (`training.accumulate` keeps the size of a step), smaller inputs, or train fewer layers \
             (`model.train`)",
        ),
        ("weights", estimate.weights, "take a smaller model, or train fewer layers (`model.train`)"),
        ("gradients and optimizer", estimate.training_state, fewer),
        ("copies while saving", estimate.saving, fewer),
        ("data", estimate.stream, "take a smaller `data.memory` or `data.batch`"),
        ("graphs", estimate.graphs, "take a model of fewer nodes"),
    ];
    parts.into_iter().max_by_key(|(_, bytes, _)| *bytes).expect("there are parts")
}

/// Refuses a run that has no room, before anything of it is opened or written. What a CUDA device has is not known here.
///
/// # Errors
/// It would hold far more than the machine has, and the recipe does not say to go on.
pub(crate) fn require_memory(
    opened: &Opened,
    program: &TrainingProgram,
    device: &Device,
    events: &mut dyn Events,
) -> Result<(), RecipeError> {
    if device.kind != DeviceKind::Cpu {
        return Ok(());
    }
    let policy = opened.recipe.training.memory_check;
    let estimate = match MemoryEstimate::of(opened, program) {
        Ok(estimate) => estimate,
        // more than can be counted, which `check` says too
        Err(error) if policy.is_refuse() => return Err(error.into()),
        Err(_) => return Ok(()),
    };
    match memory_finding(&estimate, machine_memory(), policy) {
        None => {}
        Some(MemoryFinding::Warning(message)) => events.event(&Event::Warning { message }),
        Some(MemoryFinding::Problem(message)) => {
            return Err(RecipeError::mismatch("training.memory_check", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_gibibytes_on_a_machine_of_twenty_three_are_not_ready_to_train() {
        let gibibytes = |count: u64| count << 30;
        let (refuse, warn) = (MemoryCheck::Refuse, MemoryCheck::Warn);
        for (needed, machine, policy, wanted) in [
            (64, Some(23), refuse, Some(true)),
            (64, Some(23), warn, Some(false)),
            (64, None, refuse, None),
            (23, Some(23), refuse, None),
            (24, Some(23), refuse, Some(false)),
            (36, Some(24), refuse, Some(false)),
            (37, Some(24), refuse, Some(true)),
            (1 << 33, Some(24), refuse, Some(true)),
        ] {
            let activations = gibibytes(needed);
            let estimate = MemoryEstimate { activations, total: activations, ..MemoryEstimate::default() };
            let found = memory_finding(&estimate, machine.map(gibibytes), policy);
            let refuses = found.as_ref().map(|found| matches!(found, MemoryFinding::Problem(_)));
            assert_eq!(refuses, wanted, "{needed} of {machine:?}: {found:?}");
        }
    }

    #[test]
    fn what_to_do_is_about_what_takes_most() {
        let part = 4 << 30;
        let usual = MemoryEstimate { total: part, ..MemoryEstimate::default() };
        for (estimate, wanted) in [
            (MemoryEstimate { activations: part, ..usual }, ["computed values (4.00 GiB)", "`data.batch`"]),
            (MemoryEstimate { weights: part, ..usual }, ["weights (4.00 GiB)", "a smaller model"]),
            (MemoryEstimate { training_state: part, ..usual }, ["optimizer (4.00 GiB)", "`adamw_8bit`"]),
            (MemoryEstimate { saving: part, ..usual }, ["saving (4.00 GiB)", "LoRA"]),
            (MemoryEstimate { stream: part, ..usual }, ["data (4.00 GiB)", "`data.memory`"]),
        ] {
            let found = memory_finding(&estimate, Some(1 << 30), MemoryCheck::Refuse);
            let Some(MemoryFinding::Problem(message)) = found else { panic!("{found:?}") };
            for part in wanted.into_iter().chain(["about 4.00 GiB", "there are 1.00 GiB", "memory_check: warn"]) {
                assert!(message.contains(part), "wanted: {part}\n   got: {message}");
            }
        }
    }
}
