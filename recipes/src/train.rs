use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use millstream_compiler::TrainingProgram;
use millstream_pipeline::{Batches, Beside, StreamCounters, StreamOptions};
use millstream_runtime::{Device, DeviceRequest};
use millstream_schemas::{Batch, Fingerprint, Recipe, TensorRole, count, shown_path};
use millstream_training::checkpoint::{self, Checkpoint};
use millstream_training::record::Timing;
use millstream_training::{
    BatchSource, BoxError, CheckpointSettings, Ending, EpochEvaluation, Evaluation, EvaluationBatches, FigureKind,
    RunRecord, StepSettings, Trainer, TrainerSettings, TrainingError, report,
};
use serde::Serialize;

use crate::check::{Findings, findings, left_out};
use crate::error::with_causes;
use crate::preprocessing::Preprocessing;
use crate::run_folder::{MadeOf, RunFolder, fixed, make_place_for};
use crate::{Catalogs, DataReport, Event, Events, Plan, RecipeError, RowSource, Stop, labels_file, plan};

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
    /// What the recipe can choose among.
    pub catalogs: Catalogs,
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
    /// What is known of the figures of an evaluation beside the loss, in order.
    pub figures: Vec<FigureKind>,
    /// How good the weights before the first step were.
    pub start: Option<EpochEvaluation>,
    /// Whether the exported model is better than these; `None` where one of them was not measured.
    pub better_than_start: Option<bool>,
    /// What is worth knowing beside the figures: a divergence, a model no better than before, rows that were left out.
    pub notes: Vec<String>,
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
/// Something is missing or does not fit, the data cannot be trained on, or another process writes in the folder (before
/// anything is written or replaced); a row is damaged under the policy `fail`, the loss is not finite, or no evaluation
/// was: then the newest checkpoint and the curves so far are there.
pub fn train(
    recipe: &Recipe,
    options: &TrainOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<RunSummary, RecipeError> {
    let began = Instant::now();
    let plan = plan(recipe, &options.catalogs)?;
    let folder = RunFolder(recipe.output.folder.clone());
    folder.require_outside(&plan)?;
    let locked = folder.lock()?;
    let made_of = match options.start {
        StartMode::New => {
            folder.require_free()?;
            made_of(&plan)?
        }
        StartMode::Overwrite => {
            folder.require_replaceable()?;
            made_of(&plan)?
        }
        StartMode::Resume => {
            let made_of = made_of(&plan)?;
            folder.require_same(recipe, &made_of)?;
            made_of
        }
    };
    let found = findings(&plan)?;
    let of_stream = plan.train_stream()?.warnings(&plan.train.dataset)?;
    for message in locked.warning().iter().chain(&found.warnings).chain(&of_stream) {
        events.event(&Event::Warning { message: message.clone() });
    }
    refuse_problems(&found)?;
    let runtime = millstream_runtime::ready(options.library.as_deref())?;
    let device = Device::resolve(recipe.training.device.parse::<DeviceRequest>()?, runtime)?;
    let program = plan.compile()?;
    let checkpoint = match options.start {
        StartMode::Resume => newest_checkpoint(&folder, events)?,
        StartMode::New | StartMode::Overwrite => None,
    };
    let from = checkpoint.as_ref().map(|checkpoint| &checkpoint.manifest.resume);
    make_place_for(recipe)?;
    let mut stream = Stream::open(&plan.train.dataset, plan.train_stream()?, from)?;
    let settings = trainer_settings(&plan, &folder);
    let mut trainer = match (checkpoint, options.start) {
        (Some(checkpoint), _) => Trainer::resume(&program, &device, settings, checkpoint)?,
        (None, StartMode::Overwrite) => Trainer::open_replacing(&program, &device, settings)?,
        (None, StartMode::New | StartMode::Resume) => Trainer::open(&program, &device, settings)?,
    };
    // Everything is opened: an earlier run is not given up for one that cannot begin.
    if options.start == StartMode::Overwrite {
        folder.clear()?;
    }
    folder.note(recipe, &made_of)?;
    if options.keep_graph {
        write_graph(&folder, &program)?;
    }
    events.event(&Event::Started {
        folder: folder.0.clone(),
        device: device.kind.to_string(),
        device_reason: device.reason.clone(),
        rows: plan.train.dataset.rows(),
        classes: plan.train.classes().len(),
        figures: plan.metrics.figures(),
        decides: plan.metrics.decides().name.clone(),
        trained: program.trained,
        frozen: program.frozen,
        total_steps: trainer.total_steps(),
        steps_per_epoch: plan.steps_per_epoch(),
        epochs: recipe.training.epochs,
        steps_done: trainer.history().steps,
    });
    for message in plan.notes.iter().chain(&program.notes) {
        events.event(&Event::Note { message: message.clone() });
    }
    let opening = began.elapsed().as_secs_f64();
    let ran = run(&plan, &found, &mut trainer, &mut stream, events, stop);
    let without_a_row = trainer.history().steps == 0 && matches!(ran, Ok(Ending::Finished));
    let ran =
        if without_a_row { Err(no_usable_row("data.train", &found.train, stream.skipped().as_ref())) } else { ran };
    let ran = match ran {
        Err(error) if options.start == StartMode::New && (without_a_row || !has_begun(&trainer)) => {
            // Nothing is to be in the way of the next try; the error at hand is more to the point than one of clearing up.
            let _ = folder.forget();
            return Err(error);
        }
        ran => ran,
    };
    let counters = stream.0.counters();
    let notes = notes(&plan, &found, &trainer, &counters);
    for message in &notes {
        events.event(&Event::Warning { message: message.clone() });
    }
    let mut record = record(&plan, &program, &device, runtime.version(), &trainer, notes);
    let interrupted = !matches!(ran, Ok(Ending::Finished));
    if interrupted {
        // After an error too: the curves say what went wrong.
        record.ending = if ran.is_ok() { "interrupted".into() } else { "failed".into() };
        record.evaluation = None;
    }
    let written = if interrupted { Ok(()) } else { export(&plan, &folder, &program, &trainer) };
    let written = written.and_then(|()| write_record(&folder, &record));
    if let Err(error) = written {
        if !interrupted {
            let checkpoint = trainer.newest_checkpoint().map(Path::to_owned);
            return Err(RecipeError::Results { checkpoint, source: Box::new(error) });
        }
        // What stopped the run, and where it goes on, is more to the point.
        let message = format!("the figures of the run so far could not be written: {}", with_causes(&error));
        events.event(&Event::Warning { message });
    }
    ran?;
    let measured = trainer.history().start.as_ref().and(record.evaluation.as_ref());
    Ok(RunSummary {
        start: trainer.history().start.clone(),
        better_than_start: measured.map(|evaluation| trainer.history().is_better_than_start(evaluation)),
        notes: record.notes.clone(),
        interrupted,
        checkpoint: trainer.newest_checkpoint().map(Path::to_owned),
        model: (!interrupted).then(|| folder.model()),
        steps: trainer.history().steps,
        epoch: trainer.history().best.as_ref().filter(|_| !interrupted).map(|best| best.epoch + 1),
        evaluation: record.evaluation,
        figures: plan.metrics.figures(),
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

/// Stops a run before anything is compiled, as `check` says it would be stopped.
fn refuse_problems(found: &Findings) -> Result<(), RecipeError> {
    let Some(((place, message), more)) = found.problems.split_first() else { return Ok(()) };
    let more: String = more.iter().map(|(place, message)| format!("\n{place}: {message}")).collect();
    Err(RecipeError::mismatch(*place, format!("{message}{more}")))
}

/// Whether there is anything that a run could go on from.
fn has_begun(trainer: &Trainer) -> bool {
    trainer.history().steps > 0 || trainer.newest_checkpoint().is_some()
}

fn write_record(folder: &RunFolder, record: &RunRecord) -> Result<(), RecipeError> {
    record.write(&folder.metrics())?;
    Ok(report::write(&folder.report(), &record.title, std::slice::from_ref(record))?)
}

/// Most bytes that this process held at a time, as Linux counts them.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What is worth knowing of a run beside its figures.
fn notes(plan: &Plan, found: &Findings, trainer: &Trainer, counters: &StreamCounters) -> Vec<String> {
    let mut notes = trainer.history().notes();
    let StreamCounters { damaged_rows, skipped, .. } = counters;
    if *damaged_rows > 0 {
        let (rows, was) = (count(*damaged_rows, "damaged row"), if *damaged_rows == 1 { "was" } else { "were" });
        notes.push(format!("{rows} {was} left out of training ({} in all epochs)", count(*skipped, "time")));
    }
    if found.train.unlabelled > 0 {
        let (rows, total) = (found.train.unlabelled, count(found.train.rows, "row"));
        notes.push(format!("{rows} of {total} of the training data have no class (−1) and were left out"));
    }
    let evaluated = trainer.history().best_evaluation();
    if let (Some(source), Some(evaluation), Some(report)) = (&plan.evaluate, evaluated, &found.evaluate) {
        let (rows, total) = (evaluation.rows, source.dataset.rows());
        if rows < total {
            let reasons = left_out(report, total.saturating_sub(rows + report.unlabelled + report.bad_labels), None);
            notes.push(format!("evaluated on {rows} of {}; left out are {reasons}", count(total, "row")));
        }
    }
    notes
}

fn made_of(plan: &Plan) -> Result<MadeOf, RecipeError> {
    let path = plan.model.path();
    let model = std::fs::read(path).map_err(RecipeError::io("read", path))?;
    Ok(MadeOf {
        model: Fingerprint::of_bytes(&model),
        train: targets_fingerprint(&plan.train)?,
        evaluate: plan.evaluate.as_ref().map(targets_fingerprint).transpose()?,
    })
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
            optimizer: plan.optimizer.clone(),
            gradient_clip_norm: training.gradient_clip_norm,
            threads: training.threads,
        },
        schedule: plan.schedule.clone(),
        epochs: training.epochs,
        batches_per_epoch: plan.steps_per_epoch(),
        classes: plan.train.classes().to_vec(),
        metrics: plan.metrics.clone(),
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
    found: &Findings,
    trainer: &mut Trainer,
    stream: &mut Stream,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Ending, RecipeError> {
    let total = plan.evaluate.as_ref().map_or(0, |source| source.dataset.rows());
    let mut step = trainer.history().steps;
    let epochs = plan.recipe.training.epochs;
    let mut observer = |event: &millstream_training::Event<'_>| {
        if let Some(event) = translate(event, &mut step, total, epochs) {
            events.event(&event);
        }
    };
    let stopping = || stop.is_requested();
    let skipped = RefCell::new(None);
    let ending = match (&plan.evaluate, plan.evaluate_stream()) {
        (Some(source), Some(options)) => {
            // Training stands still meanwhile: both streams have one ceiling.
            let options = StreamOptions { beside: Beside::Stream(stream.0.monitor()), ..options };
            let mut open = || -> Result<Box<dyn BatchSource + '_>, BoxError> {
                let stream = Stream::open(&source.dataset, options.clone(), None)?;
                Ok(Box::new(Watched { stream, skipped: &skipped }))
            };
            let open: &mut EvaluationBatches<'_> = &mut open;
            trainer.run(stream, Some(open), &mut observer, &stopping)
        }
        _ => trainer.run(stream, None, &mut observer, &stopping),
    };
    ending.map_err(|error| match (error, &found.evaluate) {
        (TrainingError::NothingLabelled, Some(report)) => {
            no_usable_row("data.evaluate", report, skipped.borrow().as_ref())
        }
        (error, _) => error.into(),
    })
}

/// How many rows a stream has left out as damaged, and the first whose image or text cannot be used, with the reason.
pub(crate) type Skipped = (u64, Option<String>);

/// That no row of a split can be used, and why.
pub(crate) fn no_usable_row(place: &str, report: &DataReport, skipped: Option<&Skipped>) -> RecipeError {
    let (rows, first) = skipped.map_or((0, None), |(rows, first)| (*rows, first.as_deref()));
    // Of the damaged ones, those with a bad label are counted as such already.
    let reasons = left_out(report, rows.saturating_sub(report.bad_labels), first);
    RecipeError::mismatch(place, format!("no row can be used: {reasons}"))
}

/// An evaluation's stream that leaves word of what it skipped.
struct Watched<'a> {
    stream: Stream,
    skipped: &'a RefCell<Option<Skipped>>,
}

impl BatchSource for Watched<'_> {
    fn next_batch(&mut self) -> Option<Result<Batch, BoxError>> {
        let batch = self.stream.next_batch();
        if batch.is_none() {
            *self.skipped.borrow_mut() = self.stream.skipped();
        }
        batch
    }

    fn waiting(&self) -> Option<usize> {
        self.stream.waiting()
    }
}

/// What the trainer says, in the words of this crate.
fn translate(event: &millstream_training::Event<'_>, steps: &mut u64, total: u64, epochs: u64) -> Option<Event> {
    use millstream_training::Event as Told;
    Some(match event {
        Told::Step(told) => {
            *steps = told.step;
            Event::Step {
                step: told.step,
                epoch: told.epoch + 1,
                epochs,
                loss: told.loss,
                mean_loss: told.mean_loss,
                learning_rate: told.learning_rate,
                samples_per_second: told.samples_per_second,
                batches_waiting: told.batches_waiting.unwrap_or(0),
                seconds_left: told.seconds_left,
            }
        }
        Told::EvaluationBatch { epoch, rows, seconds, seconds_of_steps, evaluations_left } => {
            let samples_per_second = *rows as f64 / seconds.max(1e-9);
            let rows_left = total.saturating_sub(*rows).saturating_add(total.saturating_mul(*evaluations_left));
            Event::Evaluating {
                epoch: epoch.map(|epoch| epoch + 1),
                epochs: epoch.map(|_| epochs),
                rows: *rows,
                total,
                samples_per_second,
                seconds_left: rows_left as f64 / samples_per_second.max(1e-9) + seconds_of_steps,
            }
        }
        Told::StartEvaluated { evaluation } => {
            Event::StartEvaluated { loss: evaluation.loss, figures: evaluation.figures.clone() }
        }
        Told::Evaluated { epoch, evaluation, best, better_than_start } => Event::Evaluated {
            step: *steps,
            epoch: epoch + 1,
            epochs,
            loss: evaluation.loss,
            figures: evaluation.figures.clone(),
            best: *best,
            better_than_start: *better_than_start,
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

    pub(crate) fn skipped(&self) -> Option<Skipped> {
        let unreadable = self.0.first_unreadable().map(|(row, damage)| format!("{row}: {damage}"));
        Some(self.0.counters().damaged_rows).filter(|rows| *rows > 0).map(|rows| (rows, unreadable))
    }
}

impl BatchSource for Stream {
    fn next_batch(&mut self) -> Option<Result<Batch, BoxError>> {
        self.0.next().map(|batch| batch.map_err(Into::into))
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
        device: device.kind.to_string(),
        device_reason: device.reason.clone(),
        onnx_runtime: version.into(),
        trained: program.trained as u64,
        frozen: program.frozen as u64,
        classes: plan.train.classes().to_vec(),
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
    let chain = |specs: &[millstream_schemas::Choice]| {
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

/// Writes `model.onnx` and, of classes, `labels.txt`. The same run gives the same bytes: nothing of time or place is in them.
fn export(plan: &Plan, folder: &RunFolder, program: &TrainingProgram, trainer: &Trainer) -> Result<(), RecipeError> {
    let classes = plan.train.classes();
    let json = |value: serde_json::Result<String>| value.expect("lists of strings always serialize");
    let mut metadata = vec![
        Preprocessing::of(&plan.recipe.data, &plan.train, &plan.spec, &plan.recipe.transforms.evaluate).metadata(),
        ("millstream.steps".to_owned(), trainer.history().steps.to_string()),
    ];
    // Numbers have no classes.
    if !classes.is_empty() {
        metadata.push((labels_file::KEY.to_owned(), json(serde_json::to_string(classes))));
    }
    if let Some(best) = &trainer.history().best {
        metadata.push(("millstream.epoch".to_owned(), (best.epoch + 1).to_string()));
        let decides = &trainer.history().decides.name;
        if let Some(value) = best.figure(decides) {
            metadata.push((format!("millstream.{decides}"), value.to_string()));
        }
    }
    let model = program.export_with(&trainer.best_parameters()?, plan.recipe.output.adapters, &metadata)?;
    folder.write(&folder.model(), &model)?;
    match classes {
        [] => Ok(()),
        classes => folder.write(&folder.labels(), labels_file::to_text(classes).as_bytes()),
    }
}

fn write_graph(folder: &RunFolder, program: &TrainingProgram) -> Result<(), RecipeError> {
    std::fs::create_dir_all(folder.graph()).map_err(RecipeError::io("make", folder.graph()))?;
    let manifest = serde_json::to_vec_pretty(&program.manifest).expect("our own types have string keys");
    let contents = [&program.step[..], &program.evaluation[..], &manifest[..]];
    folder.graph_files().iter().zip(contents).try_for_each(|(file, bytes)| folder.write(file, bytes))
}
