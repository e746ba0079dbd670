use std::path::{Path, PathBuf};

use millstream_schemas::Recipe;
use millstream_search::SharedStudy;
use serde::Serialize;

use super::figures::Sought;
use super::open_recipe::OpenRecipe;
use super::same_data::changed_since;
use super::same_recipe::require_same_recipe;
use super::status::{StudyReport, of_study, study};
use super::study_folder::{StudyFolder, absolute, write};
use crate::imported::Imports;
use crate::replaced_inputs::{require_no_input, require_no_source};
use crate::run_folder::RunFolder;
use crate::{Catalogs, Events, Opened, RecipeError, RunSummary, StartMode, Stop, TrainOptions, train};

/// The winner of a study.
#[derive(Clone, Debug, Serialize)]
pub struct BestReport {
    /// The study.
    pub study: StudyReport,
    /// The trial's number.
    pub trial: u64,
    /// The recipe that was written.
    #[serde(serialize_with = "millstream_schemas::written_path")]
    pub recipe: PathBuf,
}

/// Writes the recipe of the best trial, with every default and nothing left open, whose output folder is `best` in that of the study.
/// Rows that were imported for the study are named as they were imported.
///
/// # Errors
/// There is no study, its recipe is not the one that it began with, or no trial of it is complete and within the constraints; the file
/// cannot be written.
pub fn best(folder: &StudyFolder, file: Option<&Path>, catalogs: &Catalogs) -> Result<BestReport, RecipeError> {
    let file = file.map_or_else(|| folder.best(), Path::to_owned);
    require_no_input(&file, folder.files().iter().map(PathBuf::as_path))?;
    let open = OpenRecipe::load(&folder.text()?, catalogs)?;
    let (study, recipe) = winner(folder, &open)?;
    require_no_source(&file, &recipe)?;
    let trial = study.best.expect("there is a winner");
    let mut recipe = Imports::beside(&absolute(folder.path())?).found_in(&recipe);
    recipe.output.folder = absolute(&folder.path().join("best"))?;
    let place = absolute(&file)?;
    let text = recipe.to_yaml_in(place.parent().unwrap_or(&place), &catalogs.definitions());
    write(&file, text.as_bytes())?;
    Ok(BestReport { study, trial, recipe: file })
}

/// Trains the recipe of the best trial on all rows, those of `data.evaluate` among them, in the folder `refit` of the study. Says what
/// of the recipe was left out, since nothing is left to measure on; nothing where it was stopped before it began. Paths that name
/// environment variables are those of here and now.
///
/// # Errors
/// As [`best`] and [`train`]; [`RecipeError::RefitOfOther`] where the folder holds a run of another trial's values, or of other rows.
pub fn refit(
    folder: &StudyFolder,
    options: &TrainOptions,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<Option<(RunSummary, Vec<String>)>, RecipeError> {
    // trains here and now, as trials that are gone on with
    let open = OpenRecipe::load(&folder.text_with(&[])?, &options.catalogs)?;
    let (study, winner) = winner(folder, &open)?;
    let best = study.best.expect("there is a winner");
    // the imports that the trials had
    let named = Imports::beside(&absolute(folder.path())?).named_in(&winner, events, stop)?;
    let Some(mut recipe) = named else { return Ok(None) };
    recipe.output.folder = absolute(&folder.refit())?;
    let opened = Opened::open(&recipe, &options.catalogs)?;
    let changed = changed_since(folder, &open, best, &opened)?;
    let mut notes = on_all_rows(&mut recipe, &opened, best)?;
    drop(opened);
    notes.extend(changed.into_iter().map(|place| {
        format!("`{place}` holds something else now than when trial {best} was trained: the figures of the search say nothing of that")
    }));
    let resumes = RunFolder(recipe.output.folder.clone()).recipe().exists();
    let start = if resumes { StartMode::Resume } else { options.start };
    let mut train_from = |start| train(&recipe, &TrainOptions { start, ..options.clone() }, events, stop);
    let trained = match train_from(start) {
        Err(RecipeError::NoWholeCheckpoint { .. }) if resumes => train_from(StartMode::Overwrite),
        trained => trained,
    };
    match trained {
        Err(RecipeError::Stopped) => Ok(None),
        Err(RecipeError::ResumeChanged { folder: refit, what, then, now }) => Err(RecipeError::RefitOfOther {
            folder: refit,
            study: folder.path().to_owned(),
            trial: best,
            what,
            then,
            now,
        }),
        summary => Ok(Some((summary?, notes))),
    }
}

fn winner(folder: &StudyFolder, open: &OpenRecipe) -> Result<(StudyReport, Recipe), RecipeError> {
    let study = study(folder, open.catalogs())?;
    // its recipe would say what no trial was trained with
    require_same_recipe(folder, open, &SharedStudy::note_of(&folder.journal())?)?;
    let none = || RecipeError::NoBestTrial {
        folder: folder.path().to_owned(),
        constrained: !open.search().constraints.is_empty(),
    };
    let recipe = open.recipe(&study.best().ok_or_else(none)?.assignment)?;
    Ok((of_study(folder, open, &Sought::of(open)?, &study), recipe))
}

/// Trains on the evaluation rows, too; says so.
fn with_evaluation_rows(recipe: &mut Recipe, opened: &Opened) -> Result<String, RecipeError> {
    // A folder may have splits that are told by their role: the files themselves have none.
    let sources = [Some(&opened.train), opened.evaluate.as_ref()];
    let rows: u64 = sources.iter().flatten().map(|source| source.dataset.rows()).sum();
    let files = sources.iter().flatten().flat_map(|source| source.dataset.files());
    let files: Vec<String> = files.map(|file| file.path.to_string_lossy().into_owned()).collect();
    let count = files.len();
    recipe.data.train = files.try_into().map_err(|message: String| RecipeError::mismatch("data.train", message))?;
    Ok(format!(
        "trained on {} of {}, those of `data.evaluate` among them; nothing is left to measure it on, and the weights of the last step \
         are exported",
        millstream_schemas::count(rows, "row"),
        millstream_schemas::count(count as u64, "file")
    ))
}

/// Lets a recipe train on all rows, which are open; says what that changes.
fn on_all_rows(recipe: &mut Recipe, opened: &Opened, trial: u64) -> Result<Vec<String>, RecipeError> {
    let mut notes = vec![format!("these are the values of trial {trial}")];
    match recipe.data.evaluate.take() {
        Some(_) => notes.push(with_evaluation_rows(recipe, opened)?),
        None => {
            notes.push("trained on all rows of `data.train`; the recipe has none beside them to evaluate on".into())
        }
    }
    let mut left_out = Vec::new();
    let training = &mut recipe.training;
    if training.early_stopping.take().is_some() {
        left_out.push("training.early_stopping");
    }
    if training.average.is_some_and(|average| !average.is_of_steps()) {
        training.average = None;
        left_out.push("training.average");
    }
    if training.schedule.name == "reduce_on_plateau" {
        training.schedule = millstream_schemas::Choice::named("constant");
        left_out.push("training.schedule");
    }
    if !recipe.evaluation.is_usual() {
        recipe.evaluation = millstream_schemas::recipe::EvaluationRecipe::default();
        left_out.push("evaluation");
    }
    if !left_out.is_empty() {
        let named: Vec<String> = left_out.iter().map(|place| format!("`{place}`")).collect();
        notes.push(format!("left out, since it looks at evaluations: {}", named.join(", ")));
    }
    Ok(notes)
}
