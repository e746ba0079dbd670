use std::path::{Path, PathBuf};
use std::time::Instant;

use millstream_compiler::{TrainingProgram, compile};
use millstream_pipeline::{Batches, Beside, StreamCounters, StreamOptions};
use millstream_schemas::{Batch, Fingerprint, Recipe, shown_path};
use millstream_training::checkpoint::{self, Checkpoint};
use millstream_training::record::Timing;
use millstream_training::{
    BatchSource, BoxError, CheckpointSettings, Device, DeviceRequest, Ending, Evaluation, EvaluationBatches, RunRecord,
    StepSettings, Trainer, TrainerSettings, report, runtime,
};
use serde::Serialize;

use crate::run_folder::{MadeOf, RunFolder, fixed};
use crate::{Event, Events, Plan, RecipeError, Stop, plan};

/// Whether a run is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartMode {
    /// New; the output folder must not hold a run.
    #[default]
    New,
    /// New; a run in the output folder is deleted.
    Overwrite,
    /// Goes on from the newest whole checkpoint in the output folder.
    Resume,
}

/// How to train, apart from the recipe.
#[derive(Clone, Debug, Default)]
pub struct TrainOptions {
    /// Whether the run is new.
    pub start: StartMode,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// Write the compiled graphs and their manifest as well.
    pub keep_graph: bool,
}

/// How a run went.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// Folder of the results.
    pub folder: PathBuf,
    /// Whether it was interrupted; then `checkpoint` is where it goes on.
    pub interrupted: bool,
    /// The newest checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// The tuned model.
    pub model: Option<PathBuf>,
    /// Steps done.
    pub steps: u64,
    /// The epoch whose weights were exported, from 1; `None` for those of the last step.
    pub epoch: Option<u64>,
    /// How good the exported model is.
    pub evaluation: Option<Evaluation>,
    /// Class names in the order of the scores.
    pub classes: Vec<String>,
    /// Numbers that were trained.
    pub trained: usize,
    /// Numbers that stayed as they were.
    pub frozen: usize,
    /// Different damaged rows that this process left out.
    pub skipped: u64,
    /// Where the seconds of the steps went.
    pub timing: Timing,
    /// Seconds until everything was opened and compiled, before the first batch was waited for.
    pub opening: f64,
    /// Most bytes that the process held at a time, where the system tells (Linux).
    pub peak_memory: Option<u64>,
}

/// Trains as the recipe says and writes the results into its output folder.
///
/// # Errors
/// Something is missing or does not fit or the folder is in use (before anything is written or replaced), a row is damaged
/// under the policy `fail`, or the loss is not finite; then the newest checkpoint and the curves so far are there.
pub fn train(
    recipe: &Recipe,
    options: &TrainOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<RunSummary, RecipeError> {
    let began = Instant::now();
    let plan = plan(recipe)?;
    let folder = RunFolder(recipe.output.folder.clone());
    let made_of = made_of(&plan)?;
    match options.start {
        StartMode::New => folder.require_free()?,
        StartMode::Resume => folder.require_same(recipe, &made_of)?,
        StartMode::Overwrite => {}
    }
    let runtime = runtime::ready(options.library.as_deref())?;
    let device = Device::resolve(recipe.training.device.parse::<DeviceRequest>()?, runtime)?;
    let program = compile(&plan.model, &plan.fine_tuning())?;
    let checkpoint = match options.start {
        StartMode::Resume => newest_checkpoint(&folder, events)?,
        StartMode::New | StartMode::Overwrite => None,
    };
    let from = checkpoint.as_ref().map(|checkpoint| &checkpoint.manifest.resume);
    let mut stream = Stream::open(&plan.train.dataset, plan.train_stream()?, from)?;
    // All that the recipe names was opened: an earlier run is not given up for one that cannot begin.
    if options.start == StartMode::Overwrite {
        folder.clear()?;
    }
    folder.note(recipe, &made_of)?;
    if options.keep_graph {
        write_graph(&folder, &program)?;
    }
    let settings = trainer_settings(&plan, &folder);
    let mut trainer = match checkpoint {
        Some(checkpoint) => Trainer::resume(&program, &device, settings, checkpoint)?,
        None => Trainer::open(&program, &device, settings)?,
    };
    events.event(&Event::Started {
        folder: folder.0.clone(),
        device: device.to_string(),
        rows: plan.train.dataset.rows(),
        classes: plan.train.columns.classes.len(),
        trained: program.trained,
        frozen: program.frozen,
        total_steps: trainer.total_steps(),
        steps_per_epoch: plan.steps_per_epoch(),
        steps_done: trainer.history().steps,
    });
    let opening = began.elapsed().as_secs_f64();
    let ran = run(&plan, &mut trainer, &mut stream, events, stop);
    let counters = stream.0.counters();
    let notes = notes(&plan, &trainer, &counters);
    for message in &notes {
        events.event(&Event::Warning { message: message.clone() });
    }
    let mut record = record(&plan, &program, &device, runtime.version(), &trainer, notes);
    let interrupted = match &ran {
        Ok(Ending::Finished) if record.history.steps == 0 => {
            return Err(RecipeError::mismatch("data.train", "no row has a class: the labels are all −1"));
        }
        Ok(Ending::Finished) => {
            export(&plan, &folder, &program, &trainer)?;
            false
        }
        stopped => {
            // After an error too: the curves say what went wrong.
            record.ending = if stopped.is_ok() { "interrupted".into() } else { "failed".into() };
            record.evaluation = None;
            true
        }
    };
    record.write(&folder.metrics())?;
    report::write(&folder.report(), &record.title, std::slice::from_ref(&record))?;
    ran?;
    Ok(RunSummary {
        interrupted,
        checkpoint: trainer.newest_checkpoint().map(Path::to_owned),
        model: (!interrupted).then(|| folder.model()),
        steps: trainer.history().steps,
        epoch: trainer.history().best.filter(|_| !interrupted).map(|best| best.epoch + 1),
        evaluation: record.evaluation,
        classes: record.classes,
        trained: program.trained,
        frozen: program.frozen,
        skipped: counters.damaged_rows,
        timing: trainer.history().timing,
        opening,
        peak_memory: peak_memory(),
        folder: folder.0,
    })
}

/// Most bytes that this process held at a time, as Linux counts them.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What is worth knowing of a run beside its figures.
fn notes(plan: &Plan, trainer: &Trainer, counters: &StreamCounters) -> Vec<String> {
    let mut notes = Vec::new();
    let StreamCounters { damaged_rows, skipped, .. } = counters;
    if *damaged_rows > 0 {
        notes.push(format!("{damaged_rows} damaged rows were left out of training ({skipped} times in all epochs)"));
    }
    if let (Some(source), Some(evaluation)) = (&plan.evaluate, trainer.history().best_evaluation()) {
        let (rows, total) = (evaluation.rows, source.dataset.rows());
        if rows < total {
            notes.push(format!("evaluated on {rows} of {total} rows: the others have no class or are damaged"));
        }
    }
    notes
}

fn made_of(plan: &Plan) -> Result<MadeOf, RecipeError> {
    let path = plan.model.path();
    let model = std::fs::read(path).map_err(RecipeError::io("read", path))?;
    Ok(MadeOf {
        model: Fingerprint::of_bytes(&model),
        train: plan.train.dataset.fingerprint_with_labels(&plan.train.columns)?,
        evaluate: plan
            .evaluate
            .as_ref()
            .map(|source| source.dataset.fingerprint_with_labels(&source.columns))
            .transpose()?,
    })
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
            let reason = format!("{}: {}", shown_path(&skipped.path), skipped.reason);
            Err(RecipeError::NothingToResume { folder: folder.0.clone(), reason })
        }
        (None, None) => {
            let message = "the run has no checkpoint yet; it starts from its first step".into();
            events.event(&Event::Warning { message });
            Ok(None)
        }
    }
}

fn trainer_settings(plan: &Plan, folder: &RunFolder) -> TrainerSettings {
    let training = &plan.recipe.training;
    TrainerSettings {
        step: StepSettings {
            optimizer: training.optimizer.clone(),
            gradient_clip_norm: training.gradient_clip_norm,
            threads: training.threads,
        },
        schedule: training.schedule,
        epochs: training.epochs,
        batches_per_epoch: plan.steps_per_epoch(),
        classes: plan.train.columns.classes.clone(),
        checkpoints: Some(CheckpointSettings {
            folder: folder.checkpoints(),
            every_steps: plan.recipe.output.checkpoint.every_steps,
            keep: plan.recipe.output.checkpoint.keep,
        }),
        fingerprint: Fingerprint::of(&fixed(&plan.recipe)),
    }
}

fn run(
    plan: &Plan,
    trainer: &mut Trainer,
    stream: &mut Stream,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Ending, RecipeError> {
    let total = plan.evaluate.as_ref().map_or(0, |source| source.dataset.rows());
    let mut step = trainer.history().steps;
    let mut observer = |event: &millstream_training::Event<'_>| {
        if let Some(event) = translate(event, &mut step, total) {
            events.event(&event);
        }
    };
    let stopping = || stop.is_requested();
    let ending = match (&plan.evaluate, plan.evaluate_stream()) {
        (Some(source), Some(options)) => {
            // Training stands still meanwhile: both streams have one ceiling.
            let options = StreamOptions { beside: Beside::Stream(stream.0.monitor()), ..options };
            let mut open = || -> Result<Box<dyn BatchSource>, BoxError> {
                Ok(Box::new(Stream::open(&source.dataset, options.clone(), None)?))
            };
            let open: &mut EvaluationBatches<'_> = &mut open;
            trainer.run(stream, Some(open), &mut observer, &stopping)
        }
        _ => trainer.run(stream, None, &mut observer, &stopping),
    };
    Ok(ending?)
}

/// What the trainer says, in the words of this crate.
fn translate(event: &millstream_training::Event<'_>, steps: &mut u64, total: u64) -> Option<Event> {
    use millstream_training::Event as Told;
    Some(match event {
        Told::Step(told) => {
            *steps = told.step;
            Event::Step {
                step: told.step,
                epoch: told.epoch + 1,
                loss: told.loss,
                learning_rate: told.learning_rate,
                samples_per_second: told.samples_per_second,
                batches_waiting: told.batches_waiting.unwrap_or(0),
                seconds_left: told.seconds_left,
            }
        }
        Told::EvaluationBatch { rows } => Event::Evaluating { rows: *rows, total },
        Told::Evaluated { epoch, evaluation, best } => Event::Evaluated {
            step: *steps,
            epoch: epoch + 1,
            loss: evaluation.loss,
            accuracy: evaluation.accuracy,
            best: *best,
        },
        Told::Warning { message } => Event::Warning { message: message.to_string() },
        Told::CheckpointSaved { path, step, .. } => Event::Saved { checkpoint: path.to_path_buf(), step: *step },
        _ => return None,
    })
}

/// Batches of the pipeline as the trainer takes them.
pub(crate) struct Stream(pub(crate) Batches);

impl Stream {
    pub(crate) fn open(
        dataset: &millstream_pipeline::Dataset,
        options: StreamOptions,
        from: Option<&millstream_schemas::ResumePoint>,
    ) -> Result<Self, RecipeError> {
        Ok(Self(Batches::open(dataset, options, from)?))
    }
}

impl BatchSource for Stream {
    fn next_batch(&mut self) -> Option<Result<Batch, BoxError>> {
        self.0.next().map(|batch| batch.map_err(Into::into))
    }

    fn recycle(&mut self, batch: Batch) {
        self.0.recycle(batch);
    }

    fn waiting(&self) -> Option<usize> {
        Some(self.0.counters().batches_waiting)
    }
}

fn record(
    plan: &Plan,
    program: &TrainingProgram,
    device: &Device,
    version: &str,
    trainer: &Trainer,
    notes: Vec<String>,
) -> RunRecord {
    let history = trainer.history();
    let folder = plan.recipe.output.folder.file_name().unwrap_or_default();
    RunRecord {
        version: RunRecord::VERSION,
        title: folder.to_string_lossy().into_owned(),
        ending: "finished".into(),
        device: device.to_string(),
        onnx_runtime: version.into(),
        trained: program.trained as u64,
        frozen: program.frozen as u64,
        classes: plan.train.columns.classes.clone(),
        settings: settings(plan),
        notes,
        history: history.clone(),
        evaluation: history.best_evaluation().cloned(),
    }
}

/// The settings that a reader of the report asks for first.
fn settings(plan: &Plan) -> Vec<(String, String)> {
    let recipe = &plan.recipe;
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    let chain = |specs: &[millstream_schemas::recipe::TransformSpec]| {
        let specs: Vec<_> = specs.iter().map(|spec| json(serde_json::to_string(spec))).collect();
        if specs.is_empty() { "none".into() } else { specs.join(", ") }
    };
    let model = recipe.model.as_ref();
    let rows = [
        ("model", model.map(|model| model.path.display().to_string()).unwrap_or_default()),
        ("trained", model.map(|model| json(serde_json::to_string(&model.train))).unwrap_or_default()),
        ("training data", recipe.data.train.to_string()),
        ("evaluation data", recipe.data.evaluate.as_ref().map_or_else(|| "none".into(), ToString::to_string)),
        ("batch", recipe.data.batch.to_string()),
        ("epochs", recipe.training.epochs.to_string()),
        ("optimizer", json(serde_json::to_string(&recipe.training.optimizer))),
        ("schedule", json(serde_json::to_string(&recipe.training.schedule))),
        ("seed", recipe.seed.to_string()),
        ("transforms in training", chain(&recipe.transforms.train)),
        ("transforms in evaluation", chain(&recipe.transforms.evaluate)),
    ];
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Writes `model.onnx` and `labels.txt`. The same run gives the same bytes: nothing of time or place is in them.
fn export(plan: &Plan, folder: &RunFolder, program: &TrainingProgram, trainer: &Trainer) -> Result<(), RecipeError> {
    let classes = &plan.train.columns.classes;
    let json = |value: serde_json::Result<String>| value.expect("lists of strings and transforms always serialize");
    let mut metadata = vec![
        ("labels".to_owned(), json(serde_json::to_string(classes))),
        ("millstream.preprocess".to_owned(), json(serde_json::to_string(&plan.recipe.transforms.evaluate))),
        ("millstream.steps".to_owned(), trainer.history().steps.to_string()),
    ];
    if let Some(best) = trainer.history().best {
        metadata.push(("millstream.epoch".to_owned(), (best.epoch + 1).to_string()));
        metadata.push(("millstream.accuracy".to_owned(), best.accuracy.to_string()));
    }
    let model = program.export(&trainer.best_parameters()?, &metadata)?;
    folder.write(&folder.model(), &model)?;
    // One name a line: a line break inside a name would shift all that follow.
    let lines: String = classes.iter().map(|name| name.replace(['\n', '\r'], " ") + "\n").collect();
    folder.write(&folder.labels(), lines.as_bytes())
}

fn write_graph(folder: &RunFolder, program: &TrainingProgram) -> Result<(), RecipeError> {
    std::fs::create_dir_all(folder.graph()).map_err(RecipeError::io("make", folder.graph()))?;
    let manifest = serde_json::to_vec_pretty(&program.manifest).expect("our own types have string keys");
    let contents = [&program.step[..], &program.evaluation[..], &manifest[..]];
    folder.graph_files().iter().zip(contents).try_for_each(|(file, bytes)| folder.write(file, bytes))
}
