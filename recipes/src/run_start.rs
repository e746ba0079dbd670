//! How a run comes into being: its folder is reserved, then everything is opened, and only then an earlier run is given up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use millstream_runtime::{Device, DeviceKind, DeviceRequest};
use millstream_schemas::{Fingerprint, TensorRole, shown_path};
use millstream_training::checkpoint::{self, Checkpoint};
use millstream_training::{CheckpointSettings, EarlyStopping, StepSettings, Trainer, TrainerSettings};
use serde_json::Value;

use crate::adapter_output;
use crate::check::Findings;
use crate::compiled::RunPlan;
use crate::earlier_fingerprints::{of_recipe, renew};
use crate::frozen_prefix::{PrefixStore, RunPrefix};
use crate::locked_folder::LockedFolder;
use crate::made_of::{MEMORY, MadeOf};
use crate::memory_check::require_memory;
use crate::noted_files::NotedFiles;
use crate::origin::Origin;
use crate::precision::in_precision;
use crate::results;
use crate::run::Run;
use crate::run_folder::{RunFolder, adapter_sources, make_place_for};
use crate::run_logs;
use crate::run_parts::{RunParts, require_ahead};
use crate::run_state::RunState;
use crate::runs_memory::Together;
use crate::setting_changes::{SettingChanges, at};
use crate::step_settings::{loop_settings, step_settings};
use crate::stream::Stream;
use crate::unless_stopped::unless_stopped;
use crate::{Compiled, Event, Events, Opened, RecipeError, Resources, RowSource, StartMode, Stop, freezing};

/// How a run is started, apart from the recipe.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Whether it is new.
    pub start: StartMode,
    /// Write the compiled graphs and their manifest as well.
    pub keep_graph: bool,
    /// What it shares with other runs; without, it has its own of everything.
    pub resources: Option<Resources>,
    /// The ONNX Runtime library, instead of the one that would be found; that of the resources where it shares any.
    pub library: Option<PathBuf>,
}

/// An output folder that is a run's from here on.
pub(crate) struct Reserved {
    folder: RunFolder,
    locked: LockedFolder,
    made_of: MadeOf,
    start: StartMode,
    /// Of one that goes on.
    changed: Option<SettingChanges>,
}

impl Compiled {
    /// Starts a run; the first step is made when it is advanced.
    ///
    /// # Errors
    /// Another process or run writes in the output folder, it does not hold what `start` says, the device cannot be had, it would
    /// hold far more memory than there is, or what is shared does not suffice; nothing was written or replaced then.
    pub fn run(&self, options: &RunOptions, events: &mut dyn Events) -> Result<Run, RecipeError> {
        self.run_unless(&Stop::default(), options, events)
    }

    /// As [`Compiled::run`]; [`RecipeError::Stopped`] when it was asked to stop before the run began.
    pub(crate) fn run_unless(
        &self,
        stop: &Stop,
        options: &RunOptions,
        events: &mut dyn Events,
    ) -> Result<Run, RecipeError> {
        let began = Instant::now();
        let reserved = Reserved::reserve(self.opened(), options.start)?;
        reserved.tell(self.opened(), self.findings(), options, events)?;
        let device = options.device(self.opened())?;
        // As if opening and compiling had been done just before.
        let began = began.checked_sub(self.took()).unwrap_or(began);
        reserved.start(self, device, options, events, (began, stop))
    }
}

impl RunOptions {
    /// The device that the recipe asks for.
    pub(crate) fn device(&self, opened: &Opened) -> Result<Device, RecipeError> {
        let device = match &self.resources {
            Some(resources) => resources.device(&opened.recipe)?,
            None => {
                let runtime = millstream_runtime::ready(self.library.as_deref())?;
                Device::resolve(opened.recipe.training.device.parse::<DeviceRequest>()?, runtime)?
            }
        };
        in_precision(device, opened.recipe.training.precision)
    }
}

impl Reserved {
    /// Keeps others out of the output folder, which must hold what `start` says.
    pub(crate) fn reserve(opened: &Opened, start: StartMode) -> Result<Self, RecipeError> {
        let folder = RunFolder(opened.recipe.output.folder.clone());
        folder.require_outside(opened)?;
        run_logs::require_writable(opened)?;
        let locked = folder.lock()?;
        match start {
            StartMode::New => folder.require_free(&run_logs::files(&folder, &opened.catalogs))?,
            StartMode::Overwrite => folder.require_replaceable(&run_logs::files(&folder, &opened.catalogs))?,
            StartMode::Resume | StartMode::Extend => {}
        }
        let made_of = made_of(opened)?;
        let changed = match start {
            StartMode::Resume => Some(folder.require_same(&opened.recipe, &made_of, &opened.catalogs)?),
            StartMode::Extend => Some(folder.require_same_run(&opened.recipe, &made_of, &opened.catalogs)?),
            StartMode::New | StartMode::Overwrite => None,
        };
        Ok(Self { folder, locked, made_of, start, changed })
    }

    /// Tells what deserves a look before anything is compiled.
    pub(crate) fn tell(
        &self,
        opened: &Opened,
        found: &Findings,
        options: &RunOptions,
        events: &mut dyn Events,
    ) -> Result<(), RecipeError> {
        let shared = options.resources.as_ref().map(Resources::streams);
        let of_stream = opened.train_stream(shared)?.warnings(&opened.train.dataset)?;
        for message in self.locked.warning().iter().chain(&found.warnings).chain(&found.shared_rows).chain(&of_stream) {
            events.event(&Event::Warning { message: message.clone() });
        }
        Ok(())
    }

    /// Opens what a run needs and begins it.
    pub(crate) fn start(
        self,
        compiled: &Compiled,
        device: Device,
        options: &RunOptions,
        events: &mut dyn Events,
        (began, stop): (Instant, &Stop),
    ) -> Result<Run, RecipeError> {
        let Self { folder, locked, made_of, start, changed } = self;
        let (opened, program) = (compiled.opened(), compiled.program());
        let recipe = &opened.recipe;
        let of_runs = options.resources.as_ref().map(Resources::memory);
        let of_another = |shared: &Resources| shared.memory().with_another(shared.prefixes().memory());
        let together = options.resources.as_ref().map_or(Together::ALONE, of_another);
        require_memory(recipe.training.memory_check, device.kind, || compiled.memory(), together, events)?;
        let held = of_runs.filter(|_| device.kind == DeviceKind::Cpu).and_then(|runs| {
            let memory = compiled.memory().ok()?;
            Some(runs.hold(memory.own))
        });
        let mut checkpoint = match start {
            StartMode::Resume | StartMode::Extend => newest_checkpoint(&folder, events)?,
            StartMode::New | StartMode::Overwrite => None,
        };
        let parts = match (&changed, &checkpoint) {
            (Some(changed), Some(Checkpoint { manifest, .. })) => {
                let parts = RunParts::of_run(&folder)?.going_on(changed, manifest.step, manifest);
                if !parts.is_empty() {
                    require_ahead(opened, manifest)?;
                }
                parts
            }
            _ => RunParts::default(),
        };
        make_place_for(recipe)?;
        let shared = options.resources.as_ref().map(Resources::streams);
        let joint = options.resources.as_ref().map(Resources::joint);
        let store =
            || options.resources.as_ref().map_or_else(|| PrefixStore::new(u64::MAX), |own| own.prefixes().clone());
        let usual = opened.train_stream(shared)?;
        let RunPlan { plan, was_kept, note } = compiled.run_plan(checkpoint.as_ref().map(|own| &own.manifest))?;
        let prefix = match &plan {
            Some(plan) => {
                let around = (shared, was_kept);
                RunPrefix::open(Arc::clone(plan), store(), (opened, &device), around, &mut *events, stop)?
            }
            None => None,
        };
        let of_rows = match &prefix {
            Some(prefix) => prefix.train_stream(opened, usual)?,
            None => usual,
        };
        let serving = prefix.as_ref().map(|prefix| prefix.training(opened));
        if let Some(Checkpoint { manifest, .. }) = &mut checkpoint {
            let memory = changed.as_ref().map_or(&Value::Null, |changed| at(&changed.then, MEMORY));
            renew(manifest, (recipe, memory), &opened.catalogs.definitions(), &of_rows);
        }
        let from = checkpoint.as_ref().map(|checkpoint| &checkpoint.manifest.resume);
        let stream = Stream::open(joint, &opened.train.dataset, of_rows, from)?.serving(serving);
        let settings = trainer_settings(compiled, &folder)?;
        let (of_program, on, kept) = (compiled.clone(), device.clone(), plan.clone().filter(|_| prefix.is_some()));
        let earlier = (!parts.is_empty()).then(|| parts.earlier());
        let trainer = unless_stopped(stop, move || {
            // steps and evaluations are of all, or of what follows the frozen prefix
            let run_program = kept.as_ref().map_or_else(|| of_program.program(), |plan| plan.prefix.program());
            Ok(match (checkpoint, earlier, start) {
                (Some(checkpoint), Some(earlier), _) => {
                    Trainer::extend(run_program, &on, settings, checkpoint, &earlier)?
                }
                (Some(checkpoint), None, _) => Trainer::resume(run_program, &on, settings, checkpoint)?,
                (None, _, StartMode::Overwrite) => Trainer::open_replacing(run_program, &on, settings)?,
                (None, _, StartMode::New | StartMode::Resume | StartMode::Extend) => {
                    Trainer::open(run_program, &on, settings)?
                }
            })
        })?;
        // Everything is opened: an earlier run is not given up for one that cannot begin.
        if start == StartMode::Overwrite {
            folder.clear(&run_logs::files(&folder, &opened.catalogs))?;
        }
        // killed in between, it is the recipe that holds; so parts go last where there are none any more
        if !parts.is_empty() {
            parts.write(&folder)?;
        }
        folder.note(recipe, &made_of, &opened.catalogs)?;
        if parts.is_empty() {
            parts.write(&folder)?;
        }
        if changed.as_ref().is_some_and(|changed| !changed.changes.is_empty()) && !trainer.is_finished() {
            // the record of the run as it was is not one of what goes on
            folder.forget_record()?;
        }
        if !start.goes_on() {
            Origin::now(opened, &device).write(&folder)?;
        }
        if options.keep_graph {
            results::write_graph(&folder, program)?;
        }
        let logs = run_logs::open(opened, &folder, &trainer).inspect_err(|_| {
            if start == StartMode::New {
                // Nothing is to be in the way of the next try.
                let _ = folder.forget(&run_logs::files(&folder, &opened.catalogs));
            }
        })?;
        let decides = opened.metrics.decides().name.clone();
        let measured_before = trainer.history().start.as_ref();
        let start_figure = measured_before.and_then(|before| before.figures.get(&decides));
        events.event(&Event::Started {
            folder: folder.0.clone(),
            device: device.kind.to_string(),
            device_reason: device.reason.clone(),
            rows: opened.train.dataset.rows(),
            classes: opened.train.classes().len(),
            figures: opened.metrics.figures(),
            decides,
            trained: program.trained,
            frozen: program.frozen,
            total_steps: trainer.total_steps(),
            steps_per_epoch: opened.steps_per_epoch(),
            epochs: recipe.training.epochs,
            steps_done: trainer.history().steps,
            start: start_figure,
        });
        let of_adapters = adapter_output::notes(program, &recipe.output.adapter_files);
        let of_statistics = opened.statistics_note();
        let notes = opened.notes.iter().chain(&of_statistics).chain(&program.notes).chain(&of_adapters);
        let of_change = changed.filter(|changed| !changed.changes.is_empty()).and_then(|_| of_change(&trainer, &parts));
        // where there is no room for what would be kept, that was told
        let is_as_noted = prefix.as_ref().map_or(plan.is_none(), RunPrefix::keeps);
        let of_prefix = note.as_ref().filter(|_| is_as_noted);
        for message in notes.chain(of_prefix).chain(&of_change) {
            events.event(&Event::Note { message: message.clone() });
        }
        // One without a step fails when it is advanced.
        let is_finished = trainer.is_finished() && trainer.history().steps > 0;
        Ok(Run {
            compiled: compiled.clone(),
            folder,
            device,
            start,
            resources: options.resources.clone(),
            trainer,
            parts,
            logs,
            stream,
            prefix,
            opening: began.elapsed(),
            state: if is_finished { RunState::Finished } else { RunState::UnderWay },
            boxes_left_out: 0,
            stop: Stop::default(),
            _held: held,
            _locked: locked,
        })
    }
}

/// What is told of a run that goes on with other settings.
fn of_change(trainer: &Trainer, parts: &RunParts) -> Option<String> {
    let told = parts.parts().last()?.told();
    Some(match trainer.is_finished() {
        true => format!("{told}. By these it is at its end already"),
        false => format!("{told}. The next step has the learning rate {}", trainer.learning_rate()),
    })
}

/// Fingerprints of what a run is made of.
pub(crate) fn made_of(opened: &Opened) -> Result<MadeOf, RecipeError> {
    Ok(MadeOf {
        model: opened.model.fingerprint().clone(),
        train: targets_fingerprint(&opened.train)?,
        evaluate: opened.evaluate.as_ref().map(targets_fingerprint).transpose()?,
        adapters: adapters_fingerprint(opened)?,
        sets: opened
            .sets
            .iter()
            .map(|(name, source)| Ok((name.clone(), targets_fingerprint(source)?)))
            .collect::<Result<_, RecipeError>>()?,
        files: noted_files(opened),
    })
}

/// By their places in the recipe.
fn noted_files(opened: &Opened) -> BTreeMap<String, NotedFiles> {
    let main = [("data.train", Some(&opened.train)), ("data.evaluate", opened.evaluate.as_ref())];
    let main = main.into_iter().filter_map(|(place, source)| Some((place.to_owned(), source?)));
    let sets = opened.sets.iter().map(|(name, source)| (format!("evaluation.sets.{name}"), source));
    main.chain(sets).map(|(place, source)| (place, NotedFiles::of(&source.dataset))).collect()
}

/// Of the files of adapters that training starts from; nothing where it starts from none.
fn adapters_fingerprint(opened: &Opened) -> Result<Option<Fingerprint>, RecipeError> {
    let mut bytes = Vec::new();
    let sources = adapter_sources(&opened.recipe);
    for path in &sources {
        bytes.extend(std::fs::read(path).map_err(RecipeError::io("read", path))?);
    }
    Ok((!sources.is_empty()).then(|| Fingerprint::of_bytes(&bytes)))
}

/// Of the rows, their targets included.
fn targets_fingerprint(source: &RowSource) -> Result<Fingerprint, RecipeError> {
    Ok(source.dataset.fingerprint_with(&source.encoders.columns_of(TensorRole::Target))?)
}

/// The newest whole checkpoint; `None` when the run was killed before it wrote one: then it simply starts again.
fn newest_checkpoint(folder: &RunFolder, events: &mut dyn Events) -> Result<Option<Checkpoint>, RecipeError> {
    let newest = checkpoint::load_newest(&folder.checkpoints())?;
    for skipped in &newest.skipped {
        let message = format!("{} is not whole and is passed over: {}", shown_path(&skipped.path), skipped.reason);
        events.event(&Event::Warning { message });
    }
    match (newest.checkpoint, newest.skipped.first()) {
        (Some(checkpoint), _) => Ok(Some(checkpoint)),
        (None, Some(skipped)) => {
            let (newest, reason) = (skipped.path.clone(), skipped.reason.clone());
            Err(RecipeError::NoWholeCheckpoint { folder: folder.0.clone(), newest, reason })
        }
        (None, None) if folder.model().exists() => Err(RecipeError::CheckpointsGone { folder: folder.0.clone() }),
        (None, None) => {
            let message = "the run has no checkpoint yet; it starts from its first step".into();
            events.event(&Event::Warning { message });
            Ok(None)
        }
    }
}

/// How the run of a folder goes.
pub(crate) fn trainer_settings(compiled: &Compiled, folder: &RunFolder) -> Result<TrainerSettings, RecipeError> {
    let opened = compiled.opened();
    let training = &opened.recipe.training;
    let run = opened.whole_length();
    let freezing = freezing::plan(compiled.program(), training, run)?;
    Ok(TrainerSettings {
        step: StepSettings { freezing, ..step_settings(&opened.recipe, &opened.optimizer, run) },
        schedule: opened.schedule.clone(),
        epochs: training.epochs,
        batches_per_epoch: opened.batches_per_epoch(),
        accumulate: training.accumulate,
        early_stopping: training
            .early_stopping
            .map(|rule| EarlyStopping { patience: rule.patience, least_gain: rule.least_gain }),
        loop_settings: loop_settings(&opened.recipe),
        classes: opened.train.classes().to_vec(),
        metrics: opened.metrics.clone(),
        checkpoints: Some(CheckpointSettings {
            folder: folder.checkpoints(),
            every_steps: opened.recipe.output.checkpoint.every_steps,
            keep: opened.recipe.output.checkpoint.keep,
        }),
        fingerprint: of_recipe(&opened.recipe, &opened.catalogs.definitions()),
    })
}
