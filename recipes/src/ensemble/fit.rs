use std::path::PathBuf;

use millstream_pipeline::predictions_header;
use millstream_schemas::files::sha256_of_file;
use millstream_schemas::recipe::ByteSize;
use millstream_schemas::{Choice, Fingerprint, Recipe, ScoresOf, count, grouped, shell_path, shown};
use millstream_training::MetricSet;
use millstream_training::ensembles::{self, Ensemble, FittedEnsemble, MemberScores, NoSoups, Soups};
use millstream_training::metrics::Bootstrap;
use serde::Serialize;

use super::chosen_by;
use super::ensemble_origin::{EnsembleOrigin, FitRequest, RequestedMember};
use super::export::{ExportReport, make_model, metadata};
use super::files::{EnsembleFolder, HELD_OUT};
use super::mean_statistics::MeanStatistics;
use super::members::{self, Opened, read_recipe};
use super::members_folder::MembersFolder;
use super::soups::RecipeSoups;
use crate::origin::Origin;
use crate::preprocessing::JoinedBy;
use crate::run_files::RECIPE_FILE;
use crate::run_folder::{RunFolder, folder_name};
use crate::{Catalogs, Events, RecipeError, Stop, labels_file, moment};

/// Which models to make one of, and how.
#[derive(Clone, Debug)]
pub struct FitOptions {
    /// Folders of runs, or .onnx files. A folder of members on parts of the rows stands for the mean of their answers, and in a mean of
    /// weights for their runs.
    pub members: Vec<PathBuf>,
    /// A file of predictions for each of them, in the same order; where there are none, those in a run's folder or beside a model.
    pub predictions: Vec<PathBuf>,
    /// How they are made one.
    pub method: Choice,
    /// What is measured; the usual where it is empty.
    pub metrics: Vec<Choice>,
    /// The figure that decides.
    pub best: Option<String>,
    /// The share of rows that is measured on and not fitted to, 0 to below 1.
    pub holdout: f64,
    /// Of what is drawn.
    pub seed: u64,
    /// Draws for intervals of figures that are no shares of rows; 0 for none.
    pub bootstrap: u32,
    /// Whether the model also sees images mirrored.
    pub flips: bool,
    /// The output of members that have several.
    pub output_name: Option<String>,
    /// What is held of all predictions, at most.
    pub memory: ByteSize,
    /// The recipe whose evaluation rows a mean of weights is run on; that of the first member's run where it is not given.
    pub recipe: Option<PathBuf>,
    /// The ONNX Runtime library, instead of the one that would be found.
    pub library: Option<PathBuf>,
    /// Where the results go.
    pub folder: EnsembleFolder,
    /// Whether an ensemble that is there may be replaced.
    pub overwrite: bool,
    /// What there is to choose among.
    pub catalogs: Catalogs,
}

/// What was fitted, measured and written.
#[derive(Clone, Debug, Serialize)]
pub struct FitReport {
    /// The folder.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub folder: PathBuf,
    /// As its file says it.
    pub ensemble: FittedEnsemble,
    /// The model.
    pub exported: ExportReport,
}

/// Fits an ensemble to the predictions of its members, measures it on the rest of the rows, and writes `ensemble.json`, `ensemble.onnx`
/// and a report.
///
/// # Errors
/// Members or their predictions cannot be opened or do not fit together, the method makes no sense for them, or nothing can be written.
pub fn fit(options: &FitOptions, events: &mut dyn Events, stop: &Stop) -> Result<FitReport, RecipeError> {
    options.folder.require_free(options.overwrite)?;
    let began = moment::now();
    let method = Ensemble::choose(&options.catalogs.ensembles, &options.method, "--method")?;
    let (members, of_folders) = match method.averages_weights() {
        true => runs_of_folders(options)?,
        false => (options.members.clone(), Vec::new()),
    };
    let options = &FitOptions { members, ..options.clone() };
    let opened = members::open(&options.members, options.output_name.as_deref(), &options.catalogs)?;
    require_others(&opened, &options.folder)?;
    members::require_answers(&opened)?;
    let joined_by = if method.averages_weights() { JoinedBy::Weights } else { JoinedBy::Scores };
    let alike = members::require_alike(&opened, joined_by)?;
    let (scores, of_rows) = aligned(&opened, &options.members, &options.predictions, options.memory)?;
    // before anything is fitted, so that it says which files were read
    let request = request(options, &opened)?;
    let metrics = metrics(&scores, options)?;
    let described: Vec<_> = opened.iter().map(|member| member.described(&options.folder)).collect();
    let metadata = metadata(&opened, &options.method, scores.classes());
    let recipe = match method.averages_weights() {
        true => Some(recipe(options, &opened)?),
        false => None,
    };
    let fit_options =
        ensembles::FitOptions { method: &method, metrics: &metrics, holdout: options.holdout, seed: options.seed };
    let mut device = None;
    let library = options.library.as_deref();
    let statistics = recipe.as_ref().map(|recipe| MeanStatistics::new(recipe, &options.catalogs, library, stop));
    let mut fitted = match recipe.as_ref().zip(statistics.as_ref()) {
        Some((recipe, statistics)) => {
            let mut soups = RecipeSoups {
                members: &opened,
                recipe,
                statistics,
                catalogs: &options.catalogs,
                metadata: &metadata,
                library,
                events,
                stop,
                memory: each(options.memory, opened.len()),
                newest: None,
                device: None,
            };
            let fitted = FittedEnsemble::fit(described, &scores, &fit_options, &mut soups as &mut dyn Soups)?;
            device = soups.device;
            fitted
        }
        None => FittedEnsemble::fit(described, &scores, &fit_options, &mut NoSoups)?,
    };
    fitted.notes.extend(of_folders.into_iter().chain(alike).chain(of_rows));
    fitted.notes.extend(chosen_by::notes(&opened, &scores)?);
    let to = options.folder.model();
    let model =
        make_model(&fitted, &opened, options.flips, &metadata, (to.as_path(), statistics.as_ref()), &options.catalogs)?;
    // an earlier ensemble is not given up for one that cannot be made
    let origin = Origin::without_base(began, device.as_ref());
    options.folder.begin(&EnsembleOrigin { origin, request })?;
    let exported = model.write()?;
    fitted.notes.extend(exported.notes.iter().cloned());
    if !fitted.classes.is_empty() {
        options.folder.write_file(&options.folder.labels(), labels_file::to_text(&fitted.classes).as_bytes())?;
    }
    options.folder.finish(&fitted)?;
    Ok(FitReport { folder: options.folder.0.clone(), ensemble: fitted, exported })
}

/// Members of a mean of weights: in place of a folder of members on parts of the rows their runs, since what such a folder gives itself is
/// a mean of answers. With what is to be said of that.
///
/// # Errors
/// Members of a folder are not all trained yet, or were evaluated on rows of their own each, and no others are named.
fn runs_of_folders(options: &FitOptions) -> Result<(Vec<PathBuf>, Vec<String>), RecipeError> {
    let (mut members, mut notes) = (Vec::with_capacity(options.members.len()), Vec::new());
    for path in &options.members {
        let folder = if path.is_dir() { MembersFolder::read(path)? } else { None };
        let Some(folder) = folder else {
            members.push(path.clone());
            continue;
        };
        let runs = folder.runs()?;
        let own = runs.iter().find(|run| !run.join(HELD_OUT).exists());
        if let Some(run) = own.filter(|_| options.predictions.is_empty()) {
            let [recipe, answers] = [RECIPE_FILE, "others.parquet"].map(|file| shell_path(run.join(file)));
            let (run, name) = (shell_path(run), shown(&options.method.name));
            let message = format!(
                "each of its runs was evaluated on the rows that it was not trained on, and a mean of weights is measured on rows that none \
                 of them was trained on; let each answer for such rows by `millstream evaluate {recipe} --data FILES --predictions \
                 {answers}`, and name these files: `millstream ensemble fit {run} … --method {name} --predictions {answers} … --recipe \
                 RECIPE`, where the recipe's `data.evaluate` is FILES"
            );
            return Err(RecipeError::ensemble(path, message));
        }
        notes.push(format!(
            "{} stands for its {}: weights are those of runs, and what the folder gives itself is the mean of their answers",
            shown(folder_name(path)),
            count(runs.len(), "run")
        ));
        members.extend(runs);
    }
    Ok((members, notes))
}

/// Refuses a member that is the very file which the ensemble is written to.
fn require_others(members: &[Opened], folder: &EnsembleFolder) -> Result<(), RecipeError> {
    let Ok(own) = folder.model().canonicalize() else { return Ok(()) };
    match members.iter().find(|member| member.path.canonicalize().is_ok_and(|path| path == own)) {
        Some(member) => Err(RecipeError::ensemble(
            &member.path,
            "it is the model of the ensemble that is to be replaced, and cannot be a member of it; choose another folder",
        )),
        None => Ok(()),
    }
}

/// What the members gave, in the same order of rows, and what is to be said of rows that are left out. Folders of members, each of which
/// answers for what it was not trained on, need not all have the same, unless files are named.
pub(super) fn aligned(
    opened: &[Opened],
    given: &[PathBuf],
    predictions: &[PathBuf],
    memory: ByteSize,
) -> Result<(MemberScores, Option<String>), RecipeError> {
    if predictions.len() != opened.len() && !(predictions.is_empty() && given.len() == opened.len()) {
        let message =
            format!("{} files for {} members; give one for each, in the same order", predictions.len(), opened.len());
        return Err(RecipeError::mismatch("--predictions", message));
    }
    let each = each(memory, opened.len());
    let mut found = Vec::with_capacity(opened.len());
    for (at, member) in opened.iter().enumerate() {
        let path = predictions_of(member, at, given, predictions);
        found.push((member.name.clone(), member.predictions(&path, each)?));
    }
    let is_of_members = |member: &Opened| {
        let folder = member.path.parent().map(|folder| RunFolder(folder.to_owned()));
        folder.is_some_and(|folder| folder.model() == member.path && MembersFolder::is_one(&folder.0))
    };
    if !predictions.is_empty() || !opened.iter().any(is_of_members) {
        return Ok((MemberScores::align(found)?, None));
    }
    let (scores, left_out) = MemberScores::align_common(found)?;
    let note = (left_out > 0).then(|| {
        format!(
            "measured on the {} that all members answer for; {} that not all have {} left out",
            count(scores.rows().len() as u64, "row"),
            grouped(left_out),
            if left_out == 1 { "is" } else { "are" }
        )
    });
    Ok((scores, note))
}

/// Where what a member gave lies.
fn predictions_of(member: &Opened, at: usize, given: &[PathBuf], predictions: &[PathBuf]) -> PathBuf {
    match predictions.get(at) {
        Some(path) => path.clone(),
        None => member.usual_predictions(&given[at]),
    }
}

/// What was asked for, with the predictions by their hashes.
fn request(options: &FitOptions, opened: &[Opened]) -> Result<FitRequest, RecipeError> {
    let mut members = Vec::with_capacity(opened.len());
    for (at, (member, given)) in opened.iter().zip(&options.members).enumerate() {
        let predictions = predictions_of(member, at, &options.members, &options.predictions);
        let hash = sha256_of_file(&predictions).map_err(RecipeError::io("read", &predictions))?;
        members.push(RequestedMember {
            path: options.folder.relative(given),
            data: predictions_header(&predictions)?.data,
            predictions: options.folder.relative(&predictions),
            fingerprint: Fingerprint(hash),
        });
    }
    Ok(FitRequest {
        members,
        method: options.method.clone(),
        metrics: options.metrics.clone(),
        best: options.best.clone(),
        holdout: options.holdout,
        seed: options.seed,
        bootstrap: options.bootstrap,
        memory: Some(options.memory),
        flips: options.flips,
        output_name: options.output_name.clone(),
        recipe: options.recipe.as_ref().map(|recipe| options.folder.relative(recipe)),
        names_predictions: !options.predictions.is_empty(),
    })
}

/// Of what is held of all predictions, that of one member: in the order of the file, in that of the first, and a part of both; with what a
/// mean of weights gives.
pub(super) fn each(memory: ByteSize, members: usize) -> ByteSize {
    ByteSize(memory.0 / 3 / (members as u64 + 1))
}

fn metrics(scores: &MemberScores, options: &FitOptions) -> Result<MetricSet, RecipeError> {
    let chosen = Some(options.metrics.as_slice()).filter(|metrics| !metrics.is_empty());
    metric_set(
        scores,
        chosen,
        options.best.as_deref(),
        options.bootstrap,
        options.seed,
        options.memory,
        &options.catalogs,
    )
}

/// What is measured of an ensemble.
pub(super) fn metric_set(
    scores: &MemberScores,
    chosen: Option<&[Choice]>,
    best: Option<&str>,
    bootstrap: u32,
    seed: u64,
    memory: ByteSize,
    catalogs: &Catalogs,
) -> Result<MetricSet, RecipeError> {
    let metrics = MetricSet::choose(&catalogs.metrics, chosen, best, scores.reads())?.with_memory(memory.0);
    let classes = if scores.scores_of() == ScoresOf::Classes { scores.classes() } else { &[] };
    metrics.check(classes)?;
    Ok(match bootstrap {
        0 => metrics,
        resamples => metrics.with_bootstrap(Bootstrap { resamples, seed }),
    })
}

/// The recipe whose rows a mean of weights is run on.
fn recipe(options: &FitOptions, opened: &[Opened]) -> Result<Recipe, RecipeError> {
    let path = options.recipe.clone().or_else(|| opened.iter().find_map(|member| member.recipe.clone()));
    let Some(path) = path else {
        let message = "a mean of weights is run on the evaluation rows of a recipe; name it by `--recipe`";
        return Err(RecipeError::mismatch("--recipe", message));
    };
    read_recipe(&path, &options.catalogs)
}
