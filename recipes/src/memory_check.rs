//! Whether a run on the CPU has room on this machine.

use millstream_compiler::CompilerError;
use millstream_runtime::DeviceKind;
use millstream_schemas::count;
use millstream_schemas::recipe::{ByteSize, MemoryCheck};

use crate::error::with_causes;
use crate::machine_memory::machine_memory;
use crate::runs_memory::Together;
use crate::{Event, Events, MemoryEstimate, RecipeError};

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
    /// So many at a time would end so, each of which has room.
    TooMany(String),
}

/// What is to be said of as many runs, each of which has room: that they have none, and how many would.
fn of_all(together: Together, estimate: &MemoryEstimate, machine: u64, policy: MemoryCheck) -> Option<MemoryFinding> {
    let runs = together.runs as u64;
    let (process, own, kept) = (estimate.process, estimate.own, estimate.kept);
    // runs of other seeds, transforms, rows or trained layers keep other things, and all of them no more than their store holds
    let most_kept = kept.max(estimate.kept_together).max(together.kept);
    let kept_by_all = kept.saturating_mul(runs).min(most_kept);
    let all = own.saturating_mul(runs).max(together.others.saturating_add(own));
    // the process itself is there once
    let total = process.saturating_add(kept_by_all).saturating_add(all);
    // what runs of equal rows, transforms and trained layers keep is there once too: no more than this is certain
    let least = process.saturating_add(kept).saturating_add(all);
    if runs < 2 || total <= machine {
        return None;
    }
    let each = (all / runs).max(own).max(1);
    let left = machine.saturating_sub(process);
    // where all that is kept fills the store, and where it does not
    let fit = (left.saturating_sub(most_kept) / each).max(left / each.saturating_add(kept)).clamp(1, runs - 1);
    let said = |held: u64, beside: &str| {
        format!(
            "{runs} runs at a time would hold about {} on the CPU, {} of it each{beside}, and there are {}; {fit} at a time would fit \
             (`search.parallel: {fit}`, `--parallel {fit}`)",
            ByteSize(held),
            ByteSize(each),
            ByteSize(machine)
        )
    };
    Some(match (is_beyond(least, machine), policy) {
        (true, MemoryCheck::Refuse) => {
            MemoryFinding::TooMany(format!("{}. `training.memory_check: warn` goes on all the same", said(least, "")))
        }
        _ if total > least => {
            let (by_all, once) = (ByteSize(kept_by_all), ByteSize(kept));
            let beside =
                format!(" and {by_all} of what is kept of frozen parts (no more than {once} where all keep the same)");
            MemoryFinding::Warning(said(total, &beside))
        }
        _ => MemoryFinding::Warning(said(total, "")),
    })
}

/// Whether that much is certain not to go well.
fn is_beyond(total: u64, machine: u64) -> bool {
    let [numerator, denominator] = BEYOND;
    u128::from(total) * denominator > u128::from(machine) * numerator
}

impl MemoryFinding {
    fn by(policy: MemoryCheck, said: String) -> Self {
        match policy {
            MemoryCheck::Refuse => Self::Problem(format!("{said}. `training.memory_check: warn` goes on all the same")),
            MemoryCheck::Warn => Self::Warning(said),
        }
    }
}

/// What is to be said of a run that holds so much on a machine that lends it so many bytes, beside others; nothing where they have
/// room, or where the system does not tell. An estimate that cannot be had is no room.
pub(crate) fn memory_finding(
    estimate: Result<&MemoryEstimate, &CompilerError>,
    machine: Option<u64>,
    policy: MemoryCheck,
    together: Together,
) -> Option<MemoryFinding> {
    let estimate = match estimate {
        Ok(estimate) => estimate,
        Err(error) => {
            let said = format!("what a run would hold on the CPU cannot be told: {}", with_causes(error));
            return Some(MemoryFinding::by(policy, said));
        }
    };
    let machine = machine?;
    let all = of_all(together, estimate, machine, policy);
    // several of which each is only warned of are refused together
    let is_too_many = matches!(all, Some(MemoryFinding::TooMany(_))) && !is_beyond(estimate.total, machine);
    if estimate.total <= machine || is_too_many {
        return all;
    }
    let (most, bytes, advice) = largest(estimate);
    let said = format!(
        "a run would hold about {} on the CPU, most of it {most} ({}), and there are {}; {advice}",
        ByteSize(estimate.total),
        ByteSize(bytes),
        ByteSize(machine)
    );
    Some(if is_beyond(estimate.total, machine) {
        MemoryFinding::by(policy, said)
    } else {
        MemoryFinding::Warning(said)
    })
}

/// What is to be said of batches of so many rows that a model answers on a machine that lends so many bytes; nothing where there is
/// room, or where the system does not tell. `fewer`: how fewer rows are asked for. No smaller batch than one row can be asked for, so that
/// one is only warned of.
pub(crate) fn inference_finding(
    estimate: &MemoryEstimate,
    machine: Option<u64>,
    policy: MemoryCheck,
    (rows, fewer): (usize, &str),
) -> Option<MemoryFinding> {
    let machine = machine.filter(|machine| estimate.total > *machine)?;
    let said = format!(
        "a batch of {} would hold about {} on the CPU, {} of it computed values, and there are {}",
        count(rows as u64, "row"),
        ByteSize(estimate.total),
        ByteSize(estimate.activations),
        ByteSize(machine)
    );
    let is_refused = policy == MemoryCheck::Refuse && rows > 1 && is_beyond(estimate.total, machine);
    Some(match (is_refused, rows) {
        (true, _) => MemoryFinding::Problem(format!("{said}; take a smaller {fewer}")),
        (false, 1) => MemoryFinding::Warning(said),
        (false, _) => MemoryFinding::Warning(format!("{said}; a smaller {fewer} takes less")),
    })
}

/// The largest part with its name, its bytes, and what makes it smaller.
fn largest(estimate: &MemoryEstimate) -> (&'static str, u64, &'static str) {
    let fewer = "train fewer layers (`model.train`) or by LoRA (`model.methods`), or take an optimizer in eight bits (`adamw_8bit`, \
                 `lion_8bit`, …)";
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
        (
            "what is kept of a frozen part",
            estimate.kept,
            "give it less `memory` (`training.frozen_prefix: {kept: {memory: …}}`), or `recomputed`",
        ),
        ("graphs", estimate.graphs, "take a model of fewer nodes"),
    ];
    parts.into_iter().max_by_key(|(_, bytes, _)| *bytes).expect("there are parts")
}

/// Refuses a run that has no room, before anything of it is opened or written. What a CUDA device has is not known here.
///
/// # Errors
/// It would hold far more than the machine has, or that cannot be told, and the recipe does not say to go on.
pub(crate) fn require_memory<'a>(
    policy: MemoryCheck,
    device: DeviceKind,
    estimate: impl FnOnce() -> Result<&'a MemoryEstimate, CompilerError>,
    together: Together,
    events: &mut dyn Events,
) -> Result<(), RecipeError> {
    if device != DeviceKind::Cpu {
        return Ok(());
    }
    match memory_finding(estimate().as_ref().copied(), machine_memory(), policy, together) {
        None => {}
        Some(MemoryFinding::TooMany(message)) => return Err(RecipeError::NoRoomTogether { message }),
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
            let found = memory_finding(Ok(&estimate), machine.map(gibibytes), policy, Together::ALONE);
            let refuses = found.as_ref().map(|found| matches!(found, MemoryFinding::Problem(_)));
            assert_eq!(refuses, wanted, "{needed} of {machine:?}: {found:?}");
        }
    }

    #[test]
    fn batches_that_no_machine_answers_are_refused_and_a_single_row_is_not() {
        let gibibytes = |count: u64| count << 30;
        let (refuse, warn) = (MemoryCheck::Refuse, MemoryCheck::Warn);
        for (needed, rows, policy, wanted) in [
            (23, 4096, refuse, None),
            (24, 4096, refuse, Some(false)),
            (64, 4096, refuse, Some(true)),
            (64, 4096, warn, Some(false)),
            (64, 1, refuse, Some(false)),
        ] {
            let activations = gibibytes(needed);
            let estimate = MemoryEstimate { activations, total: activations, ..MemoryEstimate::default() };
            let found = inference_finding(&estimate, Some(gibibytes(23)), policy, (rows, "`data.batch`"));
            assert_eq!(inference_finding(&estimate, None, policy, (rows, "`data.batch`")), None);
            let refuses = found.as_ref().map(|found| matches!(found, MemoryFinding::Problem(_)));
            assert_eq!(refuses, wanted, "{needed}: {found:?}");
            if let Some(MemoryFinding::Problem(message)) = found {
                assert!(
                    message.contains("4,096 rows") && message.ends_with("take a smaller `data.batch`"),
                    "{message}"
                );
            }
        }
    }

    #[test]
    fn trials_of_which_each_has_room_and_all_together_have_none_are_told_how_many_fit() {
        let gibibytes = |count: u64| count << 30;
        let (refuse, warn) = (MemoryCheck::Refuse, MemoryCheck::Warn);
        // each holds five beside the process itself, which there is once
        let [process, own, total] = [1, 5, 6].map(gibibytes);
        let estimate = MemoryEstimate { process, own, total, ..MemoryEstimate::default() };
        for (runs, others, machine, policy, wanted) in [
            (1, 0, 23, refuse, None),
            (4, 0, 23, refuse, None),
            (5, 0, 23, refuse, Some((false, 4))),
            (8, 0, 23, refuse, Some((true, 4))),
            (8, 0, 23, warn, Some((false, 4))),
            (2, 0, 6, refuse, Some((true, 1))),
            // larger ones that are at work by now
            (2, 20, 23, refuse, Some((false, 1))),
            (3, 12, 23, refuse, None),
            (usize::MAX, u64::MAX >> 30, 23, refuse, Some((true, 4))),
        ] {
            let together = Together { runs, others: gibibytes(others), kept: 0 };
            let found = memory_finding(Ok(&estimate), Some(gibibytes(machine)), policy, together);
            let told = found.as_ref().map(|found| match found {
                MemoryFinding::TooMany(said) => (true, said),
                MemoryFinding::Warning(said) | MemoryFinding::Problem(said) => (false, said),
            });
            assert_eq!(told.map(|(refuses, _)| refuses), wanted.map(|(refuses, _)| refuses), "{runs}: {found:?}");
            if let (Some((_, said)), Some((_, fit))) = (told, wanted) {
                let words = format!("{fit} at a time would fit (`search.parallel: {fit}`, `--parallel {fit}`)");
                assert!(said.contains(&words), "{words}: {said}");
            }
        }
    }

    #[test]
    fn trials_that_each_keep_something_else_of_a_frozen_part_hold_together_what_their_store_may_hold() {
        let gibibytes = |count: u64| count << 30;
        let [process, own] = [1, 5].map(gibibytes);
        // where opening takes most, what is kept is not there yet in a run alone, and may be there of another run
        for (total, kept, kept_together, store, runs, wanted) in [
            // the store holds what one of them keeps
            (8, 2, 2, 0, 4, None),
            (8, 2, 2, 0, 5, Some(4)),
            (6, 2, 2, 0, 4, None),
            (6, 2, 2, 0, 5, Some(4)),
            // it holds two of them, by the recipe or by what runs share
            (8, 2, 4, 0, 3, None),
            (8, 2, 4, 0, 4, Some(3)),
            (8, 2, 2, 4, 4, Some(3)),
            // as many as there are do not fill it
            (8, 2, 100, 0, 3, None),
            (8, 2, 100, 0, 4, Some(3)),
            // nothing is kept
            (6, 0, 0, 100, 4, None),
        ] {
            let [total, kept, kept_together, store] = [total, kept, kept_together, store].map(gibibytes);
            let estimate = MemoryEstimate { process, kept, kept_together, own, total, ..MemoryEstimate::default() };
            let together = Together { runs, others: 0, kept: store };
            let found = memory_finding(Ok(&estimate), Some(gibibytes(23)), MemoryCheck::Warn, together);
            let said = found.as_ref().map(|found| match found {
                MemoryFinding::Warning(said) | MemoryFinding::TooMany(said) | MemoryFinding::Problem(said) => said,
            });
            let is_as_wanted = match (said, wanted) {
                (Some(said), Some(fit)) => said.contains(&format!("; {fit} at a time would fit")),
                (said, wanted) => said.is_none() && wanted.is_none(),
            };
            assert!(is_as_wanted, "{runs} runs, {wanted:?}: {found:?}");
        }
    }

    #[test]
    fn trials_that_share_one_frozen_part_are_not_refused_although_they_fit() {
        let gibibytes = |count: u64| count << 30;
        for (runs, kept, own, machine, wanted) in [
            // one copy for all of them, 34: what each could keep of its own, 40, is warned of and refuses nothing
            (6, 10, 4, 24, Some(false)),
            (4, 10, 3, 24, Some(false)),
            // with one copy alone it is beyond
            (7, 10, 4, 24, Some(true)),
            (2, 4, 4, 24, None),
        ] {
            let [kept, own, process, kept_together] = [kept, own, 0, 16].map(gibibytes);
            let total = kept + own;
            let estimate = MemoryEstimate { process, kept, kept_together, own, total, ..MemoryEstimate::default() };
            let together = Together { runs, others: 0, kept: 0 };
            let found = memory_finding(Ok(&estimate), Some(gibibytes(machine)), MemoryCheck::Refuse, together);
            let refuses = found.as_ref().map(|found| !matches!(found, MemoryFinding::Warning(_)));
            assert_eq!(refuses, wanted, "{runs}: {found:?}");
            if let Some(MemoryFinding::Warning(said)) = found {
                assert!(said.contains("no more than 10.00 GiB where all keep the same"), "{said}");
            }
        }
    }

    #[test]
    fn what_to_do_is_about_what_takes_most() {
        let part = 4 << 30;
        let usual = MemoryEstimate { total: part, ..MemoryEstimate::default() };
        for (estimate, wanted) in [
            (MemoryEstimate { activations: part, ..usual }, ["computed values (4.00 GiB)", "`data.batch`"]),
            (MemoryEstimate { weights: part, ..usual }, ["weights (4.00 GiB)", "a smaller model"]),
            (
                MemoryEstimate { training_state: part, ..usual },
                ["optimizer (4.00 GiB)", "in eight bits (`adamw_8bit`, `lion_8bit`, …)"],
            ),
            (MemoryEstimate { saving: part, ..usual }, ["saving (4.00 GiB)", "LoRA"]),
            (MemoryEstimate { stream: part, ..usual }, ["data (4.00 GiB)", "`data.memory`"]),
            (MemoryEstimate { kept: part, ..usual }, ["frozen part (4.00 GiB)", "`recomputed`"]),
        ] {
            let found = memory_finding(Ok(&estimate), Some(1 << 30), MemoryCheck::Refuse, Together::ALONE);
            let Some(MemoryFinding::Problem(message)) = found else { panic!("{found:?}") };
            for part in wanted.into_iter().chain(["about 4.00 GiB", "there are 1.00 GiB", "memory_check: warn"]) {
                assert!(message.contains(part), "wanted: {part}\n   got: {message}");
            }
        }
    }

    #[test]
    fn a_run_whose_memory_cannot_be_told_does_not_go_on_without_a_word() {
        let error = || CompilerError::Selection("too large to be counted".into());
        for policy in [MemoryCheck::Refuse, MemoryCheck::Warn] {
            let mut warnings = Vec::new();
            let mut events = |event: &Event| {
                if let Event::Warning { message } = event {
                    warnings.push(message.clone());
                }
            };
            require_memory(policy, DeviceKind::Cuda(0), || Err(error()), Together::ALONE, &mut events).unwrap();
            let ran = require_memory(policy, DeviceKind::Cpu, || Err(error()), Together::ALONE, &mut events);
            let refused = ran.err().map(|error| error.to_string());
            let (said, wanted) = match policy {
                MemoryCheck::Refuse => (refused.as_slice(), "`training.memory_check: warn` goes on"),
                MemoryCheck::Warn => (warnings.as_slice(), "cannot be told"),
            };
            let [said] = said else { panic!("{policy:?}: {said:?}") };
            assert!(said.contains("cannot be told: too large to be counted") && said.contains(wanted), "{said}");
            assert_eq!(warnings.len(), usize::from(policy == MemoryCheck::Warn), "{warnings:?}");
        }
    }
}
