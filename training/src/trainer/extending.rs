//! A run that goes on from a checkpoint with other settings than it had.

use millstream_compiler::TrainingProgram;
use millstream_runtime::Device;
use millstream_schemas::Fingerprint;

use super::Trainer;
use crate::TrainingError;
use crate::checkpoint::{Checkpoint, SavedParameter, SavedState};
use crate::optimizers::{Averaging, StateTensor, StateValues, WEIGHT_AVERAGE};
use crate::resume_check::{Differing, require_same};
use crate::session::StepRunner;
use crate::settings::{AVERAGED_STATES, AVERAGING, MAY_CHANGE, MEASURED, RECIPE, SCHEDULE, TrainerSettings};

impl Trainer {
    /// As [`Trainer::resume`], where some settings may be others than the checkpoint has: how long the run is, the optimizer's
    /// options, schedule, clipping, penalties, factors on rates, averages, evaluations, metrics beside the one that decides, and when it
    /// ends early. They hold from the next step on. A schedule is taken up where as many of its steps are done; one that
    /// follows evaluations begins with the next of these, and so does an average that was not kept before. `earlier`:
    /// fingerprints that the settings may have in the checkpoint.
    ///
    /// # Errors
    /// As [`Trainer::resume`]; the optimizer would have to remember what it does not know of the steps before, another figure
    /// decides, or an average counts epochs that are over.
    pub fn extend(
        program: &TrainingProgram,
        device: &Device,
        settings: TrainerSettings,
        mut checkpoint: Checkpoint,
        earlier: &[Fingerprint],
    ) -> Result<Self, TrainingError> {
        settings.check(program)?;
        let settings = settings.watching();
        let runner = StepRunner::open(program, device, &settings.step)?;
        let differing = settings.differing(&runner, &checkpoint.manifest);
        for Differing { name, saved, now } in &differing {
            let may_change = match name.as_str() {
                RECIPE => earlier.iter().any(|earlier| earlier.0 == *saved),
                name => MAY_CHANGE.contains(&name),
            };
            if !may_change {
                require_same(&checkpoint.path, name, saved, now)?;
            }
        }
        let decides = &settings.metrics.decides().name;
        require_same(&checkpoint.path, "the figure that decides", &checkpoint.manifest.history.decides.name, decides)?;
        let changed = |name: &str| differing.iter().find(|differing| differing.name == name);
        let averaging = changed(AVERAGING).map(|differing| differing.saved.as_str());
        if averaging.is_some() {
            require_ahead(settings.step.averaging, checkpoint.manifest.resume.epoch)?;
            // ends of epochs that are over are in no average of these settings
            (checkpoint.manifest.averaged, checkpoint.state.averaged) = (Some(0), 0);
        }
        let begins_anew = averaging.is_some_and(|saved| !is_alike(settings.step.averaging, saved));
        take_state(&runner, &mut checkpoint, begins_anew, &differing)?;
        let history = &mut checkpoint.manifest.history;
        if changed(SCHEDULE).is_some() {
            history.plateau = None;
        }
        if changed(MEASURED).is_some() {
            history.figures = settings.metrics.figures();
        }
        if changed(AVERAGED_STATES).is_some() {
            (history.averaged, history.reestimated) = (None, None);
            checkpoint.manifest.kept.clear();
            checkpoint.kept.clear();
            (checkpoint.exported, checkpoint.last) = (None, None);
        }
        let mut this = Self::at(runner, settings, checkpoint)?;
        this.note_early_end();
        Ok(this)
    }
}

/// Refuses an average of epochs that are over in part.
fn require_ahead(averaging: Option<Averaging>, epoch: u64) -> Result<(), TrainingError> {
    match averaging {
        Some(Averaging::Equal { from_epoch }) if from_epoch < epoch => Err(TrainingError::Setting {
            name: "training.average.swa.from",
            value: format!("{from_epoch} epochs before"),
            wanted: "a share that leaves out the epochs that are over: their weights are not kept",
        }),
        _ => Ok(()),
    }
}

/// Whether a checkpoint has an average of this kind, which goes on.
fn is_alike(averaging: Option<Averaging>, saved: &str) -> bool {
    let kind = match averaging {
        Some(Averaging::Exponential { .. }) => "{\"exponential\"",
        Some(Averaging::Equal { .. }) => "{\"equal\"",
        None => return false,
    };
    saved.starts_with(kind)
}

/// What of [`MAY_CHANGE`] decides which numbers are remembered of each parameter.
const REMEMBERED: [&str; 3] = ["the optimizer", "the penalties", AVERAGING];

/// Orders what the optimizer remembers as it does now. An average that is new begins with the weights as they are, what is not
/// needed any more is dropped, and all else must be there.
///
/// # Errors
/// Something is not there: named by the setting among `differing` that it follows from.
fn take_state(
    runner: &StepRunner,
    checkpoint: &mut Checkpoint,
    begins_anew: bool,
    differing: &[Differing],
) -> Result<(), TrainingError> {
    let entries = &runner.manifest().parameters;
    let list = |names: Vec<&str>| names.join(", ");
    let saved = list(checkpoint.manifest.parameters.iter().map(|saved| saved.name.as_str()).collect());
    let now = list(entries.iter().map(|entry| entry.name.as_str()).collect());
    require_same(&checkpoint.path, "what is trained", &saved, &now)?;
    for (at, wanted) in runner.state_tensors().iter().enumerate() {
        let SavedParameter { state: saved, .. } = &checkpoint.manifest.parameters[at];
        let (Some(values), Some(parameter)) = (checkpoint.state.tensors.get(at), checkpoint.parameters.get(at)) else {
            continue;
        };
        let found = |tensor: &StateTensor| -> Option<StateValues> {
            if begins_anew && tensor.name == WEIGHT_AVERAGE {
                return Some(StateValues::F32(parameter.clone()));
            }
            let fits = |saved: &SavedState| {
                saved.name == tensor.name && saved.shape == tensor.shape && saved.dtype == tensor.start.dtype()
            };
            values.get(saved.iter().position(fits)?).cloned()
        };
        match wanted.iter().map(found).collect() {
            Some(ordered) => checkpoint.state.tensors[at] = ordered,
            None => {
                let decides = |own: &&Differing| REMEMBERED.contains(&own.name.as_str());
                if let Some(Differing { name, saved, now }) = differing.iter().find(decides) {
                    require_same(&checkpoint.path, name, saved, now)?;
                }
                let saved = list(saved.iter().map(|saved| saved.name.as_str()).collect());
                let now = list(wanted.iter().map(|tensor| tensor.name).collect());
                let what = format!("what the optimizer remembers of `{}`", entries[at].name);
                return Err(TrainingError::ResumeMismatch { path: checkpoint.path.clone(), what, saved, now });
            }
        }
    }
    Ok(())
}
