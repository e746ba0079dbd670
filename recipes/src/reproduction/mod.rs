//! A run made again from what it has noted of itself, and held against what came out then.

mod report;

use std::path::PathBuf;

use millstream_compiler::{Model, ModelDifferences};
use millstream_schemas::files::sha256_of_file;
use millstream_schemas::recipe::RecipeText;
use millstream_schemas::{shell_path, shown_path};
use millstream_training::metrics::FigureKind;
use millstream_training::{RunRecord, Until};

pub use report::{ComparedFile, CourseDifference, FigureDifference, ReproductionReport, Surrounding};

use crate::ensemble::{EnsembleFolder, require_one_run};
use crate::imported::import_rows_of;
use crate::origin::{self, Origin};
use crate::preprocessing::Preprocessing;
use crate::replaced_model::replaced_model;
use crate::report::read_record;
use crate::run_folder::RunFolder;
use crate::run_parts::RunParts;
use crate::run_start::made_of;
use crate::search::StudyFolder;
use crate::train::{TrainOptions, train, train_until};
use crate::{Catalogs, Events, Opened, RecipeError, StartMode, Stop, load};

/// What is done with an ensemble.
const NO_ENSEMBLE: &str = "name the run of a member; `millstream ensemble fit`, with what its `origin.json` has noted, makes the ensemble \
    again";

/// What to repeat, and where.
#[derive(Clone, Debug)]
pub struct ReproduceOptions {
    /// The run.
    pub run: PathBuf,
    /// The folder to make it again in: a new one.
    pub output: PathBuf,
    /// Where things lie now: `model.path=…`, `data.train=…`. What is done cannot be changed.
    pub overrides: Vec<String>,
    /// Replace a run that is in the folder.
    pub overwrite: bool,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// What the recipe can choose among.
    pub catalogs: Catalogs,
}

/// Makes a finished run again in a fresh folder. Before the first step recipe, data and base model are held against what it began with.
///
/// # Errors
/// There is no finished run, something that it is made of is another now or cannot be opened, or the training fails. None when it was
/// asked to stop.
pub fn reproduce(
    options: &ReproduceOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Option<ReproductionReport>, RecipeError> {
    let study = StudyFolder::new(&options.run);
    if study.holds_study() {
        let (study, run) = (shell_path(&options.run), shell_path(study.first_run()));
        let message = format!(
            "{study} is a study: `millstream search run {study} -o NEW` makes all its trials again, and `millstream reproduce {run}` one of \
             their runs"
        );
        return Err(RecipeError::mismatch("run", message));
    }
    EnsembleFolder::require_run(&options.run, NO_ENSEMBLE)?;
    require_one_run(&options.run)?;
    let then = RunFolder(options.run.clone());
    let record = read_record(&then)?;
    if record.ending != "finished" {
        let message =
            format!("the run in {} is {}; `train --resume` ends it first", shown_path(&then.0), record.ending);
        return Err(RecipeError::mismatch("run", message));
    }
    let now = RunFolder(std::path::absolute(&options.output).map_err(RecipeError::io("find", &options.output))?);
    if now.0.canonicalize().is_ok_and(|now| then.0.canonicalize().is_ok_and(|then| then == now)) {
        return Err(RecipeError::mismatch("output", "it is the run itself; choose another folder"));
    }
    let mut recipe = load(&RecipeText::read(&then.recipe(), &options.overrides)?, &options.catalogs)?;
    import_rows_of(&recipe, events, stop)?;
    if stop.is_requested() {
        return Ok(None);
    }
    if let Some((_, said)) = replaced_model(&then, &recipe.require_model("reproduce")?.path)? {
        let message = format!("{said}; name where that one lies by `--set model.path=FILE`");
        return Err(RecipeError::mismatch("model.path", message));
    }
    let opened = Opened::open(&recipe, &options.catalogs)?;
    then.require_same(&recipe, &made_of(&opened)?, &options.catalogs).map_err(|error| match error {
        RecipeError::ResumeChanged { folder, what, then, now } => {
            RecipeError::NotReproducible { folder, what, then, now }
        }
        error => error,
    })?;
    // a tokenizer, which the recipe only names
    if then.model().exists()
        && let Some(learned) = Preprocessing::learned(&Model::read(&then.model())?, &opened.train.encoders)
    {
        opened.train.encoders.relearned(&opened.train.dataset, &learned)?;
    }
    drop(opened);
    let mut notes = Vec::new();
    if let Some(time) = recipe.training.max_time {
        notes.push(format!(
            "the run could end by the clock (`training.max_time`, {time}), which no repetition can promise"
        ));
    }
    recipe.output.folder.clone_from(&now.0);
    // what was imported lies beside the results
    import_rows_of(&recipe, events, stop)?;
    let start = if options.overwrite { StartMode::Overwrite } else { StartMode::New };
    let mut settings =
        TrainOptions { start, library: options.library.clone(), keep_graph: false, catalogs: options.catalogs.clone() };
    for (recipe, end) in RunParts::of_run(&then)?.recipes_before(&then, &recipe)? {
        match train_until(Until::Step(end), &recipe, &settings, events, stop) {
            Err(RecipeError::Stopped) => return Ok(None),
            done => drop(done?),
        }
        if stop.is_requested() {
            return Ok(None);
        }
        settings.start = StartMode::Extend;
    }
    let summary = match train(&recipe, &settings, events, stop) {
        Err(RecipeError::Stopped) => return Ok(None),
        summary => summary?,
    };
    if summary.interrupted {
        return Ok(None);
    }
    held_against((then, record), now, notes).map(Some)
}

/// What came out then and what came out now.
fn held_against(
    (then, record): (RunFolder, RunRecord),
    now: RunFolder,
    notes: Vec<String>,
) -> Result<ReproductionReport, RecipeError> {
    let again = read_record(&now)?;
    let files = files(&then, &now)?;
    let models = [then.model(), now.model()];
    let model = match models.iter().all(|model| model.exists()) {
        true => Model::read(&models[0])?.differences(&Model::read(&models[1])?),
        false => ModelDifferences::default(),
    };
    let course = course(&record, &again);
    let figures = figures(&record, &again);
    let same = course.is_none()
        && files.iter().all(ComparedFile::is_same)
        && figures.iter().all(|figure| figure.then.map(f64::to_bits) == figure.now.map(f64::to_bits));
    Ok(ReproductionReport {
        version: 1,
        surroundings: surroundings(&then, &record, &again)?,
        run: then.0,
        folder: now.0,
        same,
        inputs_same: true,
        course,
        files,
        model,
        figures,
        notes,
    })
}

/// What the run ran on, and what it runs on now, where that differs.
fn surroundings(then: &RunFolder, record: &RunRecord, again: &RunRecord) -> Result<Vec<Surrounding>, RecipeError> {
    let noted = Origin::of_run(then)?;
    let of = |what: &str, then: Option<String>, now: Option<String>| Surrounding { what: what.into(), then, now };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let all = [
        of("millstream", noted.as_ref().map(|noted| noted.software.clone()), Some(origin::software())),
        of("commit", noted.as_ref().and_then(|noted| noted.commit.clone()), origin::commit().map(str::to_owned)),
        of("ONNX Runtime", Some(record.onnx_runtime.clone()), Some(again.onnx_runtime.clone())),
        of("device", Some(record.device.clone()), Some(again.device.clone())),
        of("processor", noted.as_ref().and_then(|noted| noted.processor.clone()), origin::processor()),
        of("threads", noted.as_ref().map(|noted| noted.threads.to_string()), Some(threads)),
    ];
    Ok(all.into_iter().filter(|part| part.then != part.now).collect())
}

/// All that a run exports. What says how long it took is another each time.
fn files(then: &RunFolder, now: &RunFolder) -> Result<Vec<ComparedFile>, RecipeError> {
    let hash = |path: PathBuf| match path.exists() {
        true => sha256_of_file(&path).map(Some).map_err(RecipeError::io("read", &path)),
        false => Ok(None),
    };
    let mut found = Vec::new();
    // where rows lay is no result
    for file in then.exported().into_iter().filter(|file| *file != then.data_facts()) {
        let name = file.strip_prefix(&then.0).unwrap_or(&file).to_owned();
        let (then, now) = (hash(file)?, hash(now.0.join(&name))?);
        if then.is_some() || now.is_some() {
            found.push(ComparedFile { name: name.to_string_lossy().into_owned(), then, now });
        }
    }
    Ok(found)
}

fn course(then: &RunRecord, now: &RunRecord) -> Option<CourseDifference> {
    let points = |record: &RunRecord| record.history.curve.up_to(record.history.steps);
    let (a, b) = (points(then), points(now));
    let steps_per_point = then.history.curve.steps_per_point;
    let differs = |at: &usize| match (a.get(*at), b.get(*at)) {
        (Some(a), Some(b)) => a.step != b.step || a.loss.to_bits() != b.loss.to_bits(),
        _ => true,
    };
    let at = (0..a.len().max(b.len())).find(differs)?;
    let (one, other) = (a.get(at), b.get(at));
    Some(CourseDifference {
        step: one.or(other)?.step,
        then: one.map(|point| point.loss),
        now: other.map(|point| point.loss),
        steps_per_point,
    })
}

fn figures(then: &RunRecord, now: &RunRecord) -> Vec<FigureDifference> {
    let names = then.history.figures.iter().map(|kind| kind.name.clone()).chain([FigureKind::LOSS.to_owned()]);
    let of = |name: String| {
        let figure = |record: &RunRecord| record.evaluation.as_ref()?.figure(&name);
        let (then, now) = (figure(then), figure(now));
        FigureDifference { difference: then.zip(now).map(|(then, now)| now - then), name, then, now }
    };
    names.map(of).filter(|figure| figure.then.is_some() || figure.now.is_some()).collect()
}
