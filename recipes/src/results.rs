//! What a run writes: the tuned model, its record and report, the compiled graphs.

use millstream_compiler::TrainingProgram;
use millstream_pipeline::StreamCounters;
use millstream_runtime::Device;
use millstream_schemas::recipe::{EvaluationRecipe, ModelRecipe, TrainingRecipe};
use millstream_schemas::{count, grouped, shown};
use millstream_training::report::Page;
use millstream_training::{EndReason, RunRecord, Trainer};

use crate::calibrated::Calibrated;
use crate::check::{Findings, left_out};
use crate::preprocessing::Preprocessing;
use crate::program_files;
use crate::run_folder::RunFolder;
use crate::run_state::RunState;
use crate::stream::boxes_left_out;
use crate::{Opened, RecipeError, adapter_output, labels_file, run_about};

pub(crate) fn write_record(folder: &RunFolder, opened: &Opened, record: &RunRecord) -> Result<(), RecipeError> {
    record.write(&folder.metrics())?;
    let files = [
        (folder.model(), "the tuned model"),
        (folder.labels(), "class names"),
        (folder.recipe(), "the recipe, with every default"),
        (folder.metrics(), "all figures"),
    ];
    let there = files.into_iter().filter(|(path, _)| path.exists());
    let beside: Vec<(String, String)> = there
        .filter_map(|(path, what)| Some((path.strip_prefix(&folder.0).ok()?.to_str()?.to_owned(), what.to_owned())))
        .collect();
    let about = run_about::of_run(folder, opened, record);
    let (runs, about) = (std::slice::from_ref(record), std::slice::from_ref(&about));
    let page = Page { title: &record.title, runs, about, beside: &beside, is_live: false };
    Ok(page.write(&folder.report())?)
}

/// What is worth knowing of a run beside its figures. `counters` are those of its training rows, since it was resumed where it was.
pub(crate) fn notes(
    opened: &Opened,
    found: &Findings,
    trainer: &Trainer,
    (counters, is_resumed): (&StreamCounters, bool),
) -> Vec<String> {
    let mut notes = trainer.history().notes();
    if let (Some(EndReason::MaxTime), Some(time)) = (trainer.end_reason(), opened.recipe.training.max_time) {
        let (steps, total) = (grouped(trainer.history().steps), grouped(trainer.total_steps()));
        notes.push(format!("the time was up (`training.max_time`, {time}) after step {steps} of {total}"));
    }
    // a dry run is the first step of a run that may have one
    if let Some(first) = trainer.missed_average().filter(|_| opened.whole.is_none()) {
        notes.push(format!(
            "the run ended before the end of epoch {}, the first whose weights `training.average: swa` takes: what was evaluated \
             and is exported are the weights themselves",
            first + 1
        ));
    }
    let StreamCounters { damaged_rows, skipped, parts_left_out, .. } = counters;
    let since = if is_resumed { "since it was resumed" } else { "in all epochs" };
    notes.extend(boxes_left_out(*parts_left_out, &format!("training, {since}"), "they are not learned"));
    if *damaged_rows > 0 {
        let (rows, was) = (count(*damaged_rows, "damaged row"), if *damaged_rows == 1 { "was" } else { "were" });
        notes.push(format!("{rows} {was} left out of training ({} {since})", count(*skipped, "time")));
    }
    if found.train.unlabelled > 0 {
        let (rows, total) = (found.train.unlabelled, count(found.train.rows, "row"));
        notes.push(format!("{rows} of {total} of the training data have no class (−1) and were left out"));
    }
    if let (Some((set, source)), Some(evaluation)) = (opened.deciding_set(), trainer.history().best_evaluation())
        && let Some(report) = found.of_set(set)
    {
        let (rows, total) = (evaluation.rows, source.dataset.rows());
        let of_set = match set {
            EvaluationRecipe::MAIN => String::new(),
            set => format!(" of the set `{}`", shown(set)),
        };
        let all = format!("{}{of_set}", count(total, "row"));
        if opened.evaluated_rows(source) < total {
            notes.push(format!("evaluated on {} of {all}, the same each time (`evaluation.rows`)", grouped(rows)));
        } else if rows < total {
            let reasons = left_out(report, total.saturating_sub(rows + report.unlabelled + report.bad_labels), None);
            notes.push(format!("evaluated on {rows} of {all}; left out are {reasons}"));
        }
    }
    notes
}

/// The record of a run that is so far. Only one that is at its end has an evaluation to be judged by.
pub(crate) fn record(
    opened: &Opened,
    program: &TrainingProgram,
    device: &Device,
    trainer: &Trainer,
    state: RunState,
    notes: Vec<String>,
) -> RunRecord {
    let history = trainer.history();
    let folder = opened.recipe.output.folder.file_name().unwrap_or_default();
    RunRecord {
        version: RunRecord::VERSION,
        title: folder.to_string_lossy().into_owned(),
        ending: match state {
            RunState::Finished => "finished".into(),
            RunState::Failed => "failed".into(),
            RunState::UnderWay | RunState::Interrupted => "interrupted".into(),
        },
        device: device.kind.to_string(),
        device_reason: device.reason.clone(),
        onnx_runtime: device.runtime().version().into(),
        trained: program.trained as u64,
        frozen: program.frozen as u64,
        classes: opened.train.classes().to_vec(),
        settings: settings(opened),
        notes,
        history: history.clone(),
        evaluation: history.exported_evaluation().filter(|_| state == RunState::Finished).cloned(),
        evaluated_on: opened.deciding_set().map(|(set, _)| set.to_owned()),
        other_evaluations: match state {
            RunState::Finished => history.exported_others().to_vec(),
            RunState::UnderWay | RunState::Interrupted | RunState::Failed => Vec::new(),
        },
    }
}

/// The settings that a reader of the report asks for first.
fn settings(opened: &Opened) -> Vec<(String, String)> {
    let recipe = &opened.recipe;
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    let chain = |specs: &[millstream_schemas::Choice]| {
        let specs: Vec<_> = specs.iter().map(|spec| json(serde_json::to_string(spec))).collect();
        if specs.is_empty() { "none".into() } else { specs.join(", ") }
    };
    let model = recipe.model.as_ref();
    let rows = [
        ("model", model.map(|model| model.path.display().to_string()).unwrap_or_default()),
        ("trained", model.map(|model| json(serde_json::to_string(&model.train))).unwrap_or_default()),
        ("within layers", model.map(within_layers).unwrap_or_default()),
        ("training data", recipe.data.train.to_string()),
        ("evaluation data", recipe.data.evaluate.as_ref().map_or_else(|| "none".into(), ToString::to_string)),
        ("batch", recipe.data.batch.to_string()),
        ("batches in a step", recipe.training.accumulate.to_string()),
        ("epochs", recipe.training.epochs.to_string()),
        ("optimizer", json(serde_json::to_string(&recipe.training.optimizer))),
        ("schedule", json(serde_json::to_string(&recipe.training.schedule))),
        ("around the optimizer", around(&recipe.training)),
        ("seed", recipe.seed.to_string()),
        ("transforms in training", chain(&recipe.transforms.train)),
        ("transforms in evaluation", chain(&recipe.transforms.evaluate)),
        ("how it is measured, and what is fitted", evaluation(&recipe.evaluation)),
    ];
    let loss = Some(("loss", json(serde_json::to_string(opened.loss.choice()))));
    let multipliers = &recipe.training.learning_rate_multipliers;
    let multipliers =
        (!multipliers.is_empty()).then(|| ("learning rate multipliers", json(serde_json::to_string(multipliers))));
    rows.into_iter().chain(loss).chain(multipliers).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What normalizations, dropout and residual branches do in training, as JSON.
fn within_layers(model: &ModelRecipe) -> String {
    let value = serde_json::to_value(model).unwrap_or_default();
    let names = ["batch_normalization", "dropout", "stochastic_depth"];
    let said = names.iter().filter_map(|name| Some(format!("{name}: {}", value.get(name)?)));
    said.collect::<Vec<_>>().join(", ")
}

/// What of a recipe stands around its optimizer, as JSON; nothing is left out that changes the weights.
fn around(training: &TrainingRecipe) -> String {
    let value = serde_json::to_value(training).unwrap_or_default();
    let names = [
        "max_steps",
        "max_time",
        "gradient_clip_norm",
        "gradient_clip_value",
        "penalties",
        "l1_decay",
        "average",
        "lookahead",
        "sharpness_aware",
        "gradient_noise",
        "early_stopping",
        "decay_all",
        "groups",
        "head_first",
        "unfreeze",
        "freeze",
        "non_finite",
    ];
    let said = names.iter().filter_map(|name| Some((*name, value.get(name).filter(|value| !value.is_null())?)));
    let said: Vec<String> = said.map(|(name, value)| format!("{name}: {value}")).collect();
    if said.is_empty() { "nothing".into() } else { said.join(", ") }
}

fn evaluation(evaluation: &EvaluationRecipe) -> String {
    if evaluation.is_usual() { "as usual".into() } else { serde_json::to_string(evaluation).unwrap_or_default() }
}

/// Writes `model.onnx` and, of classes, `labels.txt`. The same run gives the same bytes: nothing of time or place is in them.
pub(crate) fn export(
    opened: &Opened,
    folder: &RunFolder,
    program: &TrainingProgram,
    trainer: &Trainer,
    calibrated: &Calibrated,
) -> Result<(), RecipeError> {
    let classes = opened.train.classes();
    let json = |value: serde_json::Result<String>| value.expect("lists of strings always serialize");
    let mut metadata = vec![
        Preprocessing::of(&opened.recipe, &opened.train, &opened.spec, opened.loss.reads()).metadata(),
        ("millstream.steps".to_owned(), trainer.history().steps.to_string()),
    ];
    // Numbers have no classes.
    if !classes.is_empty() {
        metadata.push((labels_file::KEY.to_owned(), json(serde_json::to_string(classes))));
    }
    let last = opened.recipe.output.last_model.then(|| metadata.clone());
    let history = trainer.history();
    if let Some(best) = history.best.as_ref().filter(|_| history.averaged.is_none()) {
        metadata.push(("millstream.epoch".to_owned(), (best.epoch + 1).to_string()));
    }
    let decides = &history.decides.name;
    if let Some(value) = history.exported_evaluation().and_then(|evaluation| evaluation.figure(decides)) {
        metadata.push((format!("millstream.{decides}"), value.to_string()));
    }
    let of_model = [metadata.clone(), calibrated.metadata()].concat();
    let (parameters, adapters) = (trainer.best_parameters()?, opened.recipe.output.adapters);
    let model = match calibrated.temperature {
        Some(fitted) => program.export_calibrated(&parameters, adapters, fitted.temperature, &of_model)?,
        None => program.export_with(&parameters, adapters, &of_model)?,
    };
    folder.write_model(&folder.model(), &model)?;
    if let Some(metadata) = last {
        let model = program.export_with(&trainer.last_parameters()?, adapters, &metadata)?;
        folder.write_model(&folder.last_model(), &model)?;
    }
    // What was fitted is that of the model, and not of what an adapter is given to.
    for format in &opened.recipe.output.adapter_files {
        adapter_output::write(opened, folder, program, (&parameters, &metadata), *format)?;
    }
    match classes {
        [] => Ok(()),
        classes => folder.write(&folder.labels(), labels_file::to_text(classes).as_bytes()),
    }
}

pub(crate) fn write_graph(folder: &RunFolder, program: &TrainingProgram) -> Result<(), RecipeError> {
    program_files::write(&folder.graph(), program).map(|_| ())
}
