use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use millstream_compiler::{CompilerError, MixedPrecision, ModelReport, describe};
use millstream_pipeline::{SharedRows, check_quarantine};
use millstream_runtime::{Device, DeviceKind, DeviceRequest};
use millstream_schemas::recipe::{DamagedPolicy, EvaluationRecipe, MemoryCheck, Precision};
use millstream_schemas::{Choice, Recipe, TensorRole, TensorSpec, count, shown, shown_path};
use millstream_training::check_kernels;
use serde::Serialize;

use crate::adapter_output;
use crate::class_count::empty_classes;
use crate::data_report::DataReport;
use crate::error::with_causes;
use crate::frozen_prefix::planned;
use crate::machine_memory::machine_memory;
use crate::memory_check::{MemoryFinding, memory_finding};
use crate::one_length::advised;
use crate::precision::in_precision;
use crate::run_folder::RunFolder;
use crate::runs_memory::Together;
use crate::slices::{self, SlicedRows};
use crate::{
    Catalogs, FreezeStage, GroupReport, MemoryEstimate, Opened, RecipeError, freezing, overlap, parameter_groups,
    run_logs,
};

/// What a recipe would do.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Rows to train on.
    pub train: DataReport,
    /// Rows to evaluate on.
    pub evaluate: Option<DataReport>,
    /// Other sets to evaluate on, by their names, with their rows.
    pub sets: BTreeMap<String, u64>,
    /// Evaluations of the whole run, of which the first is before the first step; 0 without rows to evaluate on.
    pub evaluations: u64,
    /// The model's input; the transforms end at its size.
    pub inputs: Vec<TensorSpec>,
    /// Layers with what is trained, operators with their coverage.
    pub model: ModelReport,
    /// Parameters by the groups of the recipe, and the others last; nothing where there are no groups.
    pub groups: Vec<GroupReport>,
    /// What is trained from when on; nothing where it is the same all the time.
    pub stages: Vec<FreezeStage>,
    /// Steps of one epoch.
    pub steps_per_epoch: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// What will be held in memory by a run on the CPU.
    pub memory: MemoryEstimate,
    /// Where steps would run on CUDA, bytes of the device's memory that weights, gradients and what the optimizer remembers take. Computed
    /// values come on top, and are not predicted there.
    pub least_device_memory: Option<u64>,
    /// Where steps would run.
    pub device: DeviceReport,
    /// What they would compute with.
    pub precision: Precision,
    /// What of the training step would run in 16 bits, in a precision that has them.
    pub mixed_precision: Option<MixedPrecision>,
    /// Evaluation rows whose image or text is trained on too.
    pub shared_rows: Option<SharedRows>,
    /// Logs that would be written while the run goes on, in the folder `logs` of the output folder unless they say another.
    pub logs: Vec<Choice>,
    /// What was noticed while the data were opened.
    pub notes: Vec<String>,
    /// What deserves a look and stops nothing.
    pub warnings: Vec<String>,
    /// What stops training from starting.
    pub problems: Vec<String>,
}

/// Where steps would run.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceReport {
    /// As the recipe asks.
    pub asked: String,
    /// What it would be; `None` if it cannot be had.
    pub device: Option<String>,
    /// Why, or why not.
    pub reason: String,
}

/// Says what a recipe would do, without a training step. `library` names an ONNX Runtime library, as a flag does.
///
/// # Errors
/// As [`Opened::open`] and [`Opened::check`].
pub fn check(recipe: &Recipe, catalogs: &Catalogs, library: Option<&Path>) -> Result<CheckReport, RecipeError> {
    Opened::open(recipe, catalogs)?.check(library)
}

impl Opened {
    /// Says what the recipe would do, without a training step. `library` names an ONNX Runtime library, as a flag does.
    ///
    /// # Errors
    /// What is trained or the loss does not fit the model or the data. What is found wrong after that, such as an operator
    /// without gradient or a device that cannot be had, are [problems](CheckReport::problems) of the report.
    pub fn check(&self, library: Option<&Path>) -> Result<CheckReport, RecipeError> {
        report(self, library)
    }
}

fn report(opened: &Opened, library: Option<&Path>) -> Result<CheckReport, RecipeError> {
    let recipe = &opened.recipe;
    let (wanted, catalog) = (opened.fine_tuning(), &opened.catalogs.operators);
    let mut model = describe(&opened.model, Some(&wanted), catalog)
        .map_err(|error| advised(&opened.model, &opened.spec, &wanted, catalog, error))?;
    let mut problems = Vec::new();
    let program = match opened.program() {
        Ok(program) => Some(program),
        Err(error @ RecipeError::Mismatch { .. })
        | Err(error @ RecipeError::Compiler(CompilerError::Selection(_) | CompilerError::Setting { .. })) => {
            return Err(error);
        }
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    let of_prefix = program.as_ref().map(|program| planned(opened, program)).transpose()?;
    let (prefix, prefix_note) = of_prefix.unwrap_or_default();
    let memory = program.as_ref().map(|program| MemoryEstimate::of(opened, program, prefix.as_ref()));
    let training = &recipe.training;
    let (mut groups, mut stages) = (Vec::new(), Vec::new());
    if let Some(program) = &program {
        groups = parameter_groups::reports(program, training, &opened.optimizer);
        stages = freezing::stages(program, training, opened.run_length())?;
        let entries = program.manifest.parameters.iter().rev();
        let factors: HashMap<&str, f32> =
            entries.map(|entry| (entry.layer.as_str(), entry.learning_rate_multiplier)).collect();
        for layer in model.layers.iter_mut().filter(|layer| layer.trained) {
            layer.learning_rate_multiplier =
                factors.get(layer.name.as_str()).copied().unwrap_or(layer.learning_rate_multiplier);
        }
    }
    let (device, resolved) = device(&recipe.training.device, library);
    if device.device.is_none() {
        problems.push(device.reason.clone());
    }
    let precision = recipe.training.precision;
    let resolved = match resolved.map(|device| in_precision(device, precision)).transpose() {
        Ok(resolved) => resolved,
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    let mixed_precision = program.as_ref().and_then(|program| program.mixed.clone());
    let Findings { train, evaluate, mut warnings, problems: of_data, .. } = findings(opened)?;
    let on_cpu = match &resolved {
        Some(device) => device.kind == DeviceKind::Cpu,
        None => !training.device.starts_with("cuda"),
    };
    let of_memory = match &memory {
        Some(memory) if on_cpu => {
            memory_finding(memory.as_ref(), machine_memory(), training.memory_check, Together::ALONE)
        }
        // the figures are of the CPU, and nothing is refused by them elsewhere
        Some(Err(error)) => memory_finding(Err(error), None, MemoryCheck::Warn, Together::ALONE),
        _ => None,
    };
    let least_device_memory = match (&program, &memory) {
        (Some(program), Some(Ok(memory))) if !on_cpu => {
            // a precision of 16 bits may halve what is held of constants
            let constants = program.constant_bytes() / if mixed_precision.is_some() { 2 } else { 1 };
            Some(constants.saturating_add(memory.training_state))
        }
        _ => None,
    };
    let has_room = !matches!(of_memory, Some(MemoryFinding::Problem(_) | MemoryFinding::TooMany(_)));
    match of_memory {
        Some(MemoryFinding::Problem(problem) | MemoryFinding::TooMany(problem)) => problems.push(problem),
        Some(MemoryFinding::Warning(warning)) => warnings.push(warning),
        None => {}
    }
    let of_adapters = program.as_ref().map(|program| adapter_output::notes(program, &recipe.output.adapter_files));
    // What has no room is not opened.
    if let (Some(program), Some(device), true) = (program, resolved, has_room) {
        match check_kernels(&program, &device) {
            Ok(warning) => warnings.extend(warning),
            Err(error) => problems.push(with_causes(&error)),
        }
    }
    problems.extend(of_data.into_iter().map(|(_, problem)| problem));
    problems.extend(some_without_input(opened)?);
    let shared_rows = opened.evaluate.as_ref().map(|source| overlap::of_rows(&opened.train, source)).transpose()?;
    let compared = shared_rows.as_ref().zip(opened.evaluate.as_ref());
    warnings.extend(compared.and_then(|(rows, source)| overlap::in_words(rows, &opened.train, source)));
    match opened.train_stream(None).and_then(|options| options.warnings(&opened.train.dataset)) {
        Ok(of_stream) => warnings.extend(of_stream),
        Err(error) => problems.push(error.to_string()),
    }
    // One in the output folder is made with it.
    if let damaged @ DamagedPolicy::Quarantine(Some(_)) = &recipe.data.damaged
        && let Err(error) = check_quarantine(damaged, &opened.train.dataset)
    {
        problems.push(with_causes(&error));
    }
    if let Err(error) = run_logs::require_writable(opened) {
        problems.push(with_causes(&error));
    }
    let folder = RunFolder(recipe.output.folder.clone());
    if let Err(error) = folder.require_writable() {
        problems.push(with_causes(&error));
    } else if let Err(error) = folder.require_outside(opened) {
        problems.push(error.to_string());
    }
    match folder.writer() {
        Err(error) => problems.push(error.to_string()),
        Ok(Some(process)) => problems.push(RecipeError::FolderBusy { folder: folder.0.clone(), process }.to_string()),
        Ok(None) => {
            if let Some(found) = folder.holds()? {
                let folder = shown_path(&recipe.output.folder);
                warnings
                    .push(format!("{folder} holds a run already ({found}): `train` wants `--resume` or `--overwrite`"));
            }
        }
    }
    Ok(CheckReport {
        inputs: opened.spec.of_role(TensorRole::Input).cloned().collect(),
        groups,
        stages,
        steps_per_epoch: opened.steps_per_epoch(),
        total_steps: opened.total_steps(),
        sets: opened.sets.iter().map(|(name, source)| (name.clone(), source.dataset.rows())).collect(),
        evaluations: opened.evaluations(),
        memory: memory.and_then(Result::ok).unwrap_or_default(),
        least_device_memory,
        train,
        evaluate,
        model,
        device,
        precision,
        mixed_precision,
        shared_rows,
        logs: opened.logs.iter().map(|log| log.choice().clone()).collect(),
        notes: opened
            .notes
            .iter()
            .cloned()
            .chain(opened.statistics_note())
            .chain(prefix_note)
            .chain(of_adapters.into_iter().flatten())
            .collect(),
        warnings,
        problems,
    })
}

fn device(asked: &str, library: Option<&Path>) -> (DeviceReport, Option<Device>) {
    let resolved = asked
        .parse::<DeviceRequest>()
        .and_then(|request| Ok((request, millstream_runtime::ready(library)?)))
        .and_then(|(request, runtime)| Device::resolve(request, runtime));
    match resolved {
        Ok(device) => {
            let (kind, reason) = (device.kind.to_string(), device.reason.clone());
            (DeviceReport { asked: asked.into(), device: Some(kind), reason }, Some(device))
        }
        Err(error) => (DeviceReport { asked: asked.into(), device: None, reason: error.to_string() }, None),
    }
}

/// What the data and the recipe tell before a run: `check` reports it, `train` says it before anything is compiled.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) train: DataReport,
    pub(crate) evaluate: Option<DataReport>,
    /// Of the other sets, by their names.
    pub(crate) sets: Vec<(String, DataReport)>,
    /// What deserves a look.
    pub(crate) warnings: Vec<String>,
    /// That evaluation rows are trained on too, where they were compared.
    pub(crate) shared_rows: Option<String>,
    /// What stops the run, with its place in the recipe.
    pub(crate) problems: Vec<(&'static str, String)>,
}

impl Findings {
    /// Of a set of rows to evaluate on, by its name.
    pub(crate) fn of_set(&self, set: &str) -> Option<&DataReport> {
        match set {
            EvaluationRecipe::MAIN => self.evaluate.as_ref(),
            set => self.sets.iter().find(|(name, _)| name == set).map(|(_, report)| report),
        }
    }
}

pub(crate) fn findings(opened: &Opened) -> Result<Findings, RecipeError> {
    let data = &opened.recipe.data;
    let (train, evaluate) = (opened.train_report()?.clone(), opened.evaluate_report()?.cloned());
    let (mut warnings, mut problems) = (warnings(opened, &train, evaluate.as_ref()), Vec::new());
    for (split, place, report) in
        [("training", "data.train", Some(&train)), ("evaluation", "data.evaluate", evaluate.as_ref())]
    {
        let Some(report) = report else { continue };
        let (of_labels, problem) = label_findings(split, report, &data.damaged);
        warnings.extend(of_labels);
        problems.extend(problem.map(|problem| (place, problem)));
    }
    let names = opened.sets.iter().map(|(name, _)| name.clone());
    let sets: Vec<(String, DataReport)> = names.zip(opened.set_reports()?.iter().cloned()).collect();
    for (name, report) in &sets {
        let (of_labels, problem) = label_findings(&format!("evaluation set `{}`", shown(name)), report, &data.damaged);
        warnings.extend(of_labels);
        problems.extend(problem.map(|problem| ("evaluation.sets", problem)));
    }
    for (split, place, source) in
        [("training", "data.train", Some(&opened.train)), ("evaluation", "data.evaluate", opened.evaluate.as_ref())]
    {
        let Some(source) = source else { continue };
        for column in source.encoders.required_columns() {
            if source.dataset.nulls(column)?.is_some_and(|nulls| nulls >= source.dataset.rows()) {
                let column = shown(column);
                let message = format!("no row of the {split} data has an input: column `{column}` is null in all");
                problems.push((place, message));
            }
        }
    }
    let evaluation = &opened.recipe.evaluation;
    if let (Some(source), false) = (&opened.evaluate, evaluation.slices.is_empty()) {
        // Found when all steps are done, it would be found too late.
        match SlicedRows::open(&source.dataset, &evaluation.slices, evaluation.most_slices) {
            Ok(slices) => warnings.extend(slices.notes),
            Err(RecipeError::Mismatch { message, .. }) => problems.push(("evaluation.slices", message)),
            Err(error) => return Err(error),
        }
    }
    for (name, source) in &opened.sets {
        let (columns, lacking) = slices::columns_there(&source.dataset, &evaluation.slices);
        let of_set = |message: String| format!("evaluation set `{}`: {message}", shown(name));
        warnings.extend(lacking.map(of_set));
        if columns.is_empty() {
            continue;
        }
        match SlicedRows::open(&source.dataset, &columns, evaluation.most_slices) {
            Ok(slices) => warnings.extend(slices.notes.into_iter().map(of_set)),
            Err(RecipeError::Mismatch { message, .. }) => problems.push(("evaluation.slices", of_set(message))),
            Err(error) => return Err(error),
        }
    }
    Ok(Findings { train, evaluate, sets, warnings, shared_rows: None, problems })
}

/// Rows that stop a run when it meets them; `train` names the first of them then.
fn some_without_input(opened: &Opened) -> Result<Vec<String>, RecipeError> {
    let mut problems = Vec::new();
    if opened.recipe.data.damaged != DamagedPolicy::Fail {
        return Ok(problems);
    }
    for (split, source) in [("training", Some(&opened.train)), ("evaluation", opened.evaluate.as_ref())] {
        let Some(source) = source else { continue };
        for column in source.encoders.required_columns() {
            let nulls = source.dataset.nulls(column)?.unwrap_or(0);
            if (1..source.dataset.rows()).contains(&nulls) {
                let (rows, has) = (count(nulls, "row"), if nulls == 1 { "has" } else { "have" });
                problems.push(format!(
                    "{rows} of the {split} data {has} no input (null in column `{}`), and `data.damaged: fail` stops at the \
                     first; `damaged: skip` or `quarantine` leaves such rows out",
                    shown(column)
                ));
            }
        }
    }
    Ok(problems)
}

/// What the labels of a split tell: what is left out without an error, and what stops a run.
pub(crate) fn label_findings(
    split: &str,
    report: &DataReport,
    damaged: &DamagedPolicy,
) -> (Vec<String>, Option<String>) {
    // Numbers have no classes.
    if report.label.is_none() {
        return (Vec::new(), None);
    }
    let (bad, unlabelled) = (report.bad_labels, report.unlabelled);
    let has = |rows| if rows == 1 { "has" } else { "have" };
    if bad + unlabelled >= report.rows {
        let reasons = left_out(report, 0, None);
        return (Vec::new(), Some(format!("no row of the {split} data has a class that can be used: {reasons}")));
    }
    let mut warnings = Vec::new();
    if unlabelled > 0 {
        let are = if unlabelled == 1 { "is" } else { "are" };
        warnings.push(format!(
            "{} of the {split} data {} no class (the label −1{}) and {are} left out",
            count(unlabelled, "row"),
            has(unlabelled),
            first(report.first_unlabelled.as_deref(), "; ")
        ));
    }
    let mut problem = None;
    if bad > 0 {
        let example = first(report.first_bad_label.as_deref(), "");
        let rows = format!("{} of the {split} data {} no usable label", count(bad, "row"), has(bad));
        match damaged {
            DamagedPolicy::Fail => {
                problem = Some(format!(
                    "{rows}, and `data.damaged: fail` stops at the first; `damaged: skip` or `quarantine` leaves such rows \
                     out ({example})"
                ));
            }
            _ if bad == 1 => warnings.push(format!("{rows}; it is left out ({example})")),
            _ => warnings.push(format!("{rows}; they are left out ({example})")),
        }
    }
    (warnings, problem)
}

/// Why rows are left out, each reason with its number and the first of its rows.
pub(crate) fn left_out(report: &DataReport, damaged: u64, first_damaged: Option<&str>) -> String {
    let reasons = [
        (report.unlabelled, "with the label −1", "the first", report.first_unlabelled.as_deref()),
        (report.bad_labels, "with a label that cannot be used", "the first", report.first_bad_label.as_deref()),
        // In the order of the stream, which may be shuffled.
        (damaged, "that cannot be read", "one of them", first_damaged),
    ];
    let reasons = reasons.into_iter().filter(|(rows, ..)| *rows > 0).map(|(rows, why, which, row)| {
        let example = row.map_or_else(String::new, |row| format!(" ({which}: {row})"));
        format!("{} {why}{example}", count(rows, "row"))
    });
    let reasons: Vec<_> = reasons.collect();
    reasons.join(", ")
}

fn first(row: Option<&str>, before: &str) -> String {
    row.map_or_else(String::new, |row| format!("{before}the first: {row}"))
}

fn warnings(opened: &Opened, train: &DataReport, evaluate: Option<&DataReport>) -> Vec<String> {
    let mut warnings = opened.train.chain.label_warnings();
    warnings.extend(opened.train.chain.border_warnings());
    warnings.extend(opened.preprocessing_warnings());
    warnings.extend(opened.recipe.warnings(cores()));
    if evaluate.is_none() {
        warnings.push("no `data.evaluate`: nothing is measured, and the last weights are exported".into());
    }
    for (split, data) in [("training", Some(train)), ("evaluation", evaluate)] {
        let Some(data) = data else { continue };
        warnings.extend(empty_classes(&data.classes, &format!(" in the {split} data")));
    }
    if opened.train.dataset.rows() < opened.recipe.data.batch as u64 {
        let (rows, batch) = (opened.train.dataset.rows(), opened.recipe.data.batch);
        let does = if rows == 1 { "does" } else { "do" };
        warnings.push(format!("{} {does} not fill one batch of {batch}", count(rows, "row")));
    }
    warnings
}

/// Cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class_count::ClassCount;

    #[test]
    fn thousands_of_classes_without_rows_are_one_warning() {
        let classes = |counts: &[u64]| -> Vec<ClassCount> {
            let class = |(index, rows): (usize, &u64)| ClassCount { name: format!("c\u{1b}{index}"), rows: *rows };
            counts.iter().enumerate().map(class).collect()
        };
        let mut many = vec![0; 5000];
        many[4000..].fill(1);
        for (counts, wanted) in [
            (vec![1, 2], None),
            (vec![1, 0], Some("class `c\\u{1b}1` has no rows in the training data")),
            (vec![0, 0, 7], Some("2 of 3 classes have no rows in the training data: `c\\u{1b}0`, `c\\u{1b}1`")),
            (
                many,
                Some(
                    "4,000 of 5,000 classes have no rows in the training data: `c\\u{1b}0`, `c\\u{1b}1`, `c\\u{1b}2` and \
                     3,997 more",
                ),
            ),
        ] {
            assert_eq!(empty_classes(&classes(&counts), " in the training data").as_deref(), wanted);
        }
    }
}
